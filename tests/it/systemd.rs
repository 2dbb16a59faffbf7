//! What systemd sees: notices, and the unit.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, run};

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tieline.service")
}

/// Whether systemd's tools are here; they are asked only where they exist.
fn has_systemd() -> bool {
    let here = Path::new("/usr/bin/systemd-analyze").exists();
    if !here {
        println!("systemd-analyze is not installed here");
    }
    here
}

#[test]
fn the_manager_hears_ready_and_then_how_many_hosts_are_up_and_down() {
    let mut host = ChaosHost::start(Dialect::Line);
    let lines = [
        format!("far {} line", host.address()),
        "dead 127.0.0.1:1 line retries=1".to_owned(),
        "quiet 127.0.0.1:1 line".to_owned(),
    ];
    let mut daemon = Daemon::start(&[&lines[0], &lines[1], &lines[2]]);
    daemon.requester("far", Dialect::Line).ask("<1>");
    assert_eq!(daemon.requester("dead", Dialect::Line).ask("<2>"), "con_lost");
    let status = daemon.wait_for_notice("STATUS=3 hosts: 1 up, 1 down, 1 idle");
    assert!(status.contains("STATUS="), "{status}");
    daemon.forget_notices();
    host.command("refuse");
    wait_for_failure(&daemon);
    daemon.wait_for_notice("0 up, 2 down");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_notice("STOPPING=1");
    assert!(daemon.wait().success());
}

/// Asks until the host is found to be away.
fn wait_for_failure(daemon: &Daemon) {
    let mut requester = daemon.requester("far", Dialect::Line);
    crate::common::wait_until("the host is lost", || (requester.ask("<3>") == "con_lost").then_some(()));
}

#[test]
fn the_watchdog_is_fed_when_it_is_asked_for() {
    let place = Place::new(&["quiet 127.0.0.1:1 line"]);
    let mut daemon = place.start_with(&[("WATCHDOG_USEC", "1000000")]);
    for _ in 0..3 {
        daemon.wait_for_notice("WATCHDOG=1");
        daemon.forget_notices();
    }
    daemon.stop();
}

#[test]
fn the_unit_is_valid() {
    if !has_systemd() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let text = fs::read_to_string(unit()).expect("the unit");
    let text = text.replace("/usr/bin/tieline", env!("CARGO_BIN_EXE_tieline"));
    let copy = dir.path().join("tieline.service");
    fs::write(&copy, text).expect("a copy of the unit");
    let output = run("systemd-analyze", &["verify", "--man=no", copy.to_str().expect("a path of text")]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn the_unit_exposes_at_most_one_and_a_half_points() {
    if !has_systemd() {
        return;
    }
    let unit = unit();
    let words = ["security", "--offline=true", "--threshold=15", "--no-pager", unit.to_str().expect("text")];
    let output = run("systemd-analyze", &words);
    let out = String::from_utf8_lossy(&output.stdout);
    println!("{}", out.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{out}");
}
