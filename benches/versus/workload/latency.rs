//! Latency when requests arrive at a fixed rate, whether or not the earlier ones are answered.

use super::load;
use crate::contender::{self, Contender, DIRECT_UNIX, Redis};
use crate::load::{paced, resp};
use crate::measure::{Measure, Meter};
use crate::plan::Plan;
use crate::table::Table;

/// Per second. All contenders can do these.
const RATES: [f64; 2] = [2_000.0, 10_000.0];

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let mut contenders = contender::ways_to(&redis, redis.address());
    contenders.insert(1, Contender::direct(DIRECT_UNIX, redis.unix(), redis.pids()));
    let (load, exchange) = (load(plan, 50, 1), resp::get("key", 3));
    let one = |rate: f64| {
        let title = format!("GET, {rate} arriving per second, 50 requesters");
        let table = Table::compare(title, plan, &contenders, |contender| {
            let mut meter = Meter::of(contender);
            let run = paced(&contender.doors, &exchange, (&load, rate), &mut meter)?;
            Ok(meter.sample(&run))
        });
        table.no_peer_wins(&[Measure::P50, Measure::P99, Measure::Cpu])
    };
    RATES.into_iter().map(one).collect()
}
