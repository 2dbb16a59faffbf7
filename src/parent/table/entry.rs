//! One host of the table: the life of its child, and what is known of the host. Pure.
//!
//! ```text
//!            ┌────────── requester waits ──────────┐
//!   Waiting ─┤                                     ▼
//!      ▲     └ (start=demand)       Boot ──▶ Spawning ──▶ Starting ──▶ Serving
//!      │                                        ▲            │            │
//!      └──── (start=demand) ── Resting ◀────────┼────────────┴── exit ────┤
//!                                 └─────────────┘                         ▼
//!                     stop: Retiring ──▶ Killed ──▶ Gone           Killed (hangs)
//! ```

mod view;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::restart::{Exit, Restarts};
use super::{Event, Todo};
use crate::config::{HostSettings, Start};
use crate::snapshot::{Outcomes, Reach, Snapshot};

pub(crate) use view::ANSWER_WITHIN;
pub(crate) use view::State;

/// The life of a child.
#[derive(Debug, Clone, PartialEq)]
enum Life {
    /// None until a requester comes.
    Waiting,
    /// Being started.
    Spawning,
    /// Started, not ready yet.
    Starting { pid: i32, since: Instant },
    /// Ready.
    Serving { pid: i32, since: Instant },
    /// Told to go.
    Retiring { pid: i32, kill_at: Instant },
    /// Killed by the parent; it had served for so long.
    Killed { pid: i32, served: Option<Duration> },
    /// None; the next one is started then.
    Resting { until: Instant, why: String },
    /// None any more.
    Gone,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As configured.
    pub(crate) settings: HostSettings,
    life: Life,
    restarts: Restarts,
    settled: bool,
    /// Children started after the first one.
    again: u64,
    ever_started: bool,
    reach: Reach,
    reason: String,
    last: Snapshot,
    answered_at: Option<Instant>,
    /// What children before this one counted, as far as their last snapshots tell.
    base: Outcomes,
    /// Questions that are not answered yet, oldest first.
    questions: VecDeque<(u64, Instant)>,
    words: Option<String>,
    /// Whether deferred transactions wait; none: unknown.
    backlog: Option<bool>,
}

impl Entry {
    pub(super) fn new(settings: HostSettings) -> Self {
        Self {
            settled: settings.start == Start::Demand,
            settings,
            life: Life::Waiting,
            restarts: Restarts::default(),
            again: 0,
            ever_started: false,
            reach: Reach::Idle,
            reason: String::new(),
            last: Snapshot::default(),
            answered_at: None,
            base: Outcomes::default(),
            questions: VecDeque::new(),
            words: None,
            backlog: None,
        }
    }

    pub(super) fn apply(&mut self, event: Event, now: Instant, stopping: bool) -> Option<Todo> {
        match event {
            Event::Boot => return self.wake(stopping),
            Event::Wanted if self.life == Life::Waiting => return self.spawn(stopping),
            Event::Started { pid } => return self.started(pid, now, stopping),
            Event::NotStarted { reason } => {
                let rest = self.restarts.longer();
                return self.rest(rest, reason, now, stopping);
            }
            Event::Exited { exit } => return self.exited(exit, now, stopping),
            Event::Ready => self.ready(now),
            Event::Reach { up, reason } => {
                self.reach = if up { Reach::Up } else { Reach::Down };
                self.reason = reason;
            }
            Event::Backlog { waiting } => self.backlog = Some(waiting),
            Event::Asked { ask } => self.questions.push_back((ask, now)),
            Event::Answered { ask, snapshot } => self.answered(ask, *snapshot, now),
            Event::LastWords { text } => self.words = Some(text),
            Event::Wanted => {}
        }
        None
    }

    fn started(&mut self, pid: i32, now: Instant, stopping: bool) -> Option<Todo> {
        if stopping || self.life != Life::Spawning {
            self.life = Life::Killed { pid, served: None };
            return Some(Todo::Kill);
        }
        self.again += u64::from(self.ever_started);
        self.ever_started = true;
        self.words = None;
        self.life = Life::Starting { pid, since: now };
        None
    }

    fn ready(&mut self, now: Instant) {
        if let Life::Starting { pid, .. } = self.life {
            self.life = Life::Serving { pid, since: now };
            self.settled = true;
        }
    }

    fn answered(&mut self, ask: u64, snapshot: Snapshot, now: Instant) {
        self.questions.retain(|(asked, _)| *asked > ask);
        self.reach = snapshot.reach;
        self.reason.clone_from(&snapshot.reason);
        if self.backlog.is_some() {
            // What was told at a change may be older than this.
            self.backlog = Some(snapshot.spool.depth > 0);
        }
        self.last = snapshot;
        self.answered_at = Some(now);
    }

