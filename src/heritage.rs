//! Heritage: what a child is started with, and what parent and child say to each other afterwards.
//!
//! Enters: nothing. Leaves: the types of the control channel, a socketpair that carries one JSON object per line.
//!
//! A child finds its descriptors at agreed numbers: its end of the control channel at [`CONTROL_FD`], its outlet at
//! [`OUTLET_FD`], its listeners from [`FIRST_LISTENER_FD`] on in the order of [`Heritage::listeners`], and behind them
//! [`Heritage::inlets`] inlets. The first line it reads is the [`Heritage`]; after that the parent sends [`ToChild`] and
//! the child sends [`ToParent`]. The end of the channel means that the other side is gone: a child then retires.
//!
//! Outlet and inlet are the two ends of a way from a child to its successor (see [`crate::system::handover`]). The parent
//! makes it when it starts a child, gives the outlet to that child, and keeps the inlet for the child that will replace
//! it. What a child puts into its outlet before its successor lives waits there.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{HostSettings, LogSettings};
use crate::snapshot::Snapshot;

/// The descriptor at which a child finds its end of the control channel.
pub const CONTROL_FD: i32 = 3;

/// The descriptor at which a child finds its end of the way to its successor.
pub const OUTLET_FD: i32 = 4;

/// The descriptor of a child's first listener; the others follow without a gap, then the inlets.
pub const FIRST_LISTENER_FD: i32 = 5;

/// What a child is started with; the first line on its control channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heritage {
    /// The host that this child serves.
    pub host: HostSettings,
    /// The inherited listeners, in the order of their descriptors.
    pub listeners: Vec<ListenerKind>,
    /// Where its deferred transactions are stored; none for a host that is not deferred.
    pub spool: Option<PathBuf>,
    /// Where and how much to log.
    pub log: LogSettings,
    /// Whether debug logging has been toggled on by a signal to the parent.
    pub debug: bool,
    /// How long a retiring child may take to answer what it owes (milliseconds on the wire).
    #[serde(with = "crate::config::millis")]
    pub drain: Duration,
    /// How many children before this one may have something to hand over.
    #[serde(default)]
    pub inlets: usize,
}

/// What is accepted on an inherited listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    /// `NAME.sock`.
    Unix,
    /// `NAME.deferred.sock`.
    Deferred,
    /// The loopback listener of the option `listen=`.
    Tcp,
}

/// What the parent says to a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToChild {
    /// Answer with a [`ToParent::Snapshot`] that carries the same number.
    Snapshot {
        /// Names the question, so that a late answer is not taken for a fresh one.
        ask: u64,
    },
    /// Try to reach the host now, whatever the backoff says.
    Probe,
    /// Do something with the spool; answer with a [`ToParent::Spool`] that carries the same number.
    Spool {
        /// Names the question. The numbers are not those of [`ToChild::Snapshot`].
        ask: u64,
        /// A [`crate::spool::tools::Command`], which the parent does not look into.
        command: Value,
    },
    /// A successor is ready: accept and read no more, end what is owed, and hand every requester over as soon as it is
    /// owed nothing, and the idle connections last; then exit.
    HandOver,
    /// Turn debug logging on or off.
    Debug {
        /// The wanted state.
        on: bool,
    },
}

/// What a child says to its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToParent {
    /// The child accepts requesters from now on.
    Ready,
    /// The answer to [`ToChild::Snapshot`].
    Snapshot {
        /// The number of the question.
        ask: u64,
        /// What the child tells of itself. Boxed: it is far larger than the other messages.
        snapshot: Box<Snapshot>,
    },
    /// The host could be reached, or no longer: said at each change, so that the parent's `STATUS=` is true.
    Reach {
        /// Whether the host is up.
        up: bool,
        /// Why it is down, for people; empty when it is up.
        reason: String,
    },
    /// The answer to [`ToChild::Spool`].
    Spool {
        /// The number of the question.
        ask: u64,
        /// A [`crate::spool::tools::Answer`], which the parent does not look into.
        answer: Value,
    },
    /// Whether deferred transactions wait to be sent: said at each change, and once when the spool has been opened. The
    /// parent must know, as it starts a child for a backlog that no requester asks for.
    Backlog {
        /// Whether there are any.
        waiting: bool,
    },
    /// The last numbers of a child that has retired and exits now: what it counted must not be forgotten.
    Farewell {
        /// As [`ToParent::Snapshot`].
        snapshot: Box<Snapshot>,
    },
    /// The child is about to die of this (a panic's message, or the error it ends with).
    LastWords {
        /// One line for people.
        text: String,
    },
}
