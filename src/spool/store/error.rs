//! What can go wrong with a store, and whether trying again helps.
//!
//! Enters: errors of SQLite and of the system. Leaves: [`StoreError`], which says whether a request can have been stored.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use thiserror::Error;

/// Whose fault a [`StoreError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full, or refuses to read or write.
    Disk,
    /// What is on the disk is not what was written.
    Data,
    /// Another process has the store open.
    InUse,
    /// The installation: the wrong version of something, or a right that is missing.
    Setup,
}

/// Why something with a store did not work. Each says where, why, and what to do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the spool {dir} is in use{}; ask the daemon instead, or wait until it has stopped",
        .holder.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// The host's directory.
        dir: PathBuf,
        /// The process, as far as it is known.
        holder: Option<i32>,
    },
    /// There is none.
    #[error("there is no spool in {dir}: nothing was ever deferred for this host, or spool_dir points elsewhere")]
    Absent {
        /// The host's directory.
        dir: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "the spool {dir} has format {found}, and this tieline knows {known}: install the newer one again, or move the \
         directory away to begin with an empty spool"
    )]
    TooNew {
        /// The host's directory.
        dir: PathBuf,
        /// The store's version.
        found: i64,
        /// The highest version known here.
        known: i64,
    },
    /// SQLite is older than what this program was made for.
    #[error(
        "this tieline was linked with SQLite {found}; versions before 3.51.3 can corrupt a spool: build it bundled"
    )]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// The disk is full. Nothing of the call was done.
    #[error("cannot {what} the spool {dir}: the disk is full ({reason}); free some space, it goes on by itself then")]
    Full {
        /// The host's directory.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// SQLite's or the system's words.
        reason: String,
    },
    /// The system refused. Nothing of the call was done. The store must be opened again.
    #[error("cannot {what} the spool {dir}: {reason}; see that the disk is sound and the directory writable")]
    Io {
        /// The host's directory.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// SQLite's or the system's words.
        reason: String,
    },
    /// A commit failed half-way: what the call was to do is done or not. The store must be opened again to know.
    #[error("cannot say whether what was to {what} the spool {dir} is on disk: {reason}; see that the disk is sound")]
    InDoubt {
        /// The host's directory.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// SQLite's or the system's words.
        reason: String,
    },
    /// The store is damaged, and even a fresh one in its place was.
    #[error("the spool {dir} is damaged: {reason}; see that the disk is sound, then start again")]
    Corrupt {
        /// The host's directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An earlier failure closed the store.
    #[error("the spool {dir} was closed after an earlier failure and must be opened again")]
    Closed {
        /// The host's directory.
        dir: PathBuf,
    },
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Locked { .. } => Fault::InUse,
            Self::Absent { .. } | Self::TooNew { .. } | Self::OldSqlite { .. } => Fault::Setup,
            Self::Full { .. } | Self::Io { .. } | Self::InDoubt { .. } | Self::Closed { .. } => Fault::Disk,
            Self::Corrupt { .. } => Fault::Data,
        }
    }

    /// Whether the same call may work later on the same store, without anybody's hand.
    #[must_use]
    pub fn again_helps(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Full { .. })
    }

    /// Whether the store must be opened again before anything else works.
    #[must_use]
    pub fn closes(&self) -> bool {
        !self.again_helps()
    }

    /// The host's directory in the spool; empty if the failure has none.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Self::Locked { dir, .. }
            | Self::Absent { dir }
            | Self::TooNew { dir, .. }
            | Self::Full { dir, .. }
            | Self::Io { dir, .. }
            | Self::InDoubt { dir, .. }
            | Self::Corrupt { dir, .. }
            | Self::Closed { dir } => dir,
            Self::OldSqlite { .. } => Path::new(""),
        }
    }

    pub(super) fn io(dir: &Path, what: &'static str, error: &io::Error) -> Self {
        let (dir, reason) = (dir.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { dir, what, reason },
            _ => Self::Io { dir, what, reason },
        }
    }
}

/// Inside this room: what stopped a piece of work.
#[derive(Debug)]
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    /// What was read cannot be what was written.
    Damage(String),
}

/// How a [`Trouble`] is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Io,
    Busy,
    Damage,
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Trouble {
    pub(super) fn kind(&self) -> Kind {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = self else { return Kind::Damage };
        // The file ends before what it says it holds, or the file system itself saw a wrong checksum.
        if [ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_CORRUPTFS].contains(&failure.extended_code) {
            return Kind::Damage;
        }
        match failure.code {
            ErrorCode::DiskFull => Kind::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Kind::Busy,
            // Our files are writable (they were opened for it): the file's own head says that it is not. An unknown
            // table, a key that is there twice, a value that breaks its constraint: not what was written here.
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::SchemaChanged
            | ErrorCode::Unknown => Kind::Damage,
            _ => Kind::Io,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, text)) => {
                let text = text.clone().unwrap_or_else(|| failure.to_string());
                format!("{text} (SQLite {})", failure.extended_code)
            }
            Self::Sqlite(other) => other.to_string(),
            Self::Damage(what) => what.clone(),
        }
    }

    /// As an error of a call of which nothing was done.
    pub(super) fn into_error(self, dir: &Path, what: &'static str) -> StoreError {
        let (dir, reason) = (dir.to_owned(), self.reason());
        match self.kind() {
            Kind::Full => StoreError::Full { dir, what, reason },
            Kind::Io => StoreError::Io { dir, what, reason },
            Kind::Busy => StoreError::Locked { dir, holder: None },
            Kind::Damage => StoreError::Corrupt { dir, reason },
        }
    }
}
