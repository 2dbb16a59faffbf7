//! Load from Redis's own tool, as a check of the load generator here by one that everybody knows.
//!
//! Promised: the rate and the latencies are what the tool prints; the processor time per request includes the connecting
//! of its requesters.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Load;
use crate::contender::Door;
use crate::measure::{Measure, Meter, Sample};

/// Requests of the short run that says how many a long one needs.
const TRIAL: f64 = 10_000.0;

/// GET of three bytes, which [`super::resp::set`] has set under this key.
pub(crate) const KEY: &str = "key:__rand_int__";

/// What a run of the tool has said.
struct Said {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(crate) fn redis_benchmark(door: &Door, load: &Load, meter: &mut Meter) -> io::Result<Sample> {
    let trial = run(door, load, TRIAL * load.pipeline.min(16) as f64)?;
    let requests = (trial.rate * load.time.as_secs_f64()).max(TRIAL).round();
    meter.begin();
    let said = run(door, load, requests)?;
    meter.end();
    let mut seen = super::Run::new();
    (seen.answered, seen.time) = (requests as u64, Duration::from_secs_f64(requests / said.rate));
    Ok(meter.sample(&seen).with(Measure::P50, said.p50_ms * 1e3).with(Measure::P99, said.p99_ms * 1e3))
}

fn run(door: &Door, load: &Load, requests: f64) -> io::Result<Said> {
    let mut command = Command::new("redis-benchmark");
    match door {
        Door::Unix(path) => command.arg("-s").arg(path),
        Door::Tcp(address) => command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]),
        Door::Tls(..) => return Err(io::ErrorKind::Unsupported.into()),
    };
    command.args(["-t", "get", "--csv", "-d", "3", "-n", &requests.to_string()]);
    command.args(["-c", &load.requesters.to_string(), "-P", &load.pipeline.to_string()]);
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text).ok_or_else(|| io::Error::other(format!("redis-benchmark said {text:?}")))
}

/// `"GET","98039.22",average,minimum,p50,p95,p99,maximum`, below a line of titles; times in ms.
fn read(text: &str) -> Option<Said> {
    let line = text.lines().find(|line| line.starts_with("\"GET\""))?;
    let numbers: Vec<f64> = line.split(',').skip(1).filter_map(|word| word.trim_matches('"').parse().ok()).collect();
    Some(Said { rate: *numbers.first()?, p50_ms: *numbers.get(3)?, p99_ms: *numbers.get(5)? })
}
