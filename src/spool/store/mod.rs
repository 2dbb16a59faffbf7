//! The store: one host's deferred transactions in one SQLite file.
//!
//! Enters: requests, and what became of them. Leaves: requests in the order of their IDs, each checked. Promised:
//!
//! - [`Store::append`] says [`Appended::Stored`] only after a commit that has reached the disk;
//! - an ID never comes twice, whatever was lost;
//! - a body or tag whose checksum is wrong never leaves as one to be sent, and what is gone is said ([`Findings`]);
//! - a request keeps its tag wherever it goes, until it leaves or was refused and is requeued;
//! - a damaged store is set aside and a fresh one takes its place, with all that could be read;
//! - every failure says whether the request can have been stored.
//!
//! In `spool_dir/NAME/`, directory 0750, files 0640:
//!
//! | file | holds |
//! | --- | --- |
//! | `spool.sqlite`, `-wal` | the store; there is no `-shm`, as the one process that has it open keeps that index in memory |
//! | `lock` | a lock (flock(2)) held by who has the store open, and its process ID |
//! | `watermark` | how far the store had come (`watermark`) |
//! | `ballast` | bytes to be given back when the disk is full (`ballast`) |
//! | `corrupt/TIME/` | damaged stores |
//! | `spool.sqlite.new`, `.salvaged` | a fresh store being made, and a whole one about to be put in place |
//!
//! The parts: `files` (names, lock, free space) · `schema` (tables, formats, connection) · `state` (the one row of totals) ·
//! `row` (checksums) · `open` · `salvage` (damage) · `append` · `next` · `settle` · `tools` · `look` (reading for people) ·
//! `maintain` · `read_only` (for tools while no child runs).

mod append;
mod ballast;
mod change;
mod error;
mod files;
mod findings;
mod look;
mod maintain;
mod next;
mod open;
mod read_only;
mod row;
mod salvage;
mod schema;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod tools;
mod watermark;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::Flock;
use rusqlite::Connection;

pub use error::{Fault, StoreError};
pub use files::Free;
pub use findings::{Finding, Findings, Missing};
pub use look::{Entry, Report, RowState};
pub use read_only::ReadOnly;
pub use schema::Synchronous;
pub use tools::Which;

use files::Files;
use state::State;
use watermark::Watermark;

/// Names a stored request; counted from 1 in the order of acceptance, and never given twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a store may take, and how it treats what is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of stored bodies, tags, replies and rows ([`ROW_COST`] each), the dead included.
    pub max_bytes: u64,
    /// Accept nothing while less than this part of the file system is free, in percent.
    pub free_floor_percent: u8,
    /// Bytes of the ballast file; 0 for none.
    pub ballast: u64,
    /// Requests older than this go to the dead.
    pub expire: Duration,
    /// Whether what is in doubt is held for the operator instead of being sent again.
    pub hold_in_doubt: bool,
}

impl Default for Limits {
    /// 1 GiB, 5 %, 8 MiB, 5 days, sent again.
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            free_floor_percent: 5,
            ballast: 8 << 20,
            expire: Duration::from_secs(5 * 24 * 3600),
            hold_in_doubt: false,
        }
    }
}

/// What a stored row is counted with besides its body and tag, in bytes: its other columns, and its share of the page.
pub const ROW_COST: u64 = 64;

/// A request to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New<'a> {
    /// The request as the host shall get it.
    pub body: &'a [u8],
    /// By which the far end knows it again, in ASCII; empty: none. It is the same for each try.
    pub tag: &'a str,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// Whether the first try had sent it and no answer came.
    pub in_doubt: bool,
}

/// What became of a request to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk.
    Stored(Id),
    /// It is not, and was not tried; later it may be.
    Full(Why),
}

/// Why nothing is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The host's quota.
    #[error("the spool holds {bytes} of at most {max} bytes (spool_max)")]
    Quota {
        /// Bytes stored.
        bytes: u64,
        /// The quota.
        max: u64,
    },
    /// Others need the disk more.
    #[error("only {percent} % of the disk is free, and below {floor} % nothing is accepted")]
    FreeDisk {
        /// What is free, in percent.
        percent: u8,
        /// The floor, in percent.
        floor: u8,
    },
    /// The disk has no byte left.
    #[error("the disk is full")]
    Disk,
}

/// A stored request that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its ID.
    pub id: Id,
    /// The request, checked.
    pub body: Vec<u8>,
    /// Its tag, checked; empty: none.
    pub tag: String,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// How often it was tried from the store.
    pub attempts: u64,
    /// Whether it may have reached the host already.
    pub in_doubt: bool,
}

/// What became of a request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its ID.
    pub id: Id,
    /// What became of it.
    pub how: How,
}

/// See [`Settled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The host took it: it leaves the store.
    Delivered,
    /// The host will never take it: it goes to the dead with its reply (of which 64 KiB are kept).
    Dead {
        /// The host's reply.
        reply: Vec<u8>,
        /// The reason in words.
        why: String,
    },
    /// Not this time, and it was not executed: the attempt is counted, it stays at its place.
    Failed {
        /// The reason in words.
        why: String,
    },
    /// It was sent and no answer came: in doubt. It stays at its place, or is held ([`Limits::hold_in_doubt`]).
    Unknown {
        /// The reason in words.
        why: String,
    },
    /// Held for the operator.
    Held {
        /// The reason in words.
        why: String,
    },
}

/// Numbers of the moment. They are kept in memory: asking costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Requests that wait to be sent.
    pub depth: u64,
    /// Bytes that count against the quota: of all rows, the held and the dead included.
    pub bytes: u64,
    /// When the first of those that wait was accepted, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Rows, waiting or held, that may have reached the host already.
    pub in_doubt: u64,
    /// Rows held for the operator.
    pub held: u64,
    /// Rows that will not be sent: rejected by the host, or expired.
    pub dead: u64,
    /// Rows whose checksum is wrong, set aside.
    pub damaged: u64,
    /// The highest ID ever given.
    pub highest: Id,
    /// The last thing that went wrong, in words.
    pub last_error: Option<String>,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Store {
    files: Files,
    limits: Limits,
    synchronous: Synchronous,
    /// None after an error that leaves the connection in doubt: only opening the store again helps.
    db: Option<Connection>,
    state: State,
    watermark: Watermark,
    /// When what was last done, for [`Store::maintain`].
    chores: maintain::Chores,
    /// What was found since the last [`Store::take_findings`].
    findings: Findings,
    last_error: Option<String>,
    /// Held until everything above is closed.
    _lock: Flock<File>,
}

impl Store {
    /// Numbers of the moment.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers { last_error: self.last_error.clone(), ..self.state.numbers() }
    }

    /// What it may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The host's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// What was found since the last time: damage, and what became of it.
    pub fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }
}

/// In milliseconds since 1970; 0 before.
fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, in milliseconds since 1970: for what is only told, never for what is decided.
fn wall_ms() -> u64 {
    millis(SystemTime::now())
}
