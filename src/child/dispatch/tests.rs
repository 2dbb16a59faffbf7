//! The dispatch without any socket: single rules by example, and promise 1 under random events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::Address;
use crate::dialect::Dialect;
use crate::pool;
use crate::requester::Standing;
use crate::spool::replay::{Ask, Record, Row};
use crate::work::Tagged;

const TIMEOUT: Duration = Duration::from_secs(1);

fn settings() -> HostSettings {
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
    let mut host = HostSettings::with_defaults("host", address, Dialect::Line);
    (host.connections, host.pipeline, host.timeout) = (2, 4, TIMEOUT);
    host
}

fn dispatch(change: impl Fn(&mut HostSettings)) -> (Dispatch, Instant) {
    let mut host = settings();
    change(&mut host);
    (Dispatch::new(host, 1), Instant::now())
}

/// Opens a connection as the connector would.
fn open(dispatch: &mut Dispatch, now: Instant) -> ConnectionId {
    dispatch.attempt_begins();
    dispatch.opened(now)
}

/// Sends everything that a connection has to write, and returns it.
fn sent(dispatch: &mut Dispatch, connection: ConnectionId, now: Instant) -> String {
    let mut all = Vec::new();
    while !dispatch.outgoing(connection).is_empty() {
        all.extend_from_slice(dispatch.outgoing(connection));
        let count = dispatch.outgoing(connection).len();
        dispatch.wrote(connection, count, now);
    }
    String::from_utf8(all).unwrap()
}

/// Takes everything that a requester is given.
fn given(dispatch: &mut Dispatch, requester: RequesterId, now: Instant) -> String {
    let bytes = dispatch.account(requester).unwrap().unsent().to_vec();
    dispatch.took(requester, bytes.len(), now);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_request_is_answered_by_the_host() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    d.request(r, b"ping\n", now);
    assert_eq!(d.next_attempt(now), Some(now), "the first work opens a connection");
    let c = open(&mut d, now);
    assert_eq!(sent(&mut d, c, now), "ping\n");
    d.received(c, b"po", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), "");
    d.received(c, b"ng\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), "pong\n");
    assert_eq!(d.tally.outcomes().replies, 1);
}

#[test]
fn a_late_reply_reaches_nobody_and_its_neighbour_keeps_its_own_deadline() {
    let (mut d, now) = dispatch(|_| ());
    let (slow, neighbour) = (d.join(), d.join());
    let c = open(&mut d, now);
    d.request(slow, b"slow\n", now);
    let later = now + TIMEOUT / 2;
    d.request(neighbour, b"quick\n", later);
    sent(&mut d, c, later);
    let passed = now + TIMEOUT;
    assert_eq!(d.alarm(), Some(passed), "the timer is set to the first deadline");
    d.expire(passed);
    assert_eq!(given(&mut d, slow, passed), "con_unknown\n");
    assert_eq!(given(&mut d, neighbour, passed), "");
    d.request(slow, b"again\n", passed);
    assert_eq!(sent(&mut d, c, passed), "", "a connection with a tombstone takes no new work");
    d.received(c, b"late\nfor neighbour\n", passed, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, neighbour, passed), "for neighbour\n");
    assert_eq!(given(&mut d, slow, passed), "");
    assert_eq!(sent(&mut d, c, passed), "again\n", "once the late reply was read it takes work again");
}

#[test]
fn a_tombstone_that_grows_old_ends_its_connection() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    let c = open(&mut d, now);
    d.request(r, b"slow\n", now);
    sent(&mut d, c, now);
    d.expire(now + TIMEOUT);
    d.expire(now + TIMEOUT * 2);
    assert_eq!(d.ended(c).map(|(why, _)| why), Some("a reply did not come within 2 s"));
}

#[test]
fn what_was_never_sent_times_out_as_such_and_never_leaves() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    let c = open(&mut d, now);
    d.request(r, b"first\n", now);
    d.request(r, b"second\n", now);
    d.wrote(c, 3, now);
    d.expire(now + TIMEOUT);
    assert_eq!(given(&mut d, r, now), "con_unknown\ncon_timeout\n");
    assert_eq!(sent(&mut d, c, now), "st\n");
}

