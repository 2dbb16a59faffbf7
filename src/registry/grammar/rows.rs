//! Rows and changes as lines, both ways: the registry writes them, whoever watches reads them. Pure.
//!
//! Enters: rows with their time left; lines. Leaves: lines, without a line feed; rows. Promised: a row that is written is
//! read back as the same.
//!
//! ```text
//! row     = name address "lease=" lease ["ttl=" duration "left=" duration] "owner=" uid *pair
//! change  = revision "+" row | revision "-" name address "lease=" lease
//! ```
//!
//! A host's row has no `ttl=` and no `left=`. `left` is in milliseconds, rounded down.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::directory::{Change, What};
use super::super::row::{Lease, Revision, Row};
use crate::config::{read_duration, show_duration};

/// Writes a row behind what is in `line`.
pub fn write_row(line: &mut String, row: &Row, expires: Option<Instant>, now: Instant) {
    let Row { name, address, lease, ttl, owner, pairs } = row;
    line.push_str(name);
    let mut say = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        write!(line, " {key}{value}").ok();
    };
    say("", address);
    say("lease=", lease);
    if let Some(ttl) = ttl {
        let left = expires.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        say("ttl=", &show_duration(*ttl));
        say("left=", &format_args!("{}ms", left.as_millis()));
    }
    say("owner=", owner);
    for (key, value) in pairs {
        say(key, &format_args!("={value}"));
    }
}

/// Writes a change behind what is in `line`.
pub fn write_change(line: &mut String, change: &Change, now: Instant) {
    write!(line, "{} ", change.revision).ok();
    match &change.what {
        What::Put { row, expires } => {
            line.push_str("+ ");
            write_row(line, row, *expires, now);
        }
        What::Gone(row) => drop(write!(line, "- {} {} lease={}", row.name, row.address, row.lease)),
    }
}

/// Reads a row, and how long it lives. None if the line is no row.
#[must_use]
pub fn read_row(line: &str) -> Option<(Row, Option<Duration>)> {
    let mut words = line.split(' ');
    let (name, address) = (words.next()?.to_owned(), words.next()?.to_owned());
    let lease = Lease(words.next()?.strip_prefix("lease=")?.to_owned());
    let mut pairs = std::collections::BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=')?;
        pairs.insert(key.to_owned(), value.to_owned());
    }
    let mut duration = |key: &str| pairs.remove(key).map(|word| read_duration(&word).ok());
    let (ttl, left) = (duration("ttl"), duration("left"));
    let (ttl, left) = (ttl.map_or(Some(None), |ttl| ttl.map(Some))?, left.map_or(Some(None), |left| left.map(Some))?);
    let owner = pairs.remove("owner")?.parse().ok()?;
    Some((Row { name, address, lease, ttl, owner, pairs }, left))
}

/// A change as it is told to those who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The row is there from now on.
    Put(Row, Option<Duration>),
    /// The row is there no more.
    Gone {
        /// Its name.
        name: String,
        /// Its address.
        address: String,
        /// Its lease; if another one stands at that name and address by now, that one stays.
        lease: Lease,
    },
}

/// Reads a change. None if the line is none.
#[must_use]
pub fn read_change(line: &str) -> Option<(Revision, Told)> {
    let (revision, rest) = line.split_once(' ')?;
    let revision = Revision(revision.parse().ok()?);
    if let Some(row) = rest.strip_prefix("+ ") {
        return read_row(row).map(|(row, left)| (revision, Told::Put(row, left)));
    }
    let mut words = rest.strip_prefix("- ")?.split(' ');
    let (name, address) = (words.next()?.to_owned(), words.next()?.to_owned());
    let lease = Lease(words.next()?.strip_prefix("lease=")?.to_owned());
    Some((revision, Told::Gone { name, address, lease }))
}
