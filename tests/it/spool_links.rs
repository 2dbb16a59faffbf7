//! The link between the spool and its host: refusing, hanging, stopped, cut in mid-reply, answering that it cannot now or
//! never. The requester is told the truth, the order is kept, and the replay goes on as soon as the host is well.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Redis, Requester, encode_command, name, tag, wait_until};

const DIALECTS: [Dialect; 3] = [Dialect::Line, Dialect::Len32, Dialect::Resp];

/// A host with a spool; short times, so that failures come soon.
fn far(host: &ChaosHost, dialect: Dialect, options: &str) -> String {
    let short = "deferred retries=1 connect_timeout=1s replay_backoff=50ms";
    format!("far {} {} {short} {options}", host.address(), name(dialect))
}

/// A daemon whose child has opened the spool: until then whatever comes is stored untried.
fn start(hosts: &str) -> Daemon {
    let daemon = Daemon::start(&[hosts]);
    assert!(daemon.place().tieline(&["spool", "list", "far"]).status.success());
    daemon
}

/// What says that a request is stored under this ID.
fn delayed(dialect: Dialect, id: u64) -> String {
    match dialect {
        Dialect::Resp => format!("+DELAYED {id}\r\n"),
        Dialect::Line | Dialect::Len32 | Dialect::Memcache => format!("con_delayed:{id}"),
    }
}

/// Writes the tags; they must be stored in this order under the IDs from `first` on.
fn store(requester: &mut Requester, dialect: Dialect, tags: std::ops::Range<u64>, first: u64) {
    for (number, id) in tags.zip(first..) {
        assert_eq!(requester.ask(&tag(number)), delayed(dialect, id));
    }
}

fn wait_until_empty(daemon: &Daemon) -> Value {
    wait_until("everything is replayed", || {
        let spool = daemon.host_status("far")["spool"].clone();
        (spool["depth"] == 0).then_some(spool)
    })
}

