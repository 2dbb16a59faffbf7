//! The table of hosts and their children: events → what to do. Pure; the time is an argument.
//!
//! Enters: what happened to which host's child ([`Event`]), a stop, the passing of time. Leaves: what to do about it
//! ([`Action`]). Promised: a host has at most one child; nothing that happens to one host changes another's entry; after
//! a stop nothing is started, and every child is either gone or killed by the end of its time.
//!
//! - [`entry`] — one host: the life of its child
//! - [`restart`] — when a child that died is started again

pub(crate) mod entry;
pub(crate) mod restart;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::config::HostSettings;
use crate::snapshot::Snapshot;
use entry::{Entry, State};
use restart::Exit;

/// Names a host within one table: its place in `hosts.tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) usize);

/// What happened to a host or its child.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The parent has begun.
    Boot,
    /// A requester waits at a host without a child.
    Wanted,
    /// The child was started.
    Started {
        /// Its process ID.
        pid: i32,
    },
    /// The child could not be started.
    NotStarted {
        /// Why, for people.
        reason: String,
    },
    /// The child accepts requesters.
    Ready,
    /// The host could be reached, or no longer.
    Reach {
        /// Whether it is up.
        up: bool,
        /// Why not, for people.
        reason: String,
    },
    /// The child says whether deferred transactions wait.
    Backlog {
        /// Whether there are any.
        waiting: bool,
    },
    /// The child was asked for a snapshot.
    Asked {
        /// The number of the question.
        ask: u64,
    },
    /// The child answered.
    Answered {
        /// The number of the question.
        ask: u64,
        /// The answer.
        snapshot: Box<Snapshot>,
    },
    /// The child is about to die of this.
    LastWords {
        /// For people.
        text: String,
    },
    /// The child is gone.
    Exited {
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
    /// Start a child; to be answered by [`Event::Started`] or [`Event::NotStarted`].
    Spawn,
    /// Watch the listeners; the first requester is [`Event::Wanted`].
    Watch,
    /// Ask the child to retire (SIGTERM).
    Retire,
    /// End the child (SIGKILL).
    Kill,
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// How long a child may owe an answer before it is killed; none: for ever.
    patience: Option<Duration>,
    stopping: bool,
    last_tick: Instant,
}

impl Table {
    /// A table of `hosts` without any child.
    pub(crate) fn new(hosts: Vec<HostSettings>, patience: Option<Duration>, now: Instant) -> Self {
        let entries = hosts.into_iter().map(Entry::new).collect();
        Self { entries, patience, stopping: false, last_tick: now }
    }

    /// All hosts, in the order of `hosts.tab`.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (HostId, &Entry)> {
        self.entries.iter().enumerate().map(|(at, entry)| (HostId(at), entry))
    }

    /// One host.
    pub(crate) fn get(&self, host: HostId) -> Option<&Entry> {
        self.entries.get(host.0)
    }

    /// The host called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<HostId> {
        self.entries.iter().position(|entry| entry.settings.name == name).map(HostId)
    }

    /// Takes notice of what happened to `host`.
    pub(crate) fn apply(&mut self, host: HostId, event: Event, now: Instant) -> Option<Action> {
        let stopping = self.stopping;
        let todo = self.entries.get_mut(host.0)?.apply(event, now, stopping)?;
        Some(Action { host, todo })
    }

    /// Takes notice of the time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let patience = self.patience;
        // Whoever was stopped or starved itself must not blame the children for answers it did not read.
        let slept = patience.is_some_and(|patience| now.duration_since(self.last_tick) >= patience);
        self.last_tick = now;
        self.each(|entry| {
            if slept {
                entry.forgive(now);
            }
            entry.tick(now, patience)
        })
    }

    /// When [`Table::tick`] has something to do; none: never.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.next_tick(self.patience)).min()
    }

    /// Begins a graceful stop: nothing is started any more, and children that live at `kill_at` are killed.
    pub(crate) fn stop(&mut self, kill_at: Instant) -> Vec<Action> {
        self.stopping = true;
        self.each(|entry| entry.stop(kill_at))
    }

    /// Stops at once.
    pub(crate) fn stop_now(&mut self) -> Vec<Action> {
        self.stopping = true;
        self.each(Entry::stop_now)
    }

    /// Whether a stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether a stop is complete: no child is left.
    pub(crate) fn is_over(&self) -> bool {
        self.stopping && self.entries.iter().all(|entry| entry.pid().is_none())
    }

    /// Whether every host that starts with the parent has a child that is ready, or had one that died.
    pub(crate) fn is_settled(&self) -> bool {
        self.entries.iter().all(Entry::is_settled)
    }

    /// How many hosts are up, down (dead, hung or without a working child) and idle.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let mut counts = Counts { hosts: self.entries.len(), ..Counts::default() };
        for entry in &self.entries {
            counts.backlogs += usize::from(entry.has_backlog());
            match entry.state(now) {
                State::Up => counts.up += 1,
                State::Down | State::Crashed | State::Hung => counts.down += 1,
                State::Idle | State::Starting | State::Retiring => counts.idle += 1,
            }
        }
        counts
    }

    fn each(&mut self, mut act: impl FnMut(&mut Entry) -> Option<Todo>) -> Vec<Action> {
        let todos = self.entries.iter_mut().enumerate().map(|(at, entry)| (HostId(at), act(entry)));
        todos.filter_map(|(host, todo)| todo.map(|todo| Action { host, todo })).collect()
    }
}

/// Hosts by how they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All.
    pub(crate) hosts: usize,
    /// Reached by the last attempt.
    pub(crate) up: usize,
    /// Not reached, or without a working child.
    pub(crate) down: usize,
    /// Nobody has asked yet.
    pub(crate) idle: usize,
    /// With deferred transactions that wait, whatever else they are.
    pub(crate) backlogs: usize,
}
