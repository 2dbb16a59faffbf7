//! 100 hosts at once: for tieline these are 100 processes.

use super::{load, saturated};
use crate::contender::{Protocol, Redis, TIELINE, haproxy, nutcracker, tieline};
use crate::load::resp;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

const HOSTS: usize = 100;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let hosts = vec![redis.address(); HOSTS];
    let mut contenders = Vec::new();
    contenders.extend(nutcracker(Protocol::Redis, &hosts, redis.pids()));
    contenders.extend(haproxy(&hosts, redis.pids()));
    contenders.push(tieline(TIELINE, &hosts, "resp connections=1", redis.pids()));
    let (load, exchange) = (load(plan, 2 * HOSTS, 1), resp::get("key", 3));
    let title = format!("GET, {HOSTS} hosts, 2 requesters each");
    let table = Table::compare(title, plan, &contenders, |contender| saturated(contender, &exchange, &load));
    let told = "Behind all hosts is the same Redis. tieline has a process for each, so that none can hurt another.";
    vec![table.note(told).no_peer_wins(&[Measure::Rate, Measure::Cpu])]
}
