//! What the two ends agree on, and what is said when they cannot.

use std::fs;

use tieline::dialect::Dialect;

use super::stage::{Far, Sender};
use crate::common::{tag, wait_until};

/// What the status of the sender's host says of it when it is down.
fn reason(sender: &mut Sender) -> String {
    wait_until("the host is down", || {
        let status = sender.daemon().host_status("far");
        (status["state"] == "down").then(|| status["reason"].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn a_reply_that_was_lost_on_its_way_is_given_by_the_far_end_and_nothing_is_executed_twice() {
    let far = Far::start("dedupe = true", "tagged = true", "forgets");
    let mut sender = Sender::start(&far, "");
    assert!(sender.place.tieline(&["spool", "list", "far"]).status.success());
    let mut requester = sender.daemon().deferred("far", Dialect::Line);
    assert_eq!(requester.ask(&tag(1)), "done <1>");
    // The answer to the greeting comes through, and the reply behind it does not.
    sender.link.cut_after("ok tieline dedupe 1 864000\n".len());
    sender.link.cut();
    wait_until("a connection that will be cut", || {
        let answer = requester.ask(&tag(2));
        answer.starts_with("con_delayed").then_some(())
    });
    sender.link.cut_after(usize::MAX);
    sender.drain();
    assert_eq!(requester.ask(&tag(3)), "done <3>");
    assert_eq!((far.executed(), far.asked_again()), (vec![1, 2, 3], 0));
    assert_eq!(sender.daemon().requester("far", Dialect::Line).ask(&tag(4)), "done <4>", "undeferred ones as ever");
}

#[test]
fn a_far_end_that_remembers_nothing_is_not_sent_anything() {
    let far = Far::start("", "", "forgets");
    let mut sender = Sender::start(&far, "");
    let mut requester = sender.daemon().deferred("far", Dialect::Line);
    assert!(requester.ask(&tag(1)).starts_with("con_delayed:"));
    let reason = reason(&mut sender);
    assert!(reason.contains("asked to remember what it executes (dedupe)"), "{reason}");
    assert!(reason.contains("set dedupe = true in its [serve.NAME]"), "{reason}");
}

#[test]
fn a_far_end_that_forgets_too_early_says_so() {
    let far = Far::start("dedupe = true\nkeep = \"1h\"", "", "forgets");
    let mut sender = Sender::start(&far, "expire=2h");
    let mut requester = sender.daemon().deferred("far", Dialect::Line);
    assert!(requester.ask(&tag(1)).starts_with("con_delayed:"));
    let reason = reason(&mut sender);
    assert!(reason.contains("keep") && reason.contains("3600") && reason.contains("7200"), "{reason}");
    assert_eq!(far.executed(), [0; 0]);
}

#[test]
fn what_was_stored_before_the_option_was_given_is_replayed_as_it_was() {
    let far = Far::start("dedupe = true", "tagged = true", "forgets");
    let mut sender = Sender::start(&far, "");
    let hosts = fs::read_to_string(sender.place.path("hosts.tab")).expect("hosts.tab");
    fs::write(sender.place.path("hosts.tab"), hosts.replace(" dedupe", "")).expect("hosts.tab can be written");
    let before = sender.daemon().child("far");
    sender.daemon().restart();
    wait_until("the child with the option has gone", || (!before.is_alive()).then_some(()));
    sender.link.refuse(true);
    sender.link.cut();
    let mut requester = sender.daemon().deferred("far", Dialect::Line);
    wait_until("it is stored", || requester.ask(&tag(1)).starts_with("con_delayed:").then_some(()));
    fs::write(sender.place.path("hosts.tab"), hosts).expect("hosts.tab can be written");
    sender.daemon().restart();
    sender.link.refuse(false);
    sender.drain();
    assert!(far.executed().contains(&1));
    let lines = fs::read_to_string(far.place.path("executed")).expect("it has done something");
    assert!(lines.lines().all(|line| line.starts_with("- <1>")), "{lines}");
}
