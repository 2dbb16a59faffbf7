//! Deferred requests: tried at once, else stored; and the replay of what is stored.
//!
//! A deferred requester's requests are tried at once while the host is up (or nobody has tried it yet) and nothing waits
//! in the store; else, and if the first try fails, they are stored, and the requester is told `delayed` once the store
//! says that they are on disk. The replay goes through the same queue and connections as every other request, on behalf
//! of a requester of its own, so that its order is kept by the same rules.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Dispatch;
use super::early::Early;
use crate::dialect::Failure;
use crate::pool::Standing;
use crate::requester::Way;
use crate::spool::judge::{Verdict, judge};
use crate::spool::once::{Once, Told};
use crate::spool::replay::{Ask, End, Id, Replay, Row};
use crate::work::{ConnectionId, Deferral, Phase, RequesterId, Tagged, Transaction, TransactionId, key};

/// What is to be asked of the store.
#[derive(Debug)]
pub enum Errand {
    /// To store a request; to be answered under the same ticket.
    Append {
        /// Names the question.
        ticket: TransactionId,
        /// The request.
        request: Tagged,
        /// Whether the first try had sent it.
        in_doubt: bool,
    },
    /// What the replay asks.
    Replay(Ask),
}

/// What the store answers.
#[derive(Debug)]
pub enum StoreAnswer {
    /// It is being opened, which may take as long as another process has it.
    Opening,
    /// It is open, with so many rows waiting.
    Open(u64),
    /// A request is on disk under this ID.
    Stored(TransactionId, Id),
    /// There is no room for it, for this reason.
    Full(TransactionId, String),
    /// It could not be stored, for this reason.
    Failed(TransactionId, String),
    /// The rows that were asked for.
    Fetched(Vec<Row>),
    /// They cannot be read now.
    NotFetched,
    /// What was to be recorded is on disk, and rows up to this one may be sent.
    Recorded(Id),
    /// It is not on disk.
    NotRecorded,
    /// Nobody knows whether a request is on disk, for this reason.
    InDoubt(TransactionId, String),
    /// The store cannot be used until it says that it is open again.
    Closed,
    /// It was changed by hand; so many rows wait now.
    Changed(u64),
}

/// The spool as the dispatch sees it.
#[derive(Debug)]
pub(super) struct Spool {
    replay: Replay,
    /// How requests are told to a host that remembers them.
    pub(super) once: Option<Once>,
    /// The requester on whose behalf the replay is sent.
    replayer: RequesterId,
    /// Whether the store can be asked.
    pub(super) door: Door,
    /// Requests on their way into the store, with whether the first try had sent them.
    pub(super) storing: VecDeque<(TransactionId, bool)>,
    /// Requests that wait for the store to be opened.
    pub(super) early: VecDeque<Early>,
    /// Whether first tries may wait in the queue that must not overtake what is stored.
    sweep: bool,
    /// What is to be stored, but not before the first tries of the same requester have ended that are in flight: one of
    /// them may be stored as well, and was written earlier.
    held: BTreeMap<RequesterId, Held>,
    /// Whether somebody of those may have nothing in flight any more.
    release: bool,
}

/// Whether the store can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// It is being opened.
    Opening,
    /// It can, and has said how many rows wait.
    Open,
    /// It cannot be used.
    Shut,
}

/// Requests with whether the first try had sent them.
type Held = BTreeMap<TransactionId, (Tagged, bool)>;

impl Spool {
    pub(super) fn alarm(&self, standing: Standing) -> Option<Instant> {
        let up = matches!(standing, Standing::Up | Standing::Untried);
        self.replay.alarm(up)
    }

    /// Whether newcomers must join the tail.
    fn has_backlog(&self) -> bool {
        self.door != Door::Open || self.replay.waiting() > 0 || self.to_store() > 0
    }

    /// How many requests are to be stored.
    fn to_store(&self) -> usize {
        self.storing.len() + self.early.len() + self.held.values().map(BTreeMap::len).sum::<usize>()
    }
}

