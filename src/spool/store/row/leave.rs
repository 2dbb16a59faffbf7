//! How rows leave a table: for good, or for the other one.
//!
//! Promised: what a row is counted with when it leaves is what it was counted with when it came, by the bytes that stand
//! in the table, also where they are damaged.

use rusqlite::{Connection, params};

use super::{Parked, cost, get_waiting, sql, vanished};
use crate::spool::store::ROW_COST;
use crate::spool::store::error::Trouble;
use crate::spool::store::look::RowState;
use crate::spool::store::state::State;

/// Takes a row out of those that wait. Says whether it was there.
pub(in crate::spool::store) fn remove_waiting(db: &Connection, state: &mut State, id: u64) -> Result<bool, Trouble> {
    let mut statement =
        db.prepare_cached("DELETE FROM pending WHERE id = ?1 RETURNING octet_length(body) + octet_length(tag)")?;
    let mut gone = statement.query([sql(id)])?;
    let Some(row) = gone.next()? else { return Ok(false) };
    let bytes = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
    drop(gone);
    let mut statement = db.prepare_cached("DELETE FROM tries WHERE id = ?1 RETURNING in_doubt")?;
    let mut tries = statement.query([sql(id)])?;
    let in_doubt = tries.next()?.map(|row| row.get::<_, i64>(0)).transpose()?.is_some_and(|doubt| doubt != 0);
    state.went(RowState::Pending, cost(bytes), in_doubt);
    Ok(true)
}

/// Takes `count` rows from `first` on out of those that wait, at a fraction of the price of one by one. Says whether that
/// was done: only if all are there.
pub(in crate::spool::store) fn remove_run(
    db: &Connection,
    state: &mut State,
    first: u64,
    count: u64,
) -> Result<bool, Trouble> {
    let range = params![sql(first), sql(first + count - 1)];
    let two = |statement: &str| -> Result<(u64, u64), Trouble> {
        let mut statement = db.prepare_cached(statement)?;
        let (one, other): (i64, i64) = statement.query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((one.unsigned_abs(), other.unsigned_abs()))
    };
    let (there, bytes) =
        two("SELECT count(*), coalesce(sum(octet_length(body) + octet_length(tag)), 0) FROM pending \
         WHERE id BETWEEN ?1 AND ?2")?;
    if there != count {
        return Ok(false);
    }
    let (tried, in_doubt) =
        two("SELECT count(*), coalesce(sum(in_doubt != 0), 0) FROM tries WHERE id BETWEEN ?1 AND ?2")?;
    let gone = db.prepare_cached("DELETE FROM pending WHERE id BETWEEN ?1 AND ?2")?.execute(range)?;
    if gone as u64 != count {
        return Err(vanished(first));
    }
    if tried > 0 {
        db.prepare_cached("DELETE FROM tries WHERE id BETWEEN ?1 AND ?2")?.execute(range)?;
    }
    state.run_went(count, bytes + count * ROW_COST, in_doubt);
    Ok(true)
}

/// Takes a row out of those that do not. It was read before, so that it must be there.
pub(in crate::spool::store) fn remove_parked(
    db: &Connection,
    state: &mut State,
    parked: &Parked,
) -> Result<(), Trouble> {
    let mut statement = db.prepare_cached("DELETE FROM parked WHERE id = ?1 RETURNING state")?;
    let mut gone = statement.query([sql(parked.row.id)])?;
    let Some(row) = gone.next()? else { return Err(vanished(parked.row.id)) };
    // Not what the row was taken for, but what it was counted as.
    let counted = RowState::from_number(row.get::<_, i64>(0)?.unsigned_abs()).unwrap_or(parked.state);
    state.went(counted, parked.cost(), parked.row.in_doubt);
    Ok(())
}

/// Moves a row from those that wait. A damaged one becomes [`RowState::Damaged`] instead. Says what it became; none if
/// it does not wait.
pub(in crate::spool::store) fn park(
    db: &Connection,
    state: &mut State,
    id: u64,
    to: RowState,
    (since, why, reply): (u64, &str, &[u8]),
) -> Result<Option<RowState>, Trouble> {
    let Some(mut row) = get_waiting(db, id)? else { return Ok(None) };
    let to = if row.intact { to } else { RowState::Damaged };
    row.why = if row.intact { why.to_owned() } else { "its checksum is wrong".to_owned() };
    if !remove_waiting(db, state, id)? {
        return Err(vanished(id));
    }
    Parked { state: to, since, reply: reply.to_vec(), row }.insert(db, state)?;
    Ok(Some(to))
}
