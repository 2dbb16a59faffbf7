//! Work: transactions, their deadlines, and the queue in which they wait for a connection. Pure.
//!
//! Enters: events and the time. Leaves: whose turn it is, and what has expired. Promised: what a transaction costs
//! here does not grow with the number of the others.

mod deadlines;
mod queue;
mod tagged;
mod transactions;

pub use deadlines::Deadlines;
pub use queue::Queue;
pub use tagged::Tagged;
pub use transactions::{Deferral, Phase, Transaction, Transactions};

/// Names a requester of this worker, as long as it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequesterId(pub u32);

/// Names a connection of this worker, as long as its task lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// Names a transaction, until its reply was read (also if nobody waits for it any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u32);

impl RequesterId {
    /// As an index into tables of requesters.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ConnectionId {
    /// As an index into tables of connections.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A new key for a table of ours. They are 32 bits wide to keep the tables small; the bounds of the configuration keep
/// every table far below that.
pub(crate) fn key(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
