//! The parent is killed under load: its children retire, a new parent takes over at once. A requester sees a close at
//! most; no answer is wrong, none is missing for what was answered, nothing reaches the host twice.

use std::collections::HashMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::far;
use crate::common::{ChaosHost, Daemon, Place, Requester, encode, tag, wait_for_service, wait_until};

const REQUESTERS: u64 = 20;
const KILLS: usize = 5;
/// Tags of one requester.
const TAGS: u64 = 1 << 32;

/// Asks until `over`, connecting again when closed; whether each request was answered.
fn ask_through_closures(socket: &Path, first: u64, over: &AtomicBool) -> HashMap<u64, bool> {
    let (mut answered, mut next) = (HashMap::new(), first);
    while !over.load(Ordering::Relaxed) {
        let Ok(mut requester) = Requester::try_connect(socket, Dialect::Line) else {
            sleep(Duration::from_millis(2)); // nobody listens until the next parent does
            continue;
        };
        while !over.load(Ordering::Relaxed) {
            next += 1;
            let sent = requester.stream.write_all(&encode(Dialect::Line, &tag(next)));
            let reply = sent.ok().and_then(|()| requester.next_reply().expect("a reply or the end, in time"));
            answered.insert(next, reply.is_some());
            let Some(reply) = reply else { break };
            assert_is_reply(&reply, &tag(next));
        }
    }
    answered
}

fn kill_and_start_again(place: &Arc<Place>, host: &ChaosHost, mut daemon: Daemon) -> Daemon {
    let so_far = host.list_length();
    wait_until("they are at it", || (host.list_length() > so_far + 20_000).then_some(()));
    let children = daemon.children_seen();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    daemon.leave();
    let next = place.start();
    wait_for_service(&place.socket("far"), Dialect::Line);
    for child in children {
        wait_until("the children of the dead are gone", || (!child.is_alive()).then_some(()));
    }
    next
}

#[test]
fn a_parent_killed_under_load_is_followed_at_once_by_another_and_costs_a_close_at_most() {
    let host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&far(&host, "")]);
    let (over, socket) = (AtomicBool::new(false), place.socket("far"));
    let mut daemon = Some(place.start());
    let answered: Vec<HashMap<u64, bool>> = thread::scope(|scope| {
        let (over, socket) = (&over, &socket);
        let ask = |n| scope.spawn(move || ask_through_closures(socket, (n + 1) * TAGS, over));
        let threads: Vec<_> = (0..REQUESTERS).map(ask).collect();
        for _ in 0..KILLS {
            let running = daemon.take().expect("one runs");
            daemon = Some(kill_and_start_again(&place, &host, running));
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("every answer was right")).collect()
    });
    judge(&answered, &host.received());
    daemon.take().expect("one runs").stop();
}

fn judge(answered: &[HashMap<u64, bool>], received: &HashMap<u64, u32>) {
    for (number, answered) in answered.iter().flatten() {
        let times = received.get(number).copied().unwrap_or(0);
        assert!(times <= 1, "request {number} reached the host {times} times");
        assert!(!answered || times == 1, "request {number} was answered and never reached the host");
    }
    let all = answered.iter().map(HashMap::len).sum::<usize>();
    let closed = answered.iter().flat_map(HashMap::values).filter(|answered| !**answered).count();
    println!("{all} requests, {closed} closed without a reply by {KILLS} deaths of the parent");
    assert!(closed * 2 < all, "more than half must be replies, or nothing is shown");
}

#[test]
fn the_next_parent_waits_for_an_address_that_the_children_of_the_dead_one_still_have() {
    let host = ChaosHost::start(Dialect::Line);
    // In their place: how long they take is chance (and a stopped one is woken by the kernel when its parent dies).
    let child = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = child.local_addr().expect("it has an address");
    let place = Place::new(&[&far(&host, &format!("listen={address}"))]);
    let next = thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the next one waits", || place.log().contains("is taken; waiting").then_some(()));
            drop(child);
        });
        place.start()
    });
    TcpStream::connect(address).expect("somebody listens");
    next.stop();
}
