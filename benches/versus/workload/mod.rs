//! What requesters do: one file for each kind of work.
//!
//! Enters: a plan. Leaves: tables with aims. Promised: each starts what it needs and leaves nothing of it running.

mod distance;
mod hosts;
mod idle;
mod latency;
mod line;
mod memcache;
mod memory;
mod oneshot;
mod peers_tool;
mod pipeline;
mod replaying;
mod requests;
mod values;
mod workers;

use std::io;

use crate::contender::Contender;
use crate::load::{Exchange, Load, saturate};
use crate::measure::{Meter, Sample};
use crate::plan::Plan;
use crate::table::Table;

/// One kind of work.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Plan) -> Vec<Table>,
}

/// All of them, in the order in which they are run.
pub(crate) const ALL: &[Workload] = &[
    Workload { name: "requests", about: "GET and SET at 1, 50, 500 and 5,000 requesters", run: requests::run },
    Workload { name: "pipeline", about: "GET, 16 and 128 at once by each of 50 requesters", run: pipeline::run },
    Workload { name: "benchmark", about: "GET by redis-benchmark, as a check of the load here", run: peers_tool::run },
    Workload { name: "values", about: "GET and SET of 1 KiB, 64 KiB and 1 MiB", run: values::run },
    Workload { name: "latency", about: "GET arriving at a fixed rate", run: latency::run },
    Workload { name: "oneshot", about: "requesters that connect, ask once and leave", run: oneshot::run },
    Workload { name: "distance", about: "a host 1 ms and 50 ms away", run: distance::run },
    Workload { name: "line", about: "the line dialect", run: line::run },
    Workload { name: "memcache", about: "get from memcached", run: memcache::run },
    Workload { name: "workers", about: "two event loops beside one", run: workers::run },
    Workload { name: "hosts", about: "100 hosts at once", run: hosts::run },
    Workload { name: "idle", about: "what 5,000 idle requesters cost the others", run: idle::run },
    Workload { name: "replaying", about: "undeferred requests while a replay runs", run: replaying::run },
    Workload { name: "memory", about: "memory when idle, and the time to start", run: memory::run },
];

/// So many requesters, each with so many requests at once.
pub(crate) fn load(plan: &Plan, requesters: usize, pipeline: usize) -> Load {
    Load { requesters, pipeline, warm_up: plan.warm_up(), time: plan.time }
}

/// As much as the contender takes.
pub(crate) fn saturated(contender: &Contender, exchange: &Exchange, load: &Load) -> io::Result<Sample> {
    let mut meter = Meter::of(contender);
    let run = saturate(&contender.doors, exchange, load, &mut meter)?;
    Ok(meter.sample(&run))
}

/// The same, only to count what was answered.
pub(crate) fn answered(contender: &Contender, exchange: &Exchange, load: &Load) -> io::Result<u64> {
    Ok(saturate(&contender.doors, exchange, load, &mut Meter::of(contender))?.in_all)
}
