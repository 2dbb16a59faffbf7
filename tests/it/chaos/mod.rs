//! Promise 1 under chaos: one reply per request, in the requester's order, or the requester is closed; never somebody
//! else's; and what was answered as never sent has never reached the host.
//!
//! The number of transactions is `TIELINE_CHAOS`, else a million in release builds and 150,000 in others.

mod judge;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use judge::{Life, Outcome, assert_all_was_right, judge};

use crate::common::{ChaosHost, Daemon, Machine, Requester, encode, name, tag, wait_until};

const REQUESTERS: u64 = 200;

/// One run of chaos.
#[derive(Clone, Copy)]
struct Script {
    dialect: Dialect,
    /// Options of the host; its timeout is short, so that it passes often.
    options: &'static str,
    /// Most requests that a requester sends before it reads.
    burst: u64,
    /// What goes wrong with single replies.
    mood: &'static str,
}

fn transactions() -> u64 {
    let wanted = std::env::var("TIELINE_CHAOS").ok();
    let wanted = wanted.map(|number| number.parse().expect("TIELINE_CHAOS is a number"));
    wanted.unwrap_or(if cfg!(debug_assertions) { 150_000 } else { 1_000_000 })
}

/// Sends bursts of requests until all are answered or closed.
fn live(socket: &Path, script: Script, numbers: std::ops::Range<u64>, done: &AtomicU64) -> Life {
    let mut life = Life::default();
    let mut requester = Requester::connect(socket, script.dialect);
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + fastrand::u64(1..=script.burst));
        if !exchange(&mut requester, script, next..end, &mut life) {
            life.closed += 1;
            requester = Requester::connect(socket, script.dialect);
        }
        done.fetch_add(end - next, Ordering::Relaxed);
        next = end;
    }
    requester.half_close();
    let surplus = requester.rest();
    assert!(surplus.is_empty(), "answered twice: {}", String::from_utf8_lossy(&surplus));
    life
}

/// One burst; false if the requester was closed meanwhile.
fn exchange(requester: &mut Requester, script: Script, numbers: std::ops::Range<u64>, life: &mut Life) -> bool {
    let burst: Vec<u8> = numbers.clone().flat_map(|n| encode(script.dialect, &tag(n))).collect();
    let mut open = requester.stream.write_all(&burst).is_ok();
    let mut failed = false;
    for number in numbers {
        let answer = if open { requester.next_reply().expect("an answer in time") } else { None };
        open = answer.is_some();
        let outcome = answer.map_or(Outcome::Closed, |answer| judge(&answer, number));
        failed |= outcome != Outcome::Reply;
        assert_eq!(life.outcomes.insert(number, outcome), None);
    }
    if failed {
        sleep(Duration::from_millis(fastrand::u64(1..20))); // as a program would, before it goes on
    }
    open
}

/// Makes trouble, round after round, until all transactions are done; returns how often the child was killed.
fn make_trouble(daemon: &mut Daemon, host: &mut ChaosHost, script: Script, done: &AtomicU64, all: u64) -> u64 {
    let over = || done.load(Ordering::Relaxed) >= all;
    let pause = |low, high| sleep(Duration::from_millis(fastrand::u64(low..high)));
    let mut kills = 0;
    while !over() {
        host.command(&format!("mood {}", script.mood));
        pause(400, 800);
        host.signal(Signal::SIGSTOP);
        pause(50, 600);
        host.signal(Signal::SIGCONT);
        pause(100, 300);
        host.command("drop");
        host.command("mood split=0.01");
        pause(100, 300);
        host.command("refuse");
        pause(50, 400);
        host.command("listen");
        pause(300, 600);
        if !over() {
            kill_child(daemon);
            kills += 1;
        }
        pause(100, 300);
    }
    host.command("mood");
    kills
}

/// Kills the child and waits for the next one.
fn kill_child(daemon: &mut Daemon) {
    let child = daemon.child("far");
    child.signal(Signal::SIGKILL);
    wait_until("another child", || daemon.try_child("far").filter(|new| *new != child));
}

/// Runs the script and judges everything that came of it.
fn run(script: Script, all: u64) {
    let _machine = Machine::alone();
    let mut host = ChaosHost::start(script.dialect);
    let line = format!("far {} {} {}", host.address(), name(script.dialect), script.options);
    let mut daemon = Daemon::start(&[&line]);
    let (socket, done) = (daemon.socket("far"), AtomicU64::new(0));
    let each = all / REQUESTERS;
    let start = Instant::now();
    let (lives, kills) = thread::scope(|scope| {
        let (socket, done) = (&socket, &done);
        let live = |n| scope.spawn(move || live(socket, script, n * each..(n + 1) * each, done));
        let threads: Vec<_> = (0..REQUESTERS).map(live).collect();
        let kills = make_trouble(&mut daemon, &mut host, script, done, each * REQUESTERS);
        let lives: Vec<Life> = threads.into_iter().map(|t| t.join().expect("all was right")).collect();
        (lives, kills)
    });
    println!(
        "{:?}: {} transactions in {:.1?}, child killed {kills} times",
        script.dialect,
        each * REQUESTERS,
        start.elapsed()
    );
    assert_all_was_right(&lives, &host.received(), kills);
    daemon.stop();
}

#[test]
fn one_request_at_a_time_per_connection_survives_chaos() {
    let script = Script {
        dialect: Dialect::Line,
        options: "connections=8 queue=1000 timeout=400ms connect_timeout=200ms retries=2",
        burst: 16,
        mood: "delay=0.0005:100:900 cut=0.0003 cut_mid=0.0003 split=0.01 hang=0.0001",
    };
    run(script, transactions());
}

#[test]
fn many_requests_in_flight_per_connection_survive_chaos() {
    let script = Script {
        dialect: Dialect::Resp,
        options: "connections=4 queue=2000 timeout=400ms connect_timeout=200ms retries=2",
        burst: 32,
        mood: "delay=0.0001:100:900 cut=0.0001 cut_mid=0.0001 split=0.01 hang=0.00003",
    };
    run(script, transactions());
}

#[test]
fn frames_with_a_length_survive_chaos() {
    let script = Script {
        dialect: Dialect::Len32,
        options: "connections=6 pipeline=8 queue=1000 timeout=400ms connect_timeout=200ms retries=2",
        burst: 24,
        mood: "delay=0.0003:100:900 cut=0.0002 cut_mid=0.0002 split=0.01 hang=0.0001",
    };
    run(script, transactions() / 4);
}
