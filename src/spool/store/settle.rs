//! Settling: what became of the rows that were sent.

use rusqlite::{Connection, params};

use super::error::Trouble;
use super::look::RowState;
use super::row::{self, short, sql};
use super::state::State;
use super::{How, Id, Settled, Store, StoreError, wall_ms};

impl Store {
    /// Writes what became of rows, and up to which ID rows may be sent from now on, in one commit. To be asked *before*
    /// anything beyond the last mark is sent: after a crash, what still waits up to the mark is what is in doubt.
    ///
    /// Returns the mark that holds: at most the highest ID there is. One with nothing to write costs no commit.
    ///
    /// A row that left meanwhile (dropped by hand) is passed over; one that was delivered although it was held or had
    /// expired meanwhile leaves.
    ///
    /// # Errors
    /// After [`StoreError::InDoubt`] nobody knows whether it is written, after any other it is not. The rows are then sent
    /// a second time, and said to be in doubt.
    pub fn settle(&mut self, settled: &[Settled], sent_up_to: Id) -> Result<Id, StoreError> {
        let mark = sent_up_to.0.min(self.state.highest);
        if settled.is_empty() && mark == self.state.sent_up_to && self.db.is_some() {
            return Ok(Id(mark));
        }
        let (since, hold) = (wall_ms(), self.limits.hold_in_doubt);
        self.change_on_full_disk("settle in", &|db, state| {
            let mut rest = settled;
            while let Some((one, others)) = rest.split_first() {
                let run = delivered_run(rest);
                rest = if run > 1 && row::remove_run(db, state, one.id.0, run as u64)? {
                    &rest[run..]
                } else {
                    settle(db, state, one, since, hold)?;
                    others
                };
            }
            state.sent_up_to = mark;
            if settled.is_empty() { Ok(()) } else { state.find_head(db) }
        })?;
        Ok(Id(mark))
    }
}

/// How many at the front were delivered and have IDs in a row: nearly always all of them.
fn delivered_run(settled: &[Settled]) -> usize {
    let Some(first) = settled.first() else { return 0 };
    let ids = first.id.0..;
    settled.iter().zip(ids).take_while(|(one, id)| one.how == How::Delivered && one.id.0 == *id).count()
}

fn settle(db: &Connection, state: &mut State, settled: &Settled, since: u64, hold: bool) -> Result<(), Trouble> {
    let id = settled.id.0;
    let waits = match &settled.how {
        How::Delivered => row::remove_waiting(db, state, id)?,
        How::Dead { reply, why } => row::park(db, state, id, RowState::Dead, (since, why, reply))?.is_some(),
        How::Held { why } => row::park(db, state, id, RowState::Held, (since, why, b""))?.is_some(),
        How::Failed { why } => tried(db, state, id, false, why)?,
        How::Unknown { why } => {
            let waits = tried(db, state, id, true, why)?;
            waits && (!hold || row::park(db, state, id, RowState::Held, (since, why, b""))?.is_some())
        }
    };
    if waits {
        return Ok(());
    }
    absent(db, id)?;
    if settled.how == How::Delivered
        && let Some(parked) = row::get_parked(db, id)?
    {
        row::remove_parked(db, state, &parked)?;
    }
    Ok(())
}

/// Counts an attempt. Says whether the row waits.
pub(super) fn tried(db: &Connection, state: &mut State, id: u64, in_doubt: bool, why: &str) -> Result<bool, Trouble> {
    let mut known =
        db.prepare_cached("SELECT t.in_doubt FROM pending p LEFT JOIN tries t ON t.id = p.id WHERE p.id = ?1")?;
    let mut rows = known.query([sql(id)])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let was = row.get::<_, Option<i64>>(0)?.is_some_and(|doubt| doubt != 0);
    let mut statement = db.prepare_cached(
        "INSERT INTO tries VALUES (?1, 1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET attempts = attempts + 1, \
         in_doubt = max(in_doubt, excluded.in_doubt), why = excluded.why",
    )?;
    statement.execute(params![sql(id), in_doubt, short(why)])?;
    state.in_doubt += u64::from(in_doubt && !was);
    Ok(true)
}

/// A row that is not found by its ID must not be there at all: else the tree of the table is damaged, and it would be
/// sent again and again. Seldom needed, so it may look at each.
fn absent(db: &Connection, id: u64) -> Result<(), Trouble> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM pending WHERE +id = ?1")?;
    let there: i64 = statement.query_row([sql(id)], |row| row.get(0))?;
    if there == 0 { Ok(()) } else { Err(row::vanished(id)) }
}
