//! What systemd sees: notices, listeners that it keeps and passes, and the unit.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, LONG, Passed, Place, Requester, run, wait_until};

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
    wait_until("the host is lost", || (requester.ask("<3>") == "con_lost").then_some(()));
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

/// What a manager says of itself that keeps descriptors.
const KEEPS: [(&str, &str); 1] = [("FDSTORE", "512")];

/// Connects to a socket over and over.
struct Connector {
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Connector {
    fn start(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !told.load(Ordering::Relaxed) {
                UnixStream::connect(&path)?;
                count += 1;
                // So that the backlog has room for all that come while nobody accepts.
                thread::sleep(Duration::from_millis(2));
            }
            Ok(count)
        });
        Self { over, thread }
    }

    /// Not one connect may have failed.
    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let count = self.thread.join().expect("the connector does not panic");
        println!("{} connects", count.expect("a connect failed"));
    }
}

/// A host `far` at `host`, and what it listens on in all its ways.
fn listening_in_all_ways(host: &ChaosHost) -> (Arc<Place>, u16) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let line = format!("far {} line deferred listen=127.0.0.1:{port}", host.address());
    (Place::new(&[&line]), port)
}

fn keep_all(daemon: &mut Daemon) -> Passed {
    for name in ["far.sock,", "far.deferred.sock,", "far.listen,", "registry.sock,", "control.sock,"] {
        daemon.wait_until_kept(name);
    }
    daemon.take_kept()
}

#[test]
fn a_parent_that_was_killed_refuses_nobody_and_its_successor_serves_who_waits() {
    let host = ChaosHost::start(Dialect::Line);
    let (place, port) = listening_in_all_ways(&host);
    let mut daemon = place.start_with(&KEEPS);
    let connector = Connector::start(place.socket("far"));
    let deferred = Connector::start(place.deferred_socket("far"));
    let kept = keep_all(&mut daemon);
    let mut children = daemon.children_seen();
    daemon.signal(Signal::SIGKILL);
    assert!(!daemon.wait().success());
    daemon.leave();
    wait_until("the children retire", || {
        children.retain(|child| child.is_alive());
        children.is_empty().then_some(())
    });
    let mut early = Requester::connect(&place.socket("far"), Dialect::Line);
    early.send("<1>");
    let tcp = TcpStream::connect(("127.0.0.1", port)).expect("the loopback listener is open");
    let daemon = place.start_passing(kept, &KEEPS);
    assert_eq!(early.reply(), "<1>  <1>");
    assert_eq!(ask_tcp(tcp, "<2>"), "<2>  <2>");
    assert_eq!(daemon.host_status("far")["state"], "up", "the control socket answers");
    connector.end();
    deferred.end();
    assert!(!place.log().contains("WARN tieline: the descriptor"), "all was adopted");
    daemon.stop();
}

fn ask_tcp(mut stream: TcpStream, text: &str) -> String {
    stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
    stream.write_all(format!("{text}\n").as_bytes()).expect("it can be written to");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    line.trim_end().to_owned()
}

#[test]
fn a_stop_and_a_start_refuse_nobody_if_the_manager_keeps_the_listeners() {
    let host = ChaosHost::start(Dialect::Line);
    let (place, port) = listening_in_all_ways(&host);
    let mut daemon = place.start_with(&KEEPS);
    let connector = Connector::start(place.socket("far"));
    let mut kept = keep_all(&mut daemon);
    for _ in 0..3 {
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.wait().success());
        kept.extend(daemon.take_kept());
        let mut early = Requester::connect(&place.socket("far"), Dialect::Line);
        early.send("<1>");
        let tcp = TcpStream::connect(("127.0.0.1", port)).expect("the loopback listener is open");
        daemon = place.start_passing(kept, &KEEPS);
        assert_eq!(early.reply(), "<1>  <1>");
        assert_eq!(ask_tcp(tcp, "<2>"), "<2>  <2>");
        kept = daemon.take_kept();
        assert_eq!(kept.len(), 5, "nothing is kept twice: {kept:?}");
    }
    connector.end();
    drop(kept);
    daemon.stop();
    assert!(place.socket("far").exists(), "the files belong to the manager's listeners");
}

