//! The file of a ledger: what is in it, and what is done with one that is damaged.
//!
//! Enters: a directory, whatever is in it. Leaves: a lock; an open database, or why there is none.
//! Promised: a damaged file is kept beside (`executed.corrupt-TIME/`), a fresh one is made, and both are said; that something
//! is missing at the end, or is not what was written, is said; nothing else in the directory is touched: a host of the same
//! name may have its spool there.
//!
//! ```text
//! commits    one row: how many commits there were
//! executed   a row per transaction: its tag, the print of its request, when it was begun and when it ended (milliseconds
//!            since 1970), the answer as a frame, and the CRC-32 of tag, print and answer; `ended`, `reply` and `crc` are
//!            NULL until it has ended. Rows of format 1 have no `crc`
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::Flock;
use rusqlite::Connection;
use tracing::error;

use super::{mark, rows};
use crate::database::{CHECKED_WHOLE, DatabaseError, Kind, directory_of, make_directory, put_aside};

const LEDGER: Kind = Kind {
    title: "the ledger",
    synchronous: "FULL",
    migrations: &[
        "CREATE TABLE executed (tag TEXT PRIMARY KEY, print INTEGER NOT NULL, begun INTEGER NOT NULL, ended INTEGER, \
         reply BLOB) STRICT, WITHOUT ROWID; \
         CREATE INDEX ends ON executed (ended, begun);",
        "ALTER TABLE executed ADD COLUMN crc INTEGER; \
         CREATE TABLE commits (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT; \
         INSERT INTO commits VALUES (1, 0);",
    ],
    probes: &[
        "SELECT print, begun, reply, crc FROM executed INDEXED BY ends WHERE ended < 0",
        "SELECT count FROM commits WHERE one = 1",
    ],
};

/// The file of an open database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// An open database.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) commits: u64,
    identity: Identity,
}

impl Opened {
    /// Whether what is written still goes to the file that the next one will open.
    pub(super) fn is_in_place(&self, dir: &Path) -> bool {
        identity(dir).is_some_and(|identity| identity == self.identity)
    }
}

fn identity(dir: &Path) -> Option<Identity> {
    fs::metadata(database(dir)).ok().map(|found| Identity(found.dev(), found.ino()))
}

/// The database in the directory of a far end.
fn database(dir: &Path) -> PathBuf {
    dir.join("executed.sqlite")
}

/// What SQLite said.
pub(super) fn trouble(dir: &Path, what: &'static str, error: &rusqlite::Error) -> DatabaseError {
    LEDGER.error(&database(dir), what, error)
}

/// Takes the lock of the ledger in `dir`, which is made if it is missing, and `spool_dir` with it.
pub(super) fn lock(dir: &Path) -> Result<Flock<File>, DatabaseError> {
    let file = database(dir);
    let made = make_directory(directory_of(dir)).and_then(|()| make_directory(dir));
    made.map_err(|error| LEDGER.io(&file, "make the directory of", &error))?;
    LEDGER.lock(&file, &dir.join("executed.lock"))
}

/// Opens the ledger in `dir`, or makes it. Under its lock.
pub(super) fn open(dir: &Path, now: SystemTime) -> Result<Opened, DatabaseError> {
    match begin(dir) {
        Err(DatabaseError::Damaged { reason, .. }) => {
            replace(dir, &reason, now)?;
            begin(dir)
        }
        other => other,
    }
}

fn begin(dir: &Path) -> Result<Opened, DatabaseError> {
    let file = database(dir);
    let at = |error: rusqlite::Error| LEDGER.error(&file, "read", &error);
    let mut db = LEDGER.open(&file)?;
    let identity = identity(dir).ok_or_else(gone).map_err(|error| LEDGER.io(&file, "open", &error))?;
    let mut commits = rows::commits(&db).map_err(at)?;
    if let Some(mark) = mark::read(dir).filter(|mark| *mark > commits) {
        error!(
            "the ledger {} has lost the last {} of its commits: what was executed in these may be executed a second time; \
             see that the disk is sound, and who else writes there",
            file.display(),
            mark - commits
        );
        rows::go_on(&mut db, mark).map_err(at)?;
        commits = mark;
    }
    if fs::metadata(&file).is_ok_and(|found| found.len() <= CHECKED_WHOLE) {
        let damaged = rows::damaged(&db).map_err(at)?;
        if damaged > 0 {
            error!(
                "{damaged} rows of the ledger {} are not what was written; see that the disk is sound",
                file.display()
            );
        }
    }
    Ok(Opened { db, commits, identity })
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// What is found when the file is not where it was opened.
pub(super) fn removed(dir: &Path) -> DatabaseError {
    LEDGER.damaged(&database(dir), "it was removed, or replaced, while it was in use".to_owned())
}

/// Puts a damaged file aside, and says so.
pub(super) fn replace(dir: &Path, reason: &str, now: SystemTime) -> Result<(), DatabaseError> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (file, kept) = (database(dir), dir.join(format!("executed.corrupt-{}", since.as_millis())));
    error!(
        "the ledger {} is damaged: {reason}; it is kept in {}, and a fresh one is begun, which knows of no transaction: those \
         that are in doubt now, or are repeated for another reason, may be executed a second time",
        file.display(),
        kept.display()
    );
    put_aside(&file, &kept).map_err(|error| LEDGER.io(&file, "move aside", &error))?;
    // It is about the file that was put aside.
    fs::remove_file(mark::file(dir)).ok();
    Ok(())
}
