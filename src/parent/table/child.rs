//! One child as the table knows it, the newest of its host or a predecessor. Pure.
//!
//! Enters: what it counted, that it is to go. Leaves: what to do about it. Promised: what it counted is counted once,
//! however often and in whatever order it tells of it; it is told each thing once.
//!
//! ```text
//! Starting ──▶ Serving ──▶ HandingOver (a successor is ready)
//!     │           │             ▲
//!     ├─────────────────────────┘   (a later one was ready before it)
//!     └───────────┴─────────────┴──▶ Retiring (a stop, or the host is gone)
//! each of them ──▶ Killed
//! ```

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Todo;
use super::made::Made;
use crate::snapshot::Outcomes;

/// What a child may take beyond its `drain` before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// The drain of a child whose heritage is not understood.
const UNKNOWN_DRAIN: Duration = Duration::from_secs(30);

/// A process that lives, as far as the table knows. `T` is a moment: an [`Instant`], or how one is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Child<T = Instant> {
    /// Its process ID.
    pub(crate) pid: i32,
    /// What it was started with. Boxed: it is large, and its stage changes often.
    pub(crate) made: Box<Made>,
    /// Where it stands.
    pub(super) stage: Stage<T>,
    /// What it has counted and the host's total has already.
    #[serde(default)]
    pub(super) counted: Outcomes,
    /// Whether it has said if deferred transactions wait: before that it knows nothing of them.
    #[serde(default)]
    pub(super) tells_backlog: bool,
}

/// Where a child stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage<T = Instant> {
    /// Started, not ready yet.
    Starting { since: T },
    /// Ready.
    Serving { since: T },
    /// Told to hand over to its successor.
    HandingOver { kill_at: T },
    /// Told to go; `serves`: it is still the one who is asked.
    Retiring {
        kill_at: T,
        #[serde(default)]
        serves: bool,
    },
    /// Killed by the parent; it had served for so many milliseconds.
    Killed {
        #[serde(default)]
        served_ms: Option<u64>,
    },
}

impl Child {
    pub(super) fn new(pid: i32, made: Made, stage: Stage) -> Self {
        Self { pid, made: Box::new(made), stage, counted: Outcomes::default(), tells_backlog: false }
    }

    /// Whether it is the one who answers for its host, if it is the newest that does.
    pub(super) fn serves(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. } | Stage::Retiring { serves: true, .. })
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. })
    }

    /// Whether there may be requesters to be taken over from it, now or soon. One that is not ready yet, as far as is
    /// known, may have accepted some and not have been heard yet.
    pub(super) fn has_requesters(&self) -> bool {
        matches!(self.stage, Stage::Starting { .. } | Stage::Serving { .. } | Stage::HandingOver { .. })
    }

    /// What it counted beyond what it told before.
    pub(super) fn count(&mut self, told: &Outcomes) -> Outcomes {
        let (mut more, mut told) = (Outcomes::default(), *told);
        let pairs = fields(&mut more).into_iter().zip(fields(&mut self.counted)).zip(fields(&mut told));
        for ((more, counted), told) in pairs {
            *more = told.saturating_sub(*counted);
            *counted = (*counted).max(*told);
        }
        more
    }

    /// For how long it had served when it was killed, or has until now; none if it never was ready.
    pub(super) fn served(&self, now: Instant) -> Option<Duration> {
        match self.stage {
            Stage::Serving { since } => Some(now.saturating_duration_since(since)),
            Stage::Killed { served_ms } => served_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    pub(super) fn is_killed(&self) -> bool {
        matches!(self.stage, Stage::Killed { .. })
    }

    /// When a child that is told to go now is killed.
    pub(super) fn last_moment(&self, now: Instant) -> Instant {
        now + self.made.heritage.as_ref().map_or(UNKNOWN_DRAIN, |heritage| heritage.drain) + GRACE
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Starting { .. })
    }

    pub(super) fn hand_over(&mut self, now: Instant) -> Option<Todo> {
        (self.is_serving() || self.is_starting()).then(|| {
            self.stage = Stage::HandingOver { kill_at: self.last_moment(now) };
            Todo::HandOver { pid: self.pid }
        })
    }

    /// One that hands over already may be told to go once more, but gets no further time.
    pub(super) fn retire(&mut self, kill_at: Instant) -> Option<Todo> {
        let (serves, kill_at) = match self.stage {
            Stage::Starting { .. } => (false, kill_at),
            Stage::Serving { .. } => (true, kill_at),
            Stage::HandingOver { kill_at: before } => (false, before.min(kill_at)),
            Stage::Retiring { .. } | Stage::Killed { .. } => return None,
        };
        self.stage = Stage::Retiring { kill_at, serves };
        Some(Todo::Retire { pid: self.pid })
    }

    /// Another one is asked from now on, once it is there.
    pub(super) fn serve_no_more(&mut self) {
        if let Stage::Retiring { serves, .. } = &mut self.stage {
            *serves = false;
        }
    }

    pub(super) fn kill(&mut self, now: Instant) -> Option<Todo> {
        if self.is_killed() {
            return None;
        }
        let served_ms = self.served(now).map(|served| u64::try_from(served.as_millis()).unwrap_or(u64::MAX));
        self.stage = Stage::Killed { served_ms };
        Some(Todo::Kill { pid: self.pid })
    }
}

impl<T> Child<T> {
    /// The same with its moments as `f` has them.
    pub(super) fn map<U>(self, f: impl Fn(T) -> U) -> Child<U> {
        let Self { pid, made, stage, counted, tells_backlog } = self;
        let stage = match stage {
            Stage::Starting { since } => Stage::Starting { since: f(since) },
            Stage::Serving { since } => Stage::Serving { since: f(since) },
            Stage::HandingOver { kill_at } => Stage::HandingOver { kill_at: f(kill_at) },
            Stage::Retiring { kill_at, serves } => Stage::Retiring { kill_at: f(kill_at), serves },
            Stage::Killed { served_ms } => Stage::Killed { served_ms },
        };
        Child { pid, made, stage, counted, tells_backlog }
    }
}

/// Adds `more` to `sum`.
pub(super) fn add(sum: &mut Outcomes, more: &Outcomes) {
    for (sum, more) in fields(sum).into_iter().zip(fields(&mut more.clone())) {
        *sum = sum.saturating_add(*more);
    }
}

fn fields(outcomes: &mut Outcomes) -> [&mut u64; 8] {
    let Outcomes { replies, lost, timeout, unknown, busy, refused, delayed, failed } = outcomes;
    [replies, lost, timeout, unknown, busy, refused, delayed, failed]
}
