//! The name of a far end in the registry.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::{Daemon, Place, Process, Requester, free_port, wait_until};

const TABLE: &str = "ttl = \"1s\"\n[[serve.far.handler]]\necho = true";

/// What the registry says to a command.
fn told(place: &Place, command: &str) -> Option<String> {
    Requester::try_connect(&place.socket("registry"), Dialect::Line).ok()?.ask_once(command)
}

trait AskOnce {
    fn ask_once(&mut self, command: &str) -> Option<String>;
}

impl AskOnce for Requester {
    /// The first line of the answer, if there is one: a registry may be about to go.
    fn ask_once(&mut self, command: &str) -> Option<String> {
        std::io::Write::write_all(&mut self.stream, format!("{command}\n").as_bytes()).ok()?;
        self.next_reply().ok()?
    }
}

fn wait_for(place: &Place, wanted: &str) {
    wait_until(&format!("the registry says {wanted}"), || {
        told(place, "RESOLVE far").filter(|answer| answer.starts_with(wanted))
    });
}

/// A daemon with a registry, in whose place a far end runs alone.
fn daemon() -> (Arc<Place>, Daemon) {
    let place = Place::new(&[]);
    let daemon = place.start();
    (place, daemon)
}

#[test]
fn a_far_end_is_registered_while_it_serves_and_not_longer() {
    let (place, daemon) = daemon();
    assert!(told(&place, "RESOLVE far").expect("the registry answers").starts_with("error unknown"));
    let far = FarEnd::start_in(&place, Dialect::Line, TABLE, &[]);
    wait_for(&place, &format!("ok unix:{}", place.path("far.sock").display()));
    // Renewed, and no other one: the lease stays the same beyond its time.
    let row = |place: &Place| {
        let mut requester = Requester::connect(&place.socket("registry"), Dialect::Line);
        requester.send("LIST far");
        (requester.reply(), requester.reply()).1
    };
    let lease = |row: String| row.split(' ').find(|word| word.starts_with("lease=")).map(str::to_owned);
    let (first, began) = (row(&place), std::time::Instant::now());
    assert!(first.contains(" dialect=line"), "{first}");
    while began.elapsed() < std::time::Duration::from_millis(1500) {
        assert_eq!(lease(row(&place)), lease(first.clone()));
    }
    far.signal(Signal::SIGTERM);
    wait_for(&place, "error unknown");
    drop(far);
    daemon.stop();
}

#[test]
fn a_registry_that_is_away_keeps_nobody_from_serving_and_is_told_when_it_is_back() {
    let place = Place::new(&[]);
    let far = FarEnd::start_in(&place, Dialect::Line, TABLE, &[]);
    assert_eq!(far.ask("x"), "x");
    far.wait_for_log("the registry is away");
    // The daemon is to serve nothing itself.
    place.replace("tieline.toml", "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n");
    let mut daemon = place.start();
    wait_for(&place, "ok unix:");
    daemon.child("registry").signal(Signal::SIGKILL);
    assert_eq!(far.ask("y"), "y");
    wait_for(&place, "ok unix:");
    daemon.stop();
    assert_eq!(far.ask("z"), "z");
    let daemon = place.start();
    wait_for(&place, "ok unix:");
    // Killed, it renews no more: it is gone within its lease.
    far.signal(Signal::SIGKILL);
    wait_for(&place, "error unknown");
    drop(far);
    daemon.stop();
}

#[test]
fn an_address_that_is_served_no_more_is_not_handed_out_after_a_restart() {
    let place = Place::new(&[]);
    let toml = |port: u16| {
        format!(
            "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n\
             [serve.far]\nlisten = \"tcp:127.0.0.1:{port}\"\ndialect = \"line\"\nttl = \"1h\"\n[[serve.far.handler]]\necho = true\n"
        )
    };
    let (first, second) = (free_port(), free_port());
    place.replace("tieline.toml", &toml(first));
    let daemon = place.start();
    wait_for(&place, &format!("ok tcp:127.0.0.1:{first}"));
    place.replace("tieline.toml", &toml(second));
    daemon.restart();
    let alone = format!("ok tcp:127.0.0.1:{second}");
    wait_until("the new address alone is known", || told(&place, "RESOLVE far").filter(|answer| *answer == alone));
    // At the same address nobody finds the name without an instance meanwhile.
    place.replace("tieline.toml", &toml(second).replace("echo = true", "exec = [\"cat\"]"));
    let before = daemon.live_status()["services"].clone();
    daemon.restart();
    wait_until("the child before has gone", || {
        assert_eq!(told(&place, "RESOLVE far").as_ref(), Some(&alone));
        let old = before.as_array()?.iter().find(|each| each["name"] == "far")?["pid"].as_i64()?;
        (!Process(old as i32).is_alive()).then_some(())
    });
    daemon.stop();
}
