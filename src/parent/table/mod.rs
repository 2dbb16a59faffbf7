//! The table of hosts and their children, and of what else has a child: events → what to do. Pure; the time is an
//! argument.
//!
//! Enters: what happened to which host's child ([`Event`]), a stop, the passing of time; what a table before this one
//! has written down. Leaves: what to do about it ([`Action`]); the table, written down. Promised: an entry has one child,
//! and beside it those that are being replaced, of which one at most serves; nothing that happens to one changes
//! another, but for whose turn it is to be started; no child is forgotten before it is gone; after a stop nothing is
//! started, and every child is either gone or killed by the end of its time.
//!
//! The registry and each `[serve.NAME]` have an entry as hosts have: they are supervised by the same rules, and start with
//! the parent.
//!
//! - [`entry`] — one entry: the life of its newest child, and its predecessors
//! - `event` — what happens, and what is to be done
//! - [`child`] — one child: where it stands
//! - [`made`] — what a child was started with
//! - [`restart`] — when a child that died is started again
//! - [`bequest`] — an entry as it is written down, and read again

pub(crate) mod bequest;
pub(crate) mod child;
pub(crate) mod entry;
mod event;
pub(crate) mod made;
pub(crate) mod restart;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::reconcile::Fate;
use crate::heritage::Kind;
use bequest::HostBequest;
use entry::{Entry, State};
pub(crate) use event::{Action, Event, Todo};
use made::Build;

/// Successors that are started at a time: one whose predecessor serves on can wait for its turn.
pub(crate) const AT_ONCE: usize = 4;

/// A tick that comes so much later than it was due shows that the parent itself was stopped or starved.
const LATE: Duration = Duration::from_secs(1);

/// Names an entry within one table: for a host its place in `hosts.tab`. The registry and what is served come after the
/// hosts, and last, until their children are gone, those that are not configured any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) usize);

/// What holds for all entries.
#[derive(Debug)]
struct Rules {
    /// What children are started of now.
    build: Build,
    /// Of the configuration.
    generation: u64,
    /// How long a child may owe an answer before it is killed; none: for ever.
    patience: Option<Duration>,
    stopping: bool,
}

/// All entries.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    rules: Rules,
    last_tick: Instant,
}

impl Table {
    /// A table that goes on where another one ended, or a first one: each host has the fate that was decided for it. The
    /// actions are what is to be done first.
    pub(crate) fn inherit(
        fates: Vec<Fate>,
        build: Build,
        generation: u64,
        patience: Option<Duration>,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let rules = Rules { build, generation, patience, stopping: false };
        let mut table = Self { entries: Vec::new(), rules, last_tick: now };
        let mut actions = Vec::new();
        for (at, fate) in fates.into_iter().enumerate() {
            let (entry, todos) = Entry::inherit(fate, now);
            table.entries.push(entry);
            actions.extend(todos.into_iter().map(|todo| Action { host: HostId(at), todo }));
        }
        table.start_due(&mut actions);
        (table, actions)
    }

    /// All that a table after this one needs to go on, by [`HostId`].
    pub(crate) fn bequeath(&self, now: Instant) -> Vec<HostBequest> {
        self.entries.iter().map(|entry| entry.bequeath(&self.rules.build, now)).collect()
    }

    /// The generation of the configuration.
    pub(crate) fn generation(&self) -> u64 {
        self.rules.generation
    }

