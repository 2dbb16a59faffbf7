//! Requesters that connect, ask once and leave, one after the other.

use std::io;

use super::load;
use crate::aim::Bound::AtMost;
use crate::contender::{self, Contender, DIRECT, DIRECT_TLS, DIRECT_UNIX, Redis, TIELINE};
use crate::load::{Exchange, Load, oneshot, resp};
use crate::measure::{Measure, Meter, Sample};
use crate::plan::Plan;
use crate::table::Table;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let mut contenders = contender::ways_to(&redis, redis.address());
    contenders.insert(1, Contender::direct(DIRECT_UNIX, redis.unix(), redis.pids()));
    contenders.extend(redis.tls().map(|door| Contender::direct(DIRECT_TLS, door, redis.pids())));
    let (load, exchange) = (load(plan, 1, 1), resp::get("key", 3));
    let table =
        Table::compare("GET, each by a requester that connects for it and leaves", plan, &contenders, |contender| {
            live(contender, &exchange, &load)
        });
    let table = table.aim(Measure::Each, TIELINE, DIRECT, AtMost(1.0));
    let table = table.aim(Measure::Each, TIELINE, DIRECT_TLS, AtMost(0.33));
    vec![table.no_peer_wins(&[Measure::Each, Measure::Cpu])]
}

/// One life after the other.
pub(super) fn live(contender: &Contender, exchange: &Exchange, load: &Load) -> io::Result<Sample> {
    let mut meter = Meter::of(contender);
    let run = oneshot(contender.door(), exchange, load, &mut meter)?;
    let sample = meter.sample(&run);
    let each = sample.get(Measure::Rate).map_or(f64::NAN, |rate| 1e6 / rate);
    Ok(sample.with(Measure::Each, each))
}
