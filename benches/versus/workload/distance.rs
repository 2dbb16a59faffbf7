//! A host that is far away: requesters that stay, and requesters that come for one request.

use std::time::Duration;

use super::oneshot::live;
use super::{load, saturated};
use crate::aim::Bound::AtMost;
use crate::contender::{self, Contender, DIRECT, DIRECT_TLS, Door, Redis, TIELINE};
use crate::load::{Relay, resp};
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

/// There and back.
const DISTANCES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    DISTANCES.into_iter().flat_map(|distance| far(plan, &redis, distance)).collect()
}

fn far(plan: &Plan, redis: &Redis, distance: Duration) -> [Table; 2] {
    let relay = Relay::start(redis.address(), distance);
    let mut contenders = contender::ways_to(redis, relay.address);
    let (exchange, name) = (resp::get("key", 3), format!("a host {} ms away", distance.as_millis()));
    let crowd = load(plan, 50, 1);
    let stay = Table::compare(format!("GET, 50 requesters, {name}"), plan, &contenders, |contender| {
        saturated(contender, &exchange, &crowd)
    });
    if let Some(Door::Tls(address, config)) = redis.tls() {
        let door = Door::Tls(Relay::start(address, distance).address, config);
        contenders.push(Contender::direct(DIRECT_TLS, door, redis.pids()));
    }
    let each = load(plan, 1, 1);
    let title = format!("GET, each by a requester that connects for it and leaves, {name}");
    let leave = Table::compare(title, plan, &contenders, |contender| live(contender, &exchange, &each));
    let leave = leave.aim(Measure::Each, TIELINE, DIRECT, AtMost(1.0));
    [stay.no_peer_wins(&[Measure::Rate]), leave.no_peer_wins(&[Measure::Each])]
}
