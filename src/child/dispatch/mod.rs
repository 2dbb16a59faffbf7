//! The dispatch: where transactions meet connections, and replies meet requesters. Pure.
//!
//! Enters: what happened (a requester joined, sent, took or left; a connection opened, wrote, read or broke; an attempt
//! failed; time passed). Leaves: bytes to write on either side, and [`Errands`]: whom the rooms with sockets must
//! attend to. Promised: every transaction ends once; a failure says truly whether the host can have seen the request;
//! nobody gets anybody else's reply.
//!
//! The way of one transaction: [`Dispatch::request`] gives it to a connection or to the queue → [`Dispatch::wrote`] says
//! how far it was sent → [`Dispatch::received`] ends it with the host's reply. What else may end it: [`Dispatch::broke`],
//! [`Dispatch::expire`], [`Dispatch::attempt_failed`]. The parts of this room follow that order: `requests`, `replies`,
//! `breaks`, `expiry`.

mod breaks;
mod deferred;
mod expiry;
mod replies;
mod requests;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use self::breaks::Cost;
pub use self::deferred::{Errand, StoreAnswer};
use super::tally::Tally;
use crate::config::HostSettings;
use crate::dialect::Failure;
use crate::pool::{self, Reach, Slot};
use crate::requester::{Account, Standing};
use crate::work::{ConnectionId, Deadlines, Deferral, Phase, Queue, RequesterId, TransactionId, Transactions, key};

/// A requester with more unread bytes than this is closed at once.
const MOST_UNREAD: usize = 64 * 1024 * 1024;

/// See the head of this file.
#[derive(Debug)]
pub struct Dispatch {
    host: HostSettings,
    accounts: Vec<Option<Account>>,
    free_accounts: Vec<u32>,
    slots: Vec<Place>,
    transactions: Transactions,
    queue: Queue,
    reach: Reach,
    /// When transactions in queue or flight expire, by transaction.
    deadlines: Deadlines,
    /// When a late reply is waited for no longer, by transaction.
    tombstones: Deadlines,
    /// When a reply that is being passed on must have made progress, by connection.
    passages: Deadlines,
    /// When a request must be complete, by requester.
    intakes: Deadlines,
    /// When a requester must have read its replies, by requester.
    unread: Deadlines,
    attempt: Attempt,
    /// The spool, if the host has deferred requests.
    spool: Option<deferred::Spool>,
    rng: fastrand::Rng,
    /// When the timer will come next.
    armed: Option<Instant>,
    /// Attempts to connect that have ended, one way or the other.
    pub attempts: u64,
    /// The counts of outcomes and the latencies.
    pub tally: Tally,
    /// What the rooms with sockets must do now.
    pub errands: Errands,
}

/// A place for a connection. It keeps its number until the connection's task has let go of it.
#[derive(Debug)]
enum Place {
    Free,
    Open(Box<Slot>),
    /// Ended here; the task closes the socket, and says for which reason and at which cost.
    Ended(String, Cost),
}

/// What the rooms with sockets must do after something happened.
#[derive(Debug, Default)]
pub struct Errands {
    /// Requesters that have bytes to take or have changed their standing.
    pub flush: Vec<RequesterId>,
    /// Connections that have bytes to write, may read again, or have ended.
    pub wake: Vec<ConnectionId>,
    /// Whether [`Dispatch::next_attempt`] may say something new.
    pub connect: bool,
    /// Whether [`Dispatch::alarm`] is earlier than it was.
    pub timer: bool,
    /// Whether the host's reach has changed.
    pub reach: bool,
    /// What is to be asked of the store.
    pub store: Vec<Errand>,
}

/// Attempts to connect: one at a time.
#[derive(Debug, Default)]
struct Attempt {
    under_way: bool,
    /// A connection more is wanted, although one has taken the work.
    strained: bool,
    /// Somebody asked for an attempt.
    asked: bool,
}

/// Numbers of the moment, for the status.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// Connections with something in flight.
    pub busy: u64,
    /// Connections without.
    pub idle: u64,
    /// Requesters.
    pub requesters: u64,
    /// Transactions in the queue.
    pub queued: u64,
    /// Transactions in flight that somebody or nobody waits for; no tombstones.
    pub in_flight: u64,
}

impl Dispatch {
    /// For one worker of one host; the bounds in `host` are this worker's share.
    #[must_use]
    pub fn new(host: HostSettings, seed: u64) -> Self {
        Self {
            accounts: Vec::new(),
            free_accounts: Vec::new(),
            slots: Vec::new(),
            transactions: Transactions::default(),
            queue: Queue::default(),
            reach: Reach::new(host.retries),
            deadlines: Deadlines::default(),
            tombstones: Deadlines::default(),
            passages: Deadlines::default(),
            intakes: Deadlines::default(),
            unread: Deadlines::default(),
            attempt: Attempt::default(),
            spool: None,
            rng: fastrand::Rng::with_seed(seed),
            armed: None,
            attempts: 0,
            tally: Tally::default(),
            errands: Errands::default(),
            host,
        }
    }

