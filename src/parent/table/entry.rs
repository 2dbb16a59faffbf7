//! One host of the table: the life of its newest child, its predecessors, and what is known of the host. Pure.
//!
//! ```text
//!            ┌────────── requester waits ──────────┐
//!   Waiting ─┤                                     ▼
//!      ▲     └ (start=demand)       first start ─▶ Due ──▶ Spawning ──▶ a child that lives
//!      │                                           ▲                          │
//!      └──── (start=demand) ── Resting ────────────┴──────────◀── exit ───────┤
//!                                                                             ▼
//!                                                             stop, host removed: Gone
//! ```
//!
//! The stages of a child that lives are those of [`Child`]. The child that a replacement begins with becomes a
//! predecessor and serves on until a later one is ready.

mod serving;
mod time;
mod view;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::child::{Child, Stage};
use super::made::Made;
use super::restart::{Exit, Restarts};
use super::{Event, Rules, Todo};
use crate::config::{HostSettings, Start};
use crate::heritage::{Heritage, Role};
use crate::snapshot::{Outcomes, Reach, Snapshot};

#[cfg(test)]
pub(crate) use time::READY_WITHIN;
pub(crate) use view::ANSWER_WITHIN;
pub(crate) use view::State;

/// The life of the newest child. `T` is a moment, as in [`Child`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Life<T = Instant> {
    /// None until a requester comes.
    Waiting,
    /// To be started as soon as it is its turn.
    Due,
    /// Being started.
    Spawning,
    /// A process.
    Living(Child<T>),
    /// None; the next one is started then.
    Resting { until: T, why: String },
    /// None any more.
    Gone,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What a child would be started with now.
    pub(crate) plan: Heritage,
    pub(super) life: Life,
    /// Children before the newest one that still live, oldest first.
    pub(super) predecessors: Vec<Child>,
    /// The host is not configured any more.
    pub(super) leaving: bool,
    pub(super) restarts: Restarts,
    pub(super) settled: bool,
    /// Children started again after one had died; a replacement is none of them.
    pub(super) again: u64,
    /// Whether the next child that is started is one of those.
    pub(super) ever_started: bool,
    pub(super) reach: Reach,
    pub(super) reason: String,
    /// Why the newest child died, if it was no orderly end, until a later one is ready.
    pub(super) trouble: Option<String>,
    pub(super) last: Snapshot,
    pub(super) answered_at: Option<Instant>,
    /// What all children have counted, as far as they told.
    pub(super) total: Outcomes,
    /// Questions to the child that serves that are not answered yet, oldest first.
    questions: VecDeque<(u64, Instant)>,
    pub(super) words: Option<String>,
    /// Whether deferred transactions wait; none: unknown.
    pub(super) backlog: Option<bool>,
}

impl Entry {
    pub(super) fn new(plan: Heritage) -> Self {
        Self {
            settled: waits_for_requesters(&plan.role),
            plan,
            life: Life::Waiting,
            predecessors: Vec::new(),
            leaving: false,
            restarts: Restarts::default(),
            again: 0,
            ever_started: false,
            reach: Reach::Idle,
            reason: String::new(),
            trouble: None,
            last: Snapshot::default(),
            answered_at: None,
            total: Outcomes::default(),
            questions: VecDeque::new(),
            words: None,
            backlog: None,
        }
    }

    /// What its children are for, as it is configured.
    pub(crate) fn role(&self) -> &Role {
        &self.plan.role
    }

    /// The host as it is configured, if it is one.
    pub(crate) fn host(&self) -> Option<&HostSettings> {
        self.plan.role.host()
    }

    /// The name that is unique among the entries of its kind.
    pub(crate) fn name(&self) -> &str {
        self.plan.role.name()
    }

    pub(super) fn apply(&mut self, event: Event, now: Instant, rules: &Rules) -> Vec<Todo> {
        let ends = rules.stopping || self.leaving;
        let todo = match event {
            Event::Wanted if ends || self.life != Life::Waiting => None,
            Event::Wanted => self.due(),
            Event::Started { pid } => self.started(pid, now, rules),
            Event::NotStarted { reason } if self.life == Life::Spawning => {
                let rest = self.restarts.longer();
                self.rest(rest, reason, now, ends)
            }
            Event::Exited { pid, exit } => self.exited(pid, exit, now, ends),
            Event::Ready { pid } => return self.ready(pid, now),
            told => {
                self.hear(told, now);
                None
            }
        };
        todo.into_iter().collect()
    }