#[test]
fn a_broken_connection_fails_what_was_sent_and_puts_back_what_was_not() {
    let (mut d, now) = dispatch(|host| host.connections = 1);
    let r = d.join();
    let c = open(&mut d, now);
    for request in ["one\n", "two\n", "three\n"] {
        d.request(r, request.as_bytes(), now);
    }
    d.wrote(c, 5, now);
    d.broke(c, "reset", now + Duration::from_secs(2));
    let (_, cost) = d.ended(c).unwrap();
    assert_eq!((cost.unknown, cost.requeued), (2, 1));
    assert_eq!(given(&mut d, r, now), "con_unknown\ncon_unknown\n");
    d.released(c);
    let c = open(&mut d, now);
    assert_eq!(sent(&mut d, c, now), "three\n");
}

#[test]
fn a_dead_host_ends_the_queue_and_answers_at_once() {
    let (mut d, now) = dispatch(|host| host.retries = 2);
    let r = d.join();
    d.request(r, b"one\n", now);
    for _ in 0..2 {
        assert_eq!(given(&mut d, r, now), "");
        d.attempt_begins();
        d.attempt_failed("refused", now);
    }
    d.request(r, b"two\n", now);
    assert_eq!(given(&mut d, r, now), "con_lost\ncon_lost\n");
    assert!(d.next_attempt(now).is_some_and(|at| at > now), "one probe at a time goes on");
    d.probe(now);
    assert_eq!(d.next_attempt(now), Some(now), "and somebody may ask for one now");
}

#[test]
fn a_full_queue_is_busy_in_the_requesters_order() {
    let (mut d, now) = dispatch(|host| host.queue = 1);
    let r = d.join();
    d.request(r, b"one\n", now);
    d.request(r, b"two\n", now);
    assert_eq!(given(&mut d, r, now), "", "its turn has not come");
    let c = open(&mut d, now);
    sent(&mut d, c, now);
    d.received(c, b"1\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), "1\ncon_busy\n");
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_connection() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    let c = open(&mut d, now);
    assert!(d.received(c, b"hello\n", now, &mut |_, _| 0).is_err());
    d.request(r, b"ping\n", now);
    assert!(d.received(c, b"hello\n", now, &mut |_, _| 0).is_err(), "not even if it comes before the request was sent");
    d.broke(c, "unasked", now);
    assert_eq!(d.ended(c).unwrap().1.requeued, 1);
}

#[test]
fn a_requesters_next_request_follows_its_last_one() {
    let (mut d, now) = dispatch(|_| ());
    let (r, other) = (d.join(), d.join());
    let (c0, c1) = (open(&mut d, now), open(&mut d, now));
    d.request(r, b"r1\n", now);
    d.request(other, b"o1\n", now);
    d.request(r, b"r2\n", now);
    d.request(r, b"r3\n", now);
    assert_eq!(sent(&mut d, c0, now), "r1\nr2\nr3\n");
    assert_eq!(sent(&mut d, c1, now), "o1\n");
}

#[test]
fn a_further_connection_is_opened_when_the_least_busy_is_slow_full_or_owes_many() {
    let (mut d, now) = dispatch(|host| (host.pipeline, host.connections) = (100, 2));
    let requesters: Vec<_> = (0..102).map(|_| d.join()).collect();
    open(&mut d, now);
    d.request(requesters[0], b"x\n", now);
    d.request(requesters[1], b"x\n", now);
    assert_eq!(d.next_attempt(now), None, "one connection is enough");
    d.request(requesters[2], b"x\n", now + Duration::from_millis(11));
    assert!(d.next_attempt(now).is_some(), "a reply has been owed for over 10 ms");
    d.attempt_begins();
    d.attempt_failed("too many connections", now);
    assert_eq!(d.reach().standing(), pool::Standing::Up, "a failed extra connection fails nobody");
    let (mut d, now) = dispatch(|host| (host.pipeline, host.connections) = (100, 2));
    open(&mut d, now);
    let requesters: Vec<_> = (0..67).map(|_| d.join()).collect();
    for r in &requesters[..65] {
        d.request(*r, b"x\n", now);
        assert_eq!(d.next_attempt(now), None);
    }
    d.request(requesters[65], b"x\n", now);
    assert!(d.next_attempt(now).is_some(), "more than 64 replies are owed");
}

#[test]
fn a_large_reply_passes_through_and_one_that_breaks_off_closes_its_requester() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    let c = open(&mut d, now);
    d.request(r, b"big\n", now);
    sent(&mut d, c, now);
    let piece = vec![b'x'; 50_000];
    d.received(c, &piece, now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now).len(), 0, "small pieces are held");
    d.received(c, &piece, now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now).len(), 100_000, "past 64 KiB it is passed on");
    d.expire(now + TIMEOUT - Duration::from_millis(1));
    d.received(c, b"y", now + TIMEOUT - Duration::from_millis(1), &mut |_, _| 0).unwrap();
    d.expire(now + TIMEOUT);
    assert_eq!(d.ended(c), None, "a reply that makes progress has no deadline");
    d.broke(c, "reset", now);
    assert_eq!(d.account(r).unwrap().standing, Standing::Cut);
}

