//! Appending: requests come, all of one call in one commit.

use super::look::RowState;
use super::row::{Parked, Waiting, cost};
use super::{Appended, Id, New, Store, StoreError, Why};

/// Free bytes that a commit may take besides its bodies and tags: pages of the tables and their frames in the WAL.
const ROOM: u64 = 64 << 10;

impl Store {
    /// Stores requests in their order. One commit for all of them: when this returns they are on disk.
    ///
    /// # Errors
    /// After [`StoreError::InDoubt`] nobody knows whether they are stored; after any other they are not.
    pub fn append(&mut self, new: &[New<'_>]) -> Result<Vec<Appended>, StoreError> {
        let refused = self.refuse(new);
        if refused.iter().all(Option::is_some) && self.db.is_some() {
            return Ok(refused.into_iter().flatten().map(Appended::Full).collect());
        }
        let hold = self.limits.hold_in_doubt;
        let stored = self.change("store in", &|db, state| {
            let mut stored = Vec::with_capacity(new.len());
            let was_empty = state.pending == 0;
            for (new, refused) in new.iter().zip(&refused) {
                if let Some(why) = refused {
                    stored.push(Appended::Full(*why));
                    continue;
                }
                state.highest += 1;
                let row = waiting(state.highest, new);
                if new.in_doubt && hold {
                    Parked { state: RowState::Held, since: new.accepted_ms, reply: Vec::new(), row }
                        .insert(db, state)?;
                } else {
                    row.insert(db, state)?;
                }
                stored.push(Appended::Stored(Id(state.highest)));
            }
            if was_empty {
                state.find_head(db)?;
            }
            Ok(stored)
        });
        match stored {
            Err(StoreError::Full { .. }) => {
                self.drop_ballast();
                Ok(new.iter().map(|_| Appended::Full(Why::Disk)).collect())
            }
            other => other,
        }
    }

    /// Bytes of the store's own pages that hold nothing; 0 if nobody asks.
    fn free_pages(&self, asked: bool) -> u64 {
        let db = self.db.as_ref().filter(|_| asked);
        let pages = db.and_then(|db| db.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0)).ok());
        pages.unwrap_or(0).unsigned_abs() * 4096
    }

    /// For each request why it is refused, if it is.
    fn refuse(&self, new: &[New<'_>]) -> Vec<Option<Why>> {
        let floor = self.limits.free_floor_percent;
        let needed = ROOM + 2 * new.iter().map(cost_of).sum::<u64>();
        match self.files.free() {
            Some(free) if free.percent < floor => {
                return vec![Some(Why::FreeDisk { percent: free.percent, floor }); new.len()];
            }
            // Not tried: a commit that fails costs what is left, and what is left is for delivering.
            Some(free) if free.bytes.saturating_add(self.free_pages(free.bytes < needed)) < needed => {
                return vec![Some(Why::Disk); new.len()];
            }
            _ => {}
        }
        let (mut bytes, max) = (self.state.bytes, self.limits.max_bytes);
        new.iter()
            .map(|new| {
                let with = bytes + cost_of(new);
                if with > max {
                    return Some(Why::Quota { bytes, max });
                }
                bytes = with;
                None
            })
            .collect()
    }
}

/// As [`Waiting::cost`].
fn cost_of(new: &New<'_>) -> u64 {
    cost(new.body.len() + new.tag.len())
}

fn waiting(id: u64, new: &New<'_>) -> Waiting {
    let why = if new.in_doubt { "the first try had sent it, and no answer came" } else { "" };
    Waiting {
        id,
        accepted: new.accepted_ms,
        origin: 0,
        body: new.body.to_vec(),
        tag: new.tag.to_owned(),
        attempts: 0,
        in_doubt: new.in_doubt,
        why: why.to_owned(),
        intact: true,
    }
}
