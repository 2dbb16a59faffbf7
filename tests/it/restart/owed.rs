//! Replies on their way out of the daemon while the child is replaced.

use nix::sys::signal::Signal;

use super::crowd::assert_is_reply;
use super::stage::OneHost;
use crate::common::{Requester, host, tag, wait_until};

#[test]
fn a_large_reply_that_is_under_way_at_the_restart_arrives_whole() {
    const SIZE: usize = 8 << 20;
    let mut stage = OneHost::new("");
    let mut requester = stage.requester();
    requester.send(&format!("<1> size={SIZE}"));
    assert!(requester.wait_for_reply(crate::common::LONG), "its beginning has come");
    stage.replace();
    let reply = requester.reply();
    assert_eq!(reply.len(), SIZE + 2 * "<1> ".len());
    assert_is_reply(&reply, "<1>");
    assert_is_reply(&requester.ask("<2>"), "<2>");
    stage.daemon.stop();
}

#[test]
fn a_slow_reply_comes_from_the_old_child_and_the_next_one_from_the_new() {
    let mut stage = OneHost::new("");
    let (mut slow, mut quick) = (stage.requester(), stage.requester());
    assert_is_reply(&quick.ask("<1>"), "<1>");
    let old = stage.child();
    slow.send("<2> after=2000");
    wait_until("it is at the host", || stage.host.received().get(&2).copied());
    stage.replace();
    assert_ne!(stage.child(), old);
    assert!(old.is_alive(), "the old child waits for the reply");
    assert_is_reply(&quick.ask("<3>"), "<3>");
    assert_is_reply(&slow.reply(), "<2>");
    wait_until("the old child, which owes nothing any more, is gone", || (!old.is_alive()).then_some(()));
    assert_is_reply(&slow.ask("<4>"), "<4>");
    assert_eq!(stage.host.tags(), [1, 2, 3, 4], "each arrived once");
    stage.daemon.stop();
}

#[test]
fn a_reply_slower_than_drain_costs_its_own_requester_alone() {
    let mut stage = OneHost::with_settings("", "[defaults]\ndrain = \"1s\"");
    let (mut slow, mut quick) = (stage.requester(), stage.requester());
    assert_is_reply(&quick.ask("<1>"), "<1>");
    let old = stage.child();
    slow.send("<2> after=20000");
    wait_until("it is at the host", || stage.host.received().get(&2).copied());
    stage.replace();
    assert!(slow.rest().is_empty(), "it is closed without a reply");
    wait_until("the old child is gone", || (!old.is_alive()).then_some(()));
    assert_is_reply(&quick.ask("<3>"), "<3>");
    stage.daemon.stop();
}

/// A service that is restarted without a pause must not collect processes.
#[test]
fn a_restart_waits_while_eight_children_of_a_host_still_end_what_they_owe() {
    let mut stage = OneHost::with_settings("", "[defaults]\ndrain = \"28s\"");
    stage.host.stop();
    let mut owed = Vec::new();
    for _ in 0..8 {
        owe(&stage, &mut owed);
        stage.replace();
    }
    stage.change();
    stage.daemon.signal(Signal::SIGHUP);
    let restart = wait_until("it waits", || {
        let restart = stage.place.try_status()?["restart"].clone();
        (restart["asked"] == 9).then_some(restart)
    });
    assert_eq!(restart["ended"], 8, "{restart}");
    assert!(restart["waiting"].as_str().is_some_and(|why| why.contains("still end what they owe")), "{restart}");
    stage.host.signal(Signal::SIGCONT);
    for (mut requester, number) in owed.into_iter().zip(1..) {
        assert_is_reply(&requester.reply(), &tag(number));
    }
    assert_eq!(stage.daemon.settle()["generation"], 10, "now it has its turn");
    stage.daemon.stop();
}

/// Sends requests until the child that serves owes a reply. One that connects in the moment of a replacement may have come
/// to the child of before.
fn owe(stage: &OneHost, owed: &mut Vec<Requester>) {
    let mut looks = 0;
    wait_until("the child that serves owes a reply", || {
        if looks % 200 == 0 {
            let mut requester = stage.requester();
            requester.send(&tag(owed.len() as u64 + 1));
            owed.push(requester);
        }
        looks += 1;
        let status = stage.place.try_status()?;
        (host(&status, "far")["in_flight"].as_u64()? > 0).then_some(())
    });
}
