//! The spool at its limits: a full quota, and a graceful stop in the midst of a replay.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Requester, tag, wait_until};

const LINE: Dialect = Dialect::Line;

fn depth(daemon: &Daemon) -> u64 {
    daemon.host_status("far")["spool"]["depth"].as_u64().expect("a depth")
}

/// Writes tags from `first` on until the answer is another than `delayed`; how many were stored, and that answer.
fn fill(requester: &mut Requester, first: u64) -> (u64, String) {
    for number in first.. {
        let answer = requester.ask(&tag(number));
        if !answer.starts_with("con_delayed:") {
            return (number - first, answer);
        }
    }
    unreachable!("numbers do not end")
}

#[test]
fn a_full_spool_is_busy_drains_when_the_host_is_back_and_takes_more_without_a_restart() {
    let mut host = ChaosHost::start(LINE);
    host.command("refuse");
    let hosts = format!("far {} line deferred retries=1 connect_timeout=1s spool_max=16KiB", host.address());
    let mut daemon = Daemon::start(&[&hosts]);
    let child = daemon.child("far");
    let mut requester = daemon.deferred("far", LINE);
    let (stored, answer) = fill(&mut requester, 1_000_000);
    assert_eq!(answer, "con_busy");
    assert!(stored > 10, "{stored} of a few bytes each fit into 16 KiB");
    assert_eq!(requester.ask(&tag(9_000_000)), "con_busy", "it stays so, and the requester is not closed");
    let status = daemon.host_status("far");
    assert_eq!(status["spool"]["depth"], stored);
    assert!(status["spool"]["bytes"].as_u64().expect("bytes") <= 16 * 1024, "{status}");
    assert!(status["spool"]["last_error"].as_str().is_some_and(|text| text.contains("spool_max")), "{status}");

    host.command("listen");
    assert!(daemon.place().tieline(&["probe", "far"]).status.success());
    wait_until("the spool has drained", || (depth(&daemon) == 0).then_some(()));
    assert_eq!(daemon.host_status("far")["spool"]["last_error"], "");
    assert!(daemon.place().log().contains("answered as busy until there is room"));
    assert_eq!(host.tags(), (1_000_000..1_000_000 + stored).collect::<Vec<_>>(), "what was refused was never sent");
    assert!(requester.ask(&tag(2_000_000)).contains(&tag(2_000_000)), "the same requester is served again");

    host.command("refuse");
    let (again, answer) = fill(&mut requester, 3_000_000);
    assert_eq!((again, answer.as_str()), (stored, "con_busy"), "there is as much room as before");
    assert_eq!(daemon.child("far"), child, "it was the same child all the time");
    daemon.stop();
}

#[test]
fn after_a_graceful_stop_within_a_replay_nothing_arrives_twice_and_nothing_is_missing() {
    for replay in ["resend", "hold"] {
        stop_within_a_replay(replay);
    }
}

fn stop_within_a_replay(replay: &str) {
    const ALL: u64 = 400;
    let mut host = ChaosHost::start(LINE);
    host.command("refuse");
    let options = format!("deferred retries=1 connect_timeout=1s connections=2 replay={replay}");
    let place = Place::new(&[&format!("far {} line {options}", host.address())]);
    let mut daemon = place.start();
    let mut requester = daemon.deferred("far", LINE);
    for number in 1..=ALL {
        assert_eq!(requester.ask(&tag(number)), format!("con_delayed:{number}"));
    }
    host.command("mood delay=1:1:3");
    host.command("listen");
    let mut stops = 0;
    loop {
        // A stop at another moment of the replay each time, and one as soon as it begins.
        let before = host.tags().len();
        place.tieline(&["probe", "far"]);
        let goal = before + fastrand::usize(0..80);
        wait_until("the replay goes on", || {
            let arrived = host.tags().len();
            (arrived >= goal.min(ALL as usize)).then_some(())
        });
        let left = depth(&daemon);
        daemon.stop();
        if left == 0 {
            break;
        }
        stops += 1;
        daemon = place.start();
    }
    assert_eq!(host.tags(), (1..=ALL).collect::<Vec<_>>(), "each once, in order, over {stops} stops");
    assert!(stops > 3, "{stops} stops while something waited");
    assert!(place.log().contains("deferred requests wait in the spool"), "the log mentions the backlog");
    assert!(!place.log().contains("may have reached the host already"), "nothing was in doubt");
}

/// A host that notes what it is sent, and answers only while it is told to.
fn silent_host(answers: &'static AtomicBool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has an address").to_string();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notes = Arc::clone(&notes);
            thread::spawn(move || {
                for line in BufReader::new(stream.try_clone().expect("a second handle")).lines().map_while(Result::ok) {
                    notes.lock().expect("nobody panics").push(line);
                    if answers.load(Ordering::Relaxed) && (&stream).write_all(b"done\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

#[test]
fn what_is_held_while_it_is_under_way_is_not_sent_again_and_lets_those_behind_it_pass() {
    static ANSWERS: AtomicBool = AtomicBool::new(false);
    let (address, seen) = silent_host(&ANSWERS);
    let sent = |text: &str| seen.lock().expect("nobody panics").iter().filter(|line| *line == text).count();
    let place = Place::new(&[&format!("far {address} line deferred timeout=1s connections=1 replay_backoff=1s")]);
    let daemon = place.start();
    let mut requester = daemon.deferred("far", LINE);
    assert_eq!(requester.ask("one"), "con_delayed:1");
    assert_eq!(requester.ask("two"), "con_delayed:2");
    wait_until("the first one is under way again", || (sent("one") >= 2).then_some(()));
    assert!(place.tieline(&["spool", "hold", "far", "1"]).status.success());
    let before = sent("one");
    ANSWERS.store(true, Ordering::Relaxed);
    wait_until("the second one has its turn", || (depth(&daemon) == 0).then_some(()));
    assert_eq!((sent("one"), sent("two")), (before, 1));
    assert_eq!(daemon.host_status("far")["spool"]["held"], 1);
    daemon.stop();
}
