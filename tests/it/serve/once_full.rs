//! Exactly once, on a disk that is full.

use std::fs;

use serde_json::Value;
use tieline::dialect::Dialect;

use super::furnish;
use super::once::{HANDLER, WORD, calls, greeted, hold_up, let_go, tagged, wait_for_calls};
use crate::common::{Daemon, Place, SmallDisk, wait_until};

const TABLE: &str = "dedupe = true\n[[serve.far.handler]]\nexec = [\"sh\", \"HERE/handler\"]";

/// What the status says of the far end.
fn status(daemon: &Daemon) -> Value {
    let status = daemon.status();
    let services = status["services"].as_array().expect("the status has services");
    services.iter().find(|each| each["role"] == "serve").expect("it is served").clone()
}

#[test]
fn on_a_full_disk_nothing_is_begun_and_what_was_executed_is_not_executed_again() {
    let place = Place::new(&[]);
    furnish(&place, Dialect::Line, TABLE, &[("handler", HANDLER)]);
    fs::create_dir(place.path("spool")).expect("a directory");
    let Some(disk) = SmallDisk::mount(&place.path("spool")) else { return };
    let daemon = place.start();
    let mut requester = greeted(&place.path("far.sock"));

    hold_up(&place);
    requester.send(&tagged("a.1", "add 5"));
    wait_for_calls(&place, 1);
    disk.fill();
    let_go(&place);
    let told = requester.reply();
    assert!(told.starts_with(&format!("{WORD} again it was executed, and that could not be written down")), "{told}");
    for _ in 0..20 {
        for (tag, request) in [("a.1", "add 5"), ("a.2", "add 6")] {
            let told = requester.ask(&tagged(tag, request));
            assert!(told.starts_with(&format!("{WORD} again cannot ")) && told.contains("disk has room"), "{told}");
        }
    }
    let full = status(&daemon);
    assert_eq!(full["state"], "down", "{full}");
    assert!(full["reason"].as_str().is_some_and(|why| why.contains("the ledger")), "{full}");
    assert_eq!(requester.ask("add 7"), "done 7", "what has no tag needs no ledger");

    disk.free();
    wait_until("it notices by itself", || (status(&daemon)["state"] == "up").then_some(()));
    assert_eq!(requester.ask(&tagged("a.1", "add 5")), "done 5");
    assert_eq!(requester.ask(&tagged("a.2", "add 6")), "done 6");
    assert_eq!(calls(&place), ["a.1 add 5", " add 7", "a.2 add 6"]);
    daemon.stop();
}
