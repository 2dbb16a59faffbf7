//! The dispatch: where transactions meet connections, and replies meet requesters. Pure.
//!
//! Enters: what happened (a requester joined, sent, took or left; a connection opened, wrote, read or broke; an attempt
//! failed; time passed). Leaves: bytes to write on either side, and [`Errands`]: whom the rooms with sockets must
//! attend to. Promised: every transaction ends once; a failure says truly whether the host can have seen the request;
//! nobody gets anybody else's reply.
//!
//! The way of one transaction: [`Dispatch::request`] gives it to a connection or to the queue → [`Dispatch::wrote`] says
//! how far it was sent → [`Dispatch::received`] ends it with the host's reply. What else may end it: [`Dispatch::broke`],
//! [`Dispatch::expire`], [`Dispatch::attempt_failed`]. The parts of this room follow that order: `requesters` join,
//! `requests` and `runs` of those without a reply, `connections` open, `replies`, `breaks`, `expiry`; `deferred`,
//! `storing`, `early` and `once` are what the spool adds; `sessions`, `turned` and `parting` are of those whose commands bind
//! a connection, and `voices` the protocol's versions.

mod breaks;
mod connections;
mod deferred;
mod early;
mod expiry;
mod leaving;
mod once;
mod parting;
mod replies;
mod requesters;
mod requests;
mod runs;
mod sessions;
mod storing;
#[cfg(test)]
mod tests;
mod turned;
mod voices;

use std::time::{Duration, Instant};

pub use self::breaks::Cost;
pub use self::deferred::{Errand, StoreAnswer};
pub use self::replies::AtOnce;
use super::tally::Tally;
use crate::config::HostSettings;
use crate::dialect::{Failure, Voice};
use crate::pool::{Own, Reach, Slot};
use crate::requester::{Account, Spares};
use crate::work::{ConnectionId, Deadlines, Deferral, Phase, Queue, RequesterId, TransactionId, Transactions, key};

/// A requester with more unread bytes than this is closed at once.
const MOST_UNREAD: usize = 64 * 1024 * 1024;

/// See the head of this file.
#[derive(Debug)]
pub struct Dispatch {
    host: HostSettings,
    accounts: Vec<Option<Account>>,
    free_accounts: Vec<u32>,
    /// Buffers for replies, which those that are idle have not.
    spares: Spares,
    slots: Vec<Place>,
    /// No shared connection has a number from here on.
    shared_top: usize,
    sessions: sessions::Sessions,
    taught: voices::Taught,
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
    /// Commands without a reply that are held back for a moment.
    run: runs::Run,
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
    /// For a session, or kept for one.
    Own(Box<Own>),
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
    /// Whether [`Dispatch::next_opening`] says something new.
    pub sessions: bool,
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
    /// Whose voice that one speaks.
    strained_voice: Voice,
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
    /// Connections for sessions: in use, kept for the next one, or being opened.
    pub sessions: u64,
}

impl Dispatch {
    /// For one worker of one host; the bounds in `host` are this worker's share.
    #[must_use]
    pub fn new(host: HostSettings, seed: u64) -> Self {
        Self {
            accounts: Vec::new(),
            free_accounts: Vec::new(),
            spares: Spares::default(),
            slots: Vec::new(),
            shared_top: 0,
            sessions: sessions::Sessions::default(),
            taught: voices::Taught::default(),
            transactions: Transactions::default(),
            queue: Queue::default(),
            reach: Reach::new(host.retries),
            deadlines: Deadlines::default(),
            tombstones: Deadlines::default(),
            passages: Deadlines::default(),
            intakes: Deadlines::default(),
            unread: Deadlines::default(),
            attempt: Attempt::default(),
            run: runs::Run::default(),
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

    /// When [`Dispatch::expire`] is to be called next.
    #[must_use]
    pub fn alarm(&self) -> Option<Instant> {
        self.armed
    }

    /// Numbers of the moment.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers {
            requesters: self.requesters() as u64,
            queued: self.queue.len() as u64,
            sessions: self.sessions_open() as u64,
            ..Numbers::default()
        };
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

    fn account_mut(&mut self, requester: RequesterId) -> Option<&mut Account> {
        self.accounts.get_mut(requester.index())?.as_mut()
    }

    /// Gives a place to a connection: a free one with a number from `least` on.
    fn place(&mut self, least: usize, place: Place) -> ConnectionId {
        let mut free = self.slots.iter().skip(least).position(|place| matches!(place, Place::Free));
        free = free.map(|index| least + index);
        let index = free.unwrap_or_else(|| {
            let index = self.slots.len().max(least);
            self.slots.resize_with(index + 1, || Place::Free);
            index
        });
        self.slots[index] = place;
        ConnectionId(key(index))
    }

    /// Makes sure that the timer comes at `at` or before.
    fn need(&mut self, at: Instant) {
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            self.errands.timer = true;
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
            && account.fail(id, &words)
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
