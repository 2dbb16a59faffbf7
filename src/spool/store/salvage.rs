//! Salvage: a damaged store is set aside, and a fresh one with all that could be read takes its place.
//!
//! Enters: a damaged store and the watermark. Leaves: a whole store in its place, the damaged one in `corrupt/TIME/`, and
//! a finding that says what is missing. Promised: a crash in the middle is finished by the next opener, or begun again; a
//! row that is saved keeps its ID and its tag, a row whose checksum is wrong is saved as a damaged one. The damaged store may
//! have an older format, the fresh one has the newest.
//!
//! The steps, so that each name means something whole: the fresh store is made as `spool.sqlite.new` and synced → renamed
//! to `spool.sqlite.salvaged` → the damaged files go to `corrupt/TIME/` (a WAL beside a store that is not its own would be
//! played into it) → the fresh one gets its name. Directories are synced between. An opener that finds `.salvaged` goes
//! on from there; one that finds `.new` throws it away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, Row};

use super::error::Trouble;
use super::files::{Files, open_rw, remove, sync_dir};
use super::look::RowState;
use super::row::{self, sql};
use super::state::State;
use super::watermark::{Found, Mark};
use super::{Finding, Findings, Missing, ballast, schema, settle, wall_ms};

/// How far beyond the highest ID that was seen a fresh store begins when nothing says which was the highest.
const GAP: u64 = 1 << 20;
/// Ranges of missing IDs that are told.
const MOST_RANGES: usize = 1000;
/// Bad places in one table around which is read.
const MOST_HOLES: u32 = 10_000;

/// Makes a fresh, empty store.
pub(super) fn make(files: &Files, state: &State) -> Result<(), Trouble> {
    fresh(files)?;
    let db = schema::begin_fresh(&files.fresh())?;
    schema::end_fresh(db, state)?;
    sync(&files.fresh())?;
    rename(&files.fresh(), &files.db())?;
    files.sync_dir().map_err(io_trouble)
}

/// Replaces the damaged store.
pub(super) fn replace(
    files: &Files,
    why: &str,
    found: &Found,
    now: SystemTime,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    ballast::drop_it(files);
    let (saved, missing) = salvage(files, found)?;
    rename(&files.fresh(), &files.salvaged())?;
    files.sync_dir().map_err(io_trouble)?;
    let kept = install(files, now).map_err(io_trouble)?;
    findings.0.push(Finding::Corrupt { why: why.to_owned(), kept, saved, missing });
    Ok(())
}

/// Finishes what a crash interrupted.
pub(super) fn finish_interrupted(files: &Files, now: SystemTime, findings: &mut Findings) -> io::Result<()> {
    if files.salvaged().exists() {
        let kept = install(files, now)?;
        let (why, missing) = ("found by a process that then ended".to_owned(), Missing::default());
        findings.0.push(Finding::Corrupt { why, kept, saved: 0, missing });
    }
    for suffix in ["", "-wal", "-journal", "-shm"] {
        remove(&suffixed(&files.fresh(), suffix))?;
    }
    Ok(())
}

/// Puts the damaged files away and the salvaged store in their place. Says where they are.
fn install(files: &Files, now: SystemTime) -> io::Result<Option<PathBuf>> {
    let mut kept = None;
    for path in files.of_sqlite().into_iter().filter(|path| path.exists()) {
        let to = match &kept {
            Some(to) => to,
            None => kept.insert(place(files, now)?),
        };
        if let Some(name) = path.file_name() {
            fs::rename(&path, to.join(name))?;
        }
    }
    if let Some(to) = &kept {
        sync_dir(to)?;
    }
    files.sync_dir()?;
    fs::rename(files.salvaged(), files.db())?;
    files.sync_dir()?;
    Ok(kept)
}

