//! What is needed by those that have nothing to do, and the time to start.

use std::io;

use crate::aim::Bound::AtMost;
use crate::contender::{self, Contender, Protocol, Redis, TIELINE, Tieline, haproxy, nutcracker, tieline};
use crate::load::{Exchange, idle, resp};
use crate::measure::{Measure, Sample, memory_kb, private_kb, wait_for_calm};
use crate::plan::Plan;
use crate::table::Table;

const REQUESTERS: usize = 5000;

/// Starting a thousand processes takes a while: so many rounds are enough.
const STARTS: usize = 3;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    vec![requesters(plan, &redis), child(plan, &redis), hosts(plan, &redis)]
}

/// Idle requesters, each of which has asked once.
fn requesters(plan: &Plan, redis: &Redis) -> Table {
    let mut table = Table::new("Memory of 5,000 idle requesters, each of which has asked once");
    for round in 0..plan.rounds.min(STARTS) {
        for contender in contender::proxies_to(redis.address(), redis.pids()) {
            table.add(&contender.name, round, || sleepers(&contender, &resp::get("key", 3)));
        }
    }
    table.aim_of(Measure::PerRequester, TIELINE, AtMost(1024.0))
}

fn sleepers(contender: &Contender, exchange: &Exchange) -> io::Result<Sample> {
    let mut buffer = [0; 256];
    let mut first = idle(&contender.doors, 1)?;
    first[0].ask(&exchange.request, &exchange.reply, &mut buffer)?;
    let before = private_kb(&contender.proxy());
    let mut sleepers = idle(&contender.doors, REQUESTERS)?;
    for sleeper in &mut sleepers {
        sleeper.ask(&exchange.request, &exchange.reply, &mut buffer)?;
    }
    let after = private_kb(&contender.proxy());
    let each = (after - before) * 1024.0 / REQUESTERS as f64;
    Ok(Sample::default().with(Measure::PerRequester, each).with(Measure::Memory, memory_kb(&contender.proxy())))
}

/// The processes of one host that has answered one request, of one daemon alone: what it shares with others of its kind
/// would be counted by its share.
fn child(plan: &Plan, redis: &Redis) -> Table {
    let (hosts, pids) = ([redis.address()], redis.pids());
    let mut table = Table::new("Memory of the processes of one host, which has answered one request");
    for round in 0..plan.rounds.min(STARTS) {
        let peers = [nutcracker(Protocol::Redis, &hosts, pids.clone()), haproxy(&hosts, pids.clone())];
        for peer in peers.iter().flatten() {
            table.add(&peer.name, round, || asked_once(peer, 0));
        }
        let ours = tieline(TIELINE, &hosts, "resp", pids.clone());
        table.add("tieline, the child", round, || asked_once(&ours, 1));
        table.add("tieline, the parent", round, || asked_once(&ours, 0));
    }
    table.aim_of(Measure::Memory, "tieline, the child", AtMost(2048.0))
}

/// Of the process at this place of the family.
fn asked_once(contender: &Contender, place: usize) -> io::Result<Sample> {
    let exchange = resp::get("key", 3);
    idle(&contender.doors, 1)?[0].ask(&exchange.request, &exchange.reply, &mut [0; 256])?;
    let family = contender.proxy();
    let pid = family.get(place).ok_or_else(|| io::Error::other("there is no such process"))?;
    Ok(Sample::default().with(Measure::Memory, memory_kb(&[*pid])).with(Measure::Private, private_kb(&[*pid])))
}

fn hosts(plan: &Plan, redis: &Redis) -> Table {
    let mut table = Table::new("Starting many hosts, and the memory of all processes together");
    for round in 0..plan.rounds.min(STARTS) {
        for (count, start) in [(200, "boot"), (1000, "boot"), (1000, "demand")] {
            table.add(&format!("{count} hosts, start={start}"), round, || {
                wait_for_calm(plan);
                started(redis, count, start)
            });
        }
    }
    let told = "Started is: READY=1 was said, which tieline says when each child is ready, or after 10 s.";
    let table = table.aim_of(Measure::Start, "200 hosts, start=boot", AtMost(1000.0));
    table.aim_of(Measure::MemoryEach, "200 hosts, start=boot", AtMost(2048.0)).note(told)
}

fn started(redis: &Redis, count: usize, start: &str) -> io::Result<Sample> {
    let address = redis.address();
    let lines: Vec<_> = (0..count).map(|number| format!("h{number} {address} resp start={start}")).collect();
    let daemon = Tieline::start(&lines).map_err(io::Error::other)?;
    let memory = memory_kb(&daemon.running.family());
    let ready_ms = daemon.ready_after.as_secs_f64() * 1e3;
    let sample = Sample::default().with(Measure::Start, ready_ms).with(Measure::Memory, memory);
    Ok(sample.with(Measure::MemoryEach, memory / count as f64))
}
