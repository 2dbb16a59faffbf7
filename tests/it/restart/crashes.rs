//! Children that crash again and again: the status says why, whichever moment one looks at it.

use std::fs;
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::Value;
use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::far;
use crate::common::{Build, ChaosHost, Daemon, Place, host, wait_until};

/// Looks all the time, from the first crash until there were `most`: whenever no child serves, `words` are said.
fn says_why(daemon: &Daemon, words: &str, most: u64) {
    let mut seen = Vec::new();
    wait_until("it has crashed often", || {
        let status = daemon.place().try_status()?;
        let far = host(&status, "far");
        let state = far["state"].as_str().expect("a state").to_owned();
        if ["crashed", "starting"].contains(&state.as_str()) {
            assert!(far["reason"].as_str().expect("a reason").contains(words), "{far}");
            seen.push(state);
        }
        (far["restarts"].as_u64()? >= most).then_some(())
    });
    assert!(seen.iter().any(|state| state == "crashed"), "{seen:?}");
    let printed = wait_until("it rests", || {
        let printed = daemon.place().tieline(&["status", "far"]);
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        printed.contains("crashed").then_some(printed)
    });
    assert!(printed.contains(words), "people see it, too: {printed}");
}

fn serves_again(daemon: &Daemon) {
    assert_is_reply(&daemon.requester("far", Dialect::Line).ask("<1>"), "<1>");
    let status = daemon.settle();
    assert_eq!(host(&status, "far")["reason"], "", "{status}");
}

/// A daemon that logs to a file in `logs`.
fn logging(chaos_host: &ChaosHost) -> (Arc<Place>, Daemon) {
    let place = Place::with_settings(&[&far(chaos_host, "")], "[log]\nfile = \"logs/tieline.log\"");
    fs::create_dir(place.path("logs")).expect("a directory");
    let daemon = place.start();
    (place, daemon)
}

#[test]
fn why_a_child_cannot_serve_is_told_by_itself_and_shown_as_long_as_it_lasts() {
    let chaos_host = ChaosHost::start(Dialect::Line);
    let (place, mut daemon) = logging(&chaos_host);
    fs::rename(place.path("logs"), place.path("away")).expect("it was there");
    let child = daemon.child("far");
    child.signal(Signal::SIGKILL);
    wait_until("it has crashed", || {
        let status = place.try_status()?;
        host(&status, "far")["reason"].as_str()?.contains("exit code").then_some(())
    });
    says_why(&daemon, "exit code 78: cannot log: ", 6);
    fs::rename(place.path("away"), place.path("logs")).expect("it is back");
    serves_again(&daemon);
    daemon.stop();
}

#[test]
fn the_panic_of_a_child_is_shown_as_long_as_no_other_serves() {
    let chaos_host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&far(&chaos_host, "")]);
    place.install(Build::Next);
    let mut daemon = place.start();
    place.set_mood("child-panics");
    daemon.child("far").signal(Signal::SIGABRT);
    wait_until("it has panicked", || {
        let status = place.try_status()?;
        host(&status, "far")["reason"].as_str()?.contains("panicked").then_some(())
    });
    says_why(&daemon, "ended by signal ABRT: panicked at ", 6);
    place.set_mood("");
    serves_again(&daemon);
    let last_log: Value = host(&daemon.live_status(), "far")["last_log"].clone();
    assert!(!last_log.as_str().expect("a line").contains("panicked"), "the words of the dead are over: {last_log}");
    daemon.stop();
}
