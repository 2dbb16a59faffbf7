//! An entry as one image of the parent writes it down for the next one. Pure.
//!
//! Enters: an entry and the time; later a [`Fate`] and the time. Leaves: a [`HostBequest`], JSON by serde; later an entry
//! and what is to be done for it. Promised: an entry whose fate is to be kept goes on as if nothing had happened, but that
//! questions to its child are forgotten (late answers are taken all the same); no child is forgotten.
//!
//! Moments are whole milliseconds before (negative) or after the writing, rounded to the later one, so that nobody is
//! killed before its time. What a later build adds is optional, and what it does not understand of settings and
//! snapshots it takes for unknown: such a child differs from every plan.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Todo;
use super::child::{Child, Stage};
use super::entry::{Entry, Life, waits_for_requesters};
use super::made::{Build, if_understood, is_same};
use super::restart::Restarts;
use crate::config::{Address, HostSettings, Listen, LogFormat, LogLevel, LogSettings, RegistrySettings, ServeSettings};
use crate::dialect::Dialect;
use crate::heritage::{Heritage, Kind, Role};
use crate::parent::reconcile::Fate;
use crate::snapshot::{Outcomes, Reach, Snapshot};

/// A moment, in milliseconds after the table was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Offset(i64);

impl Offset {
    fn of(moment: Instant, now: Instant) -> Self {
        let ms = |nanos: u128| i64::try_from(nanos).unwrap_or(i64::MAX);
        match now.checked_duration_since(moment) {
            Some(ago) => Self(-ms(ago.as_millis())),
            None => Self(ms(moment.duration_since(now).as_nanos().div_ceil(1_000_000))),
        }
    }

    /// A moment before the machine was started is taken for now, and one in the very far future too.
    fn from(self, now: Instant) -> Instant {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        let moment = if self.0 < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        moment.unwrap_or(now)
    }
}

/// All that is known of one entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostBequest {
    /// Builds before there were roles knew hosts alone.
    #[serde(default, rename = "role")]
    kind: Kind,
    name: String,
    #[serde(default, deserialize_with = "if_understood")]
    plan: Option<Heritage>,
    /// What children of the plan would have been started of.
    #[serde(default, deserialize_with = "if_understood")]
    build: Option<Build>,
    life: Life<Offset>,
    #[serde(default)]
    predecessors: Vec<Child<Offset>>,
    #[serde(default)]
    leaving: bool,
    #[serde(default)]
    settled: bool,
    #[serde(default)]
    restarts: Restarts,
    #[serde(default)]
    again: u64,
    #[serde(default)]
    ever_started: bool,
    #[serde(default)]
    total: Outcomes,
    #[serde(default)]
    reach: Reach,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    trouble: Option<String>,
    #[serde(default, deserialize_with = "if_understood")]
    last: Option<Snapshot>,
    #[serde(default)]
    answered: Option<Offset>,
    #[serde(default)]
    words: Option<String>,
    #[serde(default)]
    backlog: Option<bool>,
}

impl HostBequest {
    /// What its next child would have been started with; none if that is not understood.
    pub(crate) fn plan(&self) -> Option<&Heritage> {
        self.plan.as_ref()
    }

    /// The name that is unique among the entries of its kind.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What its children are for.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is about what `role` is about: the same host, the registry, the same name that is served.
    pub(crate) fn is_of(&self, role: &Role) -> bool {
        (self.kind, self.name.as_str()) == (role.kind(), role.name())
    }

    /// Whether the host was configured no more already.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The process IDs of all children that live, the newest one last.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.predecessors.iter().chain(self.newest()).map(|child| child.pid).collect()
    }

    fn newest(&self) -> Option<&Child<Offset>> {
        match &self.life {
            Life::Living(child) => Some(child),
            _ => None,
        }
    }

    /// Whether its child, or the one that would be started next, is not of `plan` and `build`.
    pub(crate) fn differs(&self, plan: &Heritage, build: &Build) -> bool {
        if let Some(newest) = self.newest() {
            return newest.made.differs(plan, build);
        }
        let is_same_plan = self.plan.as_ref().is_some_and(|before| is_same(before, plan));
        !is_same_plan || self.build.as_ref().is_none_or(|before| before.binary != build.binary)
    }
}

impl Entry {
    /// The entry, written down.
    pub(super) fn bequeath(&self, build: &Build, now: Instant) -> HostBequest {
        HostBequest {
            kind: self.role().kind(),
            name: self.name().to_owned(),
            plan: Some(self.plan.clone()),
            build: Some(build.clone()),
            life: self.life.clone().map(|moment| Offset::of(moment, now)),
            predecessors: self.predecessors.iter().map(|child| child.clone().map(|m| Offset::of(m, now))).collect(),
            leaving: self.leaving,
            settled: self.settled,
            restarts: self.restarts,
            again: self.again,
            ever_started: self.ever_started,
            total: self.total,
            reach: self.reach,
            reason: self.reason.clone(),
            trouble: self.trouble.clone(),
            last: Some(self.last.clone()),
            answered: self.answered_at.map(|moment| Offset::of(moment, now)),
            words: self.words.clone(),
            backlog: self.backlog,
        }
    }

