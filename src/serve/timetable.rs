//! The timetable: when maintenance is due. Pure.
//!
//! Enters: how often each task is to run, what has ended, the time. Leaves: which task begins now, and which one should
//! and may not because it still runs. Promised: a task never runs twice at once; what was missed is not made up for.

use std::time::{Duration, Instant};

/// What a task does when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It begins.
    Begins(usize),
    /// It still runs, and is not begun again.
    Overlaps(usize),
}

#[derive(Debug)]
struct Task {
    every: Duration,
    next: Instant,
    runs: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Timetable(Vec<Task>);

impl Timetable {
    /// Each task begins for the first time when its interval has passed.
    #[must_use]
    pub fn new(intervals: impl IntoIterator<Item = Duration>, now: Instant) -> Self {
        let task = |every| Task { every, next: now + every, runs: false };
        Self(intervals.into_iter().map(task).collect())
    }

    /// When something is due next.
    #[must_use]
    pub fn alarm(&self) -> Option<Instant> {
        self.0.iter().map(|task| task.next).min()
    }

    /// What is due now; each thing once.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let (number, task) = self.0.iter_mut().enumerate().find(|(_, task)| task.next <= now)?;
        while task.next <= now {
            task.next += task.every;
        }
        let overlaps = std::mem::replace(&mut task.runs, true);
        Some(if overlaps { Due::Overlaps(number) } else { Due::Begins(number) })
    }

    /// A task has ended.
    pub fn ended(&mut self, number: usize) {
        if let Some(task) = self.0.get_mut(number) {
            task.runs = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_task_begins_at_each_interval_and_never_overlaps_itself() {
        let now = Instant::now();
        let mut table = Timetable::new([MINUTE, MINUTE * 3], now);
        assert_eq!((table.due(now), table.alarm()), (None, Some(now + MINUTE)));
        assert_eq!(table.due(now + MINUTE), Some(Due::Begins(0)));
        assert_eq!(table.due(now + MINUTE), None);
        assert_eq!(table.due(now + MINUTE * 2), Some(Due::Overlaps(0)));
        table.ended(0);
        assert_eq!(table.due(now + MINUTE * 3), Some(Due::Begins(0)));
        assert_eq!(table.due(now + MINUTE * 3), Some(Due::Begins(1)));
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let now = Instant::now();
        let mut table = Timetable::new([MINUTE], now);
        let later = now + MINUTE * 100;
        assert_eq!(table.due(later), Some(Due::Begins(0)));
        table.ended(0);
        assert_eq!((table.due(later), table.alarm()), (None, Some(later + MINUTE)));
    }
}
