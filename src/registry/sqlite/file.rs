//! The file: what is in it, and what is done with one that is damaged.
//!
//! Enters: a path, whatever is there. Leaves: an open database, or why there is none.
//! Promised: a damaged file is kept beside (`corrupt-TIME/` in its directory), a fresh one is made, and both are said; while
//! an earlier registry has the file, it is not touched.
//!
//! ```text
//! leases  a row per instance; `ttl` and `ends` in milliseconds, `ends` since 1970; `pairs` is a JSON object of strings
//! life    one row: a revision that this life of the registry is above, and the lives before it are not
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::Flock;
use rusqlite::Connection;
use tracing::warn;

use super::super::row::Revision;
use crate::database::{DatabaseError, Kind, directory_of, make_directory, put_aside};

/// A life gives out fewer revisions than this: so the next one begins above, even if the clock was set back.
const LIFE: u64 = 1 << 32;

const STORE: Kind = Kind {
    title: "the registry's store",
    synchronous: "NORMAL",
    migrations: &["CREATE TABLE leases (name TEXT NOT NULL, address TEXT NOT NULL, lease TEXT NOT NULL UNIQUE, \
         ttl INTEGER NOT NULL, ends INTEGER NOT NULL, owner INTEGER NOT NULL, pairs TEXT NOT NULL, \
         PRIMARY KEY (name, address)) STRICT; \
         CREATE TABLE life (one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL) STRICT; \
         INSERT INTO life VALUES (1, 0);"],
    probes: &[
        "SELECT name, address, lease, ttl, ends, owner, pairs FROM leases",
        "SELECT first FROM life WHERE one = 1",
    ],
};

/// A file that is open and fit for use.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) lock: Flock<File>,
    /// All revisions of this life are above.
    pub(super) first: Revision,
    /// Why it can be read, and not written; none if it can be.
    pub(super) unwritable: Option<DatabaseError>,
}

/// What SQLite said.
pub(super) fn trouble(file: &Path, what: &'static str, error: &rusqlite::Error) -> DatabaseError {
    STORE.error(file, what, error)
}

/// Opens `file`, or makes it and its directory.
pub(super) fn open(file: &Path, now: SystemTime) -> Result<Opened, DatabaseError> {
    make_directory(directory_of(file)).map_err(|error| STORE.io(file, "make the directory of", &error))?;
    let lock = STORE.lock(file, &beside(file))?;
    let (db, first, unwritable) = match begin_life(file, now) {
        Err(error @ DatabaseError::Damaged { .. }) => {
            let kept = move_aside(file, now).map_err(|error| STORE.io(file, "move aside", &error))?;
            warn!("{error}; it is kept in {}, and a fresh one is made", kept.display());
            begin_life(file, now)
        }
        other => other,
    }?;
    Ok(Opened { db, lock, first, unwritable })
}

/// The name of the lock.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-lock");
    PathBuf::from(name)
}

/// An open database, the first revision of this life, and why that could not be written down, if it could not.
type Begun = (Connection, Revision, Option<DatabaseError>);

/// Opens the file, and begins a life: at the clock in microseconds, but above what any earlier life can have given out.
fn begin_life(file: &Path, now: SystemTime) -> Result<Begun, DatabaseError> {
    let at = |error: rusqlite::Error| STORE.error(file, "open", &error);
    let db = STORE.open(file)?;
    let before: i64 = db.query_row("SELECT first FROM life WHERE one = 1", [], |row| row.get(0)).map_err(at)?;
    let clock = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let first = u64::try_from(clock).unwrap_or(0).max(before.unsigned_abs().saturating_add(LIFE));
    let kept = i64::try_from(first).unwrap_or(i64::MAX);
    let written = db.execute("UPDATE life SET first = ?1 WHERE one = 1", [kept]).map_err(at);
    match written {
        Err(error @ DatabaseError::Damaged { .. }) => Err(error),
        // On a full disk what was registered is known all the same.
        written => Ok((db, Revision(first), written.err())),
    }
}

/// Moves a file out of the way that was found damaged while it was in use.
pub(super) fn put_aside_if_damaged(file: &Path, error: &DatabaseError) {
    if matches!(error, DatabaseError::Damaged { .. })
        && let Err(error) = move_aside(file, SystemTime::now())
    {
        warn!("{}", STORE.io(file, "move aside", &error));
    }
}

/// Returns where to.
fn move_aside(file: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let kept = directory_of(file).join(format!("corrupt-{}", since.as_millis()));
    put_aside(file, &kept)?;
    Ok(kept)
}
