//! The tables, and how a connection to them is made.
//!
//! `pending` holds what waits, `parked` what does not (held, dead, damaged), so that the head of the queue is always the
//! first row of a table. A body is written once; attempts and doubts, which change, are kept beside it in `tries`, which
//! has a row only for what was tried. `state` is one row of totals (see `state`).
//!
//! This is format 2. Format 1 had no tags; it is read as it is ([`lend_tags`]) and brought to format 2 by the child that
//! opens it ([`add_tags`]).
//!
//! The checks of a connection (`verify`) cost at most what reading 64 MiB costs: a store up to that size is checked whole
//! (every page by `quick_check`, every table counted), of a larger one the head, the schema and the totals. What is not
//! checked then is checked when it is read: each row has a checksum, and when the queue ends, the rows that came must be
//! as many as the totals say.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::Trouble;
use super::files::size;
use super::state::State;

/// A format that is known here: its number is `user_version` of the file, and `version` in `state`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Version {
    /// Without tags.
    One,
    /// With them.
    #[default]
    Two,
}

impl Version {
    /// The one that is written.
    pub(super) const NEWEST: Self = Self::Two;
    /// All of them, the newest first.
    pub(super) const ALL: [Self; 2] = [Self::Two, Self::One];

    pub(super) fn number(self) -> i64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// The oldest SQLite that is used: earlier ones can corrupt a WAL when a checkpoint meets a reset.
pub(super) const SQLITE_AT_LEAST: i32 = 3_051_003;

/// A store up to this size, in bytes, is checked whole when it is opened.
const CHECKED_WHOLE: u64 = 64 << 20;

/// The column that format 1 lacks, and the tables that have it. What `ALTER TABLE … ADD COLUMN` leaves in the schema is the
/// old text with a comma, a space and these words behind its last column: written so below, a store that was brought to
/// this format cannot be told from one that was made in it.
const TAG: &str = "tag TEXT NOT NULL DEFAULT ''";
const TAGGED: [&str; 2] = ["pending", "parked"];

const TABLES: [(&str, &str); 4] = [
    (
        "pending",
        "CREATE TABLE pending (id INTEGER PRIMARY KEY AUTOINCREMENT, accepted INTEGER NOT NULL, \
         origin INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL, tag TEXT NOT NULL DEFAULT '') STRICT",
    ),
    (
        "parked",
        "CREATE TABLE parked (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, since INTEGER NOT NULL, \
         accepted INTEGER NOT NULL, origin INTEGER NOT NULL, attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, \
         why TEXT NOT NULL, crc INTEGER NOT NULL, reply BLOB NOT NULL, body BLOB NOT NULL, \
         tag TEXT NOT NULL DEFAULT '') STRICT",
    ),
    (
        "tries",
        "CREATE TABLE tries (id INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, \
         why TEXT NOT NULL) STRICT",
    ),
    (
        "state",
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, crc INTEGER NOT NULL, \
         commits INTEGER NOT NULL, highest INTEGER NOT NULL, sent_up_to INTEGER NOT NULL, head INTEGER NOT NULL, \
         oldest INTEGER NOT NULL, pending INTEGER NOT NULL, held INTEGER NOT NULL, dead INTEGER NOT NULL, \
         damaged INTEGER NOT NULL, in_doubt INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT",
    ),
];

/// How commits are synced. Anything but `Full` breaks the store's first promise and exists for the tests that show so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Each commit reaches the disk before it is told.
    #[default]
    Full,
    /// Only checkpoints do.
    Normal,
    /// Nothing does.
    Off,
}

/// Opens `path`, which is there, for the one process that has it.
pub(super) fn connect(path: &Path, synchronous: Synchronous, max_bytes: u64) -> Result<Connection, Trouble> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    common(&db)?;
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Trouble::Damage(format!("its journal mode is {mode} and cannot be changed")));
    }
    let level = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
        Synchronous::Off => "OFF",
    };
    // The quota is kept by the totals. This is the second lock, for totals that are wrong: pages of rows that do not fit
    // well can take twice their bytes, and what moves to the dead must always find room.
    let pages = (max_bytes.saturating_mul(2) / 4096).saturating_add(4096).min(1 << 31);
    db.execute_batch(&format!(
        "PRAGMA synchronous={level}; PRAGMA wal_autocheckpoint=0; PRAGMA max_page_count={pages};"
    ))?;
    Ok(db)
}

/// Opens `path` without changing it or needing a right to write, its WAL included. Nobody may write to it meanwhile: see
/// to that by the lock.
///
/// `unix-none` is SQLite's own access to files without locks: a reader could not take the locks of a writer, which
/// exclusive mode asks for. Exclusive mode, as else SQLite wants to write a shared index (`-shm`) beside a WAL that was
/// left behind.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // Where there is no WAL, SQLite would make one, unless it is told that nothing will change.
    let immutable = u8::from(!path.with_extension("sqlite-wal").exists());
    let db = Connection::open_with_flags(format!("file:{}?vfs=unix-none&immutable={immutable}", escaped(path)), flags)?;
    common(&db)?;
    lend_tags(&db)?;
    Ok(db)
}

