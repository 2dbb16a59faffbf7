//! The Nth write or sync fails, for N from 1 until a whole run has no fault: every answer was the truth.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tieline::spool::store::{Appended, How, Id, RowState, Settled, Store, StoreError, Which};

use super::{at, body, limits, new, number, preload, rounds, scratch};

pub(super) const KINDS: [&str; 4] = ["eio", "enospc", "short", "full"];

#[test]
fn every_answer_is_the_truth_whichever_write_or_sync_fails() {
    if let Some(root) = preload::under_the_library() {
        return under_faults(&root);
    }
    let root = scratch();
    let step = rounds(1, 1).to_string();
    let test = "faults::every_answer_is_the_truth_whichever_write_or_sync_fails";
    let told = preload::run(test, root.path(), None, &[("TIELINE_STEP", step)]);
    println!("{}", told.lines().find(|line| line.contains("faults told")).expect("a summary"));
}

fn under_faults(root: &Path) {
    let (mut faults, mut told) = (0, 0);
    for kind in KINDS {
        for nth in 1.. {
            let dir = root.join(format!("{kind}-{nth}"));
            fs::remove_file(format!("/faultio/arm/{kind}/{nth}")).unwrap();
            let mut run = Run::default();
            run.all(&dir);
            let fired = fs::remove_file("/faultio/fired").is_ok();
            run.judge(&dir, &format!("{kind} at {nth}"));
            fs::remove_dir_all(&dir).unwrap();
            told += run.errors;
            if !fired {
                break;
            }
            faults += 1;
        }
    }
    assert!(faults > 200, "{faults} faults are too few: does the library work?");
    println!("{faults} faults told {told} times");
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Stored(u64),
    Absent,
    /// Stored or not; said so.
    InDoubt,
    /// It was there under this ID, and may have left.
    MayHaveLeft(u64),
    Delivered,
}

#[derive(Default)]
pub(super) struct Run {
    known: BTreeMap<u64, Known>,
    next: u64,
    errors: u64,
    clock: u64,
}

impl Run {
    /// Opens it, again if the fault struck there.
    pub(super) fn open(&mut self, dir: &Path) -> Store {
        let mut tries = 0;
        loop {
            self.clock += 10;
            match Store::open(dir, limits(), at(self.clock)) {
                Ok((store, findings)) => {
                    assert!(!findings.damage(), "a fault is no damage: {findings:?}");
                    return store;
                }
                Err(error) => {
                    self.errors += 1;
                    tries += 1;
                    assert!(!matches!(error, StoreError::Corrupt { .. }), "{error}");
                    // A disk that stays full is emptied by somebody.
                    if tries == 3 {
                        drop(fs::remove_file("/faultio/fired"));
                    }
                    assert!(tries < 6, "{error}");
                }
            }
        }
    }

    fn all(&mut self, dir: &Path) {
        let mut store = self.open(dir);
        for round in 0..4 {
            for size in [1, 3, 8] {
                store = self.append(store, dir, size);
            }
            store = self.settle(store, dir, 5);
            store = self.tools(store, dir);
            self.clock += 2;
            let maintained = store.maintain(at(self.clock), true);
            store = self.after(store, dir, maintained.err());
            if round == 2 {
                let closed = store.close();
                self.errors += u64::from(closed.is_err());
                store = self.open(dir);
            }
        }
        let closed = store.close();
        self.errors += u64::from(closed.is_err());
    }

    fn after(&mut self, store: Store, dir: &Path, error: Option<StoreError>) -> Store {
        let Some(error) = error else { return store };
        self.errors += 1;
        assert!(!matches!(error, StoreError::Corrupt { .. } | StoreError::Locked { .. }), "{error}");
        if error.closes() {
            drop(store);
            return self.open(dir);
        }
        store
    }

    fn append(&mut self, mut store: Store, dir: &Path, size: u64) -> Store {
        let numbers: Vec<u64> = (self.next..self.next + size).collect();
        self.next += size;
        let bodies: Vec<_> = numbers.iter().map(|number| body(*number)).collect();
        let rows: Vec<_> = bodies.iter().map(|body| new(body)).collect();
        let told = store.append(&rows);
        for (place, number) in numbers.iter().enumerate() {
            let known = match &told {
                Ok(appended) => match appended[place] {
                    Appended::Stored(id) => Known::Stored(id.0),
                    Appended::Full(_) => Known::Absent,
                },
                Err(StoreError::InDoubt { .. }) => Known::InDoubt,
                Err(_) => Known::Absent,
            };
            self.known.insert(*number, known);
        }
        self.after(store, dir, told.err())
    }

    fn settle(&mut self, mut store: Store, dir: &Path, rows: usize) -> Store {
        let next = match store.next(Id(0), rows, usize::MAX) {
            Ok(next) => next,
            Err(error) => return self.after(store, dir, Some(error)),
        };
        let settled: Vec<_> = next.iter().map(|row| Settled { id: row.id, how: How::Delivered }).collect();
        let mark = next.last().map_or(Id(0), |row| row.id);
        let told = store.settle(&settled, mark);
        for row in &next {
            let known = match &told {
                Ok(_) => Known::Delivered,
                Err(StoreError::InDoubt { .. }) => Known::MayHaveLeft(row.id.0),
                Err(_) => Known::Stored(row.id.0),
            };
            self.known.insert(number(&row.body), known);
        }
        self.after(store, dir, told.err())
    }

    fn tools(&mut self, mut store: Store, dir: &Path) -> Store {
        let held = store.hold(&Which::All);
        store = self.after(store, dir, held.err());
        let released = store.release(&Which::All);
        self.after(store, dir, released.err())
    }

    /// After a last opening without a fault.
    fn judge(&mut self, dir: &Path, what: &str) {
        let mut store = self.open(dir);
        let mut here = BTreeMap::new();
        for state in RowState::ALL {
            let mut after = Id(0);
            loop {
                let page = store.list(state, after, 100).unwrap();
                let Some(last) = page.last() else { break };
                after = last.id;
                assert!(state != RowState::Damaged, "{what}");
                for entry in page {
                    assert!(here.insert(number(&entry.body), entry.id.0).is_none(), "{what}: stored twice");
                }
            }
        }
        for (number, known) in &self.known {
            let id = here.get(number).copied();
            let truth = match known {
                Known::Stored(stored) => id == Some(*stored),
                Known::Absent | Known::Delivered => id.is_none(),
                Known::InDoubt => true,
                Known::MayHaveLeft(stored) => id.is_none() || id == Some(*stored),
            };
            assert!(truth, "{what}: request {number} is {id:?}, and what was told is {known:?}");
        }
        assert!(here.keys().all(|number| self.known.contains_key(number)), "{what}: made up");
        let ids: Vec<_> = here.values().copied().collect();
        assert!(ids.is_sorted(), "{what}: the order of acceptance is the order of the IDs: {ids:?}");
        assert!(store.check().unwrap().wrong.is_none(), "{what}");
    }
}