    /// The settings of this worker.
    #[must_use]
    pub fn host(&self) -> &HostSettings {
        &self.host
    }

    /// How the host stands.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// A requester joins.
    pub fn join(&mut self) -> RequesterId {
        if let Some(index) = self.free_accounts.pop() {
            self.accounts[index as usize] = Some(Account::default());
            return RequesterId(index);
        }
        self.accounts.push(Some(Account::default()));
        RequesterId(key(self.accounts.len() - 1))
    }

    /// A requester has left: what waits for it leaves the queue, what is in flight will be read and dropped.
    pub fn leave(&mut self, requester: RequesterId) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::take) else { return };
        for queued in self.queue.take_all_of(requester) {
            self.deadlines.remove(queued.0);
            self.transactions.remove(queued);
        }
        self.drop_held_of(requester);
        for id in account.awaited() {
            // One that was cut still awaits a transaction that has ended; its number may be somebody else's by now.
            if let Some(transaction) = self.transactions.get_mut(id)
                && transaction.requester == Some(requester)
            {
                transaction.requester = None;
            }
        }
        self.intakes.remove(requester.0);
        self.unread.remove(requester.0);
        if let Some(connection) = account.bound {
            self.let_read(connection);
        }
        self.free_accounts.push(requester.0);
        self.transactions.shrink();
    }

    /// A requester's account.
    #[must_use]
    pub fn account(&self, requester: RequesterId) -> Option<&Account> {
        self.accounts.get(requester.index())?.as_ref()
    }

    /// How many requesters there are.
    #[must_use]
    pub fn requesters(&self) -> usize {
        self.accounts.len() - self.free_accounts.len() - usize::from(self.spool.is_some())
    }

    /// A requester took `count` bytes of its replies; called after every attempt to write, also with 0.
    pub fn took(&mut self, requester: RequesterId, count: usize, now: Instant) {
        let limit = usize::try_from(self.host.unread).unwrap_or(usize::MAX);
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        account.wrote(count);
        let (unread, bound) = (account.unread(), account.bound);
        if unread > MOST_UNREAD {
            account.standing = Standing::Cut;
        } else if unread > limit {
            if self.unread.at(requester.0).is_none() {
                let at = now + self.host.timeout;
                self.unread.insert(requester.0, at);
                self.need(at);
            }
        } else if self.unread.remove(requester.0)
            && let Some(connection) = bound
        {
            self.let_read(connection);
        }
    }

    /// Whether a requester may be read now. If not, it is woken when it may.
    pub fn may_read(&mut self, requester: RequesterId) -> bool {
        let (window, unread) = (self.host.window as usize, self.host.unread);
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return false };
        // Half a window must be free again before a paused requester goes on, so that it wakes once for many replies.
        let most = if account.paused { window / 2 } else { window.saturating_sub(1) };
        account.paused = account.outstanding() > most || account.unread() as u64 > unread;
        !account.paused
    }

    /// The beginning of a request has come, or (`within` false) its end.
    pub fn within_request(&mut self, requester: RequesterId, within: bool, now: Instant) {
        if !within {
            self.intakes.remove(requester.0);
        } else if self.intakes.at(requester.0).is_none() {
            let at = now + self.host.timeout;
            self.intakes.insert(requester.0, at);
            self.need(at);
        }
    }

    /// A requester sends no more: it is closed when it is owed nothing.
    pub fn close(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.standing = account.standing.max(Standing::Closing);
            self.dirty(requester);
        }
    }

    /// When the next attempt to connect is to be made; `None` if none is wanted.
    #[must_use]
    pub fn next_attempt(&self, now: Instant) -> Option<Instant> {
        let live = self.live();
        if self.attempt.under_way || live >= self.host.connections as usize {
            return None;
        }
        let failing = matches!(self.reach.standing(), pool::Standing::Failing | pool::Standing::Dead);
        let alone = live == 0 && (failing || !self.queue.is_empty());
        let wanted = alone || self.attempt.asked || self.attempt.strained || self.queue.waits_for_any();
        wanted.then(|| self.reach.not_before().map_or(now, |at| at.max(now)))
    }

    /// An attempt to connect begins.
    pub fn attempt_begins(&mut self) {
        self.attempt = Attempt { under_way: true, strained: false, asked: false };
    }

    /// Somebody asked to try the host now.
    pub fn probe(&mut self, now: Instant) {
        self.reach.hurry(now);
        self.attempt.asked = true;
        self.errands.connect = true;
    }

    /// An attempt succeeded. Returns the connection's number.
    pub fn opened(&mut self, now: Instant) -> ConnectionId {
        let slot = Slot::new(self.host.dialect, self.host.max_reply, self.host.pipeline, now);
        let free = self.slots.iter().position(|place| matches!(place, Place::Free));
        let index = free.unwrap_or_else(|| {
            self.slots.push(Place::Free);
            self.slots.len() - 1
        });
        self.slots[index] = Place::Open(Box::new(slot));
        self.attempt.under_way = false;
        self.attempts += 1;
        let back = self.reach.standing() != pool::Standing::Up;
        self.errands.reach |= back;
        self.reach.connected();
        self.need(now + self.host.idle);
        self.pump(now);
        if back {
            self.host_is_back(now);
        }
        self.errands.connect = true;
        ConnectionId(key(index))
    }

    /// A connection's task has let go of it: its number may be given to the next one.
    pub fn released(&mut self, connection: ConnectionId) {
        if let Some(place) = self.slots.get_mut(connection.index()) {
            *place = Place::Free;
        }
    }

    /// Why a connection has ended, and what that cost; `None` while it is open.
    #[must_use]
    pub fn ended(&self, connection: ConnectionId) -> Option<(&str, Cost)> {
        match self.slots.get(connection.index()) {
            Some(Place::Ended(reason, cost)) => Some((reason, *cost)),
            _ => None,
        }
    }

    /// When [`Dispatch::expire`] is to be called next.
    #[must_use]
    pub fn alarm(&self) -> Option<Instant> {
        self.armed
    }

    /// Numbers of the moment.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let mut numbers =
            Numbers { requesters: self.requesters() as u64, queued: self.queue.len() as u64, ..Numbers::default() };
        for slot in self.open_slots() {
            numbers.busy += u64::from(!slot.flights.is_empty());
            numbers.idle += u64::from(slot.flights.is_empty());
            numbers.in_flight += slot.flights.len() as u64 - u64::from(slot.tombstones);
        }
        numbers
    }

    fn live(&self) -> usize {
        self.open_slots().count()
    }

    fn open_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter_map(|place| match place {
            Place::Open(slot) => Some(&**slot),
            _ => None,
        })
    }

    fn slot(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        match self.slots.get_mut(connection.index()) {
            Some(Place::Open(slot)) => Some(slot),
            _ => None,
        }
    }

    /// Makes sure that the timer comes at `at` or before.
    fn need(&mut self, at: Instant) {
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            self.errands.timer = true;
        }
    }

    /// Puts a requester into the list of those to be flushed.
    fn dirty(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
            && !std::mem::replace(&mut account.dirty, true)
        {
            self.errands.flush.push(requester);
        }
    }

    /// Says that a requester is being flushed, so that it may be put into the list again.
    pub fn flushing(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.dirty = false;
        }
    }

    /// Ends a transaction that is in no table but the account's: with its requester's failure, or in the spool.
    fn fail(&mut self, requester: RequesterId, id: TransactionId, deferral: Deferred, failure: Failure, why: &str) {
        if let Some(deferral) = deferral {
            return self.fail_deferred(requester, id, *deferral, failure, why);
        }
        let mut words = Vec::new();
        self.word(failure, why, &mut words);
        self.tally.failed(failure);
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
            && account.settle(id, [&words, b""])
        {
            self.dirty(requester);
        }
    }

    /// Words a failure in the host's dialect.
    fn word(&self, failure: Failure, why: &str, out: &mut Vec<u8>) {
        let (name, address) = (&self.host.name, &self.host.address);
        let remedy = match failure {
            Failure::Lost | Failure::Timeout => "nothing was sent, repeat at will",
            Failure::Busy => "nothing was sent, try again later",
            Failure::Unknown => "it was sent and may have been executed",
            Failure::Refused | Failure::Failed => "nothing was sent",
        };
        let detail = format!("host \"{name}\" ({address}): {why}; {remedy}");
        self.host.dialect.failure(failure, &detail, out);
    }

    /// One transaction of `requester` is in flight no longer.
    fn landed(&mut self, requester: RequesterId) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        account.in_flight = account.in_flight.saturating_sub(1);
        if account.in_flight == 0 {
            account.bound = None;
            self.queue.bind(requester, None);
            self.release_later(requester);
        }
    }

    /// The connection to which the reply of a transaction is still to come.
    fn connection_of(&self, id: TransactionId) -> Option<ConnectionId> {
        match self.transactions.get(id)?.phase {
            Phase::Queued(_) | Phase::Storing => None,
            Phase::InFlight(c) | Phase::Streaming(c) | Phase::Tombstone(c) => Some(c),
        }
    }
}

/// What the spool has to do with a transaction, if anything.
type Deferred = Option<Box<Deferral>>;

/// A duration for people: whole seconds where it is one.
fn spell(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
