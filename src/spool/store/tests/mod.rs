//! Tests of the store. The harnesses that pull the plug and break the disk are in `tests/spool_store/`.

mod damage;
mod first;
mod format;
mod model;
mod promises;
mod tags;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

/// A directory of its own, and a store in it.
struct Bench {
    root: tempfile::TempDir,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { ballast: 64 << 10, free_floor_percent: 0, ..Limits::default() };
        Self { root: tempfile::tempdir().unwrap(), limits }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    fn open(&self) -> (Store, Findings) {
        Store::open(&self.dir(), self.limits, at(0)).unwrap()
    }

    fn store(&self) -> Store {
        let (store, findings) = self.open();
        assert!(findings.is_empty(), "{findings:?}");
        store
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
}

/// Seconds since a day in 2026.
fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

fn new(body: &[u8]) -> New<'_> {
    New { body, tag: "", accepted_ms: millis(at(0)), in_doubt: false }
}

/// Stores one body per call.
fn put(store: &mut Store, body: &[u8]) -> Id {
    match store.append(&[new(body)]).unwrap()[..] {
        [Appended::Stored(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

fn bodies(store: &mut Store) -> Vec<Vec<u8>> {
    store.next(Id(0), 10_000, usize::MAX).unwrap().into_iter().map(|pending| pending.body).collect()
}

fn ids(store: &mut Store) -> Vec<u64> {
    store.next(Id(0), 10_000, usize::MAX).unwrap().into_iter().map(|pending| pending.id.0).collect()
}

fn settled(id: u64, how: How) -> Settled {
    Settled { id: Id(id), how }
}
