//! The statements of a ledger: what is asked of the file, each with its parameters bound, and what is one commit.
//!
//! Enters: questions. Leaves: rows. Promised: no word of anybody is ever part of a statement's text.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Error, OptionalExtension, TransactionBehavior, params};

use super::{Known, Question, Settled};

/// Rows that are forgotten at once.
const FORGOTTEN: u16 = 100;

/// What was done for a question, as soon as it is committed.
pub(super) enum Done {
    /// It was written that this is begun.
    Begun,
    /// This is known.
    Known(Known),
}

/// Does all of `group` in one commit, and `before` it what could not be done earlier; says in `done` what was done for each
/// question. Returns how many commits there were with this one.
pub(super) fn commit(
    db: &mut Connection,
    before: &HashMap<String, Settled>,
    group: &[Question],
    now: i64,
    done: &mut Vec<Done>,
) -> Result<u64, Error> {
    let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    before.iter().try_for_each(|(tag, settled)| settle(&work, tag, settled, now))?;
    for question in group {
        done.push(serve(&work, question, now)?);
    }
    let count = count_one(&work)?;
    work.commit().map(|()| count)
}

fn count_one(db: &Connection) -> Result<u64, Error> {
    let mut statement = db.prepare_cached("UPDATE commits SET count = count + 1 WHERE one = 1 RETURNING count")?;
    statement.query_row([], |row| row.get(0)).map(i64::unsigned_abs)
}

/// How many commits there were.
pub(super) fn commits(db: &Connection) -> Result<u64, Error> {
    db.query_row("SELECT count FROM commits WHERE one = 1", [], |row| row.get(0)).map(i64::unsigned_abs)
}

/// Counts on from there.
pub(super) fn go_on(db: &mut Connection, commits: u64) -> Result<(), Error> {
    db.execute("UPDATE commits SET count = ?1 WHERE one = 1", [i64::try_from(commits).unwrap_or(i64::MAX)]).map(drop)
}

/// How many rows are not what was written, as far as their checksums tell.
pub(super) fn damaged(db: &Connection) -> Result<u64, Error> {
    let mut all = db.prepare("SELECT print, begun, ended, reply, crc, tag FROM executed WHERE crc IS NOT NULL")?;
    let mut rows = all.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let tag: String = row.get(5)?;
        count += u64::from(known(&tag, row)? == Known::Damaged);
    }
    Ok(count)
}

fn serve(db: &Connection, question: &Question, now: i64) -> Result<Done, Error> {
    match question {
        Question::Settle { tag, settled, .. } => settle(db, tag, settled, now).map(|()| Done::Known(Known::New)),
        // Nobody would carry it out.
        Question::Claim { .. } if !question.is_awaited() => Ok(Done::Known(Known::New)),
        Question::Claim { tag, print, begins, .. } => match look(db, tag)? {
            Some(known) => Ok(Done::Known(known)),
            None if *begins => begin(db, tag, *print, now).map(|()| Done::Begun),
            None => Ok(Done::Known(Known::New)),
        },
    }
}

/// What is known of a tag; none if it is new.
fn look(db: &Connection, tag: &str) -> Result<Option<Known>, Error> {
    let mut statement = db.prepare_cached("SELECT print, begun, ended, reply, crc FROM executed WHERE tag = ?1")?;
    statement.query_row([tag], |row| known(tag, row)).optional()
}

fn known(tag: &str, row: &rusqlite::Row<'_>) -> Result<Known, Error> {
    let (print, at): (u32, i64) = (row.get(0)?, row.get(1)?);
    let (ended, reply): (Option<i64>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
    let written: Option<u32> = row.get(4)?;
    Ok(match reply.filter(|_| ended.is_some()) {
        Some(reply) if written.is_some_and(|written| written != crc(tag, print, &reply)) => Known::Damaged,
        Some(reply) => Known::Ended { print, reply },
        None => Known::Begun { print, at },
    })
}

/// By what is noticed that a row is not what was written: SQLite alone does not see a flipped bit.
fn crc(tag: &str, print: u32, reply: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    [tag.as_bytes(), &print.to_le_bytes(), reply].iter().for_each(|part| crc.update(part));
    crc.finalize()
}

/// A transaction that is begun now.
fn begin(db: &Connection, tag: &str, print: u32, now: i64) -> Result<(), Error> {
    let mut statement = db.prepare_cached("INSERT INTO executed (tag, print, begun) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![tag, print, now]).map(drop)
}

/// How one has ended. The file may be another one than that in which it was begun.
fn settle(db: &Connection, tag: &str, settled: &Settled, now: i64) -> Result<(), Error> {
    match settled {
        Settled::Ended { print, reply } => db
            .prepare_cached(
                "INSERT INTO executed (tag, print, begun, ended, reply, crc) VALUES (?1, ?2, ?3, ?3, ?4, ?5) \
                 ON CONFLICT (tag) DO UPDATE SET ended = excluded.ended, reply = excluded.reply, crc = excluded.crc",
            )?
            .execute(params![tag, print, now, reply, crc(tag, *print, reply)]),
        Settled::Never => db.prepare_cached("DELETE FROM executed WHERE tag = ?1")?.execute([tag]),
    }
    .map(drop)
}

/// Writes something that changes nothing: whether that can be done at all.
pub(super) fn prove(db: &mut Connection) -> Result<(), Error> {
    let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format: i64 = work.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    work.pragma_update(None, "user_version", format)?;
    work.commit()
}

/// Forgets some of those that ended longer than `keep` ago, and of those that were begun so long ago and have no end. Says
/// in how long there will be more; never, if there is no row.
pub(super) fn forget(db: &Connection, now: i64, keep: Duration) -> Result<Option<Duration>, Error> {
    let ended = "DELETE FROM executed WHERE tag IN (SELECT tag FROM executed WHERE ended < ?1 LIMIT ?2)";
    let open =
        "DELETE FROM executed WHERE tag IN (SELECT tag FROM executed WHERE ended IS NULL AND begun < ?1 LIMIT ?2)";
    let kept = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    for sql in [ended, open] {
        if db.prepare_cached(sql)?.execute(params![now.saturating_sub(kept), FORGOTTEN])? >= usize::from(FORGOTTEN) {
            return Ok(Some(Duration::ZERO));
        }
    }
    // Not each row for itself, but those of a while together.
    let least = (keep / 16).clamp(Duration::from_secs(1), Duration::from_secs(3600));
    let left = |oldest: i64| u64::try_from(oldest.saturating_add(kept).saturating_sub(now)).unwrap_or(0);
    Ok(oldest(db)?.map(|oldest| Duration::from_millis(left(oldest)).max(least)))
}

/// When the oldest row ended, or was begun if it has no end; none if there is no row.
fn oldest(db: &Connection) -> Result<Option<i64>, Error> {
    let ask = |sql| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let ended = ask("SELECT min(ended) FROM executed")?;
    let open = ask("SELECT min(begun) FROM executed WHERE ended IS NULL")?;
    Ok(ended.into_iter().chain(open).min())
}
