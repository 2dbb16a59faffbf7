//! A far end under the daemon.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::furnish;
use crate::common::{Daemon, Place, Process, Requester, wait_until};

const TABLE: &str = "grace = \"200ms\"\n[[serve.far.handler]]\necho = true
[[serve.far.handler]]\nmatch = \"hang\"\nexec = [\"sh\", \"-c\", \"sleep 1000 & (setsid sleep 1000 &); sleep 1000\"]
[[serve.far.handler]]\nmatch = \"slow\"\nexec = [\"sh\", \"-c\", \"while [ -e HERE/wait ]; do sleep 0.02; done; echo done\"]";

fn started(table: &str) -> (Arc<Place>, Daemon) {
    let place = Place::new(&[]);
    furnish(&place, Dialect::Line, table, &[("wait", "")]);
    let daemon = place.start();
    (place, daemon)
}

fn requester(place: &Place) -> Requester {
    Requester::connect(&place.path("far.sock"), Dialect::Line)
}

fn child(daemon: &mut Daemon) -> Process {
    daemon.child("serve far")
}

#[test]
fn a_child_that_is_killed_leaves_nothing_behind_and_the_next_one_serves() {
    let (place, mut daemon) = started(TABLE);
    let (mut lost, before) = (requester(&place), child(&mut daemon));
    lost.send("hang");
    wait_until("it is under way", || (place.processes().len() >= 6).then_some(()));
    before.signal(Signal::SIGKILL);
    assert_eq!(lost.next_reply().expect("it can be read"), None);
    // Who comes meanwhile waits for the next one.
    assert_eq!(requester(&place).ask("hello"), "hello");
    assert_ne!(child(&mut daemon), before);
    let titles = |place: &Place| place.processes().iter().map(|each| each.command_line()).collect::<Vec<_>>();
    wait_until("nothing of the first one is left", || {
        (!titles(&place).iter().any(|title| title.contains("sleep"))).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_restart_with_other_settings_loses_no_request() {
    let (place, mut daemon) = started(TABLE);
    let (mut slow, before) = (requester(&place), child(&mut daemon));
    slow.send("slow");
    wait_until("it is under way", || (!before.children().is_empty()).then_some(()));
    furnish(&place, Dialect::Line, &TABLE.replace("echo = true", "exec = [\"tr\", \"a-z\", \"A-Z\"]"), &[]);
    daemon.restart();
    wait_until("the next one serves", || (requester(&place).ask("hello") == "HELLO").then_some(()));
    std::fs::remove_file(place.path("wait")).expect("it is there");
    assert_eq!(slow.reply(), "done", "the one before answers what it owes");
    assert_eq!(slow.next_reply().expect("it can be read"), None);
    wait_until("it has gone", || (!before.is_alive()).then_some(()));
    daemon.stop();
    assert_eq!(place.processes(), []);
}

#[test]
fn a_socket_whose_file_is_gone_is_listened_at_again() {
    let (place, mut daemon) = started(TABLE);
    let (mut before, child) = (requester(&place), child(&mut daemon));
    std::fs::remove_file(place.path("far.sock")).expect("it is there");
    let mut after = wait_until("somebody listens there again", || {
        Requester::try_connect(&place.path("far.sock"), Dialect::Line).ok()
    });
    assert_eq!(after.ask("hello"), "hello");
    assert_ne!(self::child(&mut daemon), child);
    assert_eq!(before.next_reply().expect("it can be read"), None, "who is owed nothing is closed");
    daemon.stop();
}
