//! Promise 1 under chaos: one reply per request, in the requester's order, or the requester is closed; never somebody
//! else's; and what was answered as never sent has never reached the host.
//!
//! The number of transactions is `TIELINE_CHAOS`, else a million, shared between the dialects.

mod judge;
mod requesters;

use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use judge::{Life, assert_all_was_right};
use requesters::live;

use crate::common::{ChaosHost, Daemon, Machine, name, wait_until};

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
    /// One request in so many gets a large reply that breaks off.
    breaks: u64,
}

/// All transactions of all scripts together.
fn transactions() -> u64 {
    let wanted = std::env::var("TIELINE_CHAOS").ok();
    wanted.map_or(1_000_000, |number| number.parse().expect("TIELINE_CHAOS is a number"))
}

/// Makes trouble, round after round, until it is over; returns how often the child was killed.
fn make_trouble(daemon: &mut Daemon, host: &mut ChaosHost, mood: &str, over: impl Fn() -> bool) -> u64 {
    let pause = |low, high| sleep(Duration::from_millis(fastrand::u64(low..high)));
    let mut kills = 0;
    while !over() {
        host.command(&format!("mood {mood}"));
        pause(400, 800);
        host.signal(Signal::SIGSTOP);
        pause(50, 600);
        host.signal(Signal::SIGCONT);
        pause(100, 300);
        kill_child(daemon);
        kills += 1;
        pause(100, 300);
        host.command("drop");
        host.command("mood split=0.01");
        pause(100, 300);
        host.command("refuse");
        pause(50, 400);
        host.command("listen");
        daemon.place().tieline(&["probe", "far"]);
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
    let (socket, each) = (daemon.socket("far"), all / REQUESTERS);
    let start = Instant::now();
    let (lives, kills) = thread::scope(|scope| {
        let socket = &socket;
        let one = |n| scope.spawn(move || live(socket, script, n * each..(n + 1) * each));
        let threads: Vec<_> = (0..REQUESTERS).map(one).collect();
        let over = || threads.iter().all(ScopedJoinHandle::is_finished);
        let kills = make_trouble(&mut daemon, &mut host, script.mood, over);
        let lives: Vec<Life> = threads.into_iter().map(|t| t.join().expect("all was right")).collect();
        (lives, kills)
    });
    let (took, done) = (start.elapsed(), each * REQUESTERS);
    println!("{:?}: {done} transactions in {took:.1?}, child killed {kills} times", script.dialect);
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
        breaks: 1999,
    };
    run(script, transactions() / 5 * 2);
}

#[test]
fn many_requests_in_flight_per_connection_survive_chaos() {
    let script = Script {
        dialect: Dialect::Resp,
        options: "connections=4 queue=2000 timeout=400ms connect_timeout=200ms retries=2",
        burst: 32,
        mood: "delay=0.00005:100:900 cut=0.00003 cut_mid=0.00003 split=0.01 hang=0.00001",
        breaks: 9973,
    };
    run(script, transactions() / 5 * 2);
}

#[test]
fn frames_with_a_length_survive_chaos() {
    let script = Script {
        dialect: Dialect::Len32,
        options: "connections=6 pipeline=8 queue=1000 timeout=400ms connect_timeout=200ms retries=2",
        burst: 24,
        mood: "delay=0.0003:100:900 cut=0.0002 cut_mid=0.0002 split=0.01 hang=0.0001",
        breaks: 3989,
    };
    run(script, transactions() / 5);
}
