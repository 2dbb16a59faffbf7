//! The same work by redis-benchmark: what is said by the load generator here must be said by it as well.

use super::load;
use crate::aim::Bound::{AtLeast, AtMost};
use crate::contender::{self, NUTCRACKER, Redis, TIELINE};
use crate::load::redis_benchmark::{KEY, redis_benchmark};
use crate::machine;
use crate::measure::{Measure, Meter};
use crate::plan::Plan;
use crate::table::Table;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    if !machine::has("redis-benchmark") {
        return Vec::new();
    }
    let redis = Redis::start();
    redis.set(KEY, 3);
    let contenders = contender::ways_to(&redis, redis.address());
    let one = |(requesters, depth)| {
        let load = load(plan, requesters, depth);
        let title = format!("GET by redis-benchmark, {requesters} requesters, {depth} at once by each");
        Table::compare(title, plan, &contenders, |contender| {
            redis_benchmark(contender.door(), &load, &mut Meter::of(contender))
        })
    };
    let one_each = one((50, 1)).aim(Measure::Cpu, TIELINE, NUTCRACKER, AtMost(0.6));
    let many = one((500, 1)).aim(Measure::Cpu, TIELINE, NUTCRACKER, AtMost(0.6));
    let deep = one((50, 16)).aim(Measure::Rate, TIELINE, NUTCRACKER, AtLeast(3.0));
    vec![one_each, many, deep]
}
