//! What a place must offer that makes changes last: the interface between the directory and its store.
//!
//! Enters: [`Wish`]es, which the directory has found to be allowed as far as it knows. Leaves: for each one whether it is
//! done ([`Pending`]), and [`News`] of what others did. Promised by every store: a wish that is answered [`Written`] lasts;
//! asking never waits.
//!
//! Two kinds of stores are meant:
//!
//! - **local** (SQLite): nobody else writes. What the directory allowed is right; the store writes it down. News is the
//!   table of an earlier life, once. The directory ends leases ([`Sweeper::Directory`]) and says so by [`Wish::Swept`].
//! - **shared** (NATS KV): several machines write. The store decides, by create-if-absent and by the version that a wish
//!   names, and refuses what came too late ([`StoreError::Denied`], [`StoreError::Unknown`]). Its watch feeds the directory
//!   ([`News::Put`], [`News::Gone`]), also with what was asked here. It ends leases itself ([`Sweeper::Store`]).
//!
//! The way of a change: the directory allows it (`may_…`) → [`Store::ask`] → [`Written`] → the directory takes it over
//! (`Directory::wrote`) → its program is answered. Of one name at most one wish is under way, so that what was allowed is
//! still right when it is written; wishes for different names are. Reading asks no store.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use super::row::{Lease, Revision, Row};

/// The store's own count of writings, which it finds its rows by; the directory only keeps and compares it. Higher is
/// later. A local store says 0 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Write this row, to live for its `ttl` from now on.
    Put {
        /// The row, with its new lease.
        row: Arc<Row>,
        /// What stands under its name and address now, to be replaced by it; with none, nothing may stand there.
        replaces: Option<(Arc<Row>, Version)>,
    },
    /// Let this row live for another `ttl` from now on.
    Renew {
        /// The row as it stands.
        row: Arc<Row>,
        /// The version that is meant.
        version: Version,
    },
    /// Remove this row.
    Remove {
        /// The row as it stands.
        row: Arc<Row>,
        /// The version that is meant.
        version: Version,
    },
    /// The time of these was over and the directory has dropped them: forget them. Only asked of a store whose leases the
    /// directory ends.
    Swept {
        /// Whose time was over.
        leases: Vec<Lease>,
    },
}

/// A wish is done, and lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The version that the row has now.
    pub version: Version,
}

/// Why a wish was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Somebody else has the row, or the name, by now.
    #[error("user {owner} has registered it meanwhile; choose another name, or ask its owner")]
    Denied {
        /// Who has it.
        owner: u32,
    },
    /// The row is gone or another one by now.
    #[error("its lease has ended meanwhile; register it again")]
    Unknown,
    /// The store cannot be reached. The wish was not done, or may be done: a repeated one does no harm.
    #[error("the store cannot be reached: {reason}; try again later")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// The store is there and could not do it.
    #[error("the store cannot write it: {reason}; see the log of the registry")]
    Failed {
        /// What happened.
        reason: String,
    },
}

/// How a wish ended, when it has. A sender that is gone means that the store is: [`StoreError::Unavailable`].
pub type Pending = oneshot::Receiver<Result<Written, StoreError>>;

/// A row as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The row.
    pub row: Arc<Row>,
    /// How long it lives from now on unless it is renewed.
    pub left: Duration,
    /// Its version.
    pub version: Version,
}

/// What a store tells unasked, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Everything that is registered: said first, and again whenever news may have been missed. What is not in it is gone.
    Table {
        /// All rows.
        rows: Vec<Stored>,
        /// The highest version that this table tells of.
        version: Version,
        /// The highest revision that an earlier life of this registry may have given out, as far as the store knows it.
        revision: Revision,
    },
    /// A row is new, renewed or replaced.
    Put(Stored),
    /// A row has ended.
    Gone {
        /// Which one.
        lease: Lease,
        /// The version of its end.
        version: Version,
    },
    /// The store cannot be reached from now on: what is known is served, and nothing can be changed.
    Away {
        /// Why, for people.
        reason: String,
    },
    /// The store can be reached again. A [`News::Table`] has been told before.
    Back,
}

/// Who ends leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweeper {
    /// The directory, by its own clock; it tells the store.
    Directory,
    /// The store, by its own clock; it tells the directory.
    Store,
}

/// See the head of this file. News goes into a channel (`tokio::sync::mpsc::UnboundedSender<News>`) that is given to the
/// store when it is made.
pub trait Store {
    /// Asks for a change. Never waits.
    fn ask(&self, wish: Wish) -> Pending;

    /// Who ends leases.
    fn sweeper(&self) -> Sweeper;

    /// What this store is, for the log and the status: `registry.sqlite`, the servers of NATS.
    fn describe(&self) -> String;

    /// Ends what can be ended in order: waits until what was asked for is done, at most a moment.
    fn close(self: Box<Self>);
}