/// A directory of its own for one damaged store.
fn place(files: &Files, now: SystemTime) -> io::Result<PathBuf> {
    let corrupt = files.corrupt();
    let made = |path: &Path| match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    if made(&corrupt)? {
        files.sync_dir()?;
    }
    let stamp = jiff::Timestamp::try_from(now).unwrap_or_default().strftime("%Y-%m-%dT%H%M%SZ").to_string();
    for count in 1.. {
        let name = if count == 1 { stamp.clone() } else { format!("{stamp}.{count}") };
        let path = corrupt.join(name);
        if made(&path)? {
            sync_dir(&corrupt)?;
            return Ok(path);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes the fresh store, with all that can be read of the damaged one. Says how many rows, and what is missing.
fn salvage(files: &Files, found: &Found) -> Result<(u64, Missing), Trouble> {
    fresh(files)?;
    let to = schema::begin_fresh(&files.fresh())?;
    let mark = match found {
        Found::Mark(mark) => *mark,
        _ => Mark::default(),
    };
    let mut state = State::default();
    let old = read_all(files, &to, &mut state)?;
    let seen = ids(&to)?;
    let highest_seen = seen.last().map_or(0, |range| range.1);
    let known = [old.as_ref().map(|old| old.highest), (mark.highest > 0).then_some(mark.highest)];
    state.highest = match known.into_iter().flatten().max() {
        Some(highest) => highest.max(highest_seen),
        None => highest_seen + GAP,
    };
    state.commits = old.as_ref().map_or(0, |old| old.commits).max(mark.commits) + 1;
    let current = old.as_ref().filter(|old| old.commits >= mark.commits);
    state.sent_up_to = match (current, &old, found) {
        (Some(current), _, _) => current.sent_up_to,
        (None, Some(old), _) => old.sent_up_to.max(mark.sent_up_to),
        (None, None, Found::Mark(mark)) => mark.sent_up_to,
        // Nothing says what was sent: all of it may have been.
        (None, None, _) => state.highest,
    };
    state.find_head(&to)?;
    let saved = state.rows();
    let missing = missing(&seen, &state, current, old.as_ref(), mark);
    schema::end_fresh(to, &state)?;
    sync(&files.fresh())?;
    Ok((saved, missing))
}

/// What is missing, from what was saved and what should be there.
fn missing(seen: &[(u64, u64)], fresh: &State, current: Option<&State>, old: Option<&State>, mark: Mark) -> Missing {
    let rows = current.map(|current| current.rows().saturating_sub(fresh.rows()));
    if rows == Some(0) {
        return Missing { rows, ..Missing::default() };
    }
    // Below the head of the queue nothing waited any more. Where that is unknown, everything may have.
    let first = match current.or(old) {
        Some(known) if known.held + known.dead + known.damaged == 0 && known.pending > 0 => known.head,
        Some(known) if known.rows() == 0 => known.highest + 1,
        _ => 1,
    };
    let last = if current.is_none() { mark.highest.max(fresh.highest) } else { fresh.highest };
    let mut among = Vec::new();
    let mut next = first.max(1);
    for (from, to) in seen.iter().copied().chain([(last + 1, last + 1)]) {
        if next < from && among.len() < MOST_RANGES {
            among.push((next, from - 1));
        }
        next = next.max(to + 1);
    }
    Missing { rows, among, behind: current.is_none() }
}

/// The IDs in a store, as ranges.
fn ids(db: &Connection) -> Result<Vec<(u64, u64)>, Trouble> {
    let mut statement = db.prepare("SELECT id FROM pending UNION ALL SELECT id FROM parked ORDER BY 1")?;
    let mut rows = statement.query([])?;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get::<_, i64>(0)?.unsigned_abs();
        match ranges.last_mut() {
            Some(range) if range.1 + 1 == id => range.1 = id,
            _ => ranges.push((id, id)),
        }
    }
    Ok(ranges)
}

/// Why copying a row stopped.
enum Stop {
    /// It cannot be read: what comes behind may be.
    Read,
    /// The fresh store cannot be written.
    Write(Trouble),
}

/// Copies every row that can be read. Returns the totals of the damaged store, if they can be.
fn read_all(files: &Files, to: &Connection, state: &mut State) -> Result<Option<State>, Trouble> {
    let Ok(from) = schema::connect_read_only(&files.db()) else { return Ok(None) };
    let old = State::load(&from).ok();
    let trusted = old.as_ref().map_or(u64::MAX >> 1, |old| old.highest);
    copy(&from, row::WAITING, "p.id", &mut |row| {
        let row = row::waiting(row).map_err(|_| Stop::Read)?;
        let id = row.id;
        if (1..=trusted).contains(&id) {
            save_waiting(to, state, row).map_err(Stop::Write)?;
        }
        Ok(id)
    })?;
    copy(&from, row::PARKED, "id", &mut |row| {
        let mut parked = row::parked(row).map_err(|_| Stop::Read)?;
        let id = parked.row.id;
        // Of two that claim the same ID, the one that waits was saved already.
        if (1..=trusted).contains(&id) && row::get_waiting(to, id).map_err(Stop::Write)?.is_none() {
            once(to, state, &mut |state| parked.insert(to, state)).map_err(Stop::Write)?;
        }
        Ok(id)
    })?;
    Ok(old)
}

fn save_waiting(to: &Connection, state: &mut State, mut row: row::Waiting) -> Result<(), Trouble> {
    if row.intact {
        return once(to, state, &mut |state| row.insert(to, state));
    }
    row.why = "its checksum is wrong".to_owned();
    let mut parked = row::Parked { state: RowState::Damaged, since: wall_ms(), reply: Vec::new(), row };
    once(to, state, &mut |state| parked.insert(to, state))
}

/// A row that is already there is passed over: a damaged tree may show one twice.
fn once(
    to: &Connection,
    state: &mut State,
    insert: &mut dyn FnMut(&mut State) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    to.execute_batch("SAVEPOINT one")?;
    let mut with = state.clone();
    let done = insert(&mut with);
    let end = if done.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
    to.execute_batch(end)?;
    match done {
        Ok(()) => {
            *state = with;
            Ok(())
        }
        Err(Trouble::Sqlite(rusqlite::Error::SqliteFailure(error, _)))
            if error.code == rusqlite::ErrorCode::ConstraintViolation =>
        {
            Ok(())
        }
        Err(trouble) => Err(trouble),
    }
}

/// Reads a table in the order of its IDs; around a place that cannot be read, by trying the IDs behind it in steps that
/// double, and what stands before the next good place is given up.
fn copy(
    from: &Connection,
    select: &str,
    key: &str,
    save: &mut dyn FnMut(&Row<'_>) -> Result<u64, Stop>,
) -> Result<(), Trouble> {
    let (mut after, mut step, mut holes) = (0u64, 1u64, 0u32);
    while holes < MOST_HOLES && after < u64::MAX >> 2 {
        let before = after;
        match read_on(from, select, key, &mut after, save) {
            Ok(()) => return Ok(()),
            Err(Stop::Write(trouble)) => return Err(trouble),
            Err(Stop::Read) => {}
        }
        step = if after > before { 1 } else { step.saturating_mul(2) };
        after = after.saturating_add(step);
        holes += 1;
    }
    Ok(())
}

/// Reads rows behind `after`, which follows, until the end or a place that cannot be read.
fn read_on(
    from: &Connection,
    select: &str,
    key: &str,
    after: &mut u64,
    save: &mut dyn FnMut(&Row<'_>) -> Result<u64, Stop>,
) -> Result<(), Stop> {
    let statement = from.prepare_cached(&format!("{select} WHERE {key} > ?1 ORDER BY {key}"));
    let mut statement = statement.map_err(|_| Stop::Read)?;
    let mut rows = statement.query([sql(*after)]).map_err(|_| Stop::Read)?;
    while let Some(row) = rows.next().map_err(|_| Stop::Read)? {
        let id = save(row)?;
        if id <= *after {
            return Err(Stop::Read);
        }
        *after = id;
    }
    Ok(())
}

/// Flags what waits up to the mark, or holds it, and takes the mark back. Says how many rows.
pub(super) fn doubt(db: &Connection, state: &mut State, hold: bool) -> Result<u64, Trouble> {
    let (mut rows, mut after) = (0, 0);
    let why = "it may have been sent when the process ended";
    let mut next = db.prepare_cached("SELECT id FROM pending WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1")?;
    loop {
        let mut found = next.query([sql(after), sql(state.sent_up_to)])?;
        let Some(row) = found.next()? else { break };
        let id = row.get::<_, i64>(0)?.unsigned_abs();
        drop(found);
        if id <= after {
            return Err(row::vanished(id));
        }
        settle::tried(db, state, id, true, why)?;
        if hold {
            row::park(db, state, id, RowState::Held, (wall_ms(), why, b""))?;
        }
        (rows, after) = (rows + 1, id);
    }
    state.sent_up_to = 0;
    state.find_head(db)?;
    Ok(rows)
}

/// An empty file for a fresh store, with our rights.
fn fresh(files: &Files) -> Result<(), Trouble> {
    let path = files.fresh();
    for suffix in ["", "-wal", "-journal", "-shm"] {
        remove(&suffixed(&path, suffix)).map_err(io_trouble)?;
    }
    open_rw(&path).map(drop).map_err(io_trouble)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync(path: &Path) -> Result<(), Trouble> {
    open_rw(path).and_then(|file| file.sync_all()).map_err(io_trouble)
}

fn rename(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::rename(from, to).map_err(io_trouble)
}

/// The system's refusal in the words of SQLite, so that both are treated alike.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn io_trouble(error: io::Error) -> Trouble {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => rusqlite::ffi::SQLITE_FULL,
        _ => rusqlite::ffi::SQLITE_IOERR,
    };
    Trouble::Sqlite(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(error.to_string())))
}