    /// The configured hosts, in the order of `hosts.tab`.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (HostId, &Entry)> {
        self.configured().filter(|(_, entry)| entry.host().is_some())
    }

    /// The registry, and what is served by name.
    pub(crate) fn services(&self) -> impl Iterator<Item = (HostId, &Entry)> {
        self.configured().filter(|(_, entry)| entry.host().is_none())
    }

    /// The registry, if there is to be one.
    pub(crate) fn registry(&self) -> Option<(HostId, &Entry)> {
        self.services().find(|(_, entry)| entry.role().kind() == Kind::Registry)
    }

    /// All that is configured.
    pub(crate) fn configured(&self) -> impl Iterator<Item = (HostId, &Entry)> {
        self.all().filter(|(_, entry)| !entry.is_leaving())
    }

    /// All, with those that are configured no more but whose children still live.
    pub(crate) fn all(&self) -> impl Iterator<Item = (HostId, &Entry)> {
        self.entries.iter().enumerate().map(|(at, entry)| (HostId(at), entry))
    }

    /// One entry.
    pub(crate) fn get(&self, host: HostId) -> Option<&Entry> {
        self.entries.get(host.0)
    }

    /// The configured host called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<HostId> {
        self.hosts().find(|(_, entry)| entry.name() == name).map(|(host, _)| host)
    }

    /// Takes notice of what happened to the entry `host`.
    pub(crate) fn apply(&mut self, host: HostId, event: Event, now: Instant) -> Vec<Action> {
        let Some(entry) = self.entries.get_mut(host.0) else {
            return Vec::new();
        };
        let todos = entry.apply(event, now, &self.rules);
        let mut actions = todos.into_iter().map(|todo| Action { host, todo }).collect();
        self.start_due(&mut actions);
        actions
    }

    /// Takes notice of the time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Action> {
        // Whoever was stopped or starved itself must not blame the children for what it did not read.
        let slept = self.slept(now);
        self.last_tick = now;
        let patience = self.rules.patience;
        let mut actions = self.each(|entry| {
            if slept {
                entry.forgive(now);
            }
            entry.tick(now, patience)
        });
        self.start_due(&mut actions);
        actions
    }

    fn slept(&self, now: Instant) -> bool {
        let is_late = self.next_tick().is_some_and(|due| now >= due.max(self.last_tick) + LATE);
        is_late || self.rules.patience.is_some_and(|patience| now.duration_since(self.last_tick) >= patience)
    }

    /// When [`Table::tick`] has something to do; none: never.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.next_tick(self.rules.patience)).min()
    }

    /// Begins a graceful stop: nothing is started any more, and children that live at `kill_at` are killed.
    pub(crate) fn stop(&mut self, kill_at: Instant) -> Vec<Action> {
        self.rules.stopping = true;
        self.each(|entry| entry.stop(kill_at))
    }

    /// Stops at once.
    pub(crate) fn stop_now(&mut self, now: Instant) -> Vec<Action> {
        self.rules.stopping = true;
        self.each(|entry| entry.stop_now(now))
    }

    /// Whether a stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.rules.stopping
    }

    /// Whether a stop is complete: no child is left.
    pub(crate) fn is_over(&self) -> bool {
        self.rules.stopping && self.entries.iter().all(|entry| entry.children().next().is_none())
    }

    /// Whether all that starts with the parent has a child that is ready, or had one that died.
    pub(crate) fn is_settled(&self) -> bool {
        self.configured().all(|(_, entry)| entry.is_settled())
    }

    /// How many entries are served by a child that is being replaced.
    pub(crate) fn replacing(&self) -> usize {
        self.configured().filter(|(_, entry)| entry.has_serving_predecessor()).count()
    }

    /// The largest number of living predecessors of any entry.
    pub(crate) fn most_predecessors(&self) -> usize {
        self.entries.iter().map(|entry| entry.predecessors().len()).max().unwrap_or(0)
    }

    /// How many hosts are up, down (dead, hung or without a working child) and idle; and of what else there is, what is
    /// down.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for (_, entry) in self.hosts() {
            counts.hosts += 1;
            counts.backlogs += usize::from(entry.has_backlog());
            match entry.state(now) {
                State::Up => counts.up += 1,
                State::Down | State::Crashed | State::Hung => counts.down += 1,
                State::Idle | State::Starting | State::Retiring => counts.idle += 1,
            }
        }
        for (_, entry) in self.services() {
            counts.services += 1;
            let is_down = matches!(entry.state(now), State::Down | State::Crashed | State::Hung);
            counts.services_down += usize::from(is_down);
        }
        counts
    }

    /// Starts who is due: all that nobody serves, and of the successors as many as may start at a time; those that
    /// have failed before come last, so that a few that cannot start hold up nobody.
    fn start_due(&mut self, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_due() {
            if let Some(entry) = self.entries.get_mut(at) {
                entry.spawn();
                actions.push(Action { host: HostId(at), todo: Todo::Spawn });
            }
        }
    }

    fn next_due(&self) -> Option<usize> {
        let is_full = || self.entries.iter().filter(|entry| entry.is_succeeding()).count() >= AT_ONCE;
        let due = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_due());
        let (at, entry) = due.min_by_key(|(at, entry)| (entry.has_serving_predecessor(), entry.failures(), *at))?;
        (!entry.has_serving_predecessor() || !is_full()).then_some(at)
    }

    fn each<T: IntoIterator<Item = Todo>>(&mut self, mut act: impl FnMut(&mut Entry) -> T) -> Vec<Action> {
        let entries = self.entries.iter_mut().enumerate();
        entries
            .flat_map(|(at, entry)| act(entry).into_iter().map(move |todo| Action { host: HostId(at), todo }))
            .collect()
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
    /// The registry and what is served.
    pub(crate) services: usize,
    /// Of these, those that are not in order.
    pub(crate) services_down: usize,
}
