//! Promise 1 with a real Redis under chaos: shared requests, pipelines, transactions, blocking reads and subscribers, in
//! RESP2 and RESP3; every value names its key and its requester. Connections are cut within replies, the child is
//! killed, and Redis stops or is killed and started again, meanwhile.
//!
//! The number of rounds follows `TIELINE_CHAOS`, as in the other tests of chaos.

mod steps;

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use steps::{Step, Wanted, key};

use crate::common::{Daemon, Machine, Redis, Relay, Requester, encode_command, wait_until};

const REQUESTERS: u64 = 60;

/// What was answered, by kind.
type Tally = HashMap<&'static str, u64>;

/// Sends bursts until it is over, and judges every answer in its place.
fn live(socket: &Path, own: u64, over: &AtomicBool) -> Tally {
    let mut tally = Tally::new();
    let mut requester = None;
    while !over.load(Ordering::Relaxed) {
        let mut open = requester.take().unwrap_or_else(|| Requester::connect(socket, Dialect::Resp));
        let goes_on = match fastrand::u8(..12) {
            0 => listen(open, own, &mut tally),
            1 => leave(open, own),
            _ => exchange(&mut open, own, &mut tally).then_some(open),
        };
        requester = goes_on;
    }
    tally
}

fn count(tally: &mut Tally, kind: &'static str) {
    *tally.entry(kind).or_default() += 1;
}

/// Sends bytes; it may have been closed before.
fn say(requester: &Requester, bytes: &[u8]) {
    (&requester.stream).write_all(bytes).ok();
}

/// Changes its voice now and then.
fn hello(burst: &mut Vec<u8>) -> bool {
    let says = fastrand::u8(..6) == 0;
    if says {
        burst.extend(encode_command(&["HELLO", if fastrand::bool() { "3" } else { "2" }]));
    }
    says
}

/// One burst. Whether the requester is still open.
fn exchange(requester: &mut Requester, own: u64, tally: &mut Tally) -> bool {
    let (mut burst, mut wanted) = (Vec::new(), VecDeque::new());
    let says_hello = hello(&mut burst);
    (0..fastrand::usize(1..12)).for_each(|_| Step::any().add(own, &mut burst, &mut wanted));
    let mut sender = requester.stream.try_clone().expect("a second handle");
    let mut failed = false;
    let open = thread::scope(|scope| {
        // It may be closed before it has sent everything.
        scope.spawn(move || drop(sender.write_all(&burst)));
        if says_hello {
            match requester.next_reply().expect("an answer in time") {
                Some(reply) => {
                    let is_hello = reply.contains("$5\r\nproto\r\n") || reply.starts_with("-CON");
                    assert!(is_hello, "HELLO of {own} was answered {reply:?}");
                }
                None => return false,
            }
        }
        let mut transaction_failed = false;
        for wanted in &wanted {
            let Some(reply) = requester.next_reply().expect("an answer in time") else { return false };
            let kind = wanted.judge(own, &reply);
            failed |= kind != "reply";
            transaction_failed |= kind != "reply";
            if matches!(wanted, Wanted::Executed(_)) {
                count(tally, if kind == "reply" { "transaction" } else { kind });
                assert!(kind != "reply" || !transaction_failed, "a part of a transaction of {own} had failed");
            }
            if matches!(wanted, Wanted::Exactly(text) if text == "+OK\r\n") {
                transaction_failed = kind != "reply";
            }
            count(tally, if matches!(wanted, Wanted::Popped(_)) && kind == "reply" { "popped" } else { kind });
        }
        true
    });
    if failed {
        sleep(Duration::from_millis(fastrand::u64(5..50)));
    }
    if !open {
        count(tally, "closed");
    }
    open
}

/// Subscribes, hears nothing but what is for it, and goes back.
fn listen(mut requester: Requester, own: u64, tally: &mut Tally) -> Option<Requester> {
    let channel = format!("<{own}:news>");
    say(&requester, &encode_command(&["SUBSCRIBE", &channel]));
    let told = requester.next_reply().expect("an answer in time")?;
    if told.starts_with("-CON") {
        return Some(requester);
    }
    assert!(told.contains("subscribe\r\n") && told.contains(&channel), "{own} subscribed and heard {told:?}");
    say(&requester, &[encode_command(&["PING", &channel]), encode_command(&["RESET"])].concat());
    while let Some(reply) = requester.next_reply().expect("an answer in time") {
        if reply == "+RESET\r\n" {
            count(tally, "subscribed");
            return Some(requester);
        }
        assert!(reply.contains(&channel), "{own} heard {reply:?}");
    }
    count(tally, "closed");
    None
}

