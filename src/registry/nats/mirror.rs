//! The bucket in memory, as far as it is needed to tell what changed. Pure.
//!
//! Enters: entries of the bucket in their order, each a value or an end. Leaves: [`News`] for the directory. Promised: the
//! end of a key is told under the lease that stood there; what is no row of ours is told as nothing, and ends what was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::entry;
use crate::registry::row::{Lease, Revision};
use crate::registry::store::{News, Stored, Version};

/// What was written under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value; none if this is its end.
    pub value: Option<Vec<u8>>,
    /// The place in the bucket's history.
    pub version: Version,
    /// How long ago it was written, by the server's clock.
    pub age: Duration,
}

/// Which leases stand under which keys.
#[derive(Debug)]
pub struct Mirror {
    machine: String,
    held: BTreeMap<String, Lease>,
}

impl Mirror {
    /// An empty one, of this machine.
    #[must_use]
    pub fn new(machine: String) -> Self {
        Self { machine, held: BTreeMap::new() }
    }

    /// How many rows stand.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Begins anew with all entries that there are.
    pub fn table(&mut self, entries: Vec<Entry>, version: Version, revision: Revision) -> News {
        self.held.clear();
        let mut rows: BTreeMap<String, Stored> = BTreeMap::new();
        for entry in entries {
            match self.stored(&entry) {
                Some(stored) => _ = rows.insert(entry.key, stored),
                None => _ = rows.remove(&entry.key),
            }
        }
        self.held.extend(rows.iter().map(|(key, stored)| (key.clone(), stored.row.lease.clone())));
        News::Table { rows: rows.into_values().collect(), version, revision }
    }

    /// What an entry changes; nothing if it is about what is not seen here.
    pub fn take(&mut self, entry: Entry) -> Option<News> {
        let version = entry.version;
        match self.stored(&entry) {
            Some(stored) => {
                self.held.insert(entry.key, stored.row.lease.clone());
                Some(News::Put(stored))
            }
            None => self.held.remove(&entry.key).map(|lease| News::Gone { lease, version }),
        }
    }

    fn stored(&self, entry: &Entry) -> Option<Stored> {
        let value = entry.value.as_ref()?;
        let Some(row) = entry::read(&entry.key, value, &self.machine) else {
            if !entry::is_of_another(&entry.key, &self.machine) {
                warn!("{} in the bucket is no row that this version understands; it is left alone", entry.key);
            }
            return None;
        };
        let left = row.ttl?.saturating_sub(entry.age);
        Some(Stored { row: Arc::new(row), left, version: entry.version })
    }
}

#[cfg(test)]
mod tests;
