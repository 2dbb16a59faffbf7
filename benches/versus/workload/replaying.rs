//! Undeferred requests while stored ones are replayed to the same host.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::load;
use crate::contender::{Contender, Door, Redis, Tieline, free_port, wait_until};
use crate::load::{paced, resp};
use crate::measure::{Meter, Sample, wait_for_calm};
use crate::plan::Plan;
use crate::table::Table;

/// Arriving per second, undeferred.
const RATE: f64 = 1000.0;

/// `replay_window`, and how many requests are stored for each second of measuring: more than are replayed in it.
const CASES: [(usize, f64); 2] = [(1, 80_000.0), (64, 400_000.0)];

/// Requests on their way while the store is filled.
const WINDOW: usize = 1024;

/// What is counted up by each stored request.
const COUNTER: &str = "replayed";

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let title = format!("GET, {RATE} arriving per second, 10 requesters, while a replay runs");
    let mut table = Table::new(title);
    for round in 0..plan.rounds {
        for (window, per_second) in CASES {
            let stored = (per_second * (plan.time + plan.warm_up()).as_secs_f64()) as u64;
            wait_for_calm(plan);
            let mut both = Both::start(window, stored);
            let name = format!("replay_window={window}");
            table.add(&format!("{name}, while it replays"), round, || both.during(plan));
            table.add(&format!("{name}, nothing to replay"), round, || both.after(plan));
        }
    }
    vec![table.note("Of one daemon, first while it replays and then when its store is empty.")]
}

/// A daemon whose store has something in it, and the host, which is back.
struct Both {
    contender: Contender,
    redis: Redis,
    stored: u64,
}

impl Both {
    fn start(window: usize, stored: u64) -> Self {
        let port = free_port();
        let line = format!("h 127.0.0.1:{port} resp deferred retries=1 replay_window={window}");
        let daemon = Tieline::start(&[line]).unwrap_or_else(|complaint| panic!("tieline does not start: {complaint}"));
        let door = Door::Unix(daemon.socket("h"));
        fill(&daemon.deferred_socket("h"), stored).expect("requests are stored while the host is away");
        let redis = Redis::start_on(port);
        redis.set("key", 3);
        daemon.ask(&["probe", "h"]);
        wait_until("the replay has begun", || redis.number(COUNTER) > 0);
        let contender = Contender::proxied("tieline", vec![door], daemon.running, redis.pids());
        Self { contender, redis, stored }
    }

    fn during(&mut self, plan: &Plan) -> io::Result<Sample> {
        let sample = self.sample(plan)?;
        if self.redis.number(COUNTER) < self.stored {
            return Ok(sample);
        }
        Err(io::Error::other("the replay ended before the measuring did"))
    }

    fn after(&mut self, plan: &Plan) -> io::Result<Sample> {
        wait_until("the replay has ended", || self.redis.number(COUNTER) >= self.stored);
        self.sample(plan)
    }

    fn sample(&self, plan: &Plan) -> io::Result<Sample> {
        let (mut meter, load) = (Meter::of(&self.contender), load(plan, 10, 1));
        let run = paced(&self.contender.doors, &resp::get("key", 3), (&load, RATE), &mut meter)?;
        Ok(meter.sample(&run))
    }
}

/// Stores so many.
fn fill(socket: &Path, count: u64) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let (request, count) = (resp::command(&["INCR", COUNTER]), usize::try_from(count).map_err(io::Error::other)?);
    let mut buffer = vec![0; 64 << 10];
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        let more = (WINDOW - (sent - answered)).min(count - sent);
        stream.write_all(&request.repeat(more))?;
        sent += more;
        let got = stream.read(&mut buffer)?;
        if got == 0 || !buffer.starts_with(b"+DELAYED") && answered == 0 {
            return Err(io::Error::other("a request was not stored"));
        }
        answered += memchr::memchr_iter(b'\n', &buffer[..got]).count();
    }
    Ok(())
}
