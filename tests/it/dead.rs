//! A dead host: answered fast, and served again as soon as it is back. Also hosts at other kinds of addresses.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::socket::{Backlog, listen};
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Machine, Requester, median_time, raise_file_limit, tag, wait_until};

const QUEUED: u64 = 1000;
const TIMEOUT: Duration = Duration::from_secs(10);
const OPTIONS: &str = "timeout=10s connect_timeout=300ms retries=3";

/// Queues a request of each of 1,000 requesters; returns the answers and how long the last one took.
fn answers_of_a_thousand(daemon: &Daemon) -> (Vec<String>, Duration) {
    raise_file_limit();
    let start = Instant::now();
    let ask = |n| {
        let mut requester = daemon.requester("far", Dialect::Line);
        requester.send(&tag(n));
        requester
    };
    let requesters: Vec<Requester> = (0..QUEUED).map(ask).collect();
    let answers = requesters.into_iter().map(|mut requester| requester.reply()).collect();
    (answers, start.elapsed())
}

/// All of a thousand are lost within their time, and newcomers hear so at once.
fn a_dead_host_answers_fast(daemon: &Daemon) {
    let (answers, took) = answers_of_a_thousand(daemon);
    let other = answers.iter().find(|answer| *answer != "con_lost");
    assert_eq!(other, None, "all are lost");
    assert!(took < TIMEOUT, "the last of a thousand was answered after {took:?}");
    println!("1,000 queued requests were lost within {took:?}");

    let mut requester = daemon.requester("far", Dialect::Line);
    let median = median_time(21, || assert_eq!(requester.ask("<1>"), "con_lost"));
    assert!(median < Duration::from_millis(10), "a request to a dead host takes {median:?}");
    let status = daemon.host_status("far");
    assert_eq!(status["state"], "down");
    assert_ne!(status["reason"], "", "{status}");
}

#[test]
fn a_refusing_host_answers_fast_and_is_served_again_when_probed() {
    let _machine = Machine::alone();
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let daemon = Daemon::start(&[&format!("far {} line {OPTIONS}", host.address())]);
    a_dead_host_answers_fast(&daemon);

    wait_until("the next probe is far away", || {
        assert!(!probe(&daemon), "nobody listens");
        (seconds_until_probe(&daemon)? > 20.0).then_some(())
    });
    host.command("listen");
    assert!(probe(&daemon), "the host is back");
    assert_eq!(daemon.host_status("far")["state"], "up");
    assert!(daemon.requester("far", Dialect::Line).ask("<2>").contains("<2>"));
    daemon.stop();
}

/// Asks for a probe and says whether the host was reached; each that fails doubles the time until the next one.
fn probe(daemon: &Daemon) -> bool {
    daemon.place().tieline(&["probe", "far"]).status.success()
}

fn seconds_until_probe(daemon: &Daemon) -> Option<f64> {
    let probe: Timestamp = daemon.host_status("far")["next_probe"].as_str()?.parse().ok()?;
    Some(probe.duration_since(Timestamp::now()).as_secs_f64())
}

#[test]
fn a_host_that_comes_back_is_served_after_the_next_probe_by_itself() {
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let daemon = Daemon::start(&[&format!("far {} line {OPTIONS}", host.address())]);
    let mut requester = daemon.requester("far", Dialect::Line);
    assert_eq!(requester.ask("<1>"), "con_lost");
    host.command("listen");
    let left = wait_until("the status tells of the next probe", || seconds_until_probe(&daemon));
    let start = Instant::now();
    wait_until("the host answers", || requester.ask("<2>").contains("<2>").then_some(()));
    let late = start.elapsed().as_secs_f64() - left;
    assert!(late < 1.0, "traffic flowed only {late} s after the probe");
    daemon.stop();
}

/// A listener whose backlog is full and who never accepts: further attempts to connect hear nothing at all.
fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listen(&listener, Backlog::new(1).expect("a backlog")).expect("the backlog can be made smaller");
    let address = listener.local_addr().expect("its address");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let held = std::iter::from_fn(connect).collect(); // until one hears nothing
    (address, listener, held)
}

#[test]
fn a_black_hole_answers_fast_too() {
    let _machine = Machine::alone();
    let (address, _listener, _held) = black_hole();
    let daemon = Daemon::start(&[&format!("far {address} line {OPTIONS}")]);
    a_dead_host_answers_fast(&daemon);
    daemon.stop();
}

#[test]
fn a_host_that_accepts_and_says_nothing_costs_each_request_its_timeout_and_no_more() {
    let _machine = Machine::alone();
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("mood hang=1");
    let line = format!("far {} line connections=2 timeout=2s", host.address());
    let daemon = Daemon::start(&[&line]);
    let (answers, took) = answers_of_a_thousand(&daemon);
    let count = |word: &str| answers.iter().filter(|answer| *answer == word).count() as u64;
    let sent = count("con_unknown");
    assert_eq!(count("con_timeout"), QUEUED - sent, "{answers:?}");
    assert!((1..=2).contains(&sent), "{sent} were sent over two connections");
    assert_eq!(host.received().len() as u64, sent, "what timed out in the queue was never sent");
    assert!(took < Duration::from_secs(4), "the last of a thousand was answered after {took:?}");
    daemon.stop();
}

#[test]
fn a_name_that_does_not_resolve_is_lost_and_says_so() {
    let daemon = Daemon::start(&[&format!("far host.invalid:7000 line {OPTIONS}")]);
    assert_eq!(daemon.requester("far", Dialect::Line).ask("<1>"), "con_lost");
    let reason = daemon.host_status("far")["reason"].to_string();
    assert!(reason.contains("host.invalid"), "{reason}");
    daemon.stop();
}

/// One request and its reply, with a host at this address, named so in `hosts.tab`.
fn is_served(host: &ChaosHost, address: &str) {
    let daemon = Daemon::start(&[&format!("far {address} line")]);
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"), "{address}");
    assert_eq!(host.received().get(&1), Some(&1));
    daemon.stop();
}

#[test]
fn a_host_at_a_unix_socket_is_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let address = format!("unix:{}", dir.path().join("host.sock").display());
    is_served(&ChaosHost::start_at(Dialect::Line, &address), &address);
}

#[test]
fn a_host_at_an_ipv6_address_is_served() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let host = ChaosHost::start_at(Dialect::Line, "[::1]:0");
    is_served(&host, host.address());
}

#[test]
fn a_host_with_a_name_is_served() {
    let host = ChaosHost::start(Dialect::Line);
    let port = host.address().rsplit(':').next().expect("a port");
    is_served(&host, &format!("localhost:{port}"));
}
