//! The totals: one row, written with every commit, with a checksum of its own that covers the format as well.

use rusqlite::Connection;

use super::error::Trouble;
use super::look::RowState;
use super::row::sql;
use super::schema::Version;
use super::watermark::Mark;
use super::{Id, Numbers};

/// See the head of this file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The format of the store that these belong to.
    pub(super) version: Version,
    /// Commits since the spool exists.
    pub(super) commits: u64,
    /// The highest ID ever given.
    pub(super) highest: u64,
    /// Up to which ID rows may have been sent.
    pub(super) sent_up_to: u64,
    /// The first row that waits, and when it was accepted; 0 if none waits.
    pub(super) head: u64,
    pub(super) oldest: u64,
    /// Rows by state.
    pub(super) pending: u64,
    pub(super) held: u64,
    pub(super) dead: u64,
    pub(super) damaged: u64,
    /// Waiting or held rows that are in doubt.
    pub(super) in_doubt: u64,
    /// What counts against the quota.
    pub(super) bytes: u64,
    /// Bytes of the rows that one change moves; not stored.
    pub(super) moved: u64,
}

impl State {
    fn values(&self) -> [u64; 11] {
        [
            self.commits,
            self.highest,
            self.sent_up_to,
            self.head,
            self.oldest,
            self.pending,
            self.held,
            self.dead,
            self.damaged,
            self.in_doubt,
            self.bytes,
        ]
    }

    fn from_values(version: Version, values: [u64; 11]) -> Self {
        let [commits, highest, sent_up_to, head, oldest, pending, held, dead, damaged, in_doubt, bytes] = values;
        let moved = 0;
        Self {
            version,
            commits,
            highest,
            sent_up_to,
            head,
            oldest,
            pending,
            held,
            dead,
            damaged,
            in_doubt,
            bytes,
            moved,
        }
    }

    fn crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.version.number().to_le_bytes());
        for value in self.values() {
            crc.update(&value.to_le_bytes());
        }
        crc.finalize()
    }

    /// Reads them; the format is that under which their checksum is right.
    pub(super) fn load(db: &Connection) -> Result<Self, Trouble> {
        let mut statement = db.prepare_cached(
            "SELECT crc, commits, highest, sent_up_to, head, oldest, pending, held, dead, damaged, in_doubt, bytes \
             FROM state WHERE one = 1",
        )?;
        let numbers: [i64; 12] = statement.query_row([], |row| {
            let mut numbers = [0; 12];
            for (index, number) in numbers.iter_mut().enumerate() {
                *number = row.get(index)?;
            }
            Ok(numbers)
        })?;
        let [crc, values @ ..] = numbers;
        let values = values.map(i64::cast_unsigned);
        let read = Version::ALL.map(|version| Self::from_values(version, values));
        let whole = read.into_iter().find(|state| crc == i64::from(state.crc()));
        whole.ok_or_else(|| Trouble::Damage("the totals are damaged".to_owned()))
    }

    pub(super) fn save(&self, db: &Connection) -> Result<(), Trouble> {
        let mut statement = db.prepare_cached(
            "UPDATE state SET version = ?1, crc = ?2, commits = ?3, highest = ?4, sent_up_to = ?5, head = ?6, \
             oldest = ?7, pending = ?8, held = ?9, dead = ?10, damaged = ?11, in_doubt = ?12, bytes = ?13",
        )?;
        let mut parameters = vec![self.version.number(), i64::from(self.crc())];
        parameters.extend(self.values().map(sql));
        match statement.execute(rusqlite::params_from_iter(parameters))? {
            1 => Ok(()),
            _ => Err(Trouble::Damage("the totals are gone".to_owned())),
        }
    }

    /// Finds the first row that waits.
    pub(super) fn find_head(&mut self, db: &Connection) -> Result<(), Trouble> {
        let mut statement = db.prepare_cached("SELECT id, accepted FROM pending ORDER BY id LIMIT 1")?;
        let mut rows = statement.query([])?;
        (self.head, self.oldest) = match rows.next()? {
            Some(row) => (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()),
            None => (0, 0),
        };
        Ok(())
    }

    /// The count of rows of a state, to be changed.
    pub(super) fn of(&mut self, state: RowState) -> &mut u64 {
        match state {
            RowState::Pending => &mut self.pending,
            RowState::Held => &mut self.held,
            RowState::Dead => &mut self.dead,
            RowState::Damaged => &mut self.damaged,
        }
    }

    /// A row came, with what it costs.
    pub(super) fn came(&mut self, state: RowState, cost: u64, in_doubt: bool) {
        *self.of(state) += 1;
        self.bytes += cost;
        self.moved += cost;
        self.in_doubt += u64::from(in_doubt && state.counts_doubt());
    }

    /// A row went. Totals are checked against the tables when a store is opened, so saturating hides nothing.
    pub(super) fn went(&mut self, state: RowState, cost: u64, in_doubt: bool) {
        let count = self.of(state);
        *count = count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(cost);
        self.moved += cost;
        self.in_doubt = self.in_doubt.saturating_sub(u64::from(in_doubt && state.counts_doubt()));
    }

    /// So many rows that waited went at once, with what they cost together and how many of them were in doubt.
    pub(super) fn run_went(&mut self, count: u64, cost: u64, in_doubt: u64) {
        self.pending = self.pending.saturating_sub(count);
        self.bytes = self.bytes.saturating_sub(cost);
        self.in_doubt = self.in_doubt.saturating_sub(in_doubt);
    }

    pub(super) fn rows(&self) -> u64 {
        self.pending + self.held + self.dead + self.damaged
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { highest: self.highest, rows: self.rows(), commits: self.commits, sent_up_to: self.sent_up_to }
    }

    pub(super) fn numbers(&self) -> Numbers {
        Numbers {
            depth: self.pending,
            bytes: self.bytes,
            oldest_ms: (self.pending > 0).then_some(self.oldest),
            in_doubt: self.in_doubt,
            held: self.held,
            dead: self.dead,
            damaged: self.damaged,
            highest: Id(self.highest),
            last_error: None,
        }
    }
}
