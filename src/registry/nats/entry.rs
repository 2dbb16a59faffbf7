//! A row as a key and a value of the bucket. Pure.
//!
//! Enters: a [`Row`]; or what stands in the bucket, whoever wrote it. Leaves: key and value; or the row, if there is a right
//! one. Promised: a row that is written is read back the same; what is read fits its key, and is what could
//! have been registered here as well.
//!
//! ```text
//! key      NAME.ADDRESS          an address that every machine can reach
//!          NAME.ADDRESS.MACHINE  a UNIX socket or a loopback address
//!          each part with =XX (hexadecimal) for each byte that is none of A-Z, a-z, 0-9, _, - and /
//! value    JSON: {"v":1,"name":…,"address":…,"lease":…,"ttl":milliseconds,"owner":uid,"pairs":{…}}
//! ```
//!
//! So no two instances of a name have the same address, except on different machines where it means something else. `v` is
//! the format: a higher one is not understood, and left alone.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::is_local;
use crate::config::show_duration;
use crate::registry::directory::Registration;
use crate::registry::grammar::{Command, command};
use crate::registry::row::Row;

const FORMAT: u32 = 1;

/// Shortest time to live in the bucket, and its unit: the server rounds down to whole seconds.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    #[serde(flatten)]
    row: &'a Row,
}

#[derive(Deserialize)]
struct Read {
    v: u32,
    #[serde(flatten)]
    row: Row,
}

/// The key of a row that is registered on `machine`.
#[must_use]
pub fn key(row: &Row, machine: &str) -> String {
    let mut key = format!("{}.{}", escaped(&row.name), escaped(&row.address));
    if is_local(&row.address) {
        key.push('.');
        key.push_str(&escaped(machine));
    }
    key
}

/// The value of a row.
#[must_use]
pub fn value(row: &Row) -> Vec<u8> {
    // A row is words and numbers, which can always be written.
    serde_json::to_vec(&Written { v: FORMAT, row }).unwrap_or_default()
}

/// The row that stands under `key`, as `machine` sees it: none if it is another machine's own, or no right row.
#[must_use]
pub fn read(key_found: &str, value: &[u8], machine: &str) -> Option<Row> {
    let Read { v, row } = serde_json::from_slice(value).ok()?;
    (v == FORMAT && key(&row, machine) == key_found && is_right(&row)).then_some(row)
}

/// Whether a key is about something on another machine than `machine`, which is nothing to wonder about.
#[must_use]
pub fn is_of_another(key: &str, machine: &str) -> bool {
    key.split('.').nth(2).is_some_and(|theirs| theirs != escaped(machine))
}

/// How long the bucket is to keep a row: whole seconds, not less than its lease.
#[must_use]
pub fn kept_for(ttl: Duration) -> Duration {
    let whole = Duration::from_secs(ttl.as_secs());
    let rounded = if whole == ttl { whole } else { whole.saturating_add(SECOND) };
    rounded.max(SECOND)
}

/// Whether it could have been registered here, under a lease that is none of a host's.
pub(super) fn is_right(row: &Row) -> bool {
    let Row { name, address, lease, ttl: Some(ttl), pairs, .. } = row else { return false };
    let mut line = format!("REGISTER {name} {address} ttl={}", show_duration(*ttl));
    for (key, value) in pairs {
        // Writing to a string does not fail.
        write!(line, " {key}={value}").ok();
    }
    let is_lease = lease.0.len() <= 64 && lease.0.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let means = |read: &Registration| {
        read.name == *name && read.address == *address && read.ttl == *ttl && read.pairs == *pairs
    };
    is_lease && !lease.0.is_empty() && matches!(command(line.as_bytes()), Ok(Command::Register(read)) if means(&read))
}

fn escaped(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'/' => escaped.push(char::from(byte)),
            _ => _ = write!(escaped, "={byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
