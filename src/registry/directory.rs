//! The directory: all rows in memory. Pure.
//!
//! Enters: what programs want, with their user; what a store has written and what it tells; the hosts; the time. Leaves: a
//! [`Wish`](super::store::Wish) or a [`Refusal`]; rows, least recently handed out first; rows whose time is over; changes in
//! their order. Promised: reading asks nobody; a change has the next revision, in the order in which it was taken over; who
//! follows the changes from a revision on has the same rows as the directory.
//!
//! - `judge` — who may change what
//! - `take` — taking over what a store has written, what others did, and the hosts
//! - [`changes`] — the latest changes, by revision
//! - `instances` — the instances of one name, and their turns

pub mod changes;
mod instances;
mod judge;
mod take;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use self::changes::Changes;
pub use self::changes::{Change, Since, What};
use self::instances::Instances;
pub use self::judge::{Refusal, Registration};
use super::row::{Lease, Revision, Row};
use super::store::{Sweeper, Version};

/// What a directory holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Leased rows.
    pub rows: usize,
    /// Leased rows of one user.
    pub rows_per_owner: usize,
    /// Changes that are remembered for those who watch.
    pub changes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 65_536, rows_per_owner: 16_384, changes: 8192 }
    }
}

/// An instance as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The row.
    pub row: Arc<Row>,
    /// When its lease ends; a host's does not.
    pub expires: Option<Instant>,
    /// The store's version of it.
    pub version: Version,
    /// The change that made it what it is.
    pub since: Revision,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Directory {
    limits: Limits,
    sweeper: Sweeper,
    names: BTreeMap<String, Instances>,
    /// Whose name a lease is for.
    leases: HashMap<Lease, String>,
    /// Ends of leases, soonest first.
    due: BTreeSet<(Instant, Lease)>,
    /// Leased rows of each user.
    owners: HashMap<u32, usize>,
    changes: Changes,
    /// The latest version that the store's news told of.
    seen: Version,
}

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The host's socket if a host has this name, else the instances.
    Usual,
    /// The registered instances alone: where a host itself connects to.
    Direct,
}

impl Directory {
    /// An empty one. `first` must be above every revision that was given out before.
    #[must_use]
    pub fn new(limits: Limits, sweeper: Sweeper, first: Revision) -> Self {
        Self {
            limits,
            sweeper,
            names: BTreeMap::new(),
            leases: HashMap::new(),
            due: BTreeSet::new(),
            owners: HashMap::new(),
            changes: Changes::new(limits.changes, first),
            seen: Version(0),
        }
    }

    /// The revision of the latest change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.changes.latest()
    }

    /// How many rows there are that have a lease.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.owners.values().sum()
    }

    /// The instances of `name`, the one that was handed out first longest ago first. It is the last one next time.
    pub fn resolve(&mut self, name: &str, way: Way, now: Instant) -> Vec<Arc<Row>> {
        let sweeps = self.sweeper == Sweeper::Directory;
        let Some(instances) = self.names.get_mut(name) else { return Vec::new() };
        match (way, instances.host()) {
            (Way::Usual, Some(host)) => vec![Arc::clone(&host.row)],
            _ => instances.take_turn(|entry| !sweeps || entry.expires.is_none_or(|at| at > now)),
        }
    }

    /// Rows whose names start with `prefix`, in the order of their names: those of the first names behind `after` that
    /// together have at least `most` rows, and the name to go on behind, if there are more.
    ///
    /// Rows that are younger than `until` are left out: so that pages read one after the other, and the changes after
    /// `until`, are together the whole truth, though the directory has changed between the pages.
    #[must_use]
    pub fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        until: Revision,
        most: usize,
    ) -> (Vec<Entry>, Option<String>) {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut rows = Vec::new();
        for (name, instances) in self.names.range::<str, _>((from, Bound::Unbounded)) {
            if !name.starts_with(prefix) {
                break;
            }
            rows.extend(instances.all().filter(|entry| entry.since <= until).cloned());
            if rows.len() >= most {
                return (rows, Some(name.clone()));
            }
        }
        (rows, None)
    }

    /// The changes after a revision, if all of them are still known.
    #[must_use]
    pub fn since(&self, revision: Revision) -> Since<'_> {
        self.changes.since(revision)
    }

    /// When the next lease ends, if it is for the directory to end it.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Ends leases whose time is over, at most so many; these are to be told to the store ([`super::store::Wish::Swept`]).
    pub fn sweep(&mut self, now: Instant, most: usize) -> Vec<Lease> {
        let over = self.due.iter().take_while(|(at, _)| *at <= now).take(most);
        let over: Vec<Lease> = over.map(|(_, lease)| lease.clone()).collect();
        for lease in &over {
            self.end(lease);
        }
        over
    }

    /// The entry that has this lease.
    fn entry(&self, lease: &Lease) -> Option<&Entry> {
        self.names.get(self.leases.get(lease)?)?.all().find(|entry| entry.row.lease == *lease)
    }
}
