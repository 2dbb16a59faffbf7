//! What is known of one host, for the status. Pure.
//!
//! Enters: an entry and the time. Leaves: its state, the reason for it, its numbers.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Entry, Life, add};
use crate::snapshot::{Reach, Snapshot};

/// A child that owes an answer for so long hangs.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(700);

/// Most questions that a child may owe an answer to; it is asked no more until it answers.
const MOST_QUESTIONS: usize = 8;

/// How a host is, for people and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
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

impl Entry {
    pub(in crate::parent::table) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The process ID of the child that lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self.life {
            Life::Starting { pid, .. }
            | Life::Serving { pid, .. }
            | Life::Retiring { pid, .. }
            | Life::Killed { pid, .. } => Some(pid),
            Life::Waiting | Life::Spawning | Life::Resting { .. } | Life::Gone => None,
        }
    }

    /// Whether there is a child that has said that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Serving { .. } | Life::Retiring { .. })
    }

    /// Whether it makes sense to ask the child for a snapshot.
    pub(crate) fn can_be_asked(&self) -> bool {
        self.is_ready() && self.questions.len() < MOST_QUESTIONS
    }

    /// The number of the last question that is not answered yet.
    pub(crate) fn last_question(&self) -> Option<u64> {
        self.questions.back().map(|(ask, _)| *ask)
    }

    /// How the host is.
    pub(crate) fn state(&self, now: Instant) -> State {
        match (&self.life, self.reach) {
            (Life::Waiting, _) => State::Idle,
            (Life::Spawning | Life::Starting { .. }, _) => State::Starting,
            (Life::Resting { .. }, _) => State::Crashed,
            (Life::Retiring { .. } | Life::Killed { .. } | Life::Gone, _) => State::Retiring,
            (Life::Serving { .. }, _) if self.silence(now).is_some() => State::Hung,
            (Life::Serving { .. }, _) if self.last.retiring => State::Retiring,
            (Life::Serving { .. }, Reach::Idle) => State::Idle,
            (Life::Serving { .. }, Reach::Up) => State::Up,
            (Life::Serving { .. }, Reach::Down) => State::Down,
        }
    }

    /// For how long it has not answered, if that is too long.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let asked = self.questions.front()?.1;
        Some(now.duration_since(asked)).filter(|silence| *silence >= ANSWER_WITHIN)
    }

    /// Why the host is as it is; empty if there is nothing to say.
    pub(crate) fn reason(&self, now: Instant) -> String {
        match (&self.life, self.silence(now)) {
            (Life::Resting { until, why }, _) => {
                let rest = until.saturating_duration_since(now).as_secs_f32();
                format!("{why}; started again in {rest:.1} s")
            }
            (Life::Serving { .. }, Some(silence)) => {
                format!("no answer for {:.1} s", silence.as_secs_f32())
            }
            _ => self.reason.clone(),
        }
    }

    /// For how long there will be no child, and why there is none.
    pub(crate) fn resting(&self, now: Instant) -> Option<Duration> {
        match self.life {
            Life::Resting { until, .. } => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }

    /// What the child last told, and when; its counters include those of the children before it.
    pub(crate) fn snapshot(&self) -> (Snapshot, Option<Instant>) {
        let mut snapshot = self.last.clone();
        add(&mut snapshot.outcomes, &self.base);
        snapshot.connections.max = u64::from(self.settings.connections);
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

    /// How often a child was started again.
    pub(crate) fn times_restarted(&self) -> u64 {
        self.again
    }
}