#[test]
fn a_requester_that_is_cut_and_leaves_takes_nobody_elses_transaction_along() {
    let (mut d, now) = dispatch(|_| ());
    let (cut, other) = (d.join(), d.join());
    let c = open(&mut d, now);
    d.request(cut, b"large\n", now);
    sent(&mut d, c, now);
    d.received(c, &vec![b'x'; crate::pool::HOLD + 1], now, &mut |_, _| 0).unwrap();
    d.broke(c, "gone", now);
    assert_eq!(d.account(cut).unwrap().standing, Standing::Cut);
    d.request(other, b"mine\n", now);
    d.leave(cut);
    let c = open(&mut d, now);
    assert_eq!(sent(&mut d, c, now), "mine\n");
    d.received(c, b"yours\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, other, now), "yours\n");
}

#[test]
fn an_idle_reader_of_a_large_reply_holds_up_its_connection_only_while_it_is_alone_on_it() {
    let (mut d, now) = dispatch(|host| host.unread = 100_000);
    let (r, other) = (d.join(), d.join());
    let c = open(&mut d, now);
    d.request(r, b"big\n", now);
    sent(&mut d, c, now);
    d.received(c, &vec![b'x'; 200_000], now, &mut |_, _| 0).unwrap();
    d.took(r, 0, now);
    assert!(!d.may_receive(c));
    d.request(other, b"small\n", now);
    assert_eq!(sent(&mut d, c, now), "", "a stalled connection takes no new work");
    d.took(r, 150_000, now);
    assert!(d.errands.wake.contains(&c), "it is woken when its reader has read");
    assert!(d.may_receive(c));
    d.took(r, 0, now);
    d.received(c, &vec![b'x'; 200_000], now, &mut |_, _| 0).unwrap();
    d.request(other, b"small\n", now);
    sent(&mut d, c, now);
    d.took(r, 0, now);
    assert!(d.may_receive(c), "others wait behind the large reply");
    d.expire(now + TIMEOUT);
    assert_eq!(d.account(r).unwrap().standing, Standing::Cut, "and the idle reader is closed, alone");
}

#[test]
fn idle_connections_are_closed() {
    let (mut d, now) = dispatch(|host| host.idle = Duration::from_secs(5));
    let c = open(&mut d, now);
    assert_eq!(d.alarm(), Some(now + Duration::from_secs(5)));
    d.expire(now + Duration::from_secs(5));
    assert_eq!(d.ended(c).map(|(why, _)| why), Some("it was idle"));
}

#[test]
fn what_follows_a_first_try_in_flight_is_not_stored_before_it() {
    let (mut d, now) = dispatch(|host| host.pipeline = 1);
    d.open_spool(1, false, TIMEOUT, None);
    d.store_answered(StoreAnswer::Open(0), now);
    let (r, other, c) = (d.join(), d.join(), open(&mut d, now));
    [r, other].into_iter().for_each(|each| d.defer(each));
    d.request(r, b"1\n", now);
    assert_eq!(sent(&mut d, c, now), "1\n");
    d.request(r, b"2\n", now);
    // Something else is stored: no first try may overtake it any more, so that the second request is stored, too.
    let bodies = |d: &mut Dispatch| -> Vec<Box<[u8]>> {
        let appended = |errand| match errand {
            Errand::Append { request, .. } => Some(request.body),
            Errand::Replay(_) => None,
        };
        std::mem::take(&mut d.errands.store).into_iter().filter_map(appended).collect()
    };
    d.store_answered(StoreAnswer::Closed, now);
    d.request(other, b"x\n", now);
    d.request(r, b"3\n", now);
    d.store_answered(StoreAnswer::Open(0), now);
    assert_eq!(bodies(&mut d), [Box::from(*b"x\n")], "while the first one is under way");
    d.broke(c, "cut", now);
    assert_eq!(bodies(&mut d), [b"1\n", b"2\n", b"3\n"].map(|body| Box::from(*body)));
    assert_eq!(d.tally.outcomes().unknown, 0, "it is stored, and in doubt");
}

#[test]
fn a_request_must_be_complete_in_time() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    d.within_request(r, true, now);
    d.within_request(r, true, now + TIMEOUT / 2);
    d.expire(now + TIMEOUT);
    assert_eq!(given(&mut d, r, now), "con_refused\n");
    assert_eq!(d.account(r).unwrap().standing, Standing::Closing);
}

