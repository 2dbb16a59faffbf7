//! The file of a ledger: what is in it, and what is done with one that is damaged.
//!
//! Enters: a directory, whatever is in it. Leaves: a lock; an open database, or why there is none.
//! Promised: a damaged file is kept beside (`executed.corrupt-TIME/`), a fresh one is made, and both are said; nothing else
//! in the directory is touched: a host of the same name may have its spool there.
//!
//! ```text
//! executed   a row per transaction: its tag, the print of its request, when it was begun and when it ended (milliseconds
//!            since 1970), the answer as a frame, and the CRC-32 of tag, print and answer; `ended`, `reply` and `crc` are
//!            NULL until it has ended. Rows of format 1 have no `crc`
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::Flock;
use rusqlite::Connection;
use tracing::error;

use crate::database::{DatabaseError, Kind, directory_of, make_directory, put_aside};

const LEDGER: Kind = Kind {
    title: "the ledger",
    synchronous: "FULL",
    migrations: &[
        "CREATE TABLE executed (tag TEXT PRIMARY KEY, print INTEGER NOT NULL, begun INTEGER NOT NULL, ended INTEGER, \
         reply BLOB) STRICT, WITHOUT ROWID; \
         CREATE INDEX ends ON executed (ended, begun);",
        "ALTER TABLE executed ADD COLUMN crc INTEGER;",
    ],
    probes: &["SELECT print, begun, reply, crc FROM executed INDEXED BY ends WHERE ended < 0"],
};

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
pub(super) fn open(dir: &Path, now: SystemTime) -> Result<Connection, DatabaseError> {
    match LEDGER.open(&database(dir)) {
        Err(DatabaseError::Damaged { reason, .. }) => {
            replace(dir, &reason, now)?;
            LEDGER.open(&database(dir))
        }
        other => other,
    }
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
    put_aside(&file, &kept).map_err(|error| LEDGER.io(&file, "move aside", &error))
}