    /// The entry that `fate` leads to, and what is to be done first.
    pub(super) fn inherit(fate: Fate, now: Instant) -> (Self, Vec<Todo>) {
        let (mut entry, todos) = match fate {
            Fate::New(plan) => {
                let mut entry = Self::new(plan);
                let todo = entry.wake();
                (entry, todo.into_iter().collect())
            }
            Fate::Keep(bequest, plan) => Self::read(bequest, plan, now).kept(),
            Fate::Replace(bequest, plan) => Self::read(bequest, plan, now).replaced(),
            Fate::Remove(mut bequest) => {
                let plan = bequest.plan.take().unwrap_or_else(|| unknown(bequest.kind, &bequest.name));
                let mut entry = Self::read(bequest, plan, now);
                let todos = entry.leave(now);
                (entry, todos)
            }
        };
        let mut repeated = entry.still_handing_over();
        repeated.retain(|todo| !todos.contains(todo));
        entry.settled |= entry.is_ready();
        (entry, todos.into_iter().chain(repeated).collect())
    }

    fn read(bequest: HostBequest, plan: Heritage, now: Instant) -> Self {
        let mut entry = Self::new(plan);
        entry.life = bequest.life.map(|offset| offset.from(now));
        entry.predecessors = bequest.predecessors.into_iter().map(|child| child.map(|o| o.from(now))).collect();
        entry.leaving = bequest.leaving;
        entry.settled = bequest.settled;
        entry.restarts = bequest.restarts;
        entry.again = bequest.again;
        entry.ever_started = bequest.ever_started;
        entry.total = bequest.total;
        entry.reach = bequest.reach;
        entry.reason = bequest.reason;
        entry.trouble = bequest.trouble;
        entry.last = bequest.last.unwrap_or_default();
        entry.answered_at = bequest.answered.map(|offset| offset.from(now));
        entry.words = bequest.words;
        entry.backlog = bequest.backlog;
        entry
    }

    /// Goes on as it was. A watch does not outlive the image that watched; a start that was on its way did not happen.
    fn kept(mut self) -> (Self, Vec<Todo>) {
        let todo = match self.life {
            Life::Waiting | Life::Gone => self.wake(),
            Life::Spawning => {
                self.life = Life::Due;
                None
            }
            _ => None,
        };
        (self, todo.into_iter().collect())
    }

    /// The newest child becomes a predecessor and serves on, also if nobody has heard yet that it is ready: it may have
    /// accepted requesters meanwhile.
    fn replaced(mut self) -> (Self, Vec<Todo>) {
        if let Life::Living(newest) = std::mem::replace(&mut self.life, Life::Waiting) {
            self.predecessors.push(newest);
        }
        if std::mem::take(&mut self.leaving) {
            // Who was told to go accepts nobody any more.
            self.predecessors.iter_mut().for_each(Child::serve_no_more);
            self.forget_who_served();
        }
        self.restarts = Restarts::default();
        self.ever_started = false;
        self.trouble = None;
        self.words = None;
        self.settled = waits_for_requesters(&self.plan.role);
        let todo = self.wake();
        (self, todo.into_iter().collect())
    }

    /// What they were told may have been lost with the image that told them.
    fn still_handing_over(&self) -> Vec<Todo> {
        let handing_over = self.predecessors.iter().filter(|child| matches!(child.stage, Stage::HandingOver { .. }));
        handing_over.map(|child| Todo::HandOver { pid: child.pid }).collect()
    }
}

impl<T> Life<T> {
    /// The same with its moments as `f` has them.
    fn map<U>(self, f: impl Fn(T) -> U) -> Life<U> {
        match self {
            Self::Waiting => Life::Waiting,
            Self::Due => Life::Due,
            Self::Spawning => Life::Spawning,
            Self::Living(child) => Life::Living(child.map(f)),
            Self::Resting { until, why } => Life::Resting { until: f(until), why },
            Self::Gone => Life::Gone,
        }
    }
}

/// The plan of an entry that is configured no more, when it is not understood: only its name is ever asked for.
fn unknown(kind: Kind, name: &str) -> Heritage {
    let nowhere = PathBuf::from("/");
    let role = match kind {
        Kind::Host => {
            let address = Address::Unix { path: nowhere };
            Role::Host(Box::new(HostSettings::with_defaults(name, address, Dialect::Line)))
        }
        Kind::Registry => Role::Registry(Box::new(RegistrySettings::with_defaults(nowhere))),
        Kind::Serve => Role::Serve(Box::new(ServeSettings::with_defaults(name, Listen::Unix(nowhere)))),
    };
    Heritage {
        role,
        listeners: Vec::new(),
        spool: None,
        registry: None,
        log: LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text },
        debug: false,
        drain: Duration::ZERO,
        inlets: 0,
    }
}