impl Dispatch {
    /// The host has deferred requests: `window` replays at a time, what is in doubt parked (`hold`) or resent, pauses up
    /// to `longest`; `once` if it remembers what it has executed.
    pub fn open_spool(&mut self, window: usize, hold: bool, longest: Duration, once: Option<Once>) {
        let replayer = self.join();
        let replay = Replay::new(window, hold, longest, 0);
        let (storing, early, held) = (VecDeque::new(), VecDeque::new(), BTreeMap::new());
        let door = Door::Opening;
        self.spool = Some(Spool { replay, once, replayer, door, storing, early, sweep: false, held, release: false });
    }

    /// Says that a requester's requests are deferred ones.
    pub fn defer(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.way = Way::Deferred;
        }
    }

    /// The store has answered.
    pub fn store_answered(&mut self, answer: StoreAnswer, now: Instant) {
        let Some(spool) = &mut self.spool else { return };
        match answer {
            StoreAnswer::Opening => spool.door = Door::Opening,
            StoreAnswer::Open(waiting) => {
                spool.door = Door::Open;
                spool.replay.begin_again(waiting);
                self.let_in();
            }
            StoreAnswer::Changed(waiting) => spool.replay.begin_again(waiting),
            StoreAnswer::Stored(ticket, id) => self.stored(ticket, id),
            StoreAnswer::Full(ticket, why) => self.not_stored(ticket, Failure::Busy, &why),
            StoreAnswer::Failed(ticket, why) => self.not_stored(ticket, Failure::Failed, &why),
            StoreAnswer::Fetched(rows) => spool.replay.fetched(rows),
            StoreAnswer::NotFetched => spool.replay.not_fetched(now),
            StoreAnswer::Recorded(mark) => spool.replay.recorded(mark),
            StoreAnswer::NotRecorded => spool.replay.not_recorded(now),
            // `failed`, for it may be on disk and be sent all the same: whoever repeats it must know.
            StoreAnswer::InDoubt(ticket, why) => self.not_stored(ticket, Failure::Failed, &why),
            StoreAnswer::Closed => {
                spool.door = Door::Shut;
                self.let_in();
            }
        }
        self.turn_spool(now);
    }

    /// Somebody is impatient: the replay's pause is over.
    pub fn retry_spool(&mut self, now: Instant) {
        if let Some(spool) = &mut self.spool {
            spool.replay.hurry();
        }
        self.turn_spool(now);
    }

    /// A deferred requester has sent a complete request.
    pub(super) fn request_deferred(&mut self, requester: RequesterId, request: &[u8], now: Instant) {
        let Some((backlog, storing)) = self.spool.as_ref().map(|spool| (spool.has_backlog(), spool.to_store())) else {
            return;
        };
        let up = matches!(self.reach.standing(), Standing::Up | Standing::Untried);
        if up && !backlog {
            let chosen = if self.queue.has(requester) { None } else { self.choose(requester, now) };
            if chosen.is_some() || self.queue.len() < self.host.queue as usize {
                let tagged = self.tagged(request);
                let sent = self.as_sent(&tagged.tag, request);
                return self.begin(requester, chosen, sent, Some(Box::new(Deferral::FirstTry(tagged))), now);
            }
        }
        if storing >= self.host.queue as usize {
            let why = format!("{storing} requests wait to be stored already");
            return self.answer(requester, Failure::Busy, &why);
        }
        if !backlog {
            // What came before this one goes first.
            self.sweep();
        }
        let id = self.new_ticket(requester, now);
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.owe(id);
        }
        let request = self.tagged(request);
        self.store(requester, id, request, false);
        self.release_held();
    }

    /// The end of a deferred transaction that failed.
    pub(super) fn fail_deferred(
        &mut self,
        requester: RequesterId,
        id: TransactionId,
        deferral: Deferral,
        failure: Failure,
        why: &str,
    ) {
        match deferral {
            Deferral::FirstTry(request) => self.store_instead(requester, id, request, failure == Failure::Unknown),
            Deferral::Hello(old) => {
                self.voice_changed(requester, old);
                self.fail(requester, id, None, failure, why);
            }
            // Nobody has asked for these.
            Deferral::Lesson | Deferral::Turn(_) => {}
            Deferral::Replay(row) => {
                let why = why.to_owned();
                let end = if failure == Failure::Unknown { End::Unknown(why) } else { End::NeverSent(why) };
                self.replayed(id, row, end, Instant::now());
            }
        }
    }

    /// Judges the whole reply of a deferred transaction. Returns whether it is not for the requester.
    pub(super) fn judge_reply(
        &mut self,
        requester: RequesterId,
        id: TransactionId,
        deferral: Deferral,
        reply: &[u8],
        now: Instant,
    ) -> bool {
        if let Deferral::Hello(old) = deferral {
            self.hello_answered(requester, old, reply);
            return false;
        }
        let verdict = match self.told(reply) {
            Told::Reply => judge(self.host.dialect, &self.host.rejects, reply),
            Told::Again(why) => Verdict::Transient(why),
            Told::Doubt(why) => {
                self.doubted(requester, id, &deferral, why, now);
                return true;
            }
        };
        match (deferral, verdict) {
            (Deferral::FirstTry(request), Verdict::Transient(_)) => {
                self.store_instead(requester, id, request, false);
                true
            }
            (Deferral::FirstTry(_) | Deferral::Hello(_) | Deferral::Lesson | Deferral::Turn(_), _) => false,
            (Deferral::Replay(row), verdict) => {
                let end = match verdict {
                    Verdict::Delivered => End::Delivered,
                    Verdict::Transient(why) => End::Transient(why),
                    Verdict::Permanent(why) => End::Rejected(reply.to_vec(), why),
                };
                self.replayed(id, row, end, now);
                true
            }
        }
    }

    /// Begins no replay any more; what has ended is recorded at once.
    pub fn close_spool(&mut self, now: Instant) {
        if let Some(spool) = &mut self.spool {
            spool.replay.close();
        }
        self.turn_spool(now);
    }

    /// Whether no replay is under way, every end is recorded, and nobody waits for the store.
    #[must_use]
    pub fn is_spool_quiet(&self) -> bool {
        self.spool
            .as_ref()
            .is_none_or(|spool| spool.to_store() == 0 && (spool.door != Door::Open || spool.replay.is_quiet()))
    }

    /// First tries that wait in the queue must not overtake what is stored.
    pub(super) fn sweep_later(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.sweep = true;
        }
    }

    /// Takes the first tries that wait in the queue out of it, if they must not overtake what is stored.
    pub(super) fn sweep_if_due(&mut self) {
        if let Some(spool) = &mut self.spool
            && spool.sweep
            && spool.has_backlog()
        {
            spool.sweep = false;
            self.sweep();
        }
    }

    /// The host can be reached again: the replay goes on at once.
    pub(super) fn host_is_back(&mut self, now: Instant) {
        if let Some(spool) = &mut self.spool {
            spool.replay.hurry();
            self.turn_spool(now);
        }
    }

    /// Lets the spool do what can be done now.
    pub(super) fn turn_spool(&mut self, now: Instant) {
        self.sweep_if_due();
        self.release_held();
        self.send_replays(now);
        let Some(spool) = &mut self.spool else { return };
        if spool.door == Door::Open {
            self.errands.store.extend(spool.replay.ask(now).into_iter().map(Errand::Replay));
        }
        if let Some(at) = spool.alarm(self.reach.standing()) {
            self.need(at);
        }
    }

    fn send_replays(&mut self, now: Instant) {
        while matches!(self.reach.standing(), Standing::Up | Standing::Untried) {
            let Some(spool) = &mut self.spool else { return };
            let replayer = spool.replayer;
            let Some(row) = spool.replay.next(now).cloned() else { return };
            let chosen = if self.queue.has(replayer) { None } else { self.choose(replayer, now) };
            let sent = self.as_sent(&row.request.tag, &row.request.body);
            self.begin(replayer, chosen, sent, Some(Box::new(Deferral::Replay(row.id))), now);
        }
    }

    /// One replay has ended.
    pub(super) fn replayed(&mut self, id: TransactionId, row: Id, end: End, now: Instant) {
        let jitter = self.rng.f64();
        let is_over = matches!(end, End::Delivered | End::Rejected(..));
        let Some(spool) = &mut self.spool else { return };
        spool.replay.ended(row, end, now, jitter);
        self.forget_replay(id);
        if !is_over {
            self.take_back_replays();
        }
        self.turn_spool(now);
    }

    /// Replays behind one that failed, as far as they have not been sent: they must not overtake it.
    pub(super) fn take_back_replays(&mut self) {
        let Some(replayer) = self.spool.as_ref().map(|spool| spool.replayer) else { return };
        let mut back = self.withdraw_unsent(|deferral| matches!(deferral, Deferral::Replay(_)));
        back.extend(self.queue.take_all_of(replayer).into_iter().map(|id| (replayer, id)));
        for (_, id) in back {
            self.take_back_replay(id);
        }
    }

    /// Takes one replay back that has not been sent. Returns whether it was one.
    pub(super) fn take_back_replay(&mut self, id: TransactionId) -> bool {
        let deferral = self.transactions.get(id).and_then(|transaction| transaction.deferral.as_deref());
        let (Some(spool), Some(Deferral::Replay(row))) = (&mut self.spool, deferral) else { return false };
        spool.replay.taken_back(*row);
        self.deadlines.remove(id.0);
        self.transactions.remove(id);
        self.forget_replay(id);
        true
    }

    /// The replayer is owed nothing for this transaction any more.
    fn forget_replay(&mut self, id: TransactionId) {
        let Some(replayer) = self.spool.as_ref().map(|spool| spool.replayer) else { return };
        if let Some(account) = self.accounts.get_mut(replayer.index()).and_then(Option::as_mut) {
            account.settle(id, Vec::new(), b"");
        }
    }

    /// A first try ended without success: its request is stored, under a number of its own, for the old one may still
    /// be a tombstone's.
    fn store_instead(&mut self, requester: RequesterId, id: TransactionId, request: Tagged, in_doubt: bool) {
        let ticket = self.new_ticket(requester, Instant::now());
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.rename(id, ticket);
        }
        self.store(requester, ticket, request, in_doubt);
        self.sweep_later();
    }

    fn new_ticket(&mut self, requester: RequesterId, now: Instant) -> TransactionId {
        let requester = Some(requester);
        self.transactions.insert(Transaction { requester, accepted: now, phase: Phase::Storing, deferral: None })
    }

    fn store(&mut self, requester: RequesterId, ticket: TransactionId, request: Tagged, in_doubt: bool) {
        let in_flight = self.account(requester).is_some_and(|account| account.in_flight > 0);
        let Some(spool) = &mut self.spool else { return };
        if in_flight || spool.held.contains_key(&requester) {
            spool.held.entry(requester).or_default().insert(ticket, (request, in_doubt));
            spool.release |= !in_flight;
        } else {
            self.append(ticket, request, in_doubt);
        }
    }

    /// A deferred requester has nothing in flight any more: what was held behind that can be stored.
    pub(super) fn release_later(&mut self, requester: RequesterId) {
        if let Some(spool) = &mut self.spool {
            spool.release |= spool.held.contains_key(&requester);
        }
    }

    /// Stores what was held behind first tries that have ended, in the order in which each requester has written it.
    pub(super) fn release_held(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        if !std::mem::take(&mut spool.release) {
            return;
        }
        let mut released = Vec::new();
        for (requester, mut held) in std::mem::take(&mut spool.held) {
            let Some(account) = self.accounts.get(requester.index()).and_then(Option::as_ref) else { continue };
            if account.in_flight > 0 {
                spool.held.insert(requester, held);
                continue;
            }
            released.extend(account.awaited().filter_map(|ticket| held.remove(&ticket).map(|held| (ticket, held))));
        }
        for (ticket, (request, in_doubt)) in released {
            self.append(ticket, request, in_doubt);
        }
    }

    /// A requester has left: what was held for it is not stored.
    pub(super) fn drop_held_of(&mut self, requester: RequesterId) {
        let held = self.spool.as_mut().and_then(|spool| spool.held.remove(&requester));
        for ticket in held.unwrap_or_default().into_keys() {
            self.transactions.remove(ticket);
        }
    }

    /// Moves the first tries that have not been sent into the store, in the order in which they were accepted: they must
    /// not overtake what is stored.
    fn sweep(&mut self) {
        let mut waiting = self.withdraw_unsent(|deferral| matches!(deferral, Deferral::FirstTry(_)));
        for index in 0..self.accounts.len() {
            let requester = RequesterId(key(index));
            if self.account(requester).is_some_and(|account| account.way == Way::Deferred) {
                waiting.extend(self.queue.take_all_of(requester).into_iter().map(|id| (requester, id)));
            }
        }
        // A requester's own stay in their order, for the sort is stable and connections come before the queue.
        waiting.sort_by_key(|(_, id)| self.transactions.get(*id).map(|transaction| transaction.accepted));
        for (requester, id) in waiting {
            self.deadlines.remove(id.0);
            if let Some(deferral) = self.transactions.remove(id).and_then(|transaction| transaction.deferral)
                && let Deferral::FirstTry(request) = *deferral
            {
                self.store_instead(requester, id, request, false);
            }
        }
    }

    /// Takes transactions back from connections of which not one byte was sent.
    fn withdraw_unsent(&mut self, wanted: impl Fn(&Deferral) -> bool) -> Vec<(RequesterId, TransactionId)> {
        let mut withdrawn = Vec::new();
        for index in 0..self.slots.len() {
            let Some(slot) = self.slot(ConnectionId(key(index))) else { continue };
            let unsent = slot.flights.iter().filter(|flight| slot.never_sent(flight));
            for id in unsent.map(|flight| flight.transaction).collect::<Vec<_>>() {
                let Some(Transaction { requester, deferral, .. }) = self.transactions.get(id) else { continue };
                let Some(requester) = requester.filter(|_| deferral.as_deref().is_some_and(&wanted)) else { continue };
                if self.slot(ConnectionId(key(index))).is_some_and(|slot| slot.withdraw(id)) {
                    self.landed(requester);
                    withdrawn.push((requester, id));
                }
            }
        }
        withdrawn
    }

    fn stored(&mut self, ticket: TransactionId, id: Id) {
        let mut words = Vec::new();
        self.host.dialect.delayed(id, &mut words);
        self.tally.delayed();
        if let Some(spool) = &mut self.spool {
            spool.replay.stored();
        }
        self.end_storing(ticket, &words);
    }

    /// A request could not be stored. One whose first try had been sent is unknown, whatever the store says.
    fn not_stored(&mut self, ticket: TransactionId, failure: Failure, why: &str) {
        let storing = self.spool.as_ref().and_then(|spool| spool.storing.iter().find(|(id, _)| *id == ticket));
        let failure = if storing.is_some_and(|(_, in_doubt)| *in_doubt) { Failure::Unknown } else { failure };
        let mut words = Vec::new();
        self.word(failure, &format!("it could not be stored: {why}"), &mut words);
        self.tally.failed(failure);
        self.end_storing(ticket, &words);
    }

    fn end_storing(&mut self, ticket: TransactionId, words: &[u8]) {
        if let Some(spool) = &mut self.spool {
            // Nearly always the first one: the store answers in order.
            let place = spool.storing.iter().position(|(id, _)| *id == ticket);
            place.and_then(|place| spool.storing.remove(place));
        }
        let Some(requester) = self.transactions.remove(ticket).and_then(|transaction| transaction.requester) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
            && account.settle(ticket, Vec::new(), words)
        {
            self.dirty(requester);
        }
    }
}
