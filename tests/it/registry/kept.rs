//! What survives what: leases outlive the registry's child and the parent, whatever ends them.

use std::time::Duration;

use nix::sys::signal::Signal;
use tieline::registry::grammar::rows::read_row;

use super::program::{Program, socket};
use crate::common::{Daemon, Place, wait_until};

/// What is left of a lease, as it is listed.
fn left(program: &mut Program, name: &str) -> Duration {
    assert!(program.ask(&format!("LIST {name}")).starts_with("ok "));
    let (row, left) = read_row(&program.hear().expect("a row")).expect("a row");
    assert_eq!((row.name.as_str(), program.hear().ok().as_deref()), (name, Some("")));
    left.expect("it is leased")
}

/// The lease is there, no longer than it was, and its holder can go on with it.
fn assert_kept(daemon: &Daemon, lease: &str, before: Duration) -> Duration {
    let mut program = Program::connect(&socket(daemon.place()));
    let after = left(&mut program, "kept");
    assert!(after <= before, "it has become longer: {before:?}, {after:?}");
    assert_eq!(program.ask("RESOLVE kept"), "ok tcp:h:1");
    assert_eq!(program.ask("RESOLVE ended"), "error unknown nobody is registered as ended");
    assert_eq!(program.ask(&format!("RENEW {lease}")), "ok");
    left(&mut program, "kept")
}

fn wait_for_end(daemon: &Daemon, name: &str) {
    wait_until("its lease has ended", || {
        let mut program = Program::try_connect(&socket(daemon.place())).ok()?;
        program.try_ask(&format!("RESOLVE {name}")).ok()?.starts_with("error unknown ").then_some(())
    });
}

#[test]
fn leases_survive_the_end_of_the_registry_and_of_the_parent() {
    let place = Place::new(&[]);
    let mut daemon = place.start();
    let mut program = Program::connect(&socket(&place));
    let lease = program.register("kept tcp:h:1 ttl=60s dialect=line");
    let ended = program.register("ended tcp:h:1 ttl=60s");
    assert_eq!(program.ask(&format!("UNREGISTER {ended}")), "ok");
    let mut before = left(&mut program, "kept");
    for _ in 0..3 {
        let child = daemon.child("registry");
        child.signal(Signal::SIGKILL);
        wait_until("it is gone", || (!child.is_alive()).then_some(()));
        before = assert_kept(&daemon, &lease, before);
    }
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let mut daemon = {
        daemon.leave();
        place.start()
    };
    before = assert_kept(&daemon, &lease, before);
    // A restart with another configuration: the successor waits for its predecessor's file.
    let first = daemon.child("registry");
    place.replace("tieline.toml", &settings(&place, "[log]\nlevel = \"debug\""));
    daemon.restart();
    wait_until("another child is the registry", || (!first.is_alive()).then_some(()));
    assert_kept(&daemon, &lease, before);
    daemon.stop();
    assert_kept(&place.start(), &lease, Duration::from_secs(60));
}

fn settings(place: &Place, more: &str) -> String {
    let text = std::fs::read_to_string(place.path("tieline.toml")).expect("tieline.toml");
    format!("{text}\n{more}\n")
}

#[test]
fn a_lease_ends_at_its_time_though_the_registry_was_dead_meanwhile() {
    let mut daemon = Daemon::start(&[]);
    let socket = socket(daemon.place());
    let begin = std::time::Instant::now();
    Program::connect(&socket).register("short tcp:h:1 ttl=2s");
    daemon.child("registry").signal(Signal::SIGKILL);
    wait_for_end(&daemon, "short");
    let lived = begin.elapsed();
    assert!(lived >= Duration::from_secs(2), "it ended after {lived:?}");
    assert!(lived < Duration::from_secs(4), "it lived for {lived:?}");
}

#[test]
fn a_damaged_file_is_no_crash_loop_and_costs_the_leases_alone() {
    let place = Place::new(&[]);
    let daemon = place.start();
    Program::connect(&socket(&place)).register("lost tcp:h:1 ttl=60s");
    daemon.stop();
    std::fs::write(place.path("spool/.registry/registry.sqlite"), b"broken".repeat(1000)).expect("damage");
    let daemon = place.start();
    let mut program = Program::connect(&socket(&place));
    assert!(program.ask("RESOLVE lost").starts_with("error unknown "));
    program.register("next tcp:h:1 ttl=60s");
    assert!(place.log().contains("is damaged: "), "it is said");
    assert_eq!(daemon.live_status()["services"][0]["restarts"], 0);
    daemon.stop();
}