/// The tags in the order in which each arrived for the first time.
fn first_arrivals(host: &ChaosHost) -> Vec<u64> {
    let mut seen = HashSet::new();
    host.tags().into_iter().filter(|tag| seen.insert(*tag)).collect()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn what_a_refusing_host_missed_is_replayed_in_order_as_soon_as_it_is_back() {
    for dialect in DIALECTS {
        let mut host = ChaosHost::start(dialect);
        host.command("refuse");
        let daemon = start(&far(&host, dialect, ""));
        let mut requester = daemon.deferred("far", dialect);
        store(&mut requester, dialect, 1..51, 1);
        assert_eq!(daemon.host_status("far")["spool"]["depth"], 50);
        host.command("listen");
        assert!(daemon.place().tieline(&["probe", "far"]).status.success());
        let spool = wait_until_empty(&daemon);
        assert_eq!((&spool["in_doubt"], &spool["dead"]), (&0.into(), &0.into()), "{dialect:?}");
        assert_eq!(host.tags(), numbers(1..=50), "{dialect:?}: each once, in order");
        let reply = requester.ask(&tag(51));
        assert!(reply.contains(&tag(51)), "with no backlog left it is tried at once: {reply}");
        daemon.stop();
    }
}

#[test]
fn a_host_on_demand_with_a_backlog_is_replayed_after_a_start_without_any_requester() {
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let place = Place::new(&[&far(&host, Dialect::Line, "start=demand idle=1s")]);
    let daemon = place.start();
    store(&mut daemon.deferred("far", Dialect::Line), Dialect::Line, 1..21, 1);
    daemon.stop();
    assert_eq!(host.tags(), [0u64; 0]);

    host.command("listen");
    let mut daemon = place.start();
    wait_until("all has arrived", || (host.tags().len() == 20).then_some(()));
    assert_eq!(host.tags(), numbers(1..=20));
    wait_until("nobody needs the child any more", || daemon.try_child("far").is_none().then_some(()));
    daemon.stop();
}

#[test]
fn a_host_that_hangs_gets_again_what_it_may_have_executed_and_nothing_else_twice() {
    for dialect in DIALECTS {
        let mut host = ChaosHost::start(dialect);
        host.command("mood hang=1");
        let daemon = start(&far(&host, dialect, "timeout=300ms connections=1"));
        let mut requester = daemon.deferred("far", dialect);
        store(&mut requester, dialect, 1..2, 1);
        assert_eq!(daemon.host_status("far")["spool"]["in_doubt"], 1, "it was sent, and no reply came");
        store(&mut requester, dialect, 2..11, 2);
        host.command("mood");
        wait_until_empty(&daemon);
        let tags = host.tags();
        assert_eq!(first_arrivals(&host), numbers(1..=10), "{dialect:?}");
        assert!(tags.iter().filter(|tag| **tag == 1).count() >= 2, "{dialect:?}: the first one again: {tags:?}");
        assert!((2..=10).all(|tag| tags.iter().filter(|each| **each == tag).count() == 1), "{dialect:?}: {tags:?}");
        daemon.stop();
    }
}

#[test]
fn a_replay_that_pauses_after_failures_goes_on_at_once_when_the_host_is_back() {
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("mood cut=1");
    let options = "deferred retries=1 connect_timeout=1s connections=1";
    let daemon = start(&format!("far {} line {options}", host.address()));
    let mut requester = daemon.deferred("far", Dialect::Line);
    store(&mut requester, Dialect::Line, 1..4, 1);
    // Each failure doubles the pause: after the third replay it is at least 2 s long.
    wait_until("the replay has failed again and again", || (host.tags().len() >= 4).then_some(()));
    host.command("refuse");
    host.command("mood");
    host.command("listen");
    let back = Instant::now();
    wait_until("the host is reached", || daemon.place().tieline(&["probe", "far"]).status.success().then_some(()));
    wait_until_empty(&daemon);
    assert!(back.elapsed() < Duration::from_millis(1500), "it took {:?}", back.elapsed());
    assert_eq!(first_arrivals(&host), numbers(1..=3));
    daemon.stop();
}

#[test]
fn a_host_that_is_stopped_and_goes_on_gets_everything_in_order() {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = start(&far(&host, Dialect::Line, "timeout=300ms connections=2"));
    let mut requester = daemon.deferred("far", Dialect::Line);
    assert!(requester.ask(&tag(1)).contains(&tag(1)), "all is well");
    host.stop();
    store(&mut requester, Dialect::Line, 2..12, 1);
    host.signal(Signal::SIGCONT);
    wait_until_empty(&daemon);
    assert_eq!(first_arrivals(&host), numbers(1..=11));
    daemon.stop();
}

#[test]
fn a_host_that_cuts_in_mid_reply_gets_everything_and_in_order() {
    for dialect in DIALECTS {
        let mut host = ChaosHost::start(dialect);
        host.command("mood cut_mid=1");
        let daemon = start(&far(&host, dialect, "timeout=5s connections=1"));
        let mut requester = daemon.deferred("far", dialect);
        store(&mut requester, dialect, 1..41, 1);
        host.command("mood cut_mid=0.3");
        wait_until_empty(&daemon);
        assert_eq!(first_arrivals(&host), numbers(1..=40), "{dialect:?}");
        let mut tags = host.tags();
        let repeated = tags.iter().filter(|tag| **tag > 1).count() - 39;
        assert!(repeated > 0, "{dialect:?}: what was cut off is sent again by the replay");
        tags.dedup();
        assert_eq!(tags, numbers(1..=40), "{dialect:?}: with one at a time nothing passes what is sent again");
        daemon.stop();
    }
}

#[test]
fn what_a_host_cannot_take_now_is_tried_again_later_and_nothing_overtakes_it() {
    let mut host = ChaosHost::start(Dialect::Resp);
    host.command("mood transient=1");
    let daemon = start(&far(&host, Dialect::Resp, ""));
    let mut requester = daemon.deferred("far", Dialect::Resp);
    store(&mut requester, Dialect::Resp, 1..11, 1);
    let attempts = || host.tags().iter().filter(|tag| **tag == 1).count();
    wait_until("the first one is tried again and again", || (attempts() > 3).then_some(()));
    let spool = &daemon.host_status("far")["spool"];
    assert_eq!((&spool["depth"], &spool["in_doubt"]), (&10.into(), &0.into()), "the host has said that it did not");
    assert!(host.tags().iter().all(|tag| *tag == 1), "the others wait behind it: {:?}", host.tags());
    host.command("mood");
    wait_until_empty(&daemon);
    let mut tags = host.tags();
    tags.dedup();
    assert_eq!(tags, numbers(1..=10));
    daemon.stop();
}

#[test]
fn a_redis_that_is_a_replica_gets_the_writes_in_order_once_it_is_a_master() {
    let redis = Redis::start();
    let mut direct = redis.requester();
    let mut command = |words: &[&str]| {
        direct.send_bytes(&encode_command(words));
        direct.reply()
    };
    assert_eq!(command(&["REPLICAOF", "127.0.0.1", "1"]), "+OK\r\n");
    let hosts = format!("far {} resp deferred replay_backoff=50ms", redis.address());
    let daemon = start(&hosts);
    let mut requester = daemon.deferred("far", Dialect::Resp);
    for number in 1..=20 {
        requester.send_bytes(&encode_command(&["RPUSH", "list", &number.to_string()]));
        assert_eq!(requester.reply(), format!("+DELAYED {number}\r\n"), "-READONLY is not for good");
    }
    assert_eq!(command(&["REPLICAOF", "NO", "ONE"]), "+OK\r\n");
    wait_until_empty(&daemon);
    let list = command(&["LRANGE", "list", "0", "-1"]);
    let pushed: Vec<u64> = list.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pushed, numbers(1..=20));
    requester.send_bytes(&encode_command(&["RPUSH", "list", "21"]));
    assert_eq!(requester.reply(), ":21\r\n");
    requester.send_bytes(&encode_command(&["GET", "list"]));
    assert!(requester.reply().starts_with("-WRONGTYPE"), "what is refused for good at once is told at once");
    daemon.stop();
}

