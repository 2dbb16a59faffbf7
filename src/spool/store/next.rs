//! What comes next: rows that wait, in the order of their IDs, each checked.

use rusqlite::Connection;

use super::error::Trouble;
use super::look::RowState;
use super::row::{self, Waiting, sql, waiting};
use super::state::State;
use super::{Finding, Id, Pending, Store, StoreError, wall_ms};

/// What one look found.
struct Look {
    whole: Vec<Waiting>,
    damaged: Vec<u64>,
}

impl Store {
    /// The rows that wait behind `after` ([`Id`] 0 for the head), at most `rows` of them and about `bytes` bytes, but one
    /// at least. Held, dead and damaged rows are passed over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next(&mut self, after: Id, rows: usize, bytes: usize) -> Result<Vec<Pending>, StoreError> {
        loop {
            let look = self.read("read", &|db, state| look(db, state, after.0, rows, bytes))?;
            if look.damaged.is_empty() {
                return Ok(look.whole.into_iter().map(pending).collect());
            }
            self.set_aside(&look.damaged)?;
            if !look.whole.is_empty() {
                return Ok(look.whole.into_iter().map(pending).collect());
            }
        }
    }

    /// Takes damaged rows out of the queue. Each pass of the loop above has fewer rows before it than the last.
    fn set_aside(&mut self, damaged: &[u64]) -> Result<(), StoreError> {
        let since = wall_ms();
        self.change_on_full_disk("set damaged rows aside in", &|db, state| {
            for id in damaged {
                row::park(db, state, *id, RowState::Damaged, (since, "", b""))?.ok_or_else(|| row::vanished(*id))?;
            }
            state.find_head(db)
        })?;
        self.findings.0.extend(damaged.iter().map(|id| Finding::DamagedRow { id: Id(*id) }));
        self.last_error = Some(format!("{} damaged rows were set aside", damaged.len()));
        Ok(())
    }
}

fn look(db: &Connection, state: &State, after: u64, rows: usize, bytes: usize) -> Result<Look, Trouble> {
    let mut statement = db.prepare_cached(&format!("{} WHERE p.id > ?1 ORDER BY p.id LIMIT ?2", row::WAITING))?;
    let mut found = statement.query([sql(after), sql(rows as u64)])?;
    let mut look = Look { whole: Vec::new(), damaged: Vec::new() };
    let (mut last, mut taken, mut ended) = (after, 0usize, true);
    while let Some(row) = found.next()? {
        let row = waiting(row)?;
        if row.id <= last || row.id > state.highest {
            return Err(Trouble::Damage(format!("row {} comes behind row {last}", row.id)));
        }
        last = row.id;
        if !look.whole.is_empty() && taken.saturating_add(row.body.len()) > bytes {
            ended = false;
            break;
        }
        taken = taken.saturating_add(row.body.len());
        if row.intact { look.whole.push(row) } else { look.damaged.push(row.id) }
    }
    let came = look.whole.len() + look.damaged.len();
    // The queue has been seen from its head to its end: nothing may have vanished from it.
    if after == 0 && ended && came < rows && came as u64 != state.pending {
        return Err(Trouble::Damage(format!("{came} rows wait, and its totals say {}", state.pending)));
    }
    Ok(look)
}

fn pending(row: Waiting) -> Pending {
    Pending {
        id: Id(row.id),
        body: row.body,
        tag: row.tag,
        accepted_ms: row.accepted,
        attempts: row.attempts,
        in_doubt: row.in_doubt,
    }
}
