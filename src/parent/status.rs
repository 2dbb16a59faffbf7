//! The status: what `tieline status --json` prints and the control socket answers.
//!
//! Enters: the table and the time. Leaves: [`Status`], to and from JSON.
//!
//! Times are RFC 3339 in UTC, latencies microseconds, ages seconds. Counters count from the start of the parent; those
//! of a child that died are kept as of its last snapshot.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::table::entry::{Entry, State};
use super::table::{HostId, Table};
use crate::dialect::Dialect;
use crate::snapshot::{Connections, Latency, Outcomes, Sessions, SpoolNumbers};
use crate::version::version;

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Of the parent's binary.
    pub(crate) version: String,
    /// Of the parent.
    pub(crate) pid: u32,
    /// Of the configuration.
    pub(crate) generation: u64,
    /// When the parent started.
    pub(crate) started: Timestamp,
    /// In the order of `hosts.tab`.
    pub(crate) hosts: Vec<HostStatus>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostStatus {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) dialect: Dialect,
    /// Of the child, if there is one.
    pub(crate) pid: Option<i32>,
    pub(crate) state: State,
    /// Why it is so; empty if there is nothing to say.
    pub(crate) reason: String,
    /// When a host that is down is tried next.
    pub(crate) next_probe: Option<Timestamp>,
    /// Attempts to connect that the child has ended, one way or the other.
    pub(crate) attempts: u64,
    pub(crate) connections: Connections,
    /// The connections for sessions.
    #[serde(default)]
    pub(crate) sessions: Sessions,
    pub(crate) requesters: u64,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    #[serde(flatten)]
    pub(crate) outcomes: Outcomes,
    /// All zero without a spool. Of a child that is gone: what it told last.
    pub(crate) spool: SpoolNumbers,
    pub(crate) latency_us: Latency,
    pub(crate) restarts: u64,
    pub(crate) last_log: String,
}

/// One moment, as both clocks show it: intervals are measured by one, and told by the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall: Timestamp,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        Self { now: Instant::now(), wall: Timestamp::now() }
    }

    /// The time of the wall clock `ms` milliseconds after `from`, to the millisecond.
    fn wall_after(&self, from: Instant, ms: u64) -> Option<Timestamp> {
        let ago = i64::try_from(self.now.saturating_duration_since(from).as_millis()).ok()?;
        let at = self.wall.as_millisecond().checked_sub(ago)?.checked_add(i64::try_from(ms).ok()?)?;
        Timestamp::from_millisecond(at).ok()
    }
}

impl Status {
    /// Of all hosts, or of one.
    pub(crate) fn of(table: &Table, only: Option<HostId>, started: Timestamp, at: Moment) -> Self {
        let hosts = table.hosts().filter(|(host, _)| only.is_none_or(|only| only == *host));
        Self {
            version: version().to_owned(),
            pid: std::process::id(),
            generation: 1,
            started,
            hosts: hosts.map(|(_, entry)| HostStatus::of(entry, at)).collect(),
        }
    }
}

impl HostStatus {
    fn of(entry: &Entry, at: Moment) -> Self {
        let (snapshot, answered) = entry.snapshot();
        let next_probe = snapshot.next_probe_ms.zip(answered).and_then(|(ms, when)| at.wall_after(when, ms));
        Self {
            name: entry.settings().name.clone(),
            address: entry.settings().address.to_string(),
            dialect: entry.settings().dialect,
            pid: entry.pid(),
            state: entry.state(at.now),
            reason: entry.reason(at.now),
            next_probe,
            attempts: snapshot.attempts,
            connections: snapshot.connections,
            sessions: snapshot.sessions,
            requesters: snapshot.requesters,
            queued: snapshot.queued,
            in_flight: snapshot.in_flight,
            outcomes: snapshot.outcomes,
            spool: aged(snapshot.spool, answered, at.now),
            latency_us: snapshot.latency_us,
            restarts: entry.times_restarted(),
            last_log: snapshot.last_log,
        }
    }
}

/// What was stored when the child told it, and still is, is older by now.
fn aged(mut spool: SpoolNumbers, told: Option<Instant>, now: Instant) -> SpoolNumbers {
    if spool.depth > 0
        && let Some(told) = told
    {
        spool.oldest_s = spool.oldest_s.saturating_add(now.saturating_duration_since(told).as_secs());
    }
    spool
}