/// Leaves in the middle of something that is its own.
fn leave(mut requester: Requester, own: u64) -> Option<Requester> {
    let (key, foreign) = (key(own, 0), format!("left by {own}"));
    let words: &[&[&str]] = match fastrand::u8(..4) {
        0 => &[&["MULTI"], &["SET", &key, &foreign]],
        1 => &[&["BLPOP", "nothing", "0"]],
        2 => &[&["SUBSCRIBE", &foreign]],
        _ => &[&["SELECT", "5"], &["SET", &key, &foreign]],
    };
    let bytes: Vec<u8> = words.iter().flat_map(|words| encode_command(words)).collect();
    say(&requester, &bytes);
    if fastrand::bool() {
        requester.wait_for_reply(Duration::from_millis(20));
    }
    None
}

/// Makes trouble for as long as it should last.
fn make_trouble(daemon: &mut Daemon, redis: &mut Redis, relay: &Relay, rounds: u64) {
    let pause = |low, high| sleep(Duration::from_millis(fastrand::u64(low..high)));
    for round in 0..rounds {
        pause(100, 300);
        relay.cut();
        relay.cut_after(fastrand::usize(1000..3_000_000));
        relay.cut();
        pause(200, 600);
        redis.signal(Signal::SIGSTOP);
        pause(50, 600);
        redis.signal(Signal::SIGCONT);
        relay.cut_after(usize::MAX);
        pause(100, 300);
        if round % 2 == 0 {
            redis.kill_and_start_again();
        }
        let child = daemon.child("cache");
        child.signal(Signal::SIGKILL);
        wait_until("another child", || daemon.try_child("cache").filter(|new| *new != child));
        daemon.place().tieline(&["probe", "cache"]);
        pause(300, 600);
    }
}

/// How many rounds of trouble: in proportion to the other tests of chaos.
fn rounds() -> u64 {
    let wanted = std::env::var("TIELINE_CHAOS").ok();
    let transactions: u64 = wanted.map_or(1_000_000, |number| number.parse().expect("TIELINE_CHAOS is a number"));
    (transactions / 200_000).max(5)
}

#[test]
fn nobody_gets_anybody_elses_value_whatever_is_bound_shared_cut_killed_or_stopped() {
    let _machine = Machine::alone();
    let mut redis = Redis::start();
    let relay = Relay::to(redis.address());
    let options = "connections=4 sessions=24 queue=2000 timeout=400ms connect_timeout=200ms retries=2";
    let mut daemon = Daemon::start(&[&format!("cache {} resp {options}", relay.address())]);
    let (socket, over) = (daemon.socket("cache"), AtomicBool::new(false));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let (socket, over) = (&socket, &over);
        let threads: Vec<_> = (0..REQUESTERS).map(|own| scope.spawn(move || live(socket, own, over))).collect();
        let trouble = std::panic::AssertUnwindSafe(|| make_trouble(&mut daemon, &mut redis, &relay, rounds()));
        let made = std::panic::catch_unwind(trouble);
        over.store(true, Ordering::Relaxed);
        let tallies = threads.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>();
        made.expect("trouble was made");
        tallies.into_iter().map(|tally| tally.expect("all was right")).collect()
    });
    let mut all = Tally::new();
    for (kind, count) in tallies.into_iter().flatten() {
        *all.entry(kind).or_default() += count;
    }
    println!("{all:?}");
    let count = |kind| all.get(kind).copied().unwrap_or(0);
    assert!(count("reply") > 1000, "too few replies to show anything");
    for kind in ["transaction", "popped", "subscribed"] {
        assert!(count(kind) > 20, "too few {kind} to show anything: {all:?}");
    }
    assert!(count("UNKNOWN") > 0 && count("closed") > 0, "too little chaos");
    daemon.stop();
}
