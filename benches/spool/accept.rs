//! Durable accepts: how many requests per second are on disk before they are answered, and how long each waits.

use std::time::Duration;

use crate::ROUNDS;
use crate::load::{self, Exchange, REQUEST, Sample};
use crate::rival::Rival;
use crate::table::{Aim, Rounds};
use crate::tieline::Daemon;

const TIME: Duration = Duration::from_secs(2);
const REQUESTERS: [usize; 3] = [1, 64, 512];

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    Tieline,
    Raw,
    Rival(Rival),
}

const TAKERS: [Taker; 4] = [Taker::Tieline, Taker::Raw, Taker::Rival(Rival::Redis), Taker::Rival(Rival::Beanstalkd)];

/// One row of the table.
struct Cell {
    taker: Taker,
    per_second: Rounds,
    p50: Rounds,
    p99: Rounds,
}

impl Taker {
    fn name(self) -> &'static str {
        match self {
            Self::Tieline => "tieline, deferred, host away",
            Self::Raw => "raw write + fdatasync, one file",
            Self::Rival(Rival::Redis) => "Redis, appendfsync always",
            Self::Rival(Rival::Beanstalkd) => "beanstalkd -f0",
        }
    }

    fn is_there(self) -> bool {
        !matches!(self, Self::Rival(rival) if !rival.is_there())
    }

    fn measure(self, requesters: usize) -> Sample {
        match self {
            Self::Tieline => tieline(requesters),
            Self::Raw => crate::raw::measure(requesters, TIME),
            Self::Rival(rival) => rival.measure(requesters, TIME),
        }
    }
}

fn tieline(requesters: usize) -> Sample {
    let away = crate::host::Away::new();
    let daemon = Daemon::start(&away.address(), "retries=1");
    let request = [vec![b'x'; REQUEST - 1], vec![b'\n']].concat();
    daemon.begin_backlog(&request);
    let exchange = Exchange { socket: &daemon.deferred(), request: &request, answer: b"con_delayed:" };
    load::measure(requesters, TIME, exchange)
}

/// Measures, prints, and says how the aims are met.
pub(crate) fn measure() -> Vec<Aim> {
    println!("\n## Durable accepts, {REQUEST} bytes each\n");
    println!("Median of {ROUNDS} rounds of {} s (lowest-highest); latencies in µs.\n", TIME.as_secs());
    println!("| requesters | what | accepts/s | p50 | p99 |\n| --- | --- | --- | --- | --- |");
    REQUESTERS.into_iter().flat_map(with).collect()
}

fn with(requesters: usize) -> Vec<Aim> {
    let empty = |taker| Cell { taker, per_second: Rounds::default(), p50: Rounds::default(), p99: Rounds::default() };
    let mut cells = TAKERS.map(empty);
    for _ in 0..ROUNDS {
        for cell in cells.iter_mut().filter(|cell| cell.taker.is_there()) {
            let mut sample = cell.taker.measure(requesters);
            cell.per_second.push(sample.per_second());
            cell.p50.push(sample.percentile(0.5));
            cell.p99.push(sample.percentile(0.99));
        }
    }
    for cell in &cells {
        let Cell { taker, per_second, p50, p99 } = cell;
        if taker.is_there() {
            println!("| {requesters} | {} | {per_second} | {p50} | {p99} |", taker.name());
        } else {
            println!("| {requesters} | {} | not installed | | |", taker.name());
        }
    }
    aims(requesters, &cells)
}

fn aims(requesters: usize, cells: &[Cell]) -> Vec<Aim> {
    let ours = cells[0].per_second.median();
    let counts = |cell: &&Cell| match cell.taker {
        Taker::Tieline => false,
        Taker::Raw => requesters == 1,
        Taker::Rival(_) => requesters > 1 && cell.taker.is_there(),
    };
    let aim = |cell: &Cell| Aim {
        what: format!("accepts/s of {requesters}: tieline / {}", cell.taker.name()),
        ratio: ours / cell.per_second.median(),
        at_least: if cell.taker == Taker::Raw { 0.7 } else { 1.0 },
    };
    cells.iter().filter(counts).map(aim).collect()
}
