//! `tieline spool` while the daemon runs: the child that has the spool open answers.

use std::fs;
use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::Value;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Requester, tag, wait_until};

/// A host that refuses connections, its daemon, and a requester of its deferred socket.
fn away(options: &str) -> (ChaosHost, Daemon) {
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let hosts = format!("far {} line deferred retries=1 connect_timeout=1s rejects=no {options}", host.address());
    let daemon = Daemon::start(&[&hosts]);
    (host, daemon)
}

fn deferred(place: &Place) -> Requester {
    Requester::connect(&place.path("run/far.deferred.sock"), Dialect::Line)
}

/// Stores requests with the tags `numbers`; gives their IDs.
fn store(place: &Place, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let mut requester = deferred(place);
    let reply = |number: u64| {
        let reply = requester.ask(&tag(number));
        reply.strip_prefix("con_delayed:").unwrap_or_else(|| panic!("{number}: {reply}")).parse().expect("an ID")
    };
    numbers.map(reply).collect()
}

fn spool(place: &Place, words: &str) -> Output {
    let words: Vec<&str> = std::iter::once("spool").chain(words.split(' ')).collect();
    place.tieline(&words)
}

/// What it says, where it must succeed.
fn said(place: &Place, words: &str) -> String {
    let output = spool(place, words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {} {complaint}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn rows(place: &Place, words: &str) -> Vec<Value> {
    said(place, words).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn ids(place: &Place, words: &str) -> Vec<u64> {
    rows(place, words).iter().map(|row| row["id"].as_u64().expect("an ID")).collect()
}

fn wait_until_empty(place: &Place) {
    wait_until("everything is replayed", || ids(place, "list far --json").is_empty().then_some(()));
}

#[test]
fn what_waits_is_listed_held_released_and_dropped_by_the_living_child() {
    let (mut host, daemon) = away("");
    let place = daemon.place();
    assert_eq!(store(place, 1..6), [1, 2, 3, 4, 5]);
    let listed = rows(place, "list far --json");
    let bodies: Vec<_> = listed.iter().map(|row| row["body"].as_str().expect("text")).collect();
    assert_eq!(bodies, ["<1>\n", "<2>\n", "<3>\n", "<4>\n", "<5>\n"]);
    assert_eq!(said(place, "hold far 2 4"), "2 requests held\n");
    assert_eq!(said(place, "drop far 5"), "1 request dropped\n");
    assert_eq!(ids(place, "list far --json --state held"), [2, 4]);
    assert!(said(place, "check far").contains("2 waiting"));
    assert_eq!(daemon.host_status("far")["spool"]["held"], 2);

    host.command("listen");
    said(place, "retry far");
    wait_until("what is not held is replayed", || (ids(place, "list far --json") == [2, 4]).then_some(()));
    assert_eq!(said(place, "release far --all --yes"), "2 requests released\n");
    wait_until_empty(place);
    let received = host.received();
    assert_eq!(
        (1..6).map(|number| received.get(&number).copied()).collect::<Vec<_>>(),
        [1, 1, 1, 1, 0].map(|n| (n > 0).then_some(n))
    );
    daemon.stop();
}

#[test]
fn the_dead_are_requeued_under_new_ids() {
    // Every reply begins with the request's tag, and `<` is what refuses here.
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let daemon = Daemon::start(&[&format!("far {} line deferred retries=1 rejects=<", host.address())]);
    let place = daemon.place();
    store(place, 1..3);
    host.command("listen");
    said(place, "retry far");
    wait_until("both are dead", || (ids(place, "dead far --json") == [1, 2]).then_some(()));
    assert!(rows(place, "dead far --json")[0]["reply"].as_str().is_some_and(|reply| reply.starts_with("<1>")));
    host.command("refuse");
    assert_eq!(said(place, "requeue far 1"), "1 waits again as 3\n1 request requeued\n");
    daemon.stop();
}

#[test]
fn a_large_backlog_goes_through_the_control_socket_in_parts() {
    let (_host, daemon) = away("");
    let place = daemon.place();
    let mut requester = deferred(place);
    let large = "x".repeat(3 << 20);
    requester.send(&format!("<0> {large}"));
    assert_eq!(requester.reply(), "con_delayed:1");
    for number in 1..=250 {
        requester.send(&tag(number));
    }
    for id in 2..=251 {
        assert_eq!(requester.reply(), format!("con_delayed:{id}"));
    }
    let exported = rows(place, "export far");
    assert_eq!(exported.len(), 251);
    assert_eq!(exported[0]["body"].as_str().map(str::len), Some(large.len() + 5));
    assert_eq!(said(place, "hold far --all"), "251 requests held\n");
    let output = spool(place, "drop far --all");
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(said(place, "drop far --all --yes"), "251 requests dropped\n");
    daemon.stop();
}

#[test]
fn a_stopped_daemon_leaves_what_the_file_shows_and_a_demanded_child_is_started_to_change_it() {
    let (host, daemon) = away("");
    let place = std::sync::Arc::clone(daemon.place());
    store(&place, 1..4);
    let live = rows(&place, "list far --json");
    daemon.stop();
    let from_file = rows(&place, "list far --json");
    let told = |rows: &[Value]| rows.iter().map(|row| (row["id"].clone(), row["body"].clone())).collect::<Vec<_>>();
    assert_eq!(told(&from_file), told(&live));
    assert_eq!(spool(&place, "drop far 1").status.code(), Some(69));

    let hosts = format!("far {} line deferred retries=1 start=demand\n", host.address());
    fs::write(place.path("hosts.tab"), hosts).expect("hosts.tab can be written");
    let mut daemon = place.start();
    daemon.child("far");
    assert_eq!(said(&place, "drop far 1 2 3"), "3 requests dropped\n");
    wait_until("a child that nobody needs is gone", || daemon.try_child("far").is_none().then_some(()));
    assert_eq!(said(&place, "list far"), "");
    assert_eq!(said(&place, "retry far"), "0 requests wait; the first one is tried now\n");
    daemon.stop();
}

#[test]
fn a_child_that_hangs_is_said_to_hang() {
    let (_host, mut daemon) = away("");
    let child = daemon.child("far");
    child.signal(Signal::SIGSTOP);
    let output = spool(daemon.place(), "list far");
    child.signal(Signal::SIGCONT);
    assert_eq!(output.status.code(), Some(69));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("the child of far hangs"), "{complaint}");
}
