//! What is known of one host, for the status. Pure.
//!
//! Enters: an entry and the time. Leaves: its state, the reason for it, its numbers.

use std::time::{Duration, Instant};

use super::{Entry, Life};
use crate::parent::table::child::{Child, Stage};
use crate::parent::table::restart::Restarts;
pub(crate) use crate::snapshot::State;
use crate::snapshot::{Reach, Snapshot};

/// A child that owes an answer for so long hangs.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(700);

/// Most questions that a child may owe an answer to; it is asked no more until it answers.
const MOST_QUESTIONS: usize = 8;

impl Entry {
    pub(in crate::parent::table) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether the host is configured no more, and its children are on their way out.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// More, the more often its children have died young in a row.
    pub(in crate::parent::table) fn failures(&self) -> Restarts {
        self.restarts
    }

    /// Whether there is a child that has said that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.serving().is_some()
    }

    /// Whether it makes sense to ask the child that serves for a snapshot.
    pub(crate) fn can_be_asked(&self) -> bool {
        self.is_ready() && self.questions.len() < MOST_QUESTIONS
    }

    /// The number of the last question that is not answered yet.
    pub(crate) fn last_question(&self) -> Option<u64> {
        self.questions.back().map(|(ask, _)| *ask)
    }

    /// How the host is.
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.server().map(|child| &child.stage) {
            Some(Stage::Serving { .. }) if self.silence(now).is_some() => State::Hung,
            Some(Stage::Serving { .. }) if self.last.retiring => State::Retiring,
            Some(Stage::Serving { .. }) => match self.reach {
                // Of a host nobody knows yet; another role is in order unless its child says otherwise.
                Reach::Idle if self.host().is_some() => State::Idle,
                Reach::Idle => State::Up,
                Reach::Up => State::Up,
                Reach::Down => State::Down,
            },
            Some(_) => State::Retiring,
            None => self.state_unserved(),
        }
    }

    fn state_unserved(&self) -> State {
        match &self.life {
            Life::Waiting => State::Idle,
            Life::Due | Life::Spawning => State::Starting,
            Life::Living(child) if matches!(child.stage, Stage::Starting { .. }) => State::Starting,
            Life::Resting { .. } => State::Crashed,
            Life::Living(_) | Life::Gone => State::Retiring,
        }
    }

    /// For how long it has not answered, if that is too long.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let asked = self.questions.front()?.1;
        Some(now.duration_since(asked)).filter(|silence| *silence >= ANSWER_WITHIN)
    }

    /// Whether a child is being started.
    fn is_coming(&self) -> bool {
        matches!(self.life, Life::Due | Life::Spawning) || self.newest().is_some_and(Child::is_starting)
    }

    /// Why the host is as it is; empty if there is nothing to say.
    pub(crate) fn reason(&self, now: Instant) -> String {
        let rest = self.resting(now).map(|rest| rest.as_secs_f32());
        match (&self.life, self.silence(now), &self.trouble) {
            (_, Some(silence), _) if self.is_ready() => format!("no answer for {:.1} s", silence.as_secs_f32()),
            (_, _, Some(why)) if self.is_ready() => {
                let next = rest.map_or_else(|| "is being started".to_owned(), |rest| format!("starts in {rest:.1} s"));
                format!("{why}; the child before it serves on, the next one {next}")
            }
            (Life::Resting { why, .. }, ..) => format!("{why}; started again in {:.1} s", rest.unwrap_or_default()),
            (_, _, Some(why)) if self.is_coming() => format!("{why}; is being started again"),
            (Life::Waiting, _, Some(why)) => format!("{why}; started again when a requester comes"),
            _ => self.reason.clone(),
        }
    }

    /// For how long no child is started, because the last one died.
    pub(crate) fn resting(&self, now: Instant) -> Option<Duration> {
        match self.life {
            Life::Resting { until, .. } => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }

    /// What the child that serves last told, and when; the counters are those of all children.
    pub(crate) fn snapshot(&self) -> (Snapshot, Option<Instant>) {
        let mut snapshot = self.last.clone();
        snapshot.outcomes = self.total;
        let made = self.made().and_then(|made| made.heritage.as_ref()).unwrap_or(&self.plan);
        snapshot.connections.max = made.role.host().map_or(0, |host| u64::from(host.connections));
        if let Some(words) = &self.words {
            snapshot.last_log.clone_from(words);
        }
        (snapshot, self.answered_at)
    }

    /// Whether a child has told if deferred transactions wait.
    pub(crate) fn knows_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    /// Whether deferred transactions wait, as far as is known.
    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog == Some(true)
    }

    /// How often a child was started again after one had died.
    pub(crate) fn times_restarted(&self) -> u64 {
        self.again
    }
}
