//! GET and SET of three bytes, one at a time, at few and at many requesters.

use super::{answered, load, saturated};
use crate::aim::Bound::{AtLeast, AtMost};
use crate::contender::{self, Contender, DIRECT, DIRECT_UNIX, NUTCRACKER, Redis, TIELINE};
use crate::load::{Exchange, resp};
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

const REQUESTERS: [usize; 4] = [1, 50, 500, 5000];

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let mut contenders = contender::ways_to(&redis, redis.address());
    contenders.insert(1, Contender::direct(DIRECT_UNIX, redis.unix(), redis.pids()));
    let exchanges = [("GET", resp::get("key", 3)), ("SET", resp::set("other", 3))];
    let cases = REQUESTERS.iter().flat_map(|count| exchanges.iter().map(move |exchange| (*count, exchange)));
    cases.map(|(count, (name, exchange))| one(plan, &contenders, count, name, exchange)).collect()
}

fn one(plan: &Plan, contenders: &[Contender], count: usize, name: &str, exchange: &Exchange) -> Table {
    let load = load(plan, count, 1);
    let title = format!("{name}, {count} requester{}", if count == 1 { "" } else { "s" });
    let table = Table::compare(title, plan, contenders, |contender| saturated(contender, exchange, &load));
    let mut table = aims(table, count);
    if name == "GET" {
        table = table.count_syscalls(plan, contenders, |contender| answered(contender, exchange, &load));
    }
    if (name, count) == ("GET", 50) {
        table = table.aim_of(Measure::RequesterSyscalls, TIELINE, AtMost(2.2));
    }
    table.no_peer_wins(&[Measure::Rate, Measure::Cpu])
}

fn aims(table: Table, count: usize) -> Table {
    match count {
        1 => table.aim(Measure::P50, TIELINE, NUTCRACKER, AtMost(1.0)).aim(Measure::P50, TIELINE, DIRECT, AtMost(2.2)),
        50 => table.aim(Measure::Cpu, TIELINE, NUTCRACKER, AtMost(0.6)).aim(
            Measure::Rate,
            TIELINE,
            NUTCRACKER,
            AtLeast(1.1),
        ),
        500 => table.aim(Measure::Cpu, TIELINE, NUTCRACKER, AtMost(0.6)),
        _ => table,
    }
}