/// Makes tables of format 1 look as if they had tags, for this connection alone and in its memory. Each table is asked, not
/// the version: in a damaged store that may be wrong.
fn lend_tags(db: &Connection) -> Result<(), Trouble> {
    for table in TAGGED {
        // A table that cannot be read at all shows that later, to whoever reads it.
        let columns = db.prepare(&format!("SELECT * FROM main.{table}"));
        if columns.is_ok_and(|columns| columns.column_index("tag").is_err()) {
            db.execute_batch(&format!("CREATE TEMP VIEW {table} AS SELECT *, '' AS tag FROM main.{table}"))?;
        }
    }
    Ok(())
}

/// A path in a URI.
fn escaped(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

fn common(db: &Connection) -> Result<(), Trouble> {
    // A connection that ends without `Store::close` leaves the WAL as it is: a damaged store is not written to.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_prepared_statement_cache_capacity(64);
    db.execute_batch(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; \
         PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;",
    )?;
    Ok(())
}

/// Makes the tables in a file that is empty, with `state`. Fast, not safe: the caller syncs the file and only then gives
/// it its name.
pub(super) fn begin_fresh(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch(
        "PRAGMA page_size=4096; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; \
         PRAGMA temp_store=MEMORY; BEGIN;",
    )?;
    for (_, sql) in TABLES {
        db.execute_batch(sql)?;
    }
    Ok(db)
}

/// Writes the totals and ends the making; the file is whole then, but not synced.
pub(super) fn end_fresh(db: Connection, state: &State) -> Result<(), Trouble> {
    db.execute_batch("INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)")?;
    state.save(&db)?;
    let version = state.version.number();
    db.execute_batch(&format!("PRAGMA user_version={version}; COMMIT; PRAGMA journal_mode=WAL;"))?;
    db.close().map_err(|(_, error)| error.into())
}

/// Brings the tables from format 1 to format 2, as a part of a commit that writes the totals as well. Rows stay as they
/// are: without a tag. SQLite reads both tables once from end to end for it.
pub(super) fn add_tags(db: &Connection, state: &mut State) -> Result<(), Trouble> {
    for table in TAGGED {
        db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {TAG}"))?;
    }
    state.version = Version::Two;
    db.execute_batch(&format!("PRAGMA user_version={}", state.version.number()))?;
    Ok(())
}

/// What the version says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Known(Version),
    Newer(i64),
}

/// Whether this is a store this program can read. A version that is wrong in the file's head alone is damage.
pub(super) fn format(db: &Connection) -> Result<Format, Trouble> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if let Some(known) = Version::ALL.into_iter().find(|known| known.number() == version) {
        return Ok(Format::Known(known));
    }
    let inner: i64 = db.query_row("SELECT version FROM state WHERE one = 1", [], |row| row.get(0))?;
    if version > Version::NEWEST.number() && inner == version {
        return Ok(Format::Newer(version));
    }
    Err(Trouble::Damage(format!("its head says format {version}, its totals {inner}")))
}

/// The totals of a store whose head says that it has format `version`.
pub(super) fn totals(db: &Connection, version: Version) -> Result<State, Trouble> {
    let state = State::load(db)?;
    if state.version == version {
        return Ok(state);
    }
    let (head, totals) = (version.number(), state.version.number());
    Err(Trouble::Damage(format!("its head says format {head}, its totals {totals}")))
}

/// Reads the totals, and checks what the head of this file says.
pub(super) fn verify(db: &Connection, path: &Path, version: Version) -> Result<State, Trouble> {
    let tag = format!(", {TAG}");
    for (name, made) in TABLES {
        let expected = if version == Version::One { made.replace(&tag, "") } else { made.to_owned() };
        let sql: String = db.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0))?;
        if sql != expected {
            return Err(Trouble::Damage(format!("the table {name} is not as it was made")));
        }
    }
    let state = totals(db, version)?;
    if size(path) <= CHECKED_WHOLE {
        check_whole(db, &state)?;
    }
    Ok(state)
}

/// Every page, and every table counted.
pub(super) fn check_whole(db: &Connection, state: &State) -> Result<(), Trouble> {
    let told: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if told != "ok" {
        return Err(Trouble::Damage(told));
    }
    let count = |sql: &str| -> Result<u64, Trouble> {
        let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let pending = count("SELECT count(*) FROM pending")?;
    let parked = count("SELECT count(*) FROM parked")?;
    if (pending, parked) != (state.pending, state.held + state.dead + state.damaged) {
        return Err(Trouble::Damage(format!(
            "it holds {pending} waiting and {parked} other rows, its totals say {} and {}",
            state.pending,
            state.held + state.dead + state.damaged
        )));
    }
    Ok(())
}
