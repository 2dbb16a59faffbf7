//! Requesters that send many requests at once.

use super::{answered, load, saturated};
use crate::aim::Bound::AtLeast;
use crate::contender::{self, Contender, DIRECT, DIRECT_UNIX, NUTCRACKER, Redis, TIELINE};
use crate::load::resp;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

const DEPTHS: [usize; 2] = [16, 128];

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let mut contenders = contender::ways_to(&redis, redis.address());
    contenders.insert(1, Contender::direct(DIRECT_UNIX, redis.unix(), redis.pids()));
    // By default a connection has 1024 transactions in flight: at depth 128 the others of 50 requesters wait in the queue.
    let options = "resp requesters=20000 connections=1 pipeline=8192";
    contenders.push(contender::tieline(
        "tieline, 1 connection, pipeline=8192",
        &[redis.address()],
        options,
        redis.pids(),
    ));
    DEPTHS.into_iter().map(|depth| one(plan, &contenders, depth)).collect()
}

fn one(plan: &Plan, contenders: &[Contender], depth: usize) -> Table {
    let (load, exchange) = (load(plan, 50, depth), resp::get("key", 3));
    let title = format!("GET, 50 requesters, {depth} requests at once by each");
    let table = Table::compare(title, plan, contenders, |contender| saturated(contender, &exchange, &load));
    let table = table.count_syscalls(plan, contenders, |contender| answered(contender, &exchange, &load));
    let table = table.no_peer_wins(&[Measure::Rate, Measure::Cpu]);
    if depth != 16 {
        return table;
    }
    table.aim(Measure::Rate, TIELINE, NUTCRACKER, AtLeast(3.0)).aim(Measure::Rate, TIELINE, DIRECT, AtLeast(0.8))
}
