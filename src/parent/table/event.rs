//! The words between the table and who serves it. Pure.
//!
//! Enters: nothing. Leaves: [`Event`], what happened; [`Action`], what is to be done about it.

use super::HostId;
use super::restart::Exit;
use crate::snapshot::Snapshot;

/// What happened to a host or one of its children. What comes from a child that is not known, or that this child may
/// not say at this time, changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A requester waits at a host without a child.
    Wanted,
    /// A child was started, of the entry's plan.
    Started {
        /// Its process ID.
        pid: i32,
    },
    /// The child could not be started.
    NotStarted {
        /// Why, for people.
        reason: String,
    },
    /// The newest child accepts requesters.
    Ready {
        /// Which child.
        pid: i32,
    },
    /// The host could be reached, or no longer.
    Reach {
        /// The child that serves.
        pid: i32,
        /// Whether it is up.
        up: bool,
        /// Why not, for people.
        reason: String,
    },
    /// The child says whether deferred transactions wait.
    Backlog {
        /// The child that serves.
        pid: i32,
        /// Whether there are any.
        waiting: bool,
    },
    /// The child that serves was asked for a snapshot.
    Asked {
        /// The number of the question.
        ask: u64,
    },
    /// A child answered. From one that serves no more only its counters are taken.
    Answered {
        /// Which child.
        pid: i32,
        /// The number of the question.
        ask: u64,
        /// The answer.
        snapshot: Box<Snapshot>,
    },
    /// A child exits now, and tells its last numbers.
    Farewell {
        /// Which child.
        pid: i32,
        /// Its numbers.
        snapshot: Box<Snapshot>,
    },
    /// The newest child is about to die of this.
    LastWords {
        /// Which child.
        pid: i32,
        /// For people.
        text: String,
    },
    /// A child is gone.
    Exited {
        /// Which child.
        pid: i32,
        /// In which way.
        exit: Exit,
    },
}

/// What is to be done for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Action {
    /// For which one.
    pub(crate) host: HostId,
    /// What.
    pub(crate) todo: Todo,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    /// Start a child of the entry's plan; to be answered by [`Event::Started`] or [`Event::NotStarted`] before anything
    /// else is told to the table, and before it is written down.
    Spawn,
    /// Watch the listeners; the first requester is [`Event::Wanted`].
    Watch,
    /// Tell the child that its successor is ready. A child may be told so again after a restart of the parent.
    HandOver {
        /// Which child.
        pid: i32,
    },
    /// Ask the child to retire (SIGTERM).
    Retire {
        /// Which child.
        pid: i32,
    },
    /// End the child (SIGKILL).
    Kill {
        /// Which child.
        pid: i32,
    },
}
