//! Hosts that reply without end, or garbage, or unasked.

use tieline::dialect::Dialect;

use super::{FRAME_KB, PATIENCE, assert_memory, wait_until_given_back, warm};
use crate::common::{Bystander, wait_until};

#[test]
fn a_reply_without_end_is_cut_at_the_limit_and_held_by_nobody() {
    for dialect in [Dialect::Line, Dialect::Resp, Dialect::Len32] {
        let (_host, daemon, child, base) = warm(dialect, "connections=3 pipeline=1 max_reply=1MiB");
        let bystander = Bystander::start(daemon.socket("far"), dialect);
        let mut unlucky = daemon.requester("far", dialect);
        unlucky.send("<1> endless");
        unlucky.half_close();
        let said = unlucky.rest();
        assert!(said.len() < 2 << 20, "{dialect:?}: {} bytes were passed on", said.len());
        assert_memory(child, base, FRAME_KB);
        assert!(bystander.finish() < PATIENCE);
        let mut next = daemon.requester("far", dialect);
        assert!(next.ask("<2>").contains("<2>"));
        let status = daemon.host_status("far");
        assert_eq!(status["unknown"], 1, "{dialect:?}: {status}");
        wait_until_given_back(child, base);
        daemon.stop();
    }
}

#[test]
fn a_large_reply_that_breaks_off_costs_its_requester_and_nobody_else() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "connections=1");
    let start = |_| Bystander::start(daemon.socket("far"), Dialect::Line);
    let bystanders: Vec<Bystander> = (0..8).map(start).collect();
    for _ in 0..100 {
        let mut unlucky = daemon.requester("far", Dialect::Line);
        unlucky.send("<1> size=1000000 cut_mid");
        unlucky.half_close();
        let said = unlucky.rest();
        assert!(!said.ends_with(b"\n") || said == b"con_unknown\n", "it broke off and has an end");
    }
    for bystander in bystanders {
        bystander.finish();
    }
    daemon.stop();
}

#[test]
fn garbage_from_the_host_closes_the_connection_and_serves_nobody() {
    for dialect in [Dialect::Resp, Dialect::Len32] {
        let (mut host, daemon, _child, _) = warm(dialect, "connections=1 pipeline=1");
        let before = host.connections().1;
        let mut requester = daemon.requester("far", dialect);
        let reply = requester.ask("<1> garbage");
        let unknown = reply.to_lowercase().replace('_', "").contains("conunknown");
        assert!(unknown, "{dialect:?}: garbage was answered {reply:?}");
        wait_until("the connection is closed", || (host.connections().0 == 0).then_some(()));
        assert!(requester.ask("<2>").contains("<2>"));
        assert_eq!((before, host.connections()), (1, (1, 1)), "another connection serves");
        daemon.stop();
    }
}

#[test]
fn an_unasked_reply_closes_the_connection_and_serves_nobody() {
    for dialect in [Dialect::Line, Dialect::Resp, Dialect::Len32] {
        let (mut host, daemon, _child, _) = warm(dialect, "connections=1 pipeline=1");
        let mut requester = daemon.requester("far", dialect);
        host.command("unasked");
        wait_until("the connection is closed", || (host.connections().0 == 0).then_some(()));
        assert!(requester.ask("<1>").contains("<1>"), "{dialect:?}: after an unasked reply");
        assert!(requester.ask("<2> twice").contains("<2>"));
        wait_until("the connection is closed", || (host.connections().0 == 0).then_some(()));
        assert!(requester.ask("<3>").contains("<3>"), "{dialect:?}: after a reply that came twice");
        daemon.stop();
    }
}