#[test]
fn what_a_host_will_never_take_goes_to_the_dead_with_its_reply_and_the_replay_goes_on() {
    for dialect in DIALECTS {
        let mut host = ChaosHost::start(dialect);
        host.command("refuse");
        let rejects = if dialect == Dialect::Resp { "" } else { "rejects=error" };
        let daemon = start(&far(&host, dialect, rejects));
        let mut requester = daemon.deferred("far", dialect);
        for number in 1..=9u64 {
            let words = if number % 3 == 0 { " reject" } else { "" };
            assert_eq!(requester.ask(&format!("{}{words}", tag(number))), delayed(dialect, number));
        }
        host.command("listen");
        assert!(daemon.place().tieline(&["probe", "far"]).status.success());
        let spool = wait_until_empty(&daemon);
        assert_eq!(host.tags(), numbers(1..=9), "{dialect:?}: the refused ones are not sent again");
        assert_eq!(spool["dead"], 3);
        let output = daemon.place().tieline(&["spool", "dead", "far", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let dead: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let ids: Vec<u64> = dead.iter().map(|row| row["id"].as_u64().expect("an ID")).collect();
        assert_eq!(ids, [3, 6, 9], "{dialect:?}");
        let reason = dead[0]["last_error"].as_str().expect("a reason");
        assert!(reason.to_lowercase().contains("no such account"), "{dialect:?}: {reason}");

        let at_once = requester.ask(&format!("{} reject", tag(10)));
        assert!(at_once.to_lowercase().contains("no such account"), "refused at once, told at once: {at_once}");
        daemon.stop();
    }
}
