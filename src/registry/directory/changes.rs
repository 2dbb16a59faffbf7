//! The latest changes, by revision. Pure.
//!
//! Enters: changes. Leaves: those after a revision, or that they are not known any more. Promised: at most so many are
//! kept, whoever reads them or does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::super::row::{Revision, Row};

/// One change of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order of all changes.
    pub revision: Revision,
    /// What has changed.
    pub what: What,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// This row is there from now on, in place of one that has the same name and address.
    Put {
        /// The row.
        row: Arc<Row>,
        /// When its lease ended at the time of the change.
        expires: Option<Instant>,
    },
    /// This row is there no more.
    Gone(Arc<Row>),
}

impl Change {
    /// The name that the change is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.what {
            What::Put { row, .. } | What::Gone(row) => &row.name,
        }
    }
}

/// The changes after a revision.
#[derive(Debug)]
pub enum Since<'a> {
    /// These, the earliest first.
    Known(std::collections::vec_deque::Iter<'a, Change>),
    /// Not all of them are known: the revision is too old, of another registry, or not one that was given out.
    Forgotten,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Changes {
    most: usize,
    /// All changes after this revision are in `kept`.
    floor: Revision,
    latest: Revision,
    kept: VecDeque<Change>,
}

impl Changes {
    /// None so far.
    pub(super) fn new(most: usize, first: Revision) -> Self {
        Self { most, floor: first, latest: first, kept: VecDeque::new() }
    }

    pub(super) fn latest(&self) -> Revision {
        self.latest
    }

    /// Goes on above `revision`, if it was not above it already. What was kept is forgotten then, as somebody may have got
    /// the same revisions in another life.
    pub(super) fn rise_to(&mut self, revision: Revision) {
        if revision > self.latest {
            *self = Self::new(self.most, revision);
        }
    }

    /// Keeps a change, and says which revision it has.
    pub(super) fn push(&mut self, what: What) -> Revision {
        self.latest = Revision(self.latest.0 + 1);
        self.kept.push_back(Change { revision: self.latest, what });
        if self.kept.len() > self.most {
            self.floor = self.kept.pop_front().map_or(self.floor, |oldest| oldest.revision);
        }
        self.latest
    }

    pub(super) fn since(&self, revision: Revision) -> Since<'_> {
        if revision < self.floor || revision > self.latest {
            return Since::Forgotten;
        }
        let known = self.kept.partition_point(|change| change.revision <= revision);
        Since::Known(self.kept.range(known..))
    }
}
