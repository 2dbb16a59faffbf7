//! What lives share with those who ask.
//!
//! Enters: what the present life has found. Leaves: the bucket that can be asked now, or why there is none; what stands in
//! it. Promised: no lock is held while something is waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::bucket::Bucket;
use super::mirror::Mirror;
use crate::registry::store::Version;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) machine: String,
    standing: Mutex<Standing>,
    mirror: Mutex<Mirror>,
    /// Rung when the mirror has seen more.
    seen: Notify,
    /// Somebody got no answer: the bucket should be asked how it is.
    pub(super) doubt: Notify,
}

#[derive(Debug, Clone)]
pub(super) enum Standing {
    Here(Box<Bucket>),
    /// With the reason, for people.
    Away(String),
}

impl Shared {
    pub(super) fn new(machine: String) -> Self {
        let standing = Mutex::new(Standing::Away("the first connection is being made".to_owned()));
        let mirror = Mutex::new(Mirror::new(machine.clone()));
        Self { machine, standing, mirror, seen: Notify::new(), doubt: Notify::new() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// What is known to stand in the bucket. To be dropped before anything is waited for.
    pub(super) fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the mirror has seen this.
    pub(super) async fn has_seen(&self, version: Version) {
        loop {
            let more = self.seen.notified();
            if self.mirror().seen() >= version {
                return;
            }
            more.await;
        }
    }

    /// Changes what is known to stand in the bucket.
    pub(super) fn reflect<T>(&self, change: impl FnOnce(&mut Mirror) -> T) -> T {
        let changed = change(&mut self.mirror());
        self.seen.notify_waiters();
        changed
    }
}
