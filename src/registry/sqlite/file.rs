//! The file: its lock, its format, and what is done with one that is damaged.
//!
//! Enters: a path, whatever is there. Leaves: an open database, or a [`FileError`] that says what to do.
//! Promised: a damaged file is kept beside (`corrupt-TIME/` in its directory), a fresh one is made, and both are said; a file
//! that a later version has written is left alone; while an earlier registry has the file, it is not touched.
//!
//! The format is the number of migrations that were done (`user_version`); each is done once, in a transaction.
//!
//! ```text
//! leases  a row per instance; `ttl` and `ends` in milliseconds, `ends` since 1970; `pairs` is a JSON object of strings
//! life    one row: a revision that this life of the registry is above, and the lives before it are not
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;
use tracing::warn;

use super::super::row::Revision;

/// A life gives out fewer revisions than this: so the next one begins above, even if the clock was set back.
const LIFE: u64 = 1 << 32;

const MIGRATIONS: [&str; 1] =
    ["CREATE TABLE leases (name TEXT NOT NULL, address TEXT NOT NULL, lease TEXT NOT NULL UNIQUE, \
     ttl INTEGER NOT NULL, ends INTEGER NOT NULL, owner INTEGER NOT NULL, pairs TEXT NOT NULL, \
     PRIMARY KEY (name, address)) STRICT; \
     CREATE TABLE life (one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL) STRICT; \
     INSERT INTO life VALUES (1, 0);"];

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// An earlier registry has not gone yet, or a second daemon has the same `spool_dir`.
    #[error("the registry's store {file} is in use by another process; waiting for it")]
    Locked {
        /// Where it is.
        file: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the registry's store {file} has format {found}, and this tieline knows {known}: install the newer one again, or \
         move the file away to begin with an empty registry"
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
    #[error("the registry's store {file} is damaged: {reason}")]
    Damaged {
        /// Where it is.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the rights to it.
    #[error(
        "cannot {what} the registry's store {file}: {reason}; see that the disk has room and its directory can be written to"
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
    pub(super) fn of(file: &Path, what: &'static str, error: &rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        let (file, reason) = (file.to_owned(), error.to_string());
        let damaged = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            || matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..));
        if damaged { Self::Damaged { file, reason } } else { Self::Io { file, what, reason } }
    }

    fn io(file: &Path, what: &'static str, error: &io::Error) -> Self {
        Self::Io { file: file.to_owned(), what, reason: error.to_string() }
    }

    /// Whether it will be over in a moment.
    pub(super) fn soon(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    pub(super) fn put_aside_if_damaged(&self, file: &Path) {
        if matches!(self, Self::Damaged { .. })
            && let Err(error) = put_aside(file, SystemTime::now())
        {
            warn!("{}", Self::io(file, "move aside", &error));
        }
    }
}

/// A file that is open and fit for use.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) lock: Flock<File>,
    /// All revisions of this life are above.
    pub(super) first: Revision,
}

/// Opens `file`, or makes it and its directory.
pub(super) fn open(file: &Path, now: SystemTime) -> Result<Opened, FileError> {
    make(of(file)).map_err(|error| FileError::io(file, "make the directory of", &error))?;
    let lock = lock(file)?;
    // SQLite would make it with whatever rights the umask leaves.
    let empty = rights().open(file).map_err(|error| FileError::io(file, "open", &error))?;
    drop(empty);
    match fit(file, now) {
        Err(error @ FileError::Damaged { .. }) => {
            let kept = put_aside(file, now).map_err(|error| FileError::io(file, "move aside", &error))?;
            warn!("{error}; it is kept in {}, and a fresh one is made", kept.display());
            rights().open(file).map_err(|error| FileError::io(file, "make", &error))?;
            fit(file, now)
        }
        other => other,
    }
    .map(|(db, first)| Opened { db, lock, first })
}

fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// To read and write, made for owner and group alone if it is not there.
fn rights() -> OpenOptions {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o640);
    how
}

/// The directory of a file.
fn of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// A file whose name begins as that of `file`.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock(file: &Path) -> Result<Flock<File>, FileError> {
    let lock = rights().open(beside(file, "-lock"));
    let lock = lock.map_err(|error| FileError::io(file, "lock", &error))?;
    Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => FileError::Locked { file: file.to_owned() },
        other => FileError::io(file, "lock", &other.into()),
    })
}

/// A connection to a file that has the right format and is sound.
fn fit(file: &Path, now: SystemTime) -> Result<(Connection, Revision), FileError> {
    let at = |error: rusqlite::Error| FileError::of(file, "open", &error);
    let mut db = connect(file).map_err(at)?;
    let done: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(at)?;
    let (done, known) = (usize::try_from(done).unwrap_or(usize::MAX), MIGRATIONS.len());
    if done > known {
        return Err(FileError::TooNew { file: file.to_owned(), found: done, known });
    }
    let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(at)?;
    if said != "ok" {
        return Err(FileError::Damaged { file: file.to_owned(), reason: said });
    }
    migrate(&mut db, done).map_err(at)?;
    let first = begin_life(&db, now).map_err(|error| match error {
        // The format says that these tables are there.
        error if error.sqlite_error_code().is_none_or(|code| code == ErrorCode::Unknown) => {
            FileError::Damaged { file: file.to_owned(), reason: error.to_string() }
        }
        error => at(error),
    })?;
    Ok((db, first))
}

fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    // Whoever looks at the table from outside holds up a commit for a moment, and no longer.
    db.busy_timeout(Duration::from_secs(1))?;
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    db.execute_batch(
        "PRAGMA synchronous=NORMAL; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; \
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

/// The clock in microseconds, but above what any earlier life can have given out.
fn begin_life(db: &Connection, now: SystemTime) -> Result<Revision, rusqlite::Error> {
    let before: i64 = db.query_row("SELECT first FROM life WHERE one = 1", [], |row| row.get(0))?;
    let clock = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let first = u64::try_from(clock).unwrap_or(0).max(before.unsigned_abs().saturating_add(LIFE));
    let kept = i64::try_from(first).unwrap_or(i64::MAX);
    // And leases can be looked for: a table that is not as it was made is found now.
    db.prepare("SELECT name, address, lease, ttl, ends, owner, pairs FROM leases")?;
    db.execute("UPDATE life SET first = ?1 WHERE one = 1", [kept])?;
    Ok(Revision(first))
}

/// Moves what is there out of the way. Returns where to.
fn put_aside(file: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let kept = of(file).join(format!("corrupt-{}", since.as_millis()));
    DirBuilder::new().mode(0o750).create(&kept)?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = beside(file, suffix);
        match fs::rename(&from, kept.join(from.file_name().unwrap_or_default())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(kept)
}
