//! A SQLite file that one process at a time has: its lock, its rights, its format, and where one goes that is damaged.
//!
//! Enters: a path, whatever is there, and what it should be ([`Kind`]). Leaves: a lock; a connection that is fit for use;
//! or a [`DatabaseError`] that says what to do. Promised: what is made is for owner and group alone; a file that a later
//! version has written is left alone; nothing else in its directory is touched.
//!
//! The format is the number of migrations that were done (`user_version`); each is done once, in a transaction. The
//! registry and the far ends keep such files. The store of a host is none: it lives by rules of its own, see `spool`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};
use thiserror::Error;

/// A file up to this size (bytes) is checked whole when it is opened: reading it takes a moment.
pub(crate) const CHECKED_WHOLE: u64 = 64 << 20;

/// What a file is.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What people call it.
    pub(crate) title: &'static str,
    /// How a commit is synced: SQLite's word.
    pub(crate) synchronous: &'static str,
    /// All that has led to the format of today, the oldest first.
    pub(crate) migrations: &'static [&'static str],
    /// Statements that can be prepared if the tables are what the format says.
    pub(crate) probes: &'static [&'static str],
}

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DatabaseError {
    /// The process before this one has not gone yet, or a second one has been given the same directory.
    #[error("{title} {file} is in use by another process; waiting for it")]
    Locked {
        /// What it is.
        title: &'static str,
        /// Where it is.
        file: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "{title} {file} has format {found}, and this tieline knows {known}: install the newer one again, or move the file \
         away to begin with an empty one"
    )]
    TooNew {
        /// What it is.
        title: &'static str,
        /// Where it is.
        file: PathBuf,
        /// Its format.
        found: usize,
        /// The highest one known here.
        known: usize,
    },
    /// What is in it is not what was written.
    #[error("{title} {file} is damaged: {reason}")]
    Damaged {
        /// What it is.
        title: &'static str,
        /// Where it is.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the rights to it.
    #[error("cannot {what} {title} {file}: {reason}; see that the disk has room and its directory can be written to")]
    Io {
        /// What it is.
        title: &'static str,
        /// Where it is.
        file: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words, or SQLite's.
        reason: String,
    },
}

impl Kind {
    /// Takes the lock of `file`, or says at once that another process has it. It ends with its holder, however that ends.
    pub(crate) fn lock(&self, file: &Path, lock: &Path) -> Result<Flock<File>, DatabaseError> {
        let open = rights().open(lock).map_err(|error| self.io(file, "lock", &error))?;
        Flock::lock(open, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => DatabaseError::Locked { title: self.title, file: file.to_owned() },
            other => self.io(file, "lock", &other.into()),
        })
    }

    /// A connection to `file`, which is made if it is missing, has the format of today and is sound. Under its lock.
    pub(crate) fn open(&self, file: &Path) -> Result<Connection, DatabaseError> {
        let at = |error: rusqlite::Error| self.error(file, "open", &error);
        let size = size_of(file).map_err(|error| self.io(file, "open", &error))?;
        let mut db = self.connect(file).map_err(at)?;
        let done: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(at)?;
        let (done, known) = (usize::try_from(done).unwrap_or(usize::MAX), self.migrations.len());
        if done > known {
            return Err(DatabaseError::TooNew { title: self.title, file: file.to_owned(), found: done, known });
        }
        if size <= CHECKED_WHOLE {
            let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(at)?;
            if said != "ok" {
                return Err(self.damaged(file, said));
            }
        }
        self.migrate(&mut db, done).and_then(|()| self.probe(&db)).map_err(|error| {
            match error.sqlite_error_code() {
                // A table or a column is missing of which the format says that it is there.
                None | Some(ErrorCode::Unknown) => self.damaged(file, error.to_string()),
                _ => at(error),
            }
        })?;
        Ok(db)
    }

    fn connect(&self, file: &Path) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags)?;
        // Whoever looks at the table from outside holds up a commit for a moment, and no longer.
        db.busy_timeout(Duration::from_secs(1))?;
        db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        db.execute_batch(&format!(
            "PRAGMA synchronous={}; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; \
             PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;",
            self.synchronous
        ))?;
        Ok(db)
    }

    fn migrate(&self, db: &mut Connection, done: usize) -> Result<(), rusqlite::Error> {
        for (number, sql) in (1_i64..).zip(self.migrations).skip(done) {
            let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work.execute_batch(sql)?;
            work.pragma_update(None, "user_version", number)?;
            work.commit()?;
        }
        Ok(())
    }

    fn probe(&self, db: &Connection) -> Result<(), rusqlite::Error> {
        self.probes.iter().try_for_each(|sql| db.prepare(sql).map(drop))
    }

    /// What SQLite said.
    pub(crate) fn error(&self, file: &Path, what: &'static str, error: &rusqlite::Error) -> DatabaseError {
        let reason = error.to_string();
        if is_damage(error) {
            return self.damaged(file, reason);
        }
        DatabaseError::Io { title: self.title, file: file.to_owned(), what, reason }
    }

    /// What the system said.
    pub(crate) fn io(&self, file: &Path, what: &'static str, error: &io::Error) -> DatabaseError {
        DatabaseError::Io { title: self.title, file: file.to_owned(), what, reason: error.to_string() }
    }

    /// What is in it is not what was written.
    pub(crate) fn damaged(&self, file: &Path, reason: String) -> DatabaseError {
        DatabaseError::Damaged { title: self.title, file: file.to_owned(), reason }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match error {
        // The file ends before what it says it holds, or the file system itself saw a wrong checksum.
        E::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || [ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_CORRUPTFS].contains(&failure.extended_code)
        }
        // A row or a value is not there that was written.
        E::QueryReturnedNoRows
        | E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..) => true,
        _ => false,
    }
}

/// Moves a file, and whatever SQLite keeps beside it, into the directory `kept`.
pub(crate) fn put_aside(file: &Path, kept: &Path) -> io::Result<()> {
    make_directory(kept)?;
    // The database first: SQLite removes a log without one.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        match fs::rename(file.with_file_name(&name), kept.join(&name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(directory_of(file))
}

/// Makes the last part of a path (0750), unless a directory is there; its name survives the loss of power.
pub(crate) fn make_directory(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Ok(()) => sync(directory_of(dir)),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory that has this name in it.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// How large a file is (bytes); it is made if it is missing, as SQLite would make it with whatever rights the umask leaves.
fn size_of(file: &Path) -> io::Result<u64> {
    let size = rights().open(file)?.metadata()?.len();
    sync(directory_of(file))?;
    Ok(size)
}

/// Makes the names in a directory survive the loss of power.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// To read and write, made for owner and group alone if it is not there: what is kept may be secret.
fn rights() -> OpenOptions {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o640);
    how
}