/// A whole little world around a dispatch: requesters that number their requests, connections whose host answers in
/// order, and a list of what ever reached the host.
struct World {
    dispatch: Dispatch,
    now: Instant,
    serial: u32,
    requesters: BTreeMap<RequesterId, Local>,
    connections: BTreeMap<ConnectionId, Remote>,
    reached: BTreeSet<u32>,
    askers: BTreeMap<u32, RequesterId>,
    /// The last request of each requester that reached the host.
    last_reached: BTreeMap<RequesterId, u32>,
    store: Shelf,
}

/// A store in memory that answers when it is let.
#[derive(Default)]
struct Shelf {
    asked: VecDeque<Errand>,
    rows: BTreeMap<u64, Tagged>,
    highest: u64,
    mark: u64,
    /// What was acknowledged, by ID.
    acknowledged: BTreeMap<u64, u32>,
}

#[derive(Default)]
struct Local {
    deferred: bool,
    asked: Vec<u32>,
    read: Vec<u8>,
}

#[derive(Default)]
struct Remote {
    received: Vec<u8>,
    replies: Vec<u8>,
}

impl Shelf {
    fn answer(&mut self, errand: Errand, has_room: bool) -> StoreAnswer {
        match errand {
            Errand::Append { ticket, .. } if !has_room => StoreAnswer::Full(ticket, "full".to_owned()),
            Errand::Append { ticket, request, .. } => {
                self.highest += 1;
                let serial = std::str::from_utf8(&request.body[..6]).unwrap().parse().unwrap();
                self.acknowledged.insert(self.highest, serial);
                self.rows.insert(self.highest, request);
                StoreAnswer::Stored(ticket, self.highest)
            }
            Errand::Replay(Ask::Fetch(after)) => {
                let rows = self.rows.range(after + 1..).take(4);
                StoreAnswer::Fetched(rows.map(|(id, request)| Row { id: *id, request: request.clone() }).collect())
            }
            Errand::Replay(Ask::Record(ends, mark)) => {
                for (id, end) in ends {
                    if matches!(end, Record::Delivered | Record::Dead(..)) {
                        self.rows.remove(&id);
                    }
                }
                self.mark = self.mark.max(mark);
                StoreAnswer::Recorded(self.mark, self.rows.len() as u64)
            }
        }
    }
}

