//! Signals to the parent, with healthy children and with one that hangs.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Process, wait_until};

/// Two hosts; with `drain`, which is how long a hanging child is waited for.
fn two_hosts(drain: &str) -> (ChaosHost, Daemon) {
    let host = ChaosHost::start(Dialect::Line);
    let lines = [format!("far {} line", host.address()), format!("near {} line", host.address())];
    let settings = format!("[defaults]\ndrain = \"{drain}\"");
    let daemon = Place::with_settings(&[&lines[0], &lines[1]], &settings).start();
    (host, daemon)
}

/// Stops the child of `far`, as if it hung.
fn hang_a_child(daemon: &mut Daemon) -> Process {
    let child = daemon.child("far");
    child.signal(Signal::SIGSTOP);
    wait_until("the child hangs", || child.is_stopped().then_some(()));
    child
}

/// The parent ends with this code within `bound`, and nothing is left: no process, no socket, no pid file.
fn ends_without_a_trace(mut daemon: Daemon, code: i32, bound: Duration) {
    let children = daemon.children_seen();
    assert_eq!(children.len(), 3, "those of two hosts, and the registry's");
    let start = Instant::now();
    let status = daemon.wait();
    let took = start.elapsed();
    assert_eq!(status.code(), Some(code), "the daemon ended with {status}");
    assert!(took < bound, "it took {took:?}");
    for child in children {
        assert!(!child.is_alive(), "{child:?} is left behind");
    }
    let run = fs::read_dir(daemon.place().path("run")).expect("the run directory stays");
    let left: Vec<String> =
        run.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    let surplus = left.iter().find(|name| name.ends_with(".sock") || name.ends_with(".pid"));
    assert_eq!(surplus, None, "left in the run directory");
}

#[test]
fn usr1_writes_the_status_file_within_a_second_even_if_a_child_hangs() {
    let (_host, mut daemon) = two_hosts("1s");
    daemon.requester("near", Dialect::Line).ask("<1>");
    let child = hang_a_child(&mut daemon);
    let file = daemon.place().path("run/status.txt");
    let start = Instant::now();
    daemon.signal(Signal::SIGUSR1);
    let text = wait_until("the status file", || fs::read_to_string(&file).ok());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "the status file took {took:?}");
    let mut lines = text.lines();
    let head = lines.next().expect("a header");
    assert!(head.starts_with("TIELINE status "), "{head}");
    assert!(head.ends_with(&format!("- parent {}", daemon.parent().0)), "{head}");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    let row = |name: &str| rows.iter().find(|row| row.get(1) == Some(&name)).expect("its row");
    assert_eq!(rows[0][..3], ["pid", "host", "state"], "{text}");
    assert_eq!(row("far")[..3], [child.0.to_string().as_str(), "far", "hung"], "{text}");
    assert_eq!(row("near")[2], "up", "{text}");
    let (hosts, services) = rows.split_at(rows.iter().position(|row| *row == [""]).expect("an empty line"));
    assert!(hosts.iter().all(|row| row.len() == rows[0].len()), "{text}");
    assert_eq!(services.len(), 3, "{text}");
    assert_eq!(services[2][1..4], ["registry", "registry", "up"], "{text}");
    child.signal(Signal::SIGCONT);
    wait_until("the child is well again", || (daemon.host_status("far")["state"] != "hung").then_some(()));
    daemon.stop();
}

#[test]
fn status_shows_a_hanging_child_as_hung_within_two_seconds() {
    let (_host, mut daemon) = two_hosts("1s");
    let child = hang_a_child(&mut daemon);
    let start = Instant::now();
    let status = daemon.host_status("far");
    assert_eq!((&status["state"], &status["pid"]), (&"hung".into(), &child.0.into()), "{status}");
    assert!(start.elapsed() < Duration::from_secs(3), "the status took {:?}", start.elapsed());
    daemon.stop();
}

/// Something that a child tells at debug level: a connection ends that nobody needed.
fn end_an_idle_connection(host: &mut ChaosHost, daemon: &Daemon) {
    daemon.requester("near", Dialect::Line).ask("<1> secret");
    host.command("drop");
    daemon.requester("near", Dialect::Line).ask("<2>");
}

#[test]
fn usr2_turns_debug_logging_of_every_child_on_and_off() {
    let (mut host, daemon) = two_hosts("1s");
    end_an_idle_connection(&mut host, &daemon);
    assert_eq!(debug_lines(&daemon), 0);
    daemon.signal(Signal::SIGUSR2);
    wait_until("a child logs at debug level", || {
        end_an_idle_connection(&mut host, &daemon);
        debug_lines(&daemon).checked_sub(1)
    });
    daemon.signal(Signal::SIGUSR2);
    wait_until("no more is logged at debug level", || {
        let before = debug_lines(&daemon);
        (0..5).for_each(|_| end_an_idle_connection(&mut host, &daemon));
        (debug_lines(&daemon) == before).then_some(())
    });
    assert!(!daemon.place().log().contains("secret"), "no request is logged");
    daemon.stop();
}

fn debug_lines(daemon: &Daemon) -> usize {
    daemon.place().log().lines().filter(|line| line.contains("DEBUG near: ")).count()
}

/// A request in flight is answered before the daemon ends.
fn ends_gracefully_by(signal: Signal) {
    let (host, daemon) = two_hosts("10s");
    let mut requester = daemon.requester("far", Dialect::Line);
    requester.send("<1> after=500");
    let mut idle = daemon.requester("near", Dialect::Line);
    assert!(idle.ask("<2>").contains("<2>"));
    wait_until("the request is at the host", || host.received().get(&1).copied());
    daemon.signal(signal);
    assert_eq!(requester.reply(), "<1>  <1>");
    assert!(requester.rest().is_empty() && idle.rest().is_empty(), "both are closed");
    ends_without_a_trace(daemon, 0, Duration::from_secs(5));
}

#[test]
fn term_answers_what_is_owed_and_leaves_nothing() {
    ends_gracefully_by(Signal::SIGTERM);
}

#[test]
fn int_answers_what_is_owed_and_leaves_nothing() {
    ends_gracefully_by(Signal::SIGINT);
}

#[test]
fn term_waits_for_a_hanging_child_no_longer_than_drain() {
    let (_host, mut daemon) = two_hosts("1s");
    hang_a_child(&mut daemon);
    daemon.signal(Signal::SIGTERM);
    ends_without_a_trace(daemon, 0, Duration::from_secs(5));
}

#[test]
fn a_second_term_ends_at_once_although_a_child_hangs() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (_host, mut daemon) = two_hosts("300s");
        hang_a_child(&mut daemon);
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for_notice("STOPPING=1");
        daemon.signal(signal);
        ends_without_a_trace(daemon, 1, Duration::from_secs(3));
    }
}

#[test]
fn quit_ends_at_once_although_a_child_hangs() {
    let (_host, mut daemon) = two_hosts("300s");
    hang_a_child(&mut daemon);
    daemon.signal(Signal::SIGQUIT);
    ends_without_a_trace(daemon, 1, Duration::from_secs(3));
}

#[test]
fn hup_does_not_end_the_daemon() {
    let (_host, daemon) = two_hosts("1s");
    daemon.signal(Signal::SIGHUP);
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    assert_eq!(daemon.host_status("far")["state"], "up");
    daemon.stop();
}
