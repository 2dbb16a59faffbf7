//! The life of one process: how long it may take, and how it is made to end. Pure.
//!
//! ```text
//!            bind                      time passed: Overrun
//!   free ───────────▶ bound to a request ──────────────┐
//!     ▲ ◀──────────── release                          ▼          time passed: Kill
//!     │                                             ending (TERM was sent) ────────▶ killed
//!     └── leave ──▶ leaving (its input has ended) ─────▲
//!                                       time passed: Term
//! ```
//!
//! Enters: what happens, with the time. Leaves: when to look again, and what is due then. Promised: each thing is due
//! once; from the deadline of its request to its KILL a process has at most its grace, whatever it does.

use std::time::{Duration, Instant};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The request's time is over: it is to be answered so, and TERM to be sent.
    Overrun,
    /// TERM is to be sent.
    Term,
    /// KILL is to be sent.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Bound(Instant),
    Leaving(Instant),
    Ending(Instant),
    Killed,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Life {
    grace: Duration,
    stage: Stage,
}

impl Life {
    /// A process that has just been started.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { grace, stage: Stage::Free }
    }

    /// It begins a request that must be answered by then.
    pub fn bind(&mut self, deadline: Instant) {
        if self.stage == Stage::Free {
            self.stage = Stage::Bound(deadline);
        }
    }

    /// The request has been answered.
    pub fn release(&mut self) {
        if matches!(self.stage, Stage::Bound(_)) {
            self.stage = Stage::Free;
        }
    }

    /// It has been told by the end of its input that it may go.
    pub fn leave(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Free | Stage::Bound(_)) {
            self.stage = Stage::Leaving(now + self.grace);
        }
    }

    /// It must go. Says whether TERM is to be sent: the first time.
    pub fn end(&mut self, now: Instant) -> bool {
        let first = !matches!(self.stage, Stage::Ending(_) | Stage::Killed);
        if first {
            self.stage = Stage::Ending(now + self.grace);
        }
        first
    }

    /// Whether it has been told to go.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending(_) | Stage::Killed)
    }

    /// When something is due next.
    #[must_use]
    pub fn alarm(&self) -> Option<Instant> {
        match self.stage {
            Stage::Bound(at) | Stage::Leaving(at) | Stage::Ending(at) => Some(at),
            Stage::Free | Stage::Killed => None,
        }
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if self.alarm().is_none_or(|at| now < at) {
            return None;
        }
        let (due, stage) = match self.stage {
            Stage::Bound(_) => (Due::Overrun, Stage::Ending(now + self.grace)),
            Stage::Leaving(_) => (Due::Term, Stage::Ending(now + self.grace)),
            Stage::Ending(_) => (Due::Kill, Stage::Killed),
            Stage::Free | Stage::Killed => return None,
        };
        self.stage = stage;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_overrun_is_answered_once_and_killed_after_its_grace() {
        let (mut life, now) = (Life::new(GRACE), Instant::now());
        life.bind(now + SECOND);
        assert_eq!(life.due(now), None);
        assert_eq!(life.due(now + SECOND), Some(Due::Overrun));
        assert_eq!(life.due(now + SECOND), None);
        assert_eq!(life.alarm(), Some(now + SECOND + GRACE));
        assert_eq!(life.due(now + SECOND + GRACE), Some(Due::Kill));
        assert_eq!((life.alarm(), life.due(now + SECOND + GRACE * 2)), (None, None));
    }

    #[test]
    fn who_was_answered_has_no_deadline() {
        let (mut life, now) = (Life::new(GRACE), Instant::now());
        life.bind(now + SECOND);
        life.release();
        assert_eq!((life.alarm(), life.due(now + SECOND)), (None, None));
    }

    #[test]
    fn who_does_not_go_by_itself_is_told_to_then_killed() {
        let (mut life, now) = (Life::new(GRACE), Instant::now());
        life.leave(now);
        assert_eq!(life.due(now + GRACE), Some(Due::Term));
        assert_eq!(life.due(now + GRACE * 2), Some(Due::Kill));
    }

    #[test]
    fn nothing_gives_an_ending_process_more_time() {
        let (mut life, now) = (Life::new(GRACE), Instant::now());
        assert!(life.end(now));
        assert!(!life.end(now + SECOND));
        life.bind(now + GRACE * 9);
        life.leave(now + SECOND);
        life.release();
        assert_eq!(life.alarm(), Some(now + GRACE));
    }
}
