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
use crate::heritage::Kind;
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
    /// When the parent started; a restart does not change it.
    pub(crate) started: Timestamp,
    /// Of the last restart, if there was any.
    #[serde(default)]
    pub(crate) restart: RestartStatus,
    /// In the order of `hosts.tab`.
    pub(crate) hosts: Vec<HostStatus>,
    /// The registry, then what is served, by name; empty where the status of one host was asked for.
    #[serde(default)]
    pub(crate) services: Vec<ServiceStatus>,
}

/// What came of the restarts that were asked for. They are numbered from 1 on, whoever asks: HUP or `tieline restart`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestartStatus {
    /// The number of the last one that was asked for; 0 if there was none.
    pub(crate) asked: u64,
    /// The number of the last one that has succeeded or failed. Children may still be on their way.
    pub(crate) ended: u64,
    /// When that was.
    pub(crate) at: Option<Timestamp>,
    /// Why the last one failed, for people; empty if it succeeded.
    pub(crate) complaint: String,
    /// What it failed for.
    pub(crate) fault: RestartFault,
    /// Hosts and services whose child is to be replaced and is not yet.
    pub(crate) replacing: usize,
    /// Which these are and why, or why the next restart does not begin yet, for people; empty if there is nothing to say.
    pub(crate) waiting: String,
}

/// What a restart failed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RestartFault {
    /// It did not fail.
    #[default]
    #[serde(rename = "")]
    None,
    /// The configuration is wrong.
    #[serde(rename = "configuration")]
    Configuration,
    /// The binary cannot be started, or did not pass its rehearsal. Also what a later version may add.
    #[serde(rename = "binary", other)]
    Binary,
}

impl RestartStatus {
    /// With what the children have to do with it.
    fn with(self, table: &Table, now: Instant) -> Self {
        let waiting = if self.waiting.is_empty() { waiting(table, now) } else { self.waiting };
        Self { replacing: table.replacing(), waiting, ..self }
    }

    /// In one line, that the last restart failed; nothing if it did not.
    pub(crate) fn failure(&self) -> Option<String> {
        let what = self.complaint.lines().next()?;
        let at = self.at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
        Some(format!("restart failed{at}: {what}"))
    }
}

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostStatus {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) dialect: Dialect,
    /// Of the child, if there is one.
    pub(crate) pid: Option<i32>,
    /// Of the configuration that the child was started with; 0 without one.
    #[serde(default)]
    pub(crate) generation: u64,
    /// Of the child's binary; empty without one.
    #[serde(default)]
    pub(crate) version: String,
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

/// One child that serves no host: the registry, or what is served by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceStatus {
    /// What it is for.
    pub(crate) role: Kind,
    /// `registry`, or the name that is served.
    pub(crate) name: String,
    /// Of the child, if there is one.
    pub(crate) pid: Option<i32>,
    /// Of the configuration that the child was started with; 0 without one.
    pub(crate) generation: u64,
    /// Of the child's binary; empty without one.
    pub(crate) version: String,
    /// `up` is in order, `down` what lacks something that it needs.
    pub(crate) state: State,
    /// Why it is so; empty if there is nothing to say.
    pub(crate) reason: String,
    /// Of what is served: the processes and forwarded connections of its handlers. All zero for the registry, as are the
    /// numbers of requests.
    #[serde(default)]
    pub(crate) processes: Connections,
    /// Programs that are connected now.
    pub(crate) requesters: u64,
    #[serde(default)]
    pub(crate) queued: u64,
    #[serde(default)]
    pub(crate) in_flight: u64,
    #[serde(flatten)]
    pub(crate) outcomes: Outcomes,
    #[serde(default)]
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
    /// Of all hosts, or of one. Of `restart` the children's part is filled in here.
    pub(crate) fn of(
        table: &Table,
        only: Option<HostId>,
        started: Timestamp,
        restart: RestartStatus,
        at: Moment,
    ) -> Self {
        let hosts = table.hosts().filter(|(host, _)| only.is_none_or(|only| only == *host));
        let services = table.services().filter(|_| only.is_none());
        Self {
            version: version().to_owned(),
            pid: std::process::id(),
            generation: table.generation(),
            started,
            restart: restart.with(table, at.now),
            hosts: hosts.filter_map(|(_, entry)| HostStatus::of(entry, at)).collect(),
            services: services.map(|(_, entry)| ServiceStatus::of(entry, at)).collect(),
        }
    }
}

impl HostStatus {
    fn of(entry: &Entry, at: Moment) -> Option<Self> {
        let host = entry.host()?;
        let (snapshot, answered) = entry.snapshot();
        let next_probe = snapshot.next_probe_ms.zip(answered).and_then(|(ms, when)| at.wall_after(when, ms));
        let made = entry.made();
        Some(Self {
            name: host.name.clone(),
            address: host.address.to_string(),
            dialect: host.dialect,
            pid: entry.pid(),
            generation: made.map_or(0, |made| made.generation),
            version: made.map(|made| made.build.version.clone()).unwrap_or_default(),
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
        })
    }
}

impl ServiceStatus {
    fn of(entry: &Entry, at: Moment) -> Self {
        let (snapshot, _) = entry.snapshot();
        let made = entry.made();
        Self {
            role: entry.role().kind(),
            name: entry.name().to_owned(),
            pid: entry.pid(),
            generation: made.map_or(0, |made| made.generation),
            version: made.map(|made| made.build.version.clone()).unwrap_or_default(),
            state: entry.state(at.now),
            reason: entry.reason(at.now),
            processes: snapshot.connections,
            requesters: snapshot.requesters,
            queued: snapshot.queued,
            in_flight: snapshot.in_flight,
            outcomes: snapshot.outcomes,
            latency_us: snapshot.latency_us,
            restarts: entry.times_restarted(),
            last_log: snapshot.last_log,
        }
    }
}

/// Whose children are to be replaced and are not yet, and what is known of why.
fn waiting(table: &Table, now: Instant) -> String {
    let waiting = table.configured().filter(|(_, entry)| entry.has_serving_predecessor());
    let told = waiting.map(|(_, entry)| {
        let (name, reason) = (entry.role().title(), entry.reason(now));
        if reason.is_empty() { name } else { format!("{name} ({reason})") }
    });
    told.collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_restart_is_told_in_one_line() {
        let mut restart = RestartStatus::default();
        assert_eq!(restart.failure(), None);
        restart.complaint = "hosts.tab:1:7: `x` is no address\n  far x line\n      ^".to_owned();
        restart.at = "2026-01-02T03:04:05.678Z".parse().ok();
        let told = restart.failure().unwrap();
        assert_eq!(told, "restart failed at 2026-01-02T03:04:05Z: hosts.tab:1:7: `x` is no address");
    }

    #[test]
    fn a_fault_is_a_word_and_an_unknown_one_is_none_of_the_configuration() {
        let words = [RestartFault::None, RestartFault::Configuration, RestartFault::Binary];
        let text = serde_json::to_string(&words).unwrap();
        assert_eq!(text, r#"["","configuration","binary"]"#);
        assert_eq!(serde_json::from_str::<[RestartFault; 3]>(&text).unwrap(), words);
        assert_eq!(serde_json::from_str::<RestartFault>(r#""weather""#).unwrap(), RestartFault::Binary);
    }
}
