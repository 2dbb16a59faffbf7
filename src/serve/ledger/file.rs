//! The file of a ledger: its lock, its format, and what is done with one that is damaged.
//!
//! Enters: a directory, whatever is in it. Leaves: a lock; an open database, or a [`FileError`] that says what to do.
//! Promised: a damaged file is kept beside (`executed.corrupt-TIME/`), a fresh one is made, and both are said; a file that
//! a later version has written is left alone; nothing else in the directory is touched: a host of the same name may have
//! its spool there.
//!
//! The format is the number of migrations that were done (`user_version`); each is done once, in a transaction.
//!
//! ```text
//! executed   a row per transaction: its tag, the print of its request, when it was begun and when it ended (milliseconds
//!            since 1970), and the answer as a frame; `ended` and `reply` are NULL until it has ended
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use thiserror::Error;
use tracing::error;

const DATABASE: &str = "executed.sqlite";
const LOCK: &str = "executed.lock";

/// A file up to this size (bytes) is checked whole when it is opened: reading it takes a moment.
const CHECKED_WHOLE: u64 = 64 << 20;

const MIGRATIONS: [&str; 1] = ["CREATE TABLE executed (tag TEXT PRIMARY KEY, print INTEGER NOT NULL, \
     begun INTEGER NOT NULL, ended INTEGER, reply BLOB) STRICT, WITHOUT ROWID; \
     CREATE INDEX ends ON executed (ended, begun);"];

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub(super) enum FileError {
    /// A far end before this one has not gone yet, or a second one has the same directory.
    #[error("the ledger {file} is in use by another process")]
    Locked {
        /// Where it is.
        file: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the ledger {file} has format {found}, and this tieline knows {known}: install the newer one again, or move the file \
         away to begin with an empty ledger"
    )]
    TooNew {
        /// Where it is.
        file: PathBuf,
        /// Its format.
        found: usize,
        /// The highest one known here.
        known: usize,
    },
    /// What is in it is not what was written.
    #[error("the ledger {file} is damaged: {reason}")]
    Damaged {
        /// Where it is.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the rights to it.
    #[error(
        "cannot {what} the ledger {file}: {reason}; see that the disk has room and its directory can be written to"
    )]
    Io {
        /// Where it is.
        file: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words, or SQLite's.
        reason: String,
    },
}

impl FileError {
    /// What SQLite said.
    pub(super) fn of(dir: &Path, what: &'static str, error: &rusqlite::Error) -> Self {
        let (file, reason) = (dir.join(DATABASE), error.to_string());
        if is_damage(error) { Self::Damaged { file, reason } } else { Self::Io { file, what, reason } }
    }

    fn io(dir: &Path, what: &'static str, error: &io::Error) -> Self {
        Self::Io { file: dir.join(DATABASE), what, reason: error.to_string() }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqliteFailure};
    match error {
        // The file ends before what it says it holds, or the file system itself saw a wrong checksum.
        SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || [ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_CORRUPTFS].contains(&failure.extended_code)
        }
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => true,
        _ => false,
    }
}

/// Takes the lock of the ledger in `dir`, which is made (0750) if it is missing, and `spool_dir` with it, or says at once
/// that another process has it. The lock ends with its holder, however that ends.
pub(super) fn lock(dir: &Path) -> Result<Flock<File>, FileError> {
    let spool_dir = dir.parent().unwrap_or(Path::new("/"));
    let made = make(spool_dir).and_then(|()| make(dir));
    made.map_err(|error| FileError::io(dir, "make the directory of", &error))?;
    let file = rights().open(dir.join(LOCK)).map_err(|error| FileError::io(dir, "lock", &error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => FileError::Locked { file: dir.join(DATABASE) },
        other => FileError::io(dir, "lock", &other.into()),
    })
}

/// Opens the ledger in `dir`, or makes it. Under its lock.
pub(super) fn open(dir: &Path, now: SystemTime) -> Result<Connection, FileError> {
    match fit(dir) {
        Err(FileError::Damaged { reason, .. }) => {
            replace(dir, &reason, now)?;
            fit(dir)
        }
        other => other,
    }
}

/// Puts a damaged file aside, and says so.
pub(super) fn replace(dir: &Path, reason: &str, now: SystemTime) -> Result<(), FileError> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let kept = dir.join(format!("executed.corrupt-{}", since.as_millis()));
    error!(
        "the ledger {} is damaged: {reason}; it is kept in {}, and a fresh one is begun, which knows of no transaction: those \
         that are in doubt now, or are repeated for another reason, may be executed a second time",
        dir.join(DATABASE).display(),
        kept.display()
    );
    put_aside(dir, &kept).map_err(|error| FileError::io(dir, "move aside", &error))
}

fn put_aside(dir: &Path, kept: &Path) -> io::Result<()> {
    make(kept)?;
    // The database first: SQLite removes a log without one.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let name = format!("{DATABASE}{suffix}");
        match fs::rename(dir.join(&name), kept.join(&name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(dir)
}

/// Makes the last part of a path, unless a directory is there.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Ok(()) => sync(dir.parent().unwrap_or(Path::new("/"))),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory survive the loss of power.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// To read and write, made for owner and group alone if it is not there: replies may hold secrets.
fn rights() -> OpenOptions {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o640);
    how
}

/// A connection to a file that has the right format and is sound.
fn fit(dir: &Path) -> Result<Connection, FileError> {
    let (file, at) = (dir.join(DATABASE), |error: rusqlite::Error| FileError::of(dir, "open", &error));
    // SQLite would make it with whatever rights the umask leaves.
    let made = rights().open(&file).and_then(|made| sync(dir).map(|()| made));
    let size = made.and_then(|made| made.metadata()).map_err(|error| FileError::io(dir, "open", &error))?.len();
    let mut db = connect(&file).map_err(at)?;
    let done: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(at)?;
    let (done, known) = (usize::try_from(done).unwrap_or(usize::MAX), MIGRATIONS.len());
    if done > known {
        return Err(FileError::TooNew { file, found: done, known });
    }
    migrate(&mut db, done).map_err(at)?;
    let looked = db.prepare("SELECT print, begun, reply FROM executed INDEXED BY ends WHERE ended < 0").map(drop);
    looked.map_err(|error| match error.sqlite_error_code() {
        // The format says that these are there.
        None | Some(ErrorCode::Unknown) => FileError::Damaged { file: file.clone(), reason: error.to_string() },
        Some(_) => at(error),
    })?;
    if size <= CHECKED_WHOLE {
        let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(at)?;
        if said != "ok" {
            return Err(FileError::Damaged { file, reason: said });
        }
    }
    Ok(db)
}

fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    // Whoever looks at the table from outside holds up a commit for a moment, and no longer.
    db.busy_timeout(Duration::from_secs(1))?;
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    db.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; \
         PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;",
    )?;
    Ok(db)
}

fn migrate(db: &mut Connection, done: usize) -> Result<(), rusqlite::Error> {
    for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let work = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        work.execute_batch(sql)?;
        work.pragma_update(None, "user_version", number)?;
        work.commit()?;
    }
    Ok(())
}
