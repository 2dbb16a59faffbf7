//! What a host's children have time for, and the end of it. Pure.
//!
//! Enters: the time, a stop. Leaves: who is to go, who is to be killed. Promised: nobody is killed before its time, nor
//! lives on after it.

use std::time::{Duration, Instant};

use super::{Entry, Life};
use crate::parent::table::Todo;
use crate::parent::table::child::{Child, Stage};

/// A successor must be ready within this time; its predecessor serves on, so that trying another one costs nothing.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(10);

impl Entry {
    pub(in crate::parent::table) fn is_due(&self) -> bool {
        self.life == Life::Due
    }

    /// Whether a successor is on its way while its predecessor serves.
    pub(in crate::parent::table) fn is_succeeding(&self) -> bool {
        let is_starting = self.life == Life::Spawning
            || self.newest().is_some_and(|child| matches!(child.stage, Stage::Starting { .. }));
        is_starting && self.has_serving_predecessor()
    }

    pub(in crate::parent::table) fn tick(&mut self, now: Instant, patience: Option<Duration>) -> Vec<Todo> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if !is_due(self.next_tick(patience)) {
            return Vec::new();
        }
        let late: Vec<_> =
            self.children().filter(|child| is_due(self.due_of(child, patience))).map(|c| c.pid).collect();
        let mut todos: Vec<_> = late.into_iter().filter_map(|pid| self.kill_late(pid, now)).collect();
        if let Life::Resting { until, .. } = self.life
            && until <= now
        {
            todos.extend(self.wake());
        }
        todos
    }

    fn kill_late(&mut self, pid: i32, now: Instant) -> Option<Todo> {
        if self.newest().is_some_and(|child| child.pid == pid) {
            self.words = self.newest().and_then(|child| self.blame(child, now)).or_else(|| self.words.take());
        }
        self.child_mut(pid)?.kill(now)
    }

    /// What is said of the newest child when it is killed before it was told to go.
    fn blame(&self, child: &Child, now: Instant) -> Option<String> {
        let seconds = READY_WITHIN.as_secs();
        match child.stage {
            Stage::Starting { since } if self.has_serving_predecessor() && now >= since + READY_WITHIN => {
                Some(format!("it did not get ready within {seconds} s and was killed"))
            }
            Stage::Starting { .. } | Stage::Serving { .. } => Some("it did not answer and was killed".to_owned()),
            _ => None,
        }
    }

    pub(in crate::parent::table) fn next_tick(&self, patience: Option<Duration>) -> Option<Instant> {
        let rested = match self.life {
            Life::Resting { until, .. } => Some(until),
            _ => None,
        };
        self.children().filter_map(|child| self.due_of(child, patience)).chain(rested).min()
    }

    /// When the time of `child` is over.
    fn due_of(&self, child: &Child, patience: Option<Duration>) -> Option<Instant> {
        match child.stage {
            Stage::HandingOver { kill_at } | Stage::Retiring { kill_at, .. } => Some(kill_at),
            Stage::Starting { since } => {
                let hurry = self.has_serving_predecessor().then_some(READY_WITHIN);
                patience.into_iter().chain(hurry).min().map(|most| since + most)
            }
            Stage::Serving { .. } if self.serving() == Some(child.pid) => Some(self.questions.front()?.1 + patience?),
            Stage::Serving { .. } | Stage::Killed { .. } => None,
        }
    }

    pub(in crate::parent::table) fn forgive(&mut self, now: Instant) {
        for question in &mut self.questions {
            question.1 = now;
        }
        self.starts_anew(now);
    }

    /// All children are to go, and the next one is not to come.
    pub(in crate::parent::table) fn stop(&mut self, kill_at: Instant) -> Vec<Todo> {
        self.retire_all(|_| kill_at)
    }

    /// As [`Entry::stop`], each child within its own time, because the host is configured no more.
    pub(in crate::parent::table) fn leave(&mut self, now: Instant) -> Vec<Todo> {
        self.leaving = true;
        self.retire_all(|child| child.last_moment(now))
    }

    fn retire_all(&mut self, kill_at: impl Fn(&Child) -> Instant) -> Vec<Todo> {
        self.start_no_more();
        let Self { life, predecessors, .. } = self;
        let newest = match life {
            Life::Living(child) => Some(child),
            _ => None,
        };
        predecessors.iter_mut().chain(newest).filter_map(|child| child.retire(kill_at(child))).collect()
    }

    pub(in crate::parent::table) fn stop_now(&mut self, now: Instant) -> Vec<Todo> {
        self.start_no_more();
        let Self { life, predecessors, .. } = self;
        let newest = match life {
            Life::Living(child) => Some(child),
            _ => None,
        };
        predecessors.iter_mut().chain(newest).filter_map(|child| child.kill(now)).collect()
    }

    fn start_no_more(&mut self) {
        if matches!(self.life, Life::Waiting | Life::Due | Life::Resting { .. }) {
            self.life = Life::Gone;
        }
    }
}
