//! Changes: every write to a store is one commit, made here.
//!
//! Enters: a piece of work on the tables and the totals. Leaves: its result after the commit, or an error that says
//! whether it can have been done. Promised: a piece of work is done once or not at all, but for
//! [`StoreError::InDoubt`]; a damaged store is replaced once, then the work is tried once more.

use rusqlite::Connection;

use super::error::{Kind, Trouble};
use super::state::State;
use super::{Store, StoreError, ballast, schema};

/// Where a change stopped.
enum Stop {
    Before(Trouble),
    InCommit(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Before(trouble)
    }
}

impl Store {
    /// Does `work` in one commit.
    pub(super) fn change<T>(
        &mut self,
        what: &'static str,
        work: &dyn Fn(&Connection, &mut State) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let result = match self.try_change(what, work) {
            Err(StoreError::Corrupt { reason, .. }) => {
                self.recover(&reason)?;
                self.try_change(what, work)
            }
            other => other,
        };
        self.remember(&result);
        result
    }

    /// As `change`; on a full disk the ballast is dropped and the work is tried once more. For what must be possible then:
    /// whatever makes room later.
    pub(super) fn change_on_full_disk<T>(
        &mut self,
        what: &'static str,
        work: &dyn Fn(&Connection, &mut State) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let again = match self.change(what, work) {
            Err(StoreError::Full { .. }) => self.drop_ballast() | self.play_wal().is_ok(),
            other => return other,
        };
        if again { self.change(what, work) } else { Err(self.full(what)) }
    }

    fn full(&self, what: &'static str) -> StoreError {
        StoreError::Full { dir: self.files.dir.clone(), what, reason: "there is nothing left to give back".to_owned() }
    }

    fn try_change<T>(
        &mut self,
        what: &'static str,
        work: &dyn Fn(&Connection, &mut State) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let stop = match self.attempt(work) {
            Ok(done) => return Ok(done),
            Err(stop) => stop,
        };
        let dir = self.files.dir.clone();
        let rolled_back = self.roll_back();
        match stop {
            Stop::Before(trouble) => {
                if !rolled_back || trouble.kind() == Kind::Io {
                    self.db = None;
                }
                Err(trouble.into_error(&dir, what))
            }
            Stop::InCommit(trouble) if trouble.kind() == Kind::Full && rolled_back => {
                self.drop_ballast();
                if self.seal() { Err(trouble.into_error(&dir, what)) } else { Err(self.in_doubt(what, &trouble)) }
            }
            Stop::InCommit(trouble) => Err(self.in_doubt(what, &trouble)),
        }
    }

    /// Makes certain that a commit for which there was no room is not there. Nothing counts that lacks its last frame, but
    /// an older frame may stand where the missing one would. A commit of nothing over that place settles it; where there
    /// is no room for that either, a new connection reads what is there.
    fn seal(&mut self) -> bool {
        match self.attempt(&|_, _| Ok(())) {
            Ok(()) => return true,
            Err(Stop::Before(trouble) | Stop::InCommit(trouble)) if trouble.kind() != Kind::Full => return false,
            Err(_) => self.db = None,
        }
        let connected = schema::connect(&self.files.db(), self.synchronous, self.limits.max_bytes);
        let Ok(db) = connected else { return false };
        let unchanged = State::load(&db).is_ok_and(|state| state == self.state);
        self.db = unchanged.then_some(db);
        unchanged
    }

    fn attempt<T>(&mut self, work: &dyn Fn(&Connection, &mut State) -> Result<T, Trouble>) -> Result<T, Stop> {
        let Some(db) = &self.db else {
            return Err(Stop::Before(Trouble::Sqlite(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
                Some("the store was closed after an earlier failure".to_owned()),
            ))));
        };
        let mut state = self.state.clone();
        db.execute_batch("BEGIN IMMEDIATE").map_err(Trouble::from)?;
        let done = work(db, &mut state)?;
        state.commits += 1;
        state.save(db)?;
        db.execute_batch("COMMIT").map_err(|error| Stop::InCommit(error.into()))?;
        self.chores.committed(std::mem::take(&mut state.moved));
        self.state = state;
        Ok(done)
    }

    /// Whether the connection is as before the change.
    fn roll_back(&self) -> bool {
        let Some(db) = &self.db else { return false };
        db.is_autocommit() || (db.execute_batch("ROLLBACK").is_ok() && db.is_autocommit())
    }

    fn in_doubt(&mut self, what: &'static str, trouble: &Trouble) -> StoreError {
        self.db = None;
        StoreError::InDoubt { dir: self.files.dir.clone(), what, reason: trouble.reason() }
    }

    pub(super) fn drop_ballast(&mut self) -> bool {
        self.chores.ballast_missing();
        ballast::drop_it(&self.files)
    }

    /// Keeps the words of a failure for the status.
    pub(super) fn remember<T>(&mut self, result: &Result<T, StoreError>) {
        if let Err(error) = result {
            self.last_error = Some(error.to_string());
        }
    }

    /// The connection, for reading.
    pub(super) fn connection(&self) -> Result<&Connection, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Closed { dir: self.files.dir.clone() })
    }

    /// Reads. A damaged store is replaced once, then it is tried once more.
    pub(super) fn read<T>(
        &mut self,
        what: &'static str,
        work: &dyn Fn(&Connection, &State) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        for last in [false, true] {
            match work(self.connection()?, &self.state) {
                Ok(done) => return Ok(done),
                Err(trouble) if trouble.kind() == Kind::Damage && !last => self.recover(&trouble.reason())?,
                Err(trouble) => {
                    if trouble.kind() != Kind::Full {
                        self.db = None;
                    }
                    let failed = Err(trouble.into_error(&self.files.dir, what));
                    self.remember(&failed);
                    return failed;
                }
            }
        }
        Err(StoreError::Closed { dir: self.files.dir.clone() })
    }
}
