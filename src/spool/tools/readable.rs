//! What of a store can be read, whether it is open to be changed or not.

use std::path::Path;
use std::time::Duration;

use crate::spool::store::{Entry, Id, Numbers, ReadOnly, Report, RowState, Store, StoreError};

/// What of a store can be read.
pub(super) trait Readable {
    fn list(&mut self, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, StoreError>;
    fn get(&mut self, id: Id) -> Result<Option<Entry>, StoreError>;
    fn check(&mut self) -> Result<Report, StoreError>;
    fn numbers(&self) -> Numbers;
    fn expire(&self) -> Duration;
    fn dir(&self) -> &Path;
    /// Whether somebody waits for the store meanwhile.
    fn has_other_work(&self) -> bool;
}

impl Readable for Store {
    fn list(&mut self, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, StoreError> {
        Self::list(self, state, after, rows)
    }
    fn get(&mut self, id: Id) -> Result<Option<Entry>, StoreError> {
        Self::get(self, id)
    }
    fn check(&mut self) -> Result<Report, StoreError> {
        Self::check(self)
    }
    fn numbers(&self) -> Numbers {
        Self::numbers(self)
    }
    fn expire(&self) -> Duration {
        self.limits().expire
    }
    fn dir(&self) -> &Path {
        Self::dir(self)
    }
    fn has_other_work(&self) -> bool {
        true
    }
}

/// A store that no process has open.
pub(super) struct Unopened<'a> {
    pub(super) store: &'a ReadOnly,
    pub(super) dir: &'a Path,
    pub(super) expire: Duration,
}

impl Readable for Unopened<'_> {
    fn list(&mut self, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.list(state, after, rows)
    }
    fn get(&mut self, id: Id) -> Result<Option<Entry>, StoreError> {
        self.store.get(id)
    }
    fn check(&mut self) -> Result<Report, StoreError> {
        self.store.check()
    }
    fn numbers(&self) -> Numbers {
        self.store.numbers()
    }
    fn expire(&self) -> Duration {
        self.expire
    }
    fn dir(&self) -> &Path {
        self.dir
    }
    fn has_other_work(&self) -> bool {
        false
    }
}
