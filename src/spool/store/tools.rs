//! Tools: what an operator does with rows, and expiry. Large jobs are done in groups, each one commit.

use std::time::SystemTime;

use rusqlite::Connection;

use super::error::Trouble;
use super::look::RowState;
use super::row::{self, Waiting, sql};
use super::state::State;
use super::{Id, Store, StoreError, millis, wall_ms};
use crate::system::random::random;

/// Rows of one commit of a large job.
const GROUP: usize = 256;
/// Bytes of bodies of one commit of a large job, but for the last row.
const GROUP_BYTES: u64 = 4 << 20;

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of the state in question.
    All,
    /// These, as far as they are in that state.
    These(Vec<Id>),
}

impl Store {
    /// Holds rows that wait. Returns how many.
    ///
    /// # Errors
    /// As [`Store::settle`]; groups that were done stay done.
    pub fn hold(&mut self, which: &Which) -> Result<u64, StoreError> {
        let since = wall_ms();
        self.each("hold rows in", RowState::Pending, which, &|db, state, id| {
            Ok(row::park(db, state, id, RowState::Held, (since, "held by the operator", b""))?.is_some())
        })
    }

    /// Lets held rows wait again, at their old places. Returns how many. Who replays should start at the head again.
    ///
    /// # Errors
    /// As [`Store::settle`]; groups that were done stay done.
    pub fn release(&mut self, which: &Which) -> Result<u64, StoreError> {
        self.each("release rows in", RowState::Held, which, &|db, state, id| {
            let Some(parked) = row::get_parked(db, id)?.filter(|parked| parked.state == RowState::Held) else {
                return Ok(false);
            };
            row::remove_parked(db, state, &parked)?;
            parked.row.insert(db, state)?;
            Ok(true)
        })
    }

    /// Drops rows of a state for good. Returns how many.
    ///
    /// # Errors
    /// As [`Store::settle`]; groups that were done stay done.
    pub fn drop_rows(&mut self, of: RowState, which: &Which) -> Result<u64, StoreError> {
        self.each("drop rows from", of, which, &|db, state, id| {
            if of == RowState::Pending {
                return row::remove_waiting(db, state, id);
            }
            let Some(parked) = row::get_parked(db, id)?.filter(|parked| parked.state == of) else { return Ok(false) };
            row::remove_parked(db, state, &parked)?;
            Ok(true)
        })
    }

    /// Appends dead rows at the tail under new IDs, accepted `now`. Returns the old and the new ID of each. One that the
    /// host refused loses its tag, any other keeps it.
    ///
    /// # Errors
    /// As [`Store::settle`]; groups that were done stay done.
    pub fn requeue(&mut self, which: &Which, now: SystemTime) -> Result<Vec<(Id, Id)>, StoreError> {
        let accepted = millis(now);
        let pairs = std::cell::RefCell::new(Vec::new());
        self.each("requeue rows of", RowState::Dead, which, &|db, state, id| {
            let Some(parked) = row::get_parked(db, id)?.filter(|parked| parked.state == RowState::Dead) else {
                return Ok(false);
            };
            row::remove_parked(db, state, &parked)?;
            state.highest += 1;
            // Without a reply (it expired) nobody knows whether the far end has executed it: by its old tag it still would be
            // executed only once. With a reply it was executed or refused, and judged; whoever requeues it wants it executed
            // anew, and by its old tag the far end would not do that.
            let tag = if parked.reply.is_empty() { parked.row.tag } else { anew(&parked.row.tag) };
            let new = Waiting { id: state.highest, accepted, origin: id, attempts: 0, intact: true, tag, ..parked.row };
            new.insert(db, state)?;
            let mut pairs = pairs.borrow_mut();
            // A group that was tried twice (the store was replaced between) counts once.
            pairs.retain(|(old, _)| *old != Id(id));
            pairs.push((Id(id), Id(new.id)));
            Ok(true)
        })?;
        Ok(pairs.into_inner())
    }

    /// Moves rows that have waited longer than [`super::Limits::expire`] to the dead, as far as they stand at the head.
    /// Returns how many.
    ///
    /// # Errors
    /// As [`Store::settle`]; groups that were done stay done.
    pub fn expire(&mut self, now: SystemTime) -> Result<u64, StoreError> {
        let now = millis(now);
        let Some(limit) = now.checked_sub(u64::try_from(self.limits.expire.as_millis()).unwrap_or(u64::MAX)) else {
            return Ok(0);
        };
        let mut expired = 0;
        while self.state.pending > 0 && self.state.oldest < limit {
            let head = self.state.head;
            expired += self.change_on_full_disk("expire rows of", &|db, state| {
                let mut group = 0;
                for _ in 0..GROUP {
                    state.find_head(db)?;
                    if state.pending == 0 || state.oldest >= limit || state.head == 0 {
                        break;
                    }
                    row::park(db, state, state.head, RowState::Dead, (now, "expired", b""))?;
                    group += 1;
                }
                Ok(group)
            })?;
            if self.state.head == head {
                break;
            }
        }
        Ok(expired)
    }

    fn each(
        &mut self,
        what: &'static str,
        from: RowState,
        which: &Which,
        work: &dyn Fn(&Connection, &mut State, u64) -> Result<bool, Trouble>,
    ) -> Result<u64, StoreError> {
        let (mut done, mut after) = (0, 0);
        let mut given = match which {
            Which::All => None,
            Which::These(ids) => Some(ids.chunks(GROUP)),
        };
        loop {
            let group: Vec<u64> = match &mut given {
                Some(chunks) => chunks.next().unwrap_or_default().iter().map(|id| id.0).collect(),
                None => self.read("read", &|db, _| group(db, from, after))?,
            };
            let Some(last) = group.last() else { return Ok(done) };
            after = *last;
            done += self.change_on_full_disk(what, &|db, state| {
                let mut count = 0;
                for id in &group {
                    count += u64::from(work(db, state, *id)?);
                }
                state.find_head(db)?;
                Ok(count)
            })?;
        }
    }
}

/// Another tag for a request that had one.
fn anew(tag: &str) -> String {
    if tag.is_empty() {
        return String::new();
    }
    // Should the kernel have no random number, it goes without: executed anew it must be.
    random().map_or_else(|_| String::new(), |random| format!("{random:x}.0"))
}

/// The next IDs of a state.
fn group(db: &Connection, of: RowState, after: u64) -> Result<Vec<u64>, Trouble> {
    let mut statement = db.prepare_cached(match of {
        RowState::Pending => "SELECT id, length(body) FROM pending WHERE id > ?1 AND ?2 = 0 ORDER BY id LIMIT ?3",
        _ => "SELECT id, length(body) FROM parked WHERE id > ?1 AND state = ?2 ORDER BY id LIMIT ?3",
    })?;
    let mut rows = statement.query([sql(after), sql(of.number()), sql(GROUP as u64)])?;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        ids.push(row.get::<_, i64>(0)?.unsigned_abs());
        bytes += row.get::<_, i64>(1)?.unsigned_abs();
        if bytes > GROUP_BYTES {
            break;
        }
    }
    Ok(ids)
}
