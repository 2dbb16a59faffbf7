//! Reading a store while no child has it: for tools when the daemon is down.
//!
//! Nothing in the directory is changed, and the right to read it is enough. A WAL that was left behind is read as well:
//! its index is built in this process's memory, as SQLite does for a connection in exclusive mode, instead of in a `-shm`
//! file beside it. The lock is held in its shared form, so that no child can begin to write meanwhile: keep this open
//! for a short time, a child that starts waits for it. A store of an older format is read as it is.

use std::fs::File;
use std::path::Path;

use nix::fcntl::Flock;
use rusqlite::Connection;

use super::error::Trouble;
use super::files::Files;
use super::look::{self, Entry, Report, RowState};
use super::schema::{self, Format, Version};
use super::state::State;
use super::{Id, Numbers, Store, StoreError};

/// See the head of this file.
#[derive(Debug)]
pub struct ReadOnly {
    files: Files,
    db: Connection,
    state: State,
    _lock: Flock<File>,
}

impl Store {
    /// Opens the store in `dir` to read it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while a child has it: ask that one. [`StoreError::Absent`] if there is none.
    /// [`StoreError::Corrupt`] if it is damaged: the next child to start replaces it.
    pub fn read_only(dir: &Path) -> Result<ReadOnly, StoreError> {
        let files = Files { dir: dir.to_owned() };
        let lock = files.lock_shared()?;
        if !files.db().exists() {
            return Err(StoreError::Absent { dir: dir.to_owned() });
        }
        let opened = schema::connect_read_only(&files.db()).and_then(|db| {
            let format = schema::format(&db)?;
            let state = match format {
                Format::Known(version) => schema::totals(&db, version)?,
                Format::Newer(_) => State::default(),
            };
            Ok((db, state, format))
        });
        match opened.map_err(|trouble| trouble.into_error(dir, "read"))? {
            (_, _, Format::Newer(found)) => {
                Err(StoreError::TooNew { dir: dir.to_owned(), found, known: Version::NEWEST.number() })
            }
            (db, state, Format::Known(_)) => Ok(ReadOnly { files, db, state, _lock: lock }),
        }
    }
}

impl ReadOnly {
    /// As [`Store::numbers`].
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        self.state.numbers()
    }

    /// As [`Store::list`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, StoreError> {
        self.told(look::list(&self.db, state, after, rows))
    }

    /// As [`Store::get`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, id: Id) -> Result<Option<Entry>, StoreError> {
        self.told(look::get(&self.db, id))
    }

    /// As [`Store::check`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn check(&self) -> Result<Report, StoreError> {
        self.told(look::check(&self.db, &self.state))
    }

    fn told<T>(&self, result: Result<T, Trouble>) -> Result<T, StoreError> {
        result.map_err(|trouble| trouble.into_error(&self.files.dir, "read"))
    }
}