impl World {
    fn new(window: usize) -> Self {
        let (mut dispatch, now) = dispatch(|host| {
            (host.connections, host.pipeline, host.queue, host.window) = (3, 3, 12, 8);
            (host.retries, host.unread, host.idle) = (3, 200, Duration::from_secs(3));
        });
        dispatch.open_spool(window, false, TIMEOUT, None);
        dispatch.store_answered(StoreAnswer::Open(0), now);
        let (requesters, connections, store) = (BTreeMap::new(), BTreeMap::new(), Shelf::default());
        let (reached, askers, last_reached) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { dispatch, now, serial: 0, requesters, connections, reached, askers, last_reached, store }
    }

    fn step(&mut self, kind: u8, which: usize, amount: usize) -> Result<(), TestCaseError> {
        match kind {
            0 if self.requesters.len() < 6 => {
                let id = self.dispatch.join();
                let deferred = amount % 2 == 1;
                if deferred {
                    self.dispatch.defer(id);
                }
                let local = Local { deferred, ..Local::default() };
                prop_assert!(self.requesters.insert(id, local).is_none());
                self.last_reached.remove(&id);
            }
            1..=4 => self.ask(which, amount % 5),
            5 if amount.is_multiple_of(8) => self.leave(which),
            6 | 7 => self.attempt(!amount.is_multiple_of(4)),
            8..=10 => self.host_reads(which, amount % 40)?,
            11..=13 => self.host_replies(which, amount % 50)?,
            14 if amount.is_multiple_of(6) => self.break_one(which),
            15 => self.store_answers(!amount.is_multiple_of(16)),
            16 => self.now += Duration::from_millis(amount as u64 % 400),
            _ => {}
        }
        if self.dispatch.alarm().is_some_and(|alarm| alarm <= self.now) {
            self.dispatch.expire(self.now);
        }
        self.errands(!amount.is_multiple_of(3))
    }

    fn pick<K: Copy + Ord, V>(map: &BTreeMap<K, V>, which: usize) -> Option<K> {
        (!map.is_empty()).then(|| *map.keys().nth(which % map.len()).unwrap())
    }

    fn ask(&mut self, which: usize, count: usize) {
        let Some(id) = Self::pick(&self.requesters, which) else { return };
        for _ in 0..count {
            if !self.dispatch.may_read(id, self.now) {
                return;
            }
            self.serial += 1;
            self.requesters.get_mut(&id).unwrap().asked.push(self.serial);
            self.askers.insert(self.serial, id);
            self.dispatch.request(id, format!("{:06}\n", self.serial).as_bytes(), self.now);
        }
    }

    fn leave(&mut self, which: usize) {
        if let Some(id) = Self::pick(&self.requesters, which) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: RequesterId) {
        self.requesters.remove(&id);
        self.dispatch.leave(id);
        self.askers.retain(|_, asker| *asker != id);
    }

    fn attempt(&mut self, succeeds: bool) {
        if self.dispatch.next_attempt(self.now).is_none_or(|at| at > self.now) {
            return;
        }
        self.dispatch.attempt_begins();
        if succeeds {
            let id = self.dispatch.opened(self.now);
            assert!(self.connections.insert(id, Remote::default()).is_none());
        } else {
            self.dispatch.attempt_failed("refused", self.now);
        }
    }

    /// The host takes some bytes. Whoever's first byte is among them has reached it, each requester's in its order.
    fn host_reads(&mut self, which: usize, amount: usize) -> Result<(), TestCaseError> {
        let Some(id) = Self::pick(&self.connections, which) else { return Ok(()) };
        let unsent = self.dispatch.outgoing(id).to_vec();
        let count = amount.min(unsent.len());
        let remote = self.connections.get_mut(&id).unwrap();
        let begun = remote.received.len();
        remote.received.extend_from_slice(&unsent[..count]);
        let all = [&remote.received[..], &unsent[count..]].concat();
        for at in (0..remote.received.len()).step_by(7).filter(|at| *at >= begun) {
            let serial = std::str::from_utf8(&all[at..at + 6]).unwrap().parse().unwrap();
            let first = self.reached.insert(serial);
            if let Some(asker) = self.askers.get(&serial) {
                // What is in doubt may arrive a second time, but nothing overtakes.
                let again = self.requesters.get(asker).is_none_or(|local| local.deferred) && !first;
                let before = self.last_reached.entry(*asker).or_default();
                prop_assert!(again || *before < serial, "{serial} after {before}");
                *before = (*before).max(serial);
            }
        }
        let whole = remote.received.len() / 7 * 7;
        for request in remote.received[..whole].chunks(7) {
            remote.replies.extend_from_slice(&[b"re:", request].concat());
        }
        remote.received.drain(..whole);
        self.dispatch.wrote(id, count, self.now);
        Ok(())
    }