#[test]
fn without_a_store_nothing_is_given_to_the_manager_and_a_stop_removes_the_sockets() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line", host.address());
    let mut daemon = Daemon::start(&[&line]);
    daemon.requester("far", Dialect::Line).ask("<1>");
    daemon.wait_for_notice("1 up");
    assert!(daemon.take_kept().is_empty());
    let place = Arc::clone(daemon.place());
    daemon.stop();
    assert!(!place.socket("far").exists());
}

#[test]
fn a_socket_unit_is_served_and_its_file_stays_the_managers() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line", host.address());
    let place = Place::new(&[&line]);
    fs::create_dir(place.path("run")).expect("the run directory");
    let unit = UnixListener::bind(place.socket("far")).expect("the unit's listener");
    let mut early = Requester::connect(&place.socket("far"), Dialect::Line);
    early.send("<1>");
    let mut daemon = place.start_passing(vec![("far".to_owned(), unit.into())], &[]);
    assert_eq!(early.reply(), "<1>  <1>");
    let _kept = daemon.take_kept();
    daemon.stop();
    // The manager listens on.
    Requester::connect(&place.socket("far"), Dialect::Line);
}

#[test]
fn what_does_not_fit_is_closed_with_a_warning_and_replaced_by_an_own_socket() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line", host.address());
    let place = Place::new(&[&line]);
    fs::create_dir(place.path("run")).expect("the run directory");
    drop(UnixListener::bind(place.socket("far")).expect("a socket that nobody listens on any more"));
    let elsewhere = UnixListener::bind(place.path("elsewhere")).expect("a listener");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (stream, _other) = UnixStream::pair().expect("a pair");
    let gone = UnixListener::bind(place.path("gone")).expect("a listener");
    let passed: Passed = vec![
        ("far".to_owned(), elsewhere.into()),
        ("far.listen".to_owned(), tcp.into()),
        ("control.sock".to_owned(), stream.into()),
        ("far.sock,1,2".to_owned(), gone.try_clone().expect("a copy").into()),
        ("near.sock,1,2".to_owned(), gone.into()),
    ];
    let mut daemon = place.start_passing(passed, &KEEPS);
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    let log = place.log();
    for name in ["far", "far.listen", "control.sock", "far.sock,1,2", "near.sock,1,2"] {
        let warning = format!("WARN tieline: the descriptor that was passed as `{name}` is closed: ");
        assert!(log.contains(&warning), "{name}: {log}");
    }
    daemon.wait_for_notice("FDSTOREREMOVE=1\nFDNAME=near.sock,1,2\n");
    let heard = daemon.notices().iter().filter(|notice| notice.contains("FDSTOREREMOVE=1")).count();
    assert_eq!(heard, 2, "what belongs to a socket unit need not be forgotten");
    daemon.stop();
}

#[test]
fn the_manager_hears_a_restart_begin_and_end_and_the_process_id_stays() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line", host.address());
    let mut daemon = Daemon::start(&[&line]);
    let pid = daemon.parent();
    daemon.forget_notices();
    daemon.signal(Signal::SIGHUP);
    let told = daemon.wait_for_notice("RELOADING=1\n");
    let time = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a time");
    assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{told}");
    daemon.wait_for_notice("READY=1");
    assert_eq!(last_word(&daemon), Some("READY=1"), "{:?}", daemon.notices());
    let status = daemon.status();
    assert_eq!((&status["generation"], &status["pid"]), (&2.into(), &pid.0.into()), "{status}");
    assert!(!daemon.notices().iter().any(|notice| notice.contains("MAINPID")), "{:?}", daemon.notices());
    daemon.stop();
}

#[test]
fn a_restart_that_fails_ends_for_the_manager_too() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line", host.address());
    let mut daemon = Daemon::start(&[&line]);
    daemon.forget_notices();
    fs::write(daemon.place().path("hosts.tab"), "far nowhere lime\n").expect("a broken table");
    let output = daemon.place().tieline(&["restart"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.starts_with("tieline: not restarted, generation 1 serves on:\n/"), "{complaint}");
    assert!(complaint.contains("hosts.tab:1:5: `nowhere` is no address"), "{complaint}");
    daemon.wait_for_notice("READY=1");
    assert_eq!(last_word(&daemon), Some("READY=1"), "{:?}", daemon.notices());
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    daemon.stop();
}

/// What was said last about being ready or not.
fn last_word(daemon: &Daemon) -> Option<&str> {
    let mut lines = daemon.notices().iter().flat_map(|notice| notice.lines());
    lines.rfind(|line| ["READY=1", "RELOADING=1"].contains(line))
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
