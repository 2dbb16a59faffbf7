//! Deferred requests: tried at once, else stored; and the replay of what is stored.
//!
//! A deferred requester's requests are tried at once while the host is up (or nobody has tried it yet) and nothing waits
//! in the store; else, and if the first try fails, they are stored, and the requester is told `delayed` once the store
//! says that they are on disk (`storing`). The replay goes through the same queue and connections as every other request, on behalf
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
use crate::work::{Deferral, RequesterId, Tagged, TransactionId};

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
    /// What was to be recorded is on disk, rows up to this one may be sent, and so many wait.
    Recorded(Id, u64),
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
    pub(super) replay: Replay,
    /// How requests are told to a host that remembers them.
    pub(super) once: Option<Once>,
    /// The requester on whose behalf the replay is sent.
    pub(super) replayer: RequesterId,
    /// Whether the store can be asked.
    pub(super) door: Door,
    /// Requests on their way into the store, with whether the first try had sent them.
    pub(super) storing: VecDeque<(TransactionId, bool)>,
    /// Requests that wait for the store to be opened.
    pub(super) early: VecDeque<Early>,
    /// Whether first tries may wait in the queue that must not overtake what is stored.
    pub(super) sweep: bool,
    /// What is to be stored, but not before the first tries of the same requester have ended that are in flight: one of
    /// them may be stored as well, and was written earlier.
    pub(super) held: BTreeMap<RequesterId, Held>,
    /// Whether somebody of those may have nothing in flight any more.
    pub(super) release: bool,
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
pub(super) type Held = BTreeMap<TransactionId, (Tagged, bool)>;

impl Spool {
    pub(super) fn alarm(&self, standing: Standing) -> Option<Instant> {
        let up = matches!(standing, Standing::Up | Standing::Untried);
        self.replay.alarm(up)
    }

    /// Whether newcomers must join the tail.
    pub(super) fn has_backlog(&self) -> bool {
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
                spool.replay.opened(waiting);
                self.let_in();
            }
            StoreAnswer::Changed(waiting) => spool.replay.begin_again(waiting),
            StoreAnswer::Stored(ticket, id) => self.stored(ticket, id),
            StoreAnswer::Full(ticket, why) => self.not_stored(ticket, Failure::Busy, &why),
            StoreAnswer::Failed(ticket, why) => self.not_stored(ticket, Failure::Failed, &why),
            StoreAnswer::Fetched(rows) => spool.replay.fetched(rows),
            StoreAnswer::NotFetched => spool.replay.not_fetched(now),
            StoreAnswer::Recorded(mark, waiting) => spool.replay.recorded(mark, waiting),
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

    /// The reply to a replay cannot be had, now or ever: to the dead, or those behind it would wait for days.
    pub(super) fn replay_without_end(&mut self, id: TransactionId, why: &str, now: Instant) {
        let transaction = self.transactions.get(id);
        let Some(Deferral::Replay(row)) = transaction.and_then(|transaction| transaction.deferral.as_deref()) else {
            return;
        };
        let (row, requester) = (*row, transaction.and_then(|transaction| transaction.requester));
        self.transactions.remove(id);
        self.deadlines.remove(id.0);
        requester.into_iter().for_each(|requester| self.landed(requester));
        self.replayed(id, row, End::Rejected(Vec::new(), why.to_owned()), now);
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
}
