//! Values from small to large.

use std::io;

use super::{load, saturated};
use crate::aim::Bound::AtLeast;
use crate::contender::{self, Contender, DIRECT, Redis, TIELINE};
use crate::load::{Exchange, resp};
use crate::measure::{Measure, Sample};
use crate::plan::Plan;
use crate::table::Table;

/// Bytes, how many requesters, and what they are called.
const SIZES: [(usize, usize, &str); 3] = [(1 << 10, 50, "1 KiB"), (64 << 10, 10, "64 KiB"), (1 << 20, 4, "1 MiB")];

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    let contenders = contender::ways_to(&redis, redis.address());
    let mut tables = Vec::new();
    for (size, requesters, name) in SIZES {
        redis.set("value", size);
        for (verb, exchange) in [("GET", resp::get("value", size)), ("SET", resp::set("value", size))] {
            let title = format!("{verb} of {name}, {requesters} requesters");
            tables.push(one(plan, &contenders, title, (&exchange, size, requesters)));
        }
    }
    tables
}

fn one(plan: &Plan, ways: &[Contender], title: String, (exchange, size, count): (&Exchange, usize, usize)) -> Table {
    let load = load(plan, count, 1);
    let with_bytes = |contender: &Contender| -> io::Result<Sample> {
        let sample = saturated(contender, exchange, &load)?;
        let rate = sample.get(Measure::Rate).unwrap_or(f64::NAN);
        Ok(sample.with(Measure::Megabytes, rate * size as f64 / 1e6))
    };
    let table = Table::compare(title, plan, ways, with_bytes).no_peer_wins(&[Measure::Rate, Measure::Cpu]);
    if size < 64 << 10 { table } else { table.aim(Measure::Megabytes, TIELINE, DIRECT, AtLeast(0.7)) }
}
