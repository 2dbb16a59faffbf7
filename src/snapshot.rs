//! What a child tells of itself when it is asked: the numbers of `tieline status`.
//!
//! Enters: nothing. Leaves: [`Snapshot`], made by a child, read by the parent and printed by `cli`. The two may be of
//! different builds: what one of them does not know is as if nothing had happened.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The numbers of one host at one moment. Counters count from the start of the child.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// How the host is, as far as the child knows.
    pub reach: Reach,
    /// Why it is so, for people; empty if there is nothing to say.
    pub reason: String,
    /// Milliseconds until the next attempt to reach a host that is down.
    pub next_probe_ms: Option<u64>,
    /// Attempts to connect that have ended, one way or the other.
    pub attempts: u64,
    /// The connections of the pool.
    pub connections: Connections,
    /// The connections for sessions.
    #[serde(default)]
    pub sessions: Sessions,
    /// Requesters that are connected now.
    pub requesters: u64,
    /// Transactions that wait for a connection.
    pub queued: u64,
    /// Transactions that were given to a connection and are not answered yet.
    pub in_flight: u64,
    /// How many transactions ended in which way.
    pub outcomes: Outcomes,
    /// The deferred transactions that are stored; all zero without a spool.
    pub spool: SpoolNumbers,
    /// How long replied transactions took, from the frame's arrival to the reply's.
    pub latency_us: Latency,
    /// Whether the child is on its way out.
    pub retiring: bool,
    /// The last line that the child logged at level info or above.
    pub last_log: String,
}

/// Whether a host can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Never connected yet: nobody has asked.
    #[default]
    Idle,
    /// The last attempt to connect succeeded.
    Up,
    /// The last attempt failed.
    Down,
}

/// How a host is, for people and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its child is being started.
    Starting,
    /// Never connected to yet: nobody has asked.
    Idle,
    /// The last attempt to connect succeeded.
    Up,
    /// The last attempt failed.
    Down,
    /// Its child is on its way out.
    Retiring,
    /// Its child died and waits to be started again.
    Crashed,
    /// Its child does not answer.
    Hung,
}

impl fmt::Display for State {
    /// The word that the JSON has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Up => "up",
            Self::Down => "down",
            Self::Retiring => "retiring",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
        })
    }
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// With at least one transaction in flight.
    pub busy: u64,
    /// Open, with none.
    pub idle: u64,
    /// As many as there may be.
    pub max: u64,
}

/// How many connections there are for sessions, each for one requester at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// In use, kept for the next session, or being opened.
    pub open: u64,
    /// As many as there may be.
    pub max: u64,
}

/// How many transactions ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcomes {
    /// Answered by the host.
    pub replies: u64,
    /// No connection could be had; never sent.
    pub lost: u64,
    /// The deadline passed in the queue; never sent.
    pub timeout: u64,
    /// Sent, then no reply; may have been executed.
    pub unknown: u64,
    /// The queue was full; never sent.
    pub busy: u64,
    /// Malformed or too large; never sent.
    pub refused: u64,
    /// Stored, to be replayed.
    pub delayed: u64,
    /// Could not be stored.
    pub failed: u64,
}

/// The deferred transactions of a host. They are what the store holds, whoever stored it: they do not begin at zero with
/// the child.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolNumbers {
    /// Wait to be sent.
    pub depth: u64,
    /// Bytes that count against `spool_max`: those of all that is stored, the held and the dead included.
    pub bytes: u64,
    /// Seconds since the first of those that wait was accepted; 0 if none waits.
    pub oldest_s: u64,
    /// May have reached the host already, waiting or held.
    pub in_doubt: u64,
    /// Parked for the operator.
    pub held: u64,
    /// Will not be sent: refused by the host, or expired.
    pub dead: u64,
    /// Found damaged on disk and set aside.
    pub damaged: u64,
    /// The last thing that went wrong with storing or replaying, for people; empty if nothing did.
    pub last_error: String,
}

/// Latencies in microseconds; 0 when there was no reply yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}
