//! Exactly once, whatever is killed, stopped or replaced meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::once::{HANDLER, WORD, calls, greeted, hold_up, let_go, tagged, wait_for_calls};
use super::{FarEnd, furnish};
use crate::common::{Daemon, Place, Requester, wait_until};

/// Two handlers of the same kind, one of which may be asked again.
const TABLE: &str = "dedupe = true\ngrace = \"200ms\"
[[serve.far.handler]]\nexec = [\"sh\", \"HERE/handler\"]
[[serve.far.handler]]\nmatch = \"again\"\nexec = [\"sh\", \"HERE/handler\"]\nin_doubt = \"again\"
[[serve.far.handler]]\nmatch = \"hello\"\nexec = [\"cat\"]";

fn daemon() -> (Arc<Place>, Daemon, PathBuf) {
    let place = Place::new(&[]);
    furnish(&place, Dialect::Line, TABLE, &[("handler", HANDLER)]);
    let (daemon, socket) = (place.start(), place.path("far.sock"));
    (place, daemon, socket)
}

/// Whether this is the answer to what may have been executed, for this reason.
fn is_doubt(answer: &str, why: &str) -> bool {
    answer.starts_with(&format!("{WORD} doubt it was begun")) && answer.contains(why)
}

/// Kills the child, and waits until its requesters know.
fn kill_child(daemon: &mut Daemon, requesters: &mut [&mut Requester]) {
    daemon.child("serve far").kill();
    for requester in requesters {
        assert_eq!(requester.next_reply().expect("it can be read"), None);
    }
}

#[test]
fn what_was_answered_is_remembered_by_the_next_one() {
    let (place, mut daemon, socket) = daemon();
    let mut requester = greeted(&socket);
    assert_eq!(requester.ask(&tagged("a.1", "add 5")), "done 5");
    kill_child(&mut daemon, &mut [&mut requester]);
    assert_eq!(greeted(&socket).ask(&tagged("a.1", "add 5")), "done 5");
    daemon.stop();
    let daemon = place.start();
    assert_eq!(greeted(&socket).ask(&tagged("a.1", "add 5")), "done 5");
    assert_eq!(calls(&place), ["a.1 add 5"]);
    daemon.stop();
}

#[test]
fn what_was_under_way_when_the_far_end_was_killed_is_in_doubt_or_asked_again() {
    let (place, mut daemon, socket) = daemon();
    hold_up(&place);
    let (mut one, mut other) = (greeted(&socket), greeted(&socket));
    one.send(&tagged("a.1", "add 5"));
    other.send(&tagged("a.2", "again 6"));
    wait_for_calls(&place, 2);
    kill_child(&mut daemon, &mut [&mut one, &mut other]);
    let mut requester = greeted(&socket);
    for _ in 0..2 {
        let told = requester.ask(&tagged("a.1", "add 5"));
        assert!(is_doubt(&told, "it was begun at 20") && is_doubt(&told, "was killed before its end"), "{told}");
    }
    let_go(&place);
    assert_eq!(requester.ask(&tagged("a.2", "again 6")), "done 6");
    assert_eq!(requester.ask(&tagged("a.2", "again 6")), "done 6");
    let mut all = calls(&place);
    all.sort();
    assert_eq!(all, ["a.1 add 5", "a.2 again 6", "a.2 again 6"]);
    daemon.stop();
}

#[test]
fn what_was_under_way_when_its_handler_was_killed_is_in_doubt_or_asked_again() {
    let worker =
        "[[serve.far.handler]]\nmatch = \"work\"\nworker = [\"sh\", \"-c\", \"while read -r x; do sleep 1000; done\"]";
    let far = FarEnd::start(Dialect::Line, &format!("{TABLE}\n{worker}"), &[("handler", HANDLER)]);
    let mut requester = greeted(&far.socket());
    hold_up(far.place());
    let mut cut_off = |tag: &str, request: &str| {
        requester.send(&tagged(tag, request));
        let is_at_work = || (far.started().len() >= 2).then(|| far.process().children());
        wait_until("it is at work", is_at_work).into_iter().for_each(|child| child.signal(Signal::SIGKILL));
        let told = requester.reply();
        far.wait_until_alone();
        told
    };
    let held = cut_off("a.1", "add 5");
    assert!(is_doubt(&held, "ended by SIGKILL"), "{held}");
    let worked = cut_off("a.2", "work");
    assert!(is_doubt(&worked, "ended by SIGKILL, without a reply"), "{worked}");
    let again = cut_off("a.3", "again 7");
    assert!(again.starts_with(&format!("{WORD} again it was begun")) && again.contains("ended by SIGKILL"), "{again}");
    let_go(far.place());
    assert_eq!(requester.ask(&tagged("a.3", "again 7")), "done 7");
    for (tag, request) in [("a.1", "add 5"), ("a.2", "work")] {
        let held = requester.ask(&tagged(tag, request));
        assert!(is_doubt(&held, "was killed before its end"), "{held}");
    }
    assert_eq!(calls(far.place()), ["a.1 add 5", "a.3 again 7", "a.3 again 7"]);
    far.stop();
}

#[test]
fn what_is_under_way_when_the_service_stops_is_in_doubt() {
    let place = Place::new(&[]);
    let mut far = FarEnd::start_in(&place, Dialect::Line, TABLE, &[("handler", HANDLER)]);
    hold_up(&place);
    let mut requester = greeted(&far.socket());
    requester.send(&tagged("a.1", "add 5"));
    requester.send(&tagged("a.2", "add 6"));
    wait_for_calls(&place, 1);
    far.signal(Signal::SIGTERM);
    far.wait_for_log("retiring");
    far.signal(Signal::SIGTERM);
    let told = requester.reply();
    assert!(is_doubt(&told, "the service stops"), "{told}");
    // It is answered if it had been read.
    let behind = requester.next_reply().expect("it can be read");
    assert!(behind.is_none_or(|told| told == format!("{WORD} again this service is stopping")));
    assert!(far.wait().success());
    let_go(&place);
    let far = FarEnd::start_in(&place, Dialect::Line, TABLE, &[("handler", HANDLER)]);
    let mut requester = greeted(&far.socket());
    let told = requester.ask(&tagged("a.1", "add 5"));
    assert!(is_doubt(&told, "was killed before its end"), "{told}");
    assert_eq!(requester.ask(&tagged("a.2", "add 6")), "done 6");
    assert_eq!(calls(&place), ["a.1 add 5", "a.2 add 6"]);
    far.stop();
}

#[test]
fn what_is_cut_off_at_the_end_is_gone_before_the_next_far_end_begins_it_again() {
    let place = Place::new(&[]);
    let stubborn = "for other in $(cat running); do kill -0 $other && echo together >> calls; done
        trap '' TERM\necho $$ >> running";
    let script = format!("{stubborn}\n{HANDLER}");
    let scripts = [("handler", script.as_str()), ("running", "")];
    let table = TABLE.replace("200ms", "700ms");
    let mut far = FarEnd::start_in(&place, Dialect::Line, &table, &scripts);
    hold_up(&place);
    let mut requester = greeted(&far.socket());
    requester.send(&tagged("a.1", "again 5"));
    wait_for_calls(&place, 1);
    far.signal(Signal::SIGTERM);
    far.wait_for_log("retiring");
    far.signal(Signal::SIGTERM);
    let told = requester.reply();
    assert!(told.starts_with(&format!("{WORD} again it was begun")), "{told}");
    let next = FarEnd::start_in(&place, Dialect::Line, &table, &scripts[..1]);
    let mut requester = greeted(&next.socket());
    requester.send(&tagged("a.1", "again 5"));
    wait_for_calls(&place, 2);
    assert_eq!(calls(&place), ["a.1 again 5", "a.1 again 5"]);
    assert!(far.wait().success());
    let_go(&place);
    assert_eq!(requester.reply(), "done 5");
    next.stop();
}

#[test]
fn a_connection_that_breaks_leaves_a_forwarded_request_in_doubt() {
    let mut host = crate::common::ChaosHost::start(Dialect::Line);
    let table = format!("dedupe = true\n[[serve.far.handler]]\nforward = \"{}\"\nprocesses = 1", host.address());
    let far = FarEnd::start(Dialect::Line, &table, &[]);
    let mut requester = greeted(&far.socket());
    let reply = requester.ask(&tagged("a.1", "<1>"));
    assert!(reply.contains("<1>") && requester.ask(&tagged("a.1", "<1>")) == reply, "{reply}");
    let cut = requester.ask(&tagged("a.2", "<2> cut"));
    assert!(is_doubt(&cut, "it ended without a reply"), "{cut}");
    host.command("refuse");
    let refused = wait_until("no connection is left", || {
        Some(requester.ask(&tagged("a.3", "<3>"))).filter(|told| told.contains("cannot connect"))
    });
    assert!(refused.starts_with(&format!("{WORD} again handler: ")), "{refused}");
    host.command("listen");
    let reply = wait_until("it is connected again", || {
        Some(requester.ask(&tagged("a.3", "<3>"))).filter(|told| !told.contains(" again "))
    });
    assert!(reply.contains("<3>"), "{reply}");
    let received = host.received();
    assert_eq!([1, 2, 3].map(|number| received.get(&number).copied()), [Some(1); 3]);
    far.stop();
}

/// A restart with other settings, while a request is under way in the child of now; the requester that has asked.
fn replaced_under_way(place: &Place, daemon: &mut Daemon, socket: &std::path::Path, request: &str) -> Requester {
    hold_up(place);
    let mut first = greeted(socket);
    first.send(&tagged("a.1", request));
    wait_for_calls(place, 1);
    furnish(place, Dialect::Line, &TABLE.replace("\"cat\"", "\"tr\", \"a-z\", \"A-Z\""), &[]);
    daemon.restart();
    wait_until("the one of now goes", || place.log().contains("a successor is ready: handing over").then_some(()));
    wait_until("the next one serves", || {
        (Requester::connect(socket, Dialect::Line).ask("hello") == "HELLO").then_some(())
    });
    first
}

#[test]
fn a_successor_waits_for_what_is_under_way_and_gives_the_same_answer() {
    let (place, mut daemon, socket) = daemon();
    let mut first = replaced_under_way(&place, &mut daemon, &socket, "add 5");
    let mut second = greeted(&socket);
    second.send(&tagged("a.1", "add 5"));
    assert_eq!(greeted(&socket).ask("hello"), "HELLO", "what has no tag does not wait");
    let_go(&place);
    assert_eq!((first.reply(), second.reply()), ("done 5".to_owned(), "done 5".to_owned()));
    assert_eq!(first.next_reply().expect("it can be read"), None);
    assert_eq!(calls(&place), ["a.1 add 5"]);
    daemon.stop();
}

#[test]
fn a_predecessor_that_is_killed_leaves_nothing_at_work_when_its_request_is_begun_again() {
    let (place, mut daemon, socket) = daemon();
    // What has left its group is not killed with the far end.
    let stray = HANDLER.replace("echo \"$TIEL", "[ -e once ] || { echo > once; setsid sleep 1000 & }\necho \"$TIEL");
    std::fs::write(place.path("handler"), stray).expect("it can be written");
    let before = daemon.child("serve far");
    let mut first = replaced_under_way(&place, &mut daemon, &socket, "again 5");
    let is_left = || place.processes().iter().any(|each| each.command_line() == "sleep 1000");
    wait_until("it has left something behind", || is_left().then_some(()));
    let mut second = greeted(&socket);
    second.send(&tagged("a.1", "again 5"));
    before.kill();
    assert_eq!(first.next_reply().expect("it can be read"), None);
    wait_for_calls(&place, 2);
    assert!(!is_left(), "it was gone before the handler was asked again");
    let_go(&place);
    assert_eq!(second.reply(), "done 5");
    assert_eq!(calls(&place), ["a.1 again 5", "a.1 again 5"]);
    daemon.stop();
}
