//! The statements: what is asked of the file, each with its parameters bound.
//!
//! Enters: rows. Leaves: rows. Promised: no word of anybody is ever part of a statement's text.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Error, params};
use tracing::warn;

use super::super::row::{Lease, Row};
use super::super::store::Stored;
use super::{Shadow, stored};

pub(super) fn put(db: &Connection, row: &Row, end: i64) -> Result<(), Error> {
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO leases (name, address, lease, ttl, ends, owner, pairs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let ttl = i64::try_from(row.ttl.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let pairs = serde_json::to_string(&row.pairs).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
    statement.execute(params![row.name, row.address, row.lease.0, ttl, end, row.owner, pairs]).map(drop)
}

pub(super) fn renew(db: &Connection, lease: &Lease, end: i64) -> Result<(), Error> {
    db.prepare_cached("UPDATE leases SET ends = ?2 WHERE lease = ?1")?.execute(params![lease.0, end]).map(drop)
}

pub(super) fn remove(db: &Connection, lease: &Lease) -> Result<(), Error> {
    db.prepare_cached("DELETE FROM leases WHERE lease = ?1")?.execute(params![lease.0]).map(drop)
}

/// All rows, and those of them that live. One that is not what was written is left out, and said.
pub(super) fn load(db: &Connection, now: i64) -> Result<(Shadow, Vec<Stored>), Error> {
    let mut statement =
        db.prepare("SELECT name, address, lease, ttl, owner, pairs, ends FROM leases ORDER BY rowid")?;
    let all = statement.query_map([], |row| Ok((read(row)?, row.get(6)?)))?;
    let (mut shadow, mut rows) = (Shadow::new(), Vec::new());
    let mut over = Vec::new();
    for each in all {
        let (row, end): (Arc<Row>, i64) = match each {
            Err(
                error @ (Error::FromSqlConversionFailure(..)
                | Error::InvalidColumnType(..)
                | Error::IntegralValueOutOfRange(..)),
            ) => {
                warn!("a row of the registry's store is damaged, and left out: {error}; its program registers again");
                continue;
            }
            each => each?,
        };
        match stored(Arc::clone(&row), end, now) {
            None => over.push(row.lease.clone()),
            Some(one) => {
                shadow.insert(row.lease.clone(), (row, end));
                rows.push(one);
            }
        }
    }
    // What cannot be removed now, on a full disk, is found to be over by the next life as well.
    over.iter().try_for_each(|lease| remove(db, lease)).ok();
    Ok((shadow, rows))
}

fn read(row: &rusqlite::Row<'_>) -> Result<Arc<Row>, Error> {
    let pairs: String = row.get(5)?;
    let no_pairs =
        |error: serde_json::Error| Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, error.into());
    let ttl = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
    Ok(Arc::new(Row {
        name: row.get(0)?,
        address: row.get(1)?,
        lease: Lease(row.get(2)?),
        ttl: Some(Duration::from_millis(ttl)),
        owner: row.get(4)?,
        pairs: serde_json::from_str(&pairs).map_err(no_pairs)?,
    }))
}

/// Writes everything anew.
pub(super) fn rewrite(db: &mut Connection, shadow: &Shadow) -> Result<(), Error> {
    let work = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    work.execute("DELETE FROM leases", [])?;
    shadow.values().try_for_each(|(row, end)| put(&work, row, *end))?;
    work.commit()
}
