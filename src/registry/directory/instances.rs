//! The instances of one name, and their turns. Pure.
//!
//! Enters: entries. Leaves: all of them, the one whose turn it is first. Promised: instances that were never handed out
//! first come first, in the order of their coming; then those whose turn was longest ago. An instance that is renewed or
//! registered again keeps its place.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::row::{Lease, Row};
use super::Entry;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Instances {
    host: Option<Entry>,
    /// Those that have had no turn, then the others by their turns.
    leased: VecDeque<Entry>,
    /// How many of them have had no turn.
    fresh: usize,
}

impl Instances {
    pub(super) fn host(&self) -> Option<&Entry> {
        self.host.as_ref()
    }

    /// The host's, then the leased ones.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.host.iter().chain(&self.leased)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.host.is_none() && self.leased.is_empty()
    }

    /// The leased ones for which `lives` holds, in the order of their turns. The first one has had its turn then.
    pub(super) fn take_turn(&mut self, lives: impl Fn(&Entry) -> bool) -> Vec<Arc<Row>> {
        let rows = self.leased.iter().filter(|entry| lives(entry)).map(|entry| Arc::clone(&entry.row)).collect();
        if let Some(first) = self.leased.iter().position(&lives)
            && let Some(entry) = self.leased.remove(first)
        {
            self.fresh -= usize::from(first < self.fresh);
            self.leased.push_back(entry);
        }
        rows
    }

    /// The one that is like `row`: the host's if it is one, else that at its address.
    pub(super) fn same_place(&mut self, row: &Row) -> Option<&mut Entry> {
        if row.is_host() {
            return self.host.as_mut();
        }
        self.leased.iter_mut().find(|entry| entry.row.address == row.address)
    }

    /// Adds one that has no like.
    pub(super) fn add(&mut self, entry: Entry) {
        if entry.row.is_host() {
            self.host = Some(entry);
        } else {
            self.leased.insert(self.fresh, entry);
            self.fresh += 1;
        }
    }

    pub(super) fn remove(&mut self, lease: &Lease) -> Option<Entry> {
        if self.host.as_ref().is_some_and(|host| host.row.lease == *lease) {
            return self.host.take();
        }
        let place = self.leased.iter().position(|entry| entry.row.lease == *lease)?;
        self.fresh -= usize::from(place < self.fresh);
        self.leased.remove(place)
    }
}