    fn host_replies(&mut self, which: usize, amount: usize) -> Result<(), TestCaseError> {
        let Some(id) = Self::pick(&self.connections, which) else { return Ok(()) };
        let remote = self.connections.get_mut(&id).unwrap();
        let count = amount.min(remote.replies.len());
        let bytes: Vec<u8> = remote.replies.drain(..count).collect();
        prop_assert_eq!(self.dispatch.received(id, &bytes, self.now, &mut |_, _| 0), Ok(()));
        Ok(())
    }

    fn break_one(&mut self, which: usize) {
        if let Some(id) = Self::pick(&self.connections, which) {
            self.dispatch.broke(id, "reset", self.now);
        }
    }

    /// What the rooms with sockets do.
    fn errands(&mut self, reads: bool) -> Result<(), TestCaseError> {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            if self.dispatch.ended(id).is_some() {
                self.connections.remove(&id);
                self.dispatch.released(id);
            }
        }
        let flush = std::mem::take(&mut self.dispatch.errands.flush);
        for id in flush {
            self.dispatch.flushing(id);
        }
        let ids: Vec<_> = self.requesters.keys().copied().collect();
        for id in ids {
            let bytes = self.dispatch.account(id).unwrap().unsent().to_vec();
            let count = if reads { bytes.len() } else { bytes.len() / 3 };
            self.requesters.get_mut(&id).unwrap().read.extend_from_slice(&bytes[..count]);
            self.dispatch.took(id, count, self.now);
            self.check(id)?;
            if self.dispatch.account(id).unwrap().standing == Standing::Cut {
                self.forget(id);
            }
        }
        Ok(())
    }

    /// Every answer is the one to the request in its place, and says the truth about whether it was sent.
    fn check(&self, id: RequesterId) -> Result<(), TestCaseError> {
        let local = &self.requesters[&id];
        let text = std::str::from_utf8(&local.read).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        let mut last_id = 0;
        for (index, answer) in whole.lines().enumerate() {
            let Some(asked) = local.asked.get(index) else {
                return Err(TestCaseError::fail(format!("{answer} was never asked for")));
            };
            match answer {
                "con_lost" | "con_timeout" => {
                    prop_assert!(!local.deferred, "what is deferred is stored instead");
                    prop_assert!(!self.reached.contains(asked), "{asked} reached the host, and {answer} was said");
                }
                "con_busy" => {
                    prop_assert!(!self.reached.contains(asked), "{asked} reached the host, and {answer} was said");
                }
                "con_unknown" => prop_assert!(self.reached.contains(asked), "{asked} never reached the host"),
                _ if local.deferred && answer.starts_with("con_delayed:") => {
                    let id = answer[12..].parse().unwrap();
                    prop_assert_eq!(self.store.acknowledged.get(&id), Some(asked));
                    prop_assert!(id > last_id, "stored in another order than written: {id} after {last_id}");
                    last_id = id;
                }
                _ => prop_assert_eq!(answer, format!("re:{asked:06}")),
            }
        }
        Ok(())
    }

    /// A host that answers everything leaves nothing waiting, without any time passing.
    fn serve_all(&mut self, rounds: usize) -> Result<(), TestCaseError> {
        for _ in 0..rounds {
            for which in 0..self.connections.len() {
                self.host_reads(which, usize::MAX)?;
                self.host_replies(which, usize::MAX)?;
            }
            self.store_answers(true);
            self.errands(true)?;
        }
        Ok(())
    }

    /// The store does everything that it was asked. `has_room`: whether it takes new rows.
    fn store_answers(&mut self, has_room: bool) {
        self.store.asked.extend(std::mem::take(&mut self.dispatch.errands.store));
        while let Some(errand) = self.store.asked.pop_front() {
            let answer = self.store.answer(errand, has_room);
            self.dispatch.store_answered(answer, self.now);
            self.store.asked.extend(std::mem::take(&mut self.dispatch.errands.store));
        }
    }

    /// With a host that is there, everything that was acknowledged reaches it.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..60 {
            self.now += TIMEOUT;
            self.dispatch.expire(self.now);
            self.attempt(true);
            self.serve_all(4)?;
        }
        prop_assert!(self.store.rows.is_empty(), "left in the store: {:?}", self.store.rows.keys());
        for serial in self.store.acknowledged.values() {
            prop_assert!(self.reached.contains(serial), "{serial} was acknowledged and never arrived");
        }
        prop_assert!(self.dispatch.is_spool_quiet());
        Ok(())
    }

    /// Lets everything come to its end.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.serve_all(40)?;
        let waiting = self.requesters.keys().any(|id| !self.dispatch.account(*id).unwrap().is_settled());
        prop_assert!(!waiting || self.connections.is_empty(), "a host that answers leaves somebody waiting");
        self.drain()?;
        for _ in 0..4 {
            self.now += TIMEOUT * 2;
            self.dispatch.expire(self.now);
            self.errands(true)?;
        }
        for (id, local) in &self.requesters {
            prop_assert_eq!(local.read.iter().filter(|byte| **byte == b'\n').count(), local.asked.len());
            prop_assert!(self.dispatch.account(*id).unwrap().is_settled());
        }
        prop_assert!(self.dispatch.queue.is_empty());
        prop_assert_eq!(self.dispatch.transactions.len(), 0);
        let numbers = self.dispatch.numbers();
        prop_assert_eq!((numbers.queued, numbers.in_flight), (0, 0));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Promise 1 and the truth of *never sent*.
    #[test]
    fn every_request_gets_its_own_answer_once_and_a_true_one(
        window in prop::sample::select(vec![1usize, 3]),
        steps in prop::collection::vec((0u8..17, 0usize..64, 0usize..4096), 1..400)
    ) {
        let mut world = World::new(window);
        for (kind, which, amount) in steps {
            world.step(kind, which, amount)?;
        }
        world.finish()?;
    }
}

