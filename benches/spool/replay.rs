//! Replay: how fast stored requests reach the host that is back, beside the same requests from one requester that is
//! undeferred and keeps as many of them in flight.
//!
//! The yardstick is the same for both: the host's own clock, from the first request to the last.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::ROUNDS;
use crate::host::Away;
use crate::load::REQUEST;
use crate::table::{Aim, Rounds};
use crate::tieline::Daemon;

/// In flight at once, how many requests are sent, and what is aimed at.
const CASES: [(usize, usize, f64); 2] = [(64, 100_000, 0.5), (1, 20_000, 0.7)];

/// Measures, prints, and says how the aims are met.
pub(crate) fn measure() -> Vec<Aim> {
    println!("\n## Replay, {REQUEST} bytes each, to a host that answers at once\n");
    println!("Median of {ROUNDS} rounds (lowest-highest).\n");
    println!("| in flight | what | requests/s |\n| --- | --- | --- |");
    CASES.into_iter().map(|(window, requests, at_least)| case(window, requests, at_least)).collect()
}

fn case(window: usize, requests: usize, at_least: f64) -> Aim {
    let (mut replayed, mut asked) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        replayed.push(replay(window, requests));
        asked.push(undeferred(window, requests));
    }
    println!("| {window} | replay, replay_window={window} | {replayed} |");
    println!("| {window} | one undeferred requester | {asked} |");
    let what = format!("replay with {window} in flight / undeferred");
    Aim { what, ratio: replayed.median() / asked.median(), at_least }
}

/// Requests per second of a replay.
fn replay(window: usize, requests: usize) -> f64 {
    let away = Away::new();
    let options = format!("retries=1 connections=1 pipeline={window} replay_window={window}");
    let daemon = Daemon::start(&away.address(), &options);
    daemon.begin_backlog(&request(0));
    // One less: the one above is the first.
    send(&daemon.deferred(), 512, requests - 1);
    let host = away.come(requests);
    daemon.probe();
    requests as f64 / host.wait().as_secs_f64()
}

/// Requests per second of one requester.
fn undeferred(window: usize, requests: usize) -> f64 {
    let away = Away::new();
    let daemon = Daemon::start(&away.address(), &format!("connections=1 pipeline={window}"));
    let host = away.come(requests);
    send(&daemon.socket(), window, requests);
    requests as f64 / host.wait().as_secs_f64()
}

fn request(number: usize) -> Vec<u8> {
    format!("{number:099}\n").into_bytes()
}

/// Sends requests, `window` of them in flight, and waits for all answers.
fn send(socket: &Path, window: usize, requests: usize) {
    let mut stream = UnixStream::connect(socket).expect("it takes requesters");
    let mut answers = vec![0; 64 << 10];
    let (mut sent, mut answered) = (0, 0);
    while answered < requests {
        let more = (window - (sent - answered)).min(requests - sent);
        let bytes: Vec<u8> = (sent..sent + more).flat_map(request).collect();
        stream.write_all(&bytes).expect("it takes requests");
        sent += more;
        let got = stream.read(&mut answers).expect("it answers");
        assert!(got > 0, "it hung up");
        answered += memchr::memchr_iter(b'\n', &answers[..got]).count();
    }
}
