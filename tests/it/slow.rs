//! One slow request on a pipelined connection: it alone fails.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Machine, Requester, name, tag, wait_until};

const TIMEOUT: Duration = Duration::from_secs(3);
/// When the host replies after all (milliseconds): 300 times as late as to the others.
const SLOW: u64 = 4500;
/// When the neighbours come, whose own deadline is after that.
const NEIGHBOURS: Duration = Duration::from_millis(2500);

fn failed_as(reply: &str, word: &str) -> bool {
    reply == format!("con_{word}") || reply.starts_with(&format!("-CON{}", word.to_uppercase()))
}

/// The slow one takes 4.5 s of its 3 s; its neighbours wait behind it for 2 s of theirs.
fn one_slow_request_fails_alone(dialect: Dialect) {
    let _machine = Machine::alone();
    let mut host = ChaosHost::start(dialect);
    let line =
        format!("far {} {} connections=1 pipeline=64 timeout={}s", host.address(), name(dialect), TIMEOUT.as_secs());
    let daemon = Daemon::start(&[&line]);
    let mut slow = daemon.requester("far", dialect);
    let start = Instant::now();
    slow.send(&format!("{} after={SLOW}", tag(1)));
    wait_until("the slow request is at the host", || host.received().get(&1).copied());
    sleep(NEIGHBOURS.saturating_sub(start.elapsed()));
    let mut neighbours: Vec<Requester> = (10..40).map(|n| send_from_a_new_requester(&daemon, dialect, n)).collect();

    let reply = slow.reply();
    let took = start.elapsed();
    assert!(failed_as(&reply, "unknown"), "the slow request was answered {reply}");
    assert!(took >= TIMEOUT && took < Duration::from_millis(SLOW), "after {took:?}");
    // Its connection is owed the late reply and takes no new work: this one waits for it in the queue.
    let mut late = send_from_a_new_requester(&daemon, dialect, 50);
    for (n, neighbour) in (10..40).zip(&mut neighbours) {
        let reply = neighbour.reply();
        assert!(reply.contains(&tag(n)), "neighbour {n} was answered {reply}");
    }
    assert!(late.reply().contains(&tag(50)));
    assert!(slow.ask(&tag(60)).contains(&tag(60)), "the late reply went to nobody");
    assert_eq!(host.connections().1, 1, "no connection was lost over it");
    let status = daemon.host_status("far");
    assert_eq!((&status["unknown"], &status["timeout"]), (&1.into(), &0.into()), "{status}");
    daemon.stop();
}

fn send_from_a_new_requester(daemon: &Daemon, dialect: Dialect, number: u64) -> Requester {
    let mut requester = daemon.requester("far", dialect);
    requester.send(&tag(number));
    requester
}

#[test]
fn one_slow_request_on_a_pipelined_resp_connection_fails_alone() {
    one_slow_request_fails_alone(Dialect::Resp);
}

#[test]
fn one_slow_request_on_a_pipelined_line_connection_fails_alone() {
    one_slow_request_fails_alone(Dialect::Line);
}

#[test]
fn a_connection_whose_late_reply_never_comes_is_replaced() {
    let mut host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line connections=1 timeout=500ms", host.address());
    let daemon = Daemon::start(&[&line]);
    let mut requester = daemon.requester("far", Dialect::Line);
    assert_eq!(requester.ask("<1> hang"), "con_unknown");
    let mut number = 1;
    wait_until("the host answers on a new connection", || {
        number += 1;
        let reply = requester.ask(&tag(number));
        // What was sent in the last moment of its time may be unknown; but nobody gets another's reply.
        let failed = ["con_timeout", "con_unknown"].contains(&reply.as_str());
        assert!(failed || reply.contains(&tag(number)), "{reply}");
        reply.contains(&tag(number)).then_some(())
    });
    // The host notices in a thread of its own that the old one is closed, perhaps later than it accepts the new one.
    wait_until("the old connection is closed", || (host.connections().0 == 1).then_some(()));
    daemon.stop();
}