proptest! {
    /// Whatever the requester's socket takes at once, and whatever it takes later: it gets every byte once, in order.
    #[test]
    fn a_large_reply_that_is_written_at_once_in_part_comes_whole_and_in_order(
        pieces in prop::collection::vec((1usize..90_000, 0usize..100_000, 0usize..100_000), 2..12),
        behind in any::<bool>(),
    ) {
        let (mut d, now) = dispatch(|host| host.pipeline = 10);
        let (r, c) = (d.join(), open(&mut d, now));
        d.request(r, b"large\n", now);
        if behind {
            d.request(r, b"small\n", now);
        }
        sent(&mut d, c, now);
        let mut reply: Vec<u8> = (0..pieces.iter().map(|piece| piece.0).sum::<usize>()).map(|at| b'a' + (at % 23) as u8).collect();
        reply.push(b'\n');
        if behind {
            reply.extend_from_slice(b"and the next\n");
        }
        let (mut got, mut rest) = (Vec::new(), &reply[..]);
        for (length, at_once, later) in pieces {
            let (piece, after) = rest.split_at(length);
            d.received(c, piece, now, &mut |requester, bytes| {
                assert_eq!(requester, r);
                let taken = at_once.min(bytes.len());
                got.extend_from_slice(&bytes[..taken]);
                taken
            }).unwrap();
            rest = after;
            let unsent = d.account(r).unwrap().unsent();
            let taken = later.min(unsent.len());
            got.extend_from_slice(&unsent[..taken]);
            d.took(r, taken, now);
        }
        d.received(c, rest, now, &mut |_, _| panic!("the end of a reply is given with what stands before it")).unwrap();
        got.extend_from_slice(d.account(r).unwrap().unsent());
        prop_assert!(got == reply);
    }
}