    fn exited(&mut self, exit: Exit, now: Instant, stopping: bool) -> Option<Todo> {
        let (served, ours) = match self.life {
            Life::Serving { since, .. } => (Some(now.duration_since(since)), false),
            Life::Killed { served, .. } => (served, true),
            _ => (None, false),
        };
        self.forget_child();
        if exit != Exit::Code(0) && self.backlog == Some(false) {
            // It may have died between storing a request and saying so.
            self.backlog = None;
        }
        let rest = self.restarts.after(exit, served, ours);
        let why = self.words.as_ref().map_or_else(|| exit.to_string(), |words| format!("{exit}: {words}"));
        self.rest(rest, why, now, stopping)
    }

    /// What it counted and what it stored stays; how it was ends with it.
    fn forget_child(&mut self) {
        add(&mut self.base, &self.last.outcomes);
        let last_log = std::mem::take(&mut self.last.last_log);
        let spool = std::mem::take(&mut self.last.spool);
        self.last = Snapshot { last_log, spool, ..Snapshot::default() };
        self.questions.clear();
        self.reach = Reach::Idle;
        self.reason.clear();
    }

    fn rest(&mut self, rest: Duration, why: String, now: Instant, stopping: bool) -> Option<Todo> {
        self.settled = true;
        if stopping {
            self.life = Life::Gone;
            return None;
        }
        if rest.is_zero() {
            return self.wake(stopping);
        }
        self.life = Life::Resting { until: now + rest, why };
        None
    }

    /// A host that starts on demand waits for a requester again, so a child that crashes at start does so only as often
    /// as somebody wants it; stored requests want it too.
    fn wake(&mut self, stopping: bool) -> Option<Todo> {
        match self.settings.start {
            Start::Boot => self.spawn(stopping),
            Start::Demand if self.has_backlog() => self.spawn(stopping),
            Start::Demand => {
                self.life = Life::Waiting;
                (!stopping).then_some(Todo::Watch)
            }
        }
    }

    fn spawn(&mut self, stopping: bool) -> Option<Todo> {
        if stopping {
            return None;
        }
        self.life = Life::Spawning;
        Some(Todo::Spawn)
    }

    pub(super) fn tick(&mut self, now: Instant, patience: Option<Duration>) -> Option<Todo> {
        if self.next_tick(patience).is_none_or(|due| due > now) {
            return None;
        }
        match self.life {
            Life::Resting { .. } => self.wake(false),
            Life::Starting { .. } | Life::Serving { .. } => {
                self.words = Some("it did not answer and was killed".to_owned());
                self.kill(now)
            }
            _ => self.kill(now),
        }
    }

    pub(super) fn next_tick(&self, patience: Option<Duration>) -> Option<Instant> {
        match self.life {
            Life::Resting { until, .. } => Some(until),
            Life::Retiring { kill_at, .. } => Some(kill_at),
            Life::Starting { since, .. } => patience.map(|patience| since + patience),
            Life::Serving { .. } => Some(self.questions.front()?.1 + patience?),
            _ => None,
        }
    }

    pub(super) fn forgive(&mut self, now: Instant) {
        for question in &mut self.questions {
            question.1 = now;
        }
        if let Life::Starting { since, .. } = &mut self.life {
            *since = now;
        }
    }

    pub(super) fn stop(&mut self, kill_at: Instant) -> Option<Todo> {
        match self.life {
            Life::Starting { pid, .. } | Life::Serving { pid, .. } => {
                self.life = Life::Retiring { pid, kill_at };
                Some(Todo::Retire)
            }
            Life::Waiting | Life::Resting { .. } => {
                self.life = Life::Gone;
                None
            }
            _ => None,
        }
    }

    pub(super) fn stop_now(&mut self) -> Option<Todo> {
        let Some(pid) = self.pid() else {
            self.life = Life::Gone;
            return None;
        };
        self.life = Life::Killed { pid, served: None };
        Some(Todo::Kill)
    }

    fn kill(&mut self, now: Instant) -> Option<Todo> {
        let pid = self.pid()?;
        let served = match self.life {
            Life::Serving { since, .. } => Some(now.duration_since(since)),
            _ => None,
        };
        self.life = Life::Killed { pid, served };
        Some(Todo::Kill)
    }
}

fn add(sum: &mut Outcomes, more: &Outcomes) {
    for (sum, more) in [
        (&mut sum.replies, more.replies),
        (&mut sum.lost, more.lost),
        (&mut sum.timeout, more.timeout),
        (&mut sum.unknown, more.unknown),
        (&mut sum.busy, more.busy),
        (&mut sum.refused, more.refused),
        (&mut sum.delayed, more.delayed),
        (&mut sum.failed, more.failed),
    ] {
        *sum = sum.saturating_add(more);
    }
}
