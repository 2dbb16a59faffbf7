//! Looking: rows for people, of every state, and the check of a whole store.

use rusqlite::Connection;

use super::error::Trouble;
use super::row::{self, Parked, Waiting, sql};
use super::state::State;
use super::{Id, Store, StoreError, schema};

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowState {
    /// Waits to be sent.
    Pending,
    /// Held for the operator.
    Held,
    /// Rejected by the host, or expired.
    Dead,
    /// Its checksum is wrong.
    Damaged,
}

impl RowState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Held, Self::Dead, Self::Damaged];

    /// In the file.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Pending => 0,
            Self::Held => 1,
            Self::Dead => 2,
            Self::Damaged => 3,
        }
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number && *state != Self::Pending)
    }

    /// Whether a doubt about such a row still matters.
    pub(super) fn counts_doubt(self) -> bool {
        matches!(self, Self::Pending | Self::Held)
    }

    /// As in lists: `waiting`, `held`, `dead`, `damaged`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "waiting",
            Self::Held => "held",
            Self::Dead => "dead",
            Self::Damaged => "damaged",
        }
    }
}

/// A row as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its ID.
    pub id: Id,
    /// What it is. A row that should be something else and whose checksum is wrong is [`RowState::Damaged`].
    pub state: RowState,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// Since when it is held, dead or damaged, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// How often it was tried from the store.
    pub attempts: u64,
    /// Whether it may have reached the host already.
    pub in_doubt: bool,
    /// What happened last, in words.
    pub last_error: Option<String>,
    /// The dead it was made from.
    pub requeued_from: Option<Id>,
    /// The host's reply to a dead one; empty if there was none.
    pub reply: Vec<u8>,
    /// The request.
    pub body: Vec<u8>,
    /// Its tag; empty: none.
    pub tag: String,
}

/// What the check of a whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// Those whose checksum is wrong.
    pub damaged: Vec<Id>,
    /// What else is wrong; none if nothing is.
    pub wrong: Option<String>,
}

impl Store {
    /// Rows of a state behind `after`, in the order of their IDs: at most `rows`, about 1 MiB, one at least.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&mut self, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, StoreError> {
        self.read("read", &|db, _| list(db, state, after, rows))
    }

    /// One row of whatever state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&mut self, id: Id) -> Result<Option<Entry>, StoreError> {
        self.read("read", &|db, _| get(db, id))
    }

    /// Reads everything and says what is wrong. Changes nothing; what is damaged is set aside when its turn comes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn check(&mut self) -> Result<Report, StoreError> {
        let db = self.connection()?;
        check(db, &self.state).map_err(|trouble| trouble.into_error(&self.files.dir, "check"))
    }
}

/// Bytes of bodies and replies in one page of a list.
const PAGE: usize = 1 << 20;

pub(super) fn list(db: &Connection, state: RowState, after: Id, rows: usize) -> Result<Vec<Entry>, Trouble> {
    if state == RowState::Pending {
        let sql = format!("{} WHERE p.id > ?1 ORDER BY p.id LIMIT ?2", row::WAITING);
        return page(db, &sql, after, rows, None, |row| Ok(row::waiting(row)?.into()));
    }
    let sql = format!("{} WHERE id > ?1 AND state = ?3 ORDER BY id LIMIT ?2", row::PARKED);
    page(db, &sql, after, rows, Some(state), |row| Ok(row::parked(row)?.into()))
}

fn page(
    db: &Connection,
    select: &str,
    after: Id,
    rows: usize,
    state: Option<RowState>,
    entry: impl Fn(&rusqlite::Row<'_>) -> Result<Entry, Trouble>,
) -> Result<Vec<Entry>, Trouble> {
    let mut statement = db.prepare_cached(select)?;
    let mut parameters = vec![sql(after.0), sql(rows as u64)];
    parameters.extend(state.map(|state| sql(state.number())));
    let mut found = statement.query(rusqlite::params_from_iter(parameters))?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let entry = entry(row)?;
        bytes += entry.body.len() + entry.reply.len();
        if !entries.is_empty() && bytes > PAGE {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn get(db: &Connection, id: Id) -> Result<Option<Entry>, Trouble> {
    if let Some(row) = row::get_waiting(db, id.0)? {
        return Ok(Some(row.into()));
    }
    Ok(row::get_parked(db, id.0)?.map(Entry::from))
}

pub(super) fn check(db: &Connection, state: &State) -> Result<Report, Trouble> {
    let mut report = Report::default();
    if let Err(Trouble::Damage(wrong)) = schema::check_whole(db, state) {
        report.wrong = Some(wrong);
    }
    let mut statement = db.prepare(&format!("{} ORDER BY p.id", row::WAITING))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = row::waiting(row)?;
        report.count(row.id, row.intact);
    }
    let mut statement = db.prepare(&format!("{} ORDER BY id", row::PARKED))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let parked = row::parked(row)?;
        report.count(parked.row.id, parked.state != RowState::Damaged);
    }
    Ok(report)
}

impl Report {
    fn count(&mut self, id: u64, whole: bool) {
        self.rows += 1;
        if !whole {
            self.damaged.push(Id(id));
        }
    }
}

impl From<Waiting> for Entry {
    fn from(row: Waiting) -> Self {
        Self {
            id: Id(row.id),
            state: if row.intact { RowState::Pending } else { RowState::Damaged },
            accepted_ms: row.accepted,
            since_ms: None,
            attempts: row.attempts,
            in_doubt: row.in_doubt,
            last_error: (!row.why.is_empty()).then_some(row.why),
            requeued_from: (row.origin != 0).then_some(Id(row.origin)),
            reply: Vec::new(),
            body: row.body,
            tag: row.tag,
        }
    }
}

impl From<Parked> for Entry {
    fn from(parked: Parked) -> Self {
        let (state, since, reply) = (parked.state, parked.since, parked.reply);
        Self { state, since_ms: Some(since), reply, ..parked.row.into() }
    }
}
