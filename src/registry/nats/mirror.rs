//! The bucket in memory, as far as it is needed to tell what changed. Pure.
//!
//! Enters: entries of the bucket in their order, each a value or an end. Leaves: [`News`] for the directory. Promised: the
//! end of a key is told under the lease that stood there; what is no row of ours is told as nothing, and ends what was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::entry;
use crate::registry::row::{Revision, Row};
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

/// What stands in the bucket, as far as this machine sees it.
#[derive(Debug)]
pub struct Mirror {
    machine: String,
    held: BTreeMap<String, Held>,
    seen: Version,
}

#[derive(Debug, Clone)]
struct Held {
    row: Arc<Row>,
    /// The version that brought this lease, as far as is known.
    since: Version,
}

impl Mirror {
    /// An empty one, of this machine.
    #[must_use]
    pub fn new(machine: String) -> Self {
        Self { machine, held: BTreeMap::new(), seen: Version(0) }
    }

    /// How many rows stand.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.held.len()
    }

    /// Every row that stands.
    #[must_use]
    pub fn standing(&self) -> Vec<Arc<Row>> {
        self.held.values().map(|held| Arc::clone(&held.row)).collect()
    }

    /// The latest version that was taken over.
    #[must_use]
    pub fn seen(&self) -> Version {
        self.seen
    }

    /// Begins anew with all entries that there are.
    pub fn table(&mut self, entries: Vec<Entry>, version: Version) -> News {
        self.held.clear();
        let mut rows: BTreeMap<String, Stored> = BTreeMap::new();
        for entry in entries {
            match self.stored(&entry) {
                Some(stored) => _ = rows.insert(entry.key, stored),
                None => _ = rows.remove(&entry.key),
            }
        }
        self.held.extend(rows.iter().map(|(key, stored)| (key.clone(), held(stored))));
        self.seen = version;
        // Revisions are counted by each registry for itself: the bucket knows nothing of them.
        News::Table { rows: rows.into_values().collect(), version, revision: Revision(0) }
    }

    /// What an entry changes; nothing if it is about what is not seen here.
    pub fn take(&mut self, entry: Entry) -> Option<News> {
        let version = entry.version;
        self.seen = self.seen.max(version);
        match self.stored(&entry) {
            Some(stored) => {
                let before = self.held.get(&entry.key).filter(|before| before.row.lease == stored.row.lease);
                let since = before.map_or(version, |before| before.since);
                self.held.insert(entry.key, Held { since, ..held(&stored) });
                Some(News::Put(stored))
            }
            None => self.held.remove(&entry.key).map(|held| News::Gone { lease: held.row.lease.clone(), version }),
        }
    }

    /// Whose the name of a row was when that row was written as `version`: somebody's who had rows under it, which the
    /// owner of `row` had not.
    #[must_use]
    pub fn first_owner(&self, row: &Row, version: Version) -> Option<u32> {
        let is_earlier =
            |held: &&Held| held.row.name == row.name && held.row.address != row.address && held.since < version;
        let mut earlier = self.held.values().filter(is_earlier).map(|held| held.row.owner).peekable();
        let first = *earlier.peek()?;
        (row.owner != 0 && !earlier.any(|owner| owner == row.owner)).then_some(first)
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

fn held(stored: &Stored) -> Held {
    Held { row: Arc::clone(&stored.row), since: stored.version }
}

#[cfg(test)]
mod tests;
