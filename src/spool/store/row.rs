//! Rows: their checksums, and their way between the tables.
//!
//! A row of `pending` has the CRC-32 of its ID, time, origin and body, so that a row in another's place is seen as well;
//! a row of `parked` that of all its columns.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::ROW_COST;
use super::error::Trouble;
use super::look::RowState;
use super::state::State;

/// Bytes of a host's reply that are kept with the dead.
const REPLY_KEPT: usize = 64 << 10;
/// Bytes of a reason that are kept.
const WHY_KEPT: usize = 1024;

/// A row that waits, as it was read.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) accepted: u64,
    /// The dead it was made from; 0 if it was accepted from a requester.
    pub(super) origin: u64,
    pub(super) body: Vec<u8>,
    pub(super) attempts: u64,
    pub(super) in_doubt: bool,
    pub(super) why: String,
    /// Whether its checksum is right.
    pub(super) intact: bool,
}

/// A row that does not.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) state: RowState,
    pub(super) since: u64,
    pub(super) reply: Vec<u8>,
    pub(super) row: Waiting,
}

/// For SQLite, whose numbers are signed: none here comes near the limit.
pub(super) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of [`waiting`], from `pending p LEFT JOIN tries t`.
pub(super) const WAITING: &str = "SELECT p.id, p.accepted, p.origin, p.crc, t.attempts, t.in_doubt, t.why, p.body \
                                  FROM pending p LEFT JOIN tries t ON t.id = p.id";
/// The columns of [`parked`].
pub(super) const PARKED: &str =
    "SELECT id, state, since, accepted, origin, attempts, in_doubt, why, crc, reply, body FROM parked";

/// A row of [`WAITING`]. Columns that cannot be what was written make it a damaged one.
pub(super) fn waiting(row: &Row<'_>) -> Result<Waiting, Trouble> {
    let (number, bytes) = readers(row);
    let mut found = Waiting {
        id: number(0)?,
        accepted: number(1)?,
        origin: number(2)?,
        attempts: number(4)?,
        in_doubt: number(5)? != 0,
        why: String::from_utf8_lossy(&bytes(6)?).into_owned(),
        body: bytes(7)?,
        intact: false,
    };
    found.intact = number(3)? == u64::from(found.crc());
    Ok(found)
}

/// A row of [`PARKED`].
pub(super) fn parked(row: &Row<'_>) -> Result<Parked, Trouble> {
    let (number, bytes) = readers(row);
    let inner = Waiting {
        id: number(0)?,
        accepted: number(3)?,
        origin: number(4)?,
        attempts: number(5)?,
        in_doubt: number(6)? != 0,
        why: String::from_utf8_lossy(&bytes(7)?).into_owned(),
        body: bytes(10)?,
        intact: false,
    };
    let state = RowState::from_number(number(1)?);
    let mut found =
        Parked { state: state.unwrap_or(RowState::Damaged), since: number(2)?, reply: bytes(9)?, row: inner };
    found.row.intact = state.is_some() && number(8)? == u64::from(found.crc());
    if !found.row.intact {
        found.state = RowState::Damaged;
    }
    Ok(found)
}

/// Readers of one column that take whatever type is there: what is wrong shows in the checksum.
fn readers<'a>(
    row: &'a Row<'_>,
) -> (impl Fn(usize) -> rusqlite::Result<u64> + 'a, impl Fn(usize) -> rusqlite::Result<Vec<u8>> + 'a) {
    let number = |column: usize| {
        Ok(match row.get_ref(column)? {
            ValueRef::Integer(number) => number.cast_unsigned(),
            _ => 0,
        })
    };
    let bytes = |column: usize| {
        Ok(match row.get_ref(column)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        })
    };
    (number, bytes)
}

impl Waiting {
    pub(super) fn crc(&self) -> u32 {
        crc(self.id, self.accepted, self.origin, &self.body)
    }

    pub(super) fn cost(&self) -> u64 {
        cost(self.body.len())
    }

    /// Writes it among those that wait.
    pub(super) fn insert(&self, db: &Connection, state: &mut State) -> Result<(), Trouble> {
        insert(db, self.id, self.accepted, self.origin, &self.body)?;
        if self.attempts > 0 || self.in_doubt {
            let mut tries = db.prepare_cached("INSERT INTO tries VALUES (?1, ?2, ?3, ?4)")?;
            tries.execute(params![sql(self.id), sql(self.attempts), self.in_doubt, short(&self.why)])?;
        }
        state.came(RowState::Pending, self.cost(), self.in_doubt);
        Ok(())
    }
}

