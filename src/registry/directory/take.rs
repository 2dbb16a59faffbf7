//! Taking over: what a store has written, what others did, and the hosts. Pure.
//!
//! Enters: a [`Wish`] that is [`Written`], [`News`], the rows of hosts. Leaves: changes of the directory. Promised: what is
//! told twice, or in another order than it happened (a store's answer and its news come by two ways), changes nothing
//! twice and brings nothing back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::super::row::{Lease, Row};
use super::super::store::{News, Stored, Sweeper, Version, Wish, Written};
use super::{Directory, Entry, Refusal, What};

impl Directory {
    /// The store has done what was wished.
    ///
    /// # Errors
    /// The row has ended while it was being written: its program must be told so.
    pub fn wrote(&mut self, wish: &Wish, written: Written, now: Instant) -> Result<(), Refusal> {
        match wish {
            Wish::Put { row, .. } if self.was_told(written.version) => self.still_there(&row.lease),
            Wish::Put { row, .. } => {
                self.put(row, row.ttl.map(|ttl| now + ttl), written.version);
                Ok(())
            }
            Wish::Renew { row, .. } => {
                self.still_there(&row.lease)?;
                self.put(row, row.ttl.map(|ttl| now + ttl), written.version);
                Ok(())
            }
            Wish::Remove { row, .. } => {
                self.end(&row.lease);
                Ok(())
            }
            Wish::Swept { .. } => Ok(()),
        }
    }

    /// Whether the store's news has got as far as this.
    fn was_told(&self, version: Version) -> bool {
        version > Version(0) && version <= self.seen
    }

    fn still_there(&self, lease: &Lease) -> Result<(), Refusal> {
        self.entry(lease).map(|_| ()).ok_or_else(|| Refusal::NoLease { lease: lease.clone() })
    }

    /// The store tells something.
    pub fn told(&mut self, news: News, now: Instant) {
        match news {
            News::Table { rows, version, revision } => {
                self.changes.rise_to(revision);
                self.seen = self.seen.max(version);
                self.replace(&rows, version, now);
            }
            News::Put(stored) => {
                self.seen = self.seen.max(stored.version);
                self.take(&stored, now);
            }
            News::Gone { lease, version } => {
                self.seen = self.seen.max(version);
                self.end(&lease);
            }
            News::Away { .. } | News::Back => {}
        }
    }

    /// Takes a whole table over. What was written here after it had been read stays.
    fn replace(&mut self, rows: &[Stored], version: Version, now: Instant) {
        let told: HashSet<&Lease> = rows.iter().map(|stored| &stored.row.lease).collect();
        let mine = self.names.values().flat_map(|instances| instances.all());
        let older = mine.filter(|entry| !entry.row.is_host() && entry.version <= version);
        let gone = older.map(|entry| entry.row.lease.clone()).filter(|lease| !told.contains(lease));
        for lease in gone.collect::<Vec<_>>() {
            self.end(&lease);
        }
        for stored in rows {
            self.take(stored, now);
        }
    }

    fn take(&mut self, stored: &Stored, now: Instant) {
        self.put(&stored.row, Some(now + stored.left), stored.version);
    }

    /// These are the hosts from now on, each as a row without a time.
    pub fn hosts(&mut self, rows: Vec<Row>) {
        let told: HashSet<Lease> = rows.iter().map(|row| row.lease.clone()).collect();
        let mine = self.names.values().filter_map(|instances| instances.host());
        let gone = mine.map(|entry| entry.row.lease.clone()).filter(|lease| !told.contains(lease));
        for lease in gone.collect::<Vec<_>>() {
            self.end(&lease);
        }
        for row in rows.into_iter().filter(Row::is_host) {
            self.put(&Arc::new(row), None, Version(0));
        }
    }

    /// A row stands from now on, or goes on standing until `expires`.
    fn put(&mut self, row: &Arc<Row>, expires: Option<Instant>, version: Version) {
        let instances = self.names.entry(row.name.clone()).or_default();
        let Some(stands) = instances.same_place(row) else { return self.add(row, expires, version) };
        if version < stands.version {
            return;
        }
        let (before, ended) = (Arc::clone(&stands.row), stands.expires);
        (stands.expires, stands.version) = (expires, version);
        if *before == **row {
            return self.plan(&row.lease, ended, expires);
        }
        stands.row = Arc::clone(row);
        stands.since = self.changes.push(What::Put { row: Arc::clone(row), expires });
        self.leases.remove(&before.lease);
        self.leases.insert(row.lease.clone(), row.name.clone());
        self.plan(&before.lease, ended, None);
        self.plan(&row.lease, None, expires);
        self.count(&before, -1);
        self.count(row, 1);
    }

    fn add(&mut self, row: &Arc<Row>, expires: Option<Instant>, version: Version) {
        let since = self.changes.push(What::Put { row: Arc::clone(row), expires });
        self.leases.insert(row.lease.clone(), row.name.clone());
        self.plan(&row.lease, None, expires);
        self.count(row, 1);
        let entry = Entry { row: Arc::clone(row), expires, version, since };
        self.names.entry(row.name.clone()).or_default().add(entry);
    }

    /// Ends a row, if it is there.
    pub(super) fn end(&mut self, lease: &Lease) {
        let Some(name) = self.leases.remove(lease) else { return };
        let Some(instances) = self.names.get_mut(&name) else { return };
        let Some(entry) = instances.remove(lease) else { return };
        if instances.is_empty() {
            self.names.remove(&name);
        }
        self.plan(lease, entry.expires, None);
        self.count(&entry.row, -1);
        self.changes.push(What::Gone(entry.row));
    }

    /// Moves the end of a lease, if it is for the directory to end it.
    fn plan(&mut self, lease: &Lease, from: Option<Instant>, to: Option<Instant>) {
        if self.sweeper == Sweeper::Store {
            return;
        }
        if let Some(from) = from {
            self.due.remove(&(from, lease.clone()));
        }
        if let Some(to) = to {
            self.due.insert((to, lease.clone()));
        }
    }

    fn count(&mut self, row: &Row, change: isize) {
        if row.is_host() {
            return;
        }
        let rows = self.owners.entry(row.owner).or_default();
        *rows = rows.saturating_add_signed(change);
        if *rows == 0 {
            self.owners.remove(&row.owner);
        }
    }
}