    fn started(&mut self, pid: i32, now: Instant, rules: &Rules) -> Option<Todo> {
        let made = Made { heritage: Some(self.plan.clone()), build: rules.build.clone(), generation: rules.generation };
        let mut child = Child::new(pid, made, Stage::Starting { since: now });
        let is_wanted = self.life == Life::Spawning && !rules.stopping && !self.leaving;
        if !is_wanted {
            let todo = child.kill(now);
            self.predecessors.push(child);
            if self.life == Life::Spawning {
                self.life = Life::Gone;
            }
            return todo;
        }
        self.again += u64::from(self.ever_started);
        self.ever_started = true;
        if let (Some(words), None) = (self.words.take(), self.server()) {
            // They are the last ones until this child tells its own.
            self.last.last_log = words;
        }
        self.life = Life::Living(child);
        None
    }

    /// A child serves from now on, and those before it have to hand over. It need not be the newest one: what it accepts is
    /// its successor's later, whose time to get ready begins now.
    fn ready(&mut self, pid: i32, now: Instant) -> Vec<Todo> {
        let Some(child) = self.child_mut(pid).filter(|child| child.is_starting()) else {
            return Vec::new();
        };
        child.stage = Stage::Serving { since: now };
        self.settled = true;
        let at = self.predecessors.iter().position(|child| child.pid == pid);
        if at.is_none() {
            self.trouble = None;
        }
        let before = at.unwrap_or(self.predecessors.len());
        if self.predecessors[..before].iter().any(Child::is_serving) {
            self.forget_who_served();
        }
        let todos = self.predecessors[..before].iter_mut().filter_map(|child| child.hand_over(now)).collect();
        self.starts_anew(now);
        todos
    }

    /// Those that are not ready yet get the whole time for it.
    pub(super) fn starts_anew(&mut self, now: Instant) {
        let Self { life, predecessors, .. } = self;
        let newest = if let Life::Living(child) = life { Some(child) } else { None };
        for child in predecessors.iter_mut().chain(newest) {
            if let Stage::Starting { since } = &mut child.stage {
                *since = now;
            }
        }
    }

    fn exited(&mut self, pid: i32, exit: Exit, now: Instant, ends: bool) -> Option<Todo> {
        let was_shown = self.pid() == Some(pid);
        let newest = self.newest().filter(|child| child.pid == pid).cloned();
        let known = self.predecessors.len() + usize::from(newest.is_some());
        self.predecessors.retain(|child| child.pid != pid);
        if known == self.predecessors.len() {
            return None;
        }
        if was_shown {
            self.forget_who_served();
        }
        if exit != Exit::Code(0) && self.backlog == Some(false) {
            // It may have died between storing a request and saying so.
            self.backlog = None;
        }
        let child = newest?;
        let rest = self.restarts.after(exit, child.served(now), child.is_killed());
        let why = self.words.as_ref().map_or_else(|| exit.to_string(), |words| format!("{exit}: {words}"));
        let todo = self.rest(rest, why, now, ends);
        if exit == Exit::Code(0) && child.served(now).is_some() {
            // It was idle, or somebody has asked it to go.
            self.trouble = None;
        }
        todo
    }

    fn rest(&mut self, rest: Duration, why: String, now: Instant, ends: bool) -> Option<Todo> {
        self.settled = true;
        if ends {
            self.life = Life::Gone;
            return None;
        }
        self.trouble = Some(why.clone());
        if rest.is_zero() {
            return self.wake();
        }
        self.life = Life::Resting { until: now + rest, why };
        None
    }

    /// A host that starts on demand waits for a requester again, so a child that crashes at start does so only as often
    /// as somebody wants it; stored requests want it too, and so do the requesters of a child before it.
    pub(super) fn wake(&mut self) -> Option<Todo> {
        let is_wanted = self.has_backlog() || self.predecessors.iter().any(Child::has_requesters);
        if !waits_for_requesters(&self.plan.role) || is_wanted {
            return self.due();
        }
        self.life = Life::Waiting;
        Some(Todo::Watch)
    }

    fn due(&mut self) -> Option<Todo> {
        self.life = Life::Due;
        None
    }

    pub(super) fn spawn(&mut self) {
        self.life = Life::Spawning;
    }
}

/// Whether a child is started only when a requester comes: hosts alone may be so.
pub(super) fn waits_for_requesters(role: &Role) -> bool {
    role.host().is_some_and(|host| host.start == Start::Demand)
}
