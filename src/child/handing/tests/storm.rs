//! Generation after generation, while requesters of all kinds go on: every request is answered once, in order, and by
//! nobody else's reply.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::house::{Child, House, Visitor};

/// Requests that were sent, in their order, by a requester of this name.
fn line(name: usize, number: usize) -> String {
    format!("{name}.{number}")
}

/// Sends requests in bursts and pieces until it is told to stop; says how many before it sends the last one.
fn send(mut to: UnixStream, name: usize, mut rng: fastrand::Rng, stop: &AtomicBool, total: &AtomicUsize) {
    let mut sent = 0;
    while !stop.load(SeqCst) {
        let burst = rng.usize(1..40);
        let bytes: Vec<u8> = (sent..sent + burst).flat_map(|number| (line(name, number) + "\n").into_bytes()).collect();
        sent += burst;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.usize(1..=rest.len()));
            to.write_all(now).unwrap();
            rest = later;
            if rng.u8(..8) == 0 {
                std::thread::sleep(Duration::from_micros(rng.u64(..3000)));
            }
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..10)));
    }
    total.store(sent, SeqCst);
    to.write_all(b"end\n").unwrap();
}

/// Reads until the answer to the last request, and checks each; how many there were, and how many were the host's own.
fn check(mut visitor: Visitor, name: usize, total: &AtomicUsize) -> (usize, usize) {
    let (mut last_id, mut number, mut replies) = (0, 0, 0);
    loop {
        let reply = visitor.reply();
        let is_last = total.load(SeqCst) == number;
        if let Some(id) = reply.strip_prefix("con_delayed:") {
            let id: u64 = id.parse().unwrap();
            assert!(id > last_id, "stored in the order of writing");
            last_id = id;
        } else {
            let wanted = if is_last { "end".to_owned() } else { line(name, number) };
            assert_eq!(reply, format!("re:{wanted}"));
            replies += 1;
        }
        number += 1;
        if is_last {
            return (number, replies);
        }
    }
}

fn requester(visitor: Visitor, name: usize, rng: fastrand::Rng, stop: &Arc<AtomicBool>) -> JoinHandle<(usize, usize)> {
    let (to, stop, total) = (visitor.split(), Arc::clone(stop), Arc::new(AtomicUsize::new(usize::MAX)));
    let said = Arc::clone(&total);
    std::thread::spawn(move || send(to, name, rng, &stop, &said));
    std::thread::spawn(move || check(visitor, name, &total))
}

/// Replaces children at random, up to three of whom live at once; the last one.
fn replace(house: &House, first: Child, generations: usize, rng: &mut fastrand::Rng) -> (Child, u64) {
    let (mut newest, mut leaving, mut replies) = (first, Vec::<Child>::new(), 0);
    for _ in 0..generations {
        std::thread::sleep(Duration::from_millis(rng.u64(..30)));
        let next = {
            let predecessors: Vec<&Child> = leaving.iter().chain([&newest]).collect();
            house.start(&predecessors)
        };
        newest.hand_over();
        leaving.push(std::mem::replace(&mut newest, next));
        if leaving.len() > 1 {
            replies += leaving.remove(0).join().outcomes.replies;
        }
    }
    replies += leaving.into_iter().map(|child| child.join().outcomes.replies).sum::<u64>();
    (newest, replies)
}

fn storm(seed: u64, with_deferred: bool) {
    let mut house = House::new();
    house.settings.window = 16;
    house.settings.workers = 1 + u32::try_from(seed % 3).unwrap();
    house.settings.deferred = with_deferred;
    let mut rng = fastrand::Rng::with_seed(seed);
    let first = house.start(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let requesters: Vec<_> = (0..8)
        .map(|name| {
            let visitor = if with_deferred && name % 2 == 0 { house.defer() } else { house.visit() };
            requester(visitor, name, rng.fork(), &stop)
        })
        .collect();
    let (last, mut replies) = replace(&house, first, 12, &mut rng);
    stop.store(true, SeqCst);
    let (mut all, mut own) = (0, 0);
    for checker in requesters {
        let (answered, by_host) = checker.join().unwrap();
        (all, own) = (all + answered, own + by_host);
    }
    last.wait_until(|snapshot| snapshot.spool.depth == 0);
    replies += last.retire().outcomes.replies;
    println!("seed {seed}: {all} requests, {own} answered by the host at once");
    assert_eq!(house.host.each_once(), all as u64, "seed {seed}");
    // Replays count as replies, too.
    assert_eq!(replies, all as u64, "seed {seed}");
}

#[test]
fn through_many_generations_each_request_reaches_the_host_once_and_is_answered_in_order() {
    for seed in 0..4 {
        storm(seed, false);
    }
}

#[test]
fn through_many_generations_deferred_requests_reach_the_host_once_as_well() {
    for seed in 0..4 {
        storm(seed, true);
    }
}