impl Parked {
    pub(super) fn crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        let row = &self.row;
        let lengths = [row.why.len() as u64, self.reply.len() as u64];
        let numbers = [row.id, self.state.number(), self.since, row.accepted, row.origin, row.attempts];
        for number in numbers.into_iter().chain([u64::from(row.in_doubt)]).chain(lengths) {
            crc.update(&number.to_le_bytes());
        }
        crc.update(row.why.as_bytes());
        crc.update(&self.reply);
        crc.update(&row.body);
        crc.finalize()
    }

    pub(super) fn cost(&self) -> u64 {
        cost(self.row.body.len() + self.reply.len())
    }

    /// Writes it among those that do not wait.
    pub(super) fn insert(&mut self, db: &Connection, state: &mut State) -> Result<(), Trouble> {
        self.reply.truncate(REPLY_KEPT);
        self.row.why = short(&self.row.why).to_owned();
        let row = &self.row;
        let mut statement =
            db.prepare_cached("INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
        statement.execute(params![
            sql(row.id),
            sql(self.state.number()),
            sql(self.since),
            sql(row.accepted),
            sql(row.origin),
            sql(row.attempts),
            row.in_doubt,
            row.why,
            self.crc(),
            self.reply,
            row.body
        ])?;
        state.came(self.state, self.cost(), row.in_doubt);
        Ok(())
    }
}

/// The checksum of a row that waits.
pub(super) fn crc(id: u64, accepted: u64, origin: u64, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for number in [id, accepted, origin] {
        crc.update(&number.to_le_bytes());
    }
    crc.update(body);
    crc.finalize()
}

/// What a row with so many bytes counts for.
pub(super) fn cost(bytes: usize) -> u64 {
    ROW_COST + bytes as u64
}

/// Writes a row among those that wait.
pub(super) fn insert(db: &Connection, id: u64, accepted: u64, origin: u64, body: &[u8]) -> Result<(), Trouble> {
    let mut statement = db.prepare_cached("INSERT INTO pending VALUES (?1, ?2, ?3, ?4, ?5)")?;
    statement.execute(params![sql(id), sql(accepted), sql(origin), crc(id, accepted, origin, body), body])?;
    Ok(())
}

/// One row that waits.
pub(super) fn get_waiting(db: &Connection, id: u64) -> Result<Option<Waiting>, Trouble> {
    let mut statement = db.prepare_cached(&format!("{WAITING} WHERE p.id = ?1"))?;
    let mut rows = statement.query([sql(id)])?;
    rows.next()?.map(waiting).transpose()
}

/// One row that does not.
pub(super) fn get_parked(db: &Connection, id: u64) -> Result<Option<Parked>, Trouble> {
    let mut statement = db.prepare_cached(&format!("{PARKED} WHERE id = ?1"))?;
    let mut rows = statement.query([sql(id)])?;
    rows.next()?.map(parked).transpose()
}

/// Takes a row out of those that wait. Says whether it was there.
pub(super) fn remove_waiting(db: &Connection, state: &mut State, id: u64) -> Result<bool, Trouble> {
    let mut statement = db.prepare_cached("DELETE FROM pending WHERE id = ?1 RETURNING length(body)")?;
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
pub(super) fn remove_run(db: &Connection, state: &mut State, first: u64, count: u64) -> Result<bool, Trouble> {
    let range = params![sql(first), sql(first + count - 1)];
    let two = |statement: &str| -> Result<(u64, u64), Trouble> {
        let mut statement = db.prepare_cached(statement)?;
        let (one, other): (i64, i64) = statement.query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((one.unsigned_abs(), other.unsigned_abs()))
    };
    let (there, bytes) =
        two("SELECT count(*), coalesce(sum(length(body)), 0) FROM pending WHERE id BETWEEN ?1 AND ?2")?;
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
pub(super) fn remove_parked(db: &Connection, state: &mut State, parked: &Parked) -> Result<(), Trouble> {
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
pub(super) fn park(
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

/// A row was read under an ID under which it cannot be found.
pub(super) fn vanished(id: u64) -> Trouble {
    Trouble::Damage(format!("row {id} is not where it was read"))
}

/// As much of a reason as is kept.
pub(super) fn short(why: &str) -> &str {
    let mut end = why.len().min(WHY_KEPT);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}
