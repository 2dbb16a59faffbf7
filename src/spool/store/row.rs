//! Rows: their checksums, and their way between the tables.
//!
//! A row of `pending` has the CRC-32 of its ID, time, origin and body, so that a row in another's place is seen as well;
//! a row of `parked` that of all its columns. Either covers the tag, if there is one: its bytes come last, and then how
//! many. Without a tag it is what it was in format 1, whose rows stay as they are.
//!
//! - `leave` — how rows leave a table

mod leave;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::ROW_COST;
use super::error::Trouble;
use super::look::RowState;
use super::state::State;
pub(super) use leave::{park, remove_parked, remove_run, remove_waiting};

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
    /// Empty: none.
    pub(super) tag: String,
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
pub(super) const WAITING: &str = "SELECT p.id, p.accepted, p.origin, p.crc, t.attempts, t.in_doubt, t.why, p.body, \
                                  p.tag FROM pending p LEFT JOIN tries t ON t.id = p.id";
/// The columns of [`parked`].
pub(super) const PARKED: &str =
    "SELECT id, state, since, accepted, origin, attempts, in_doubt, why, crc, reply, body, tag FROM parked";

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
        tag: tag(bytes(8)?),
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
        tag: tag(bytes(11)?),
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

/// A tag as it was read. What is no text cannot be one, but keeps its length: that much was counted for it.
fn tag(bytes: Vec<u8>) -> String {
    let plain = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().map(plain).collect())
}

impl Waiting {
    pub(super) fn crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for number in [self.id, self.accepted, self.origin] {
            crc.update(&number.to_le_bytes());
        }
        crc.update(&self.body);
        self.cover_tag(&mut crc);
        crc.finalize()
    }

    fn cover_tag(&self, crc: &mut crc32fast::Hasher) {
        if !self.tag.is_empty() {
            crc.update(self.tag.as_bytes());
            crc.update(&(self.tag.len() as u64).to_le_bytes());
        }
    }

    pub(super) fn cost(&self) -> u64 {
        cost(self.body.len() + self.tag.len())
    }

    /// Writes it among those that wait.
    pub(super) fn insert(&self, db: &Connection, state: &mut State) -> Result<(), Trouble> {
        let mut statement = db.prepare_cached("INSERT INTO pending VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let (id, accepted, origin) = (sql(self.id), sql(self.accepted), sql(self.origin));
        statement.execute(params![id, accepted, origin, self.crc(), self.body, self.tag])?;
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
        row.cover_tag(&mut crc);
        crc.finalize()
    }

    pub(super) fn cost(&self) -> u64 {
        self.row.cost() + self.reply.len() as u64
    }

    /// Writes it among those that do not wait.
    pub(super) fn insert(&mut self, db: &Connection, state: &mut State) -> Result<(), Trouble> {
        self.reply.truncate(REPLY_KEPT);
        self.row.why = short(&self.row.why).to_owned();
        let row = &self.row;
        let mut statement =
            db.prepare_cached("INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
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
            row.body,
            row.tag
        ])?;
        state.came(self.state, self.cost(), row.in_doubt);
        Ok(())
    }
}

/// What a row with so many bytes counts for.
pub(super) fn cost(bytes: usize) -> u64 {
    ROW_COST + bytes as u64
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
