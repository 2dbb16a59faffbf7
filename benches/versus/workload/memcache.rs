//! memcached, by its text protocol.

use super::{load, saturated};
use crate::contender::{Contender, DIRECT, Door, Memcached, Protocol, TIELINE, haproxy, nutcracker, try_tieline};
use crate::load::{Exchange, Stream};
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let Some(memcached) = Memcached::start() else { return Vec::new() };
    let (host, pids) = (memcached.address(), memcached.pids());
    let mut contenders = vec![Contender::direct(DIRECT, Door::Tcp(host), pids.clone())];
    contenders.extend(nutcracker(Protocol::Memcache, &[host], pids.clone()));
    contenders.extend(haproxy(&[host], pids.clone()));
    let ours = try_tieline(TIELINE, &[host], "memcache connections=1", pids);
    let note = ours.as_ref().err().map(|_| "This build of tieline does not know the dialect `memcache`.");
    contenders.extend(ours);
    store(&Door::Tcp(host)).expect("memcached stores a value");
    let (crowd, deep) = (load(plan, 50, 1), load(plan, 50, 16));
    let exchange = Exchange { request: b"get key\r\n".to_vec(), reply: b"VALUE key 0 3\r\nxxx\r\nEND\r\n".to_vec() };
    let one = |title, load| {
        let table = Table::compare(title, plan, &contenders, |contender| saturated(contender, &exchange, &load));
        let table = table.no_peer_wins(&[Measure::Rate, Measure::Cpu]);
        if let Some(note) = note { table.note(note) } else { table }
    };
    vec![one("memcached get, 50 requesters", crowd), one("memcached get, 50 requesters, 16 at once by each", deep)]
}

fn store(door: &Door) -> std::io::Result<()> {
    Stream::connect(door)?.ask(b"set key 0 0 3\r\nxxx\r\n", b"STORED\r\n", &mut [0; 64])
}
