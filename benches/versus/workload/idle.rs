//! What idle requesters cost those that are not idle.

use std::io;

use super::{load, saturated};
use crate::aim::Bound::AtMost;
use crate::contender::{Contender, Redis, TIELINE, tieline};
use crate::load::{Load, idle, resp};
use crate::measure::{Measure, Sample, calmly};
use crate::plan::Plan;
use crate::table::Table;

const IDLE: usize = 5000;
const NONE: &str = "no idle requester";
const MANY: &str = "5,000 idle requesters";

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let ours = tieline(TIELINE, &[redis.address()], "resp connections=1 requesters=20000", redis.pids());
    let alone = one(plan, &ours, load(plan, 1, 1)).aim(Measure::P50, MANY, NONE, AtMost(1.05));
    let crowd = one(plan, &ours, load(plan, 50, 1)).aim(Measure::Cpu, MANY, NONE, AtMost(1.05));
    vec![alone, crowd]
}

/// The same daemon in turns without and with them.
fn one(plan: &Plan, ours: &Contender, load: Load) -> Table {
    let exchange = resp::get("key", 3);
    let mut table = Table::new(format!("Idle requesters beside {} that work", load.requesters));
    let with = |count: usize| -> io::Result<Sample> {
        let sleepers = idle(&ours.doors, count)?;
        let sample = saturated(ours, &exchange, &load);
        drop(sleepers);
        sample
    };
    for round in 0..plan.rounds {
        table.add(NONE, round, || calmly(plan, || with(0)));
        table.add(MANY, round, || calmly(plan, || with(IDLE)));
    }
    table
}
