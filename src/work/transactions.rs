//! The table of transactions: one entry from the frame's arrival until its reply was read from the connection.
//!
//! Enters: what happened to a transaction. Leaves: where each is. Promised: an entry is as small as it can be while it
//! is in flight; its request's bytes are held here only while it waits in the queue.

use std::time::Instant;

use crate::dialect::Voice;

use super::{ConnectionId, RequesterId, Tagged, TransactionId, key};

/// One request and its outcome.
#[derive(Debug)]
pub struct Transaction {
    /// Who waits for the reply; `None` once it has hung up.
    pub requester: Option<RequesterId>,
    /// When the request was complete.
    pub accepted: Instant,
    /// Where it is.
    pub phase: Phase,
    /// What the spool has to do with it, if anything.
    pub deferral: Option<Box<Deferral>>,
}

/// What else is to be done when a transaction ends; mostly, what the spool has to do with it.
#[derive(Debug)]
pub enum Deferral {
    /// The first try of a deferred request, which is stored if it fails.
    FirstTry(Tagged),
    /// The replay of a stored one, by its ID.
    Replay(u64),
    /// Nothing: a requester's hello. Should it fail, it goes on with this voice.
    Hello(Voice),
    /// Nothing: tieline asks for the host's commands.
    Lesson,
    /// Nothing: tieline has the connection speak this voice.
    Turn(Voice),
}

/// Where a transaction is.
#[derive(Debug)]
pub enum Phase {
    /// In the work queue, with the request's bytes.
    Queued(Box<[u8]>),
    /// Given to a connection, no reply yet.
    InFlight(ConnectionId),
    /// Its reply is being passed on to the requester as it comes.
    Streaming(ConnectionId),
    /// On its way into the store, or waiting for it to be opened.
    Storing,
    /// Answered as unknown: its late reply will be read from the connection and dropped.
    Tombstone(ConnectionId),
}

/// The table of transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    entries: Vec<Option<Transaction>>,
    free: Vec<u32>,
}

impl Transactions {
    /// Adds one.
    #[inline]
    pub fn insert(&mut self, transaction: Transaction) -> TransactionId {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(transaction);
            return TransactionId(index);
        }
        self.entries.push(Some(transaction));
        TransactionId(key(self.entries.len() - 1))
    }

    /// Takes one out; its ID may be given to the next one.
    #[inline]
    pub fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        let taken = self.entries.get_mut(id.0 as usize)?.take();
        if taken.is_some() {
            self.free.push(id.0);
        }
        taken
    }

    /// Looks at one.
    #[must_use]
    pub fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    /// Looks at one, to change it.
    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the table's memory back when nothing is in it after a great many were.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.entries.len() > 4096 {
            *self = Self::default();
        }
    }
}
