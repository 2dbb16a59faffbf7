//! Whether there is a connection to the daemon, and when the next attempt may be made. Pure.
//!
//! Enters: attempts and how they ended, with the time. Leaves: when to try, and whether waiting is of any use. Promised:
//! after a failure attempts are at least half of [`SHORTEST`] apart, also with a daemon that accepts only to close, and
//! further and further apart while nothing new is asked for; the first one after a sound connection is made at once.

use std::time::{Duration, Instant};

/// The pause after the first failed attempt, before jitter. The daemon is on this machine: it is back soon.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest pause, before jitter (which only shortens it).
const LONGEST: Duration = Duration::from_secs(2);

/// A connection that ends younger than this without having given a reply counts as a failed attempt.
const YOUNG: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Link {
    /// How long work waits for a daemon that is away.
    patience: Duration,
    failures: u32,
    /// The first of these failures.
    failing_since: Option<Instant>,
    not_before: Option<Instant>,
    last_failure: Option<Instant>,
    reason: String,
    /// When the connection was opened, if there is one.
    opened: Option<Instant>,
    proven: bool,
}

impl Link {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            failures: 0,
            failing_since: None,
            not_before: None,
            last_failure: None,
            reason: String::new(),
            opened: None,
            proven: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.opened.is_some()
    }

    /// Not before this time may an attempt be made; `None`: at once.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Why there is no connection, for people; empty if nobody has tried.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Work that waits from then on is given up.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.failing_since.map(|since| since + self.patience)
    }

    /// Whether work that waits now has no chance. Even then an attempt that is due is made first.
    pub(super) fn has_given_up(&self, now: Instant) -> bool {
        let is_resting = self.not_before.is_some_and(|at| now < at);
        is_resting && self.gives_up_at().is_some_and(|at| now >= at)
    }

    pub(super) fn connected(&mut self, now: Instant) {
        (self.opened, self.proven) = (Some(now), false);
    }

    /// The connection gave a reply.
    pub(super) fn proven(&mut self) {
        self.proven = true;
        self.forgive();
    }

    /// An attempt failed; `jitter` is from 0.0 to 1.0.
    pub(super) fn failed(&mut self, reason: &str, now: Instant, jitter: f64) {
        self.opened = None;
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        (self.last_failure, self.not_before) = (Some(now), Some(now + pause(self.failures, jitter)));
        reason.clone_into(&mut self.reason);
    }

    /// The connection ended.
    pub(super) fn ended(&mut self, reason: &str, now: Instant, jitter: f64) {
        let Some(opened) = self.opened.take() else { return };
        if !self.proven && now.saturating_duration_since(opened) < YOUNG {
            return self.failed(reason, now, jitter);
        }
        self.forgive();
        reason.clone_into(&mut self.reason);
    }

    /// There is new work: it does not wait for the end of a long pause to learn whether the daemon is back.
    pub(super) fn hurry(&mut self) {
        let soon = self.last_failure.map(|at| at + SHORTEST);
        self.not_before = self.not_before.zip(soon).map(|(planned, soon)| planned.min(soon));
    }

    fn forgive(&mut self) {
        (self.failures, self.failing_since, self.not_before) = (0, None, None);
        self.reason.clear();
    }
}

/// 20 ms, doubling with every failure, at most 2 s; shortened by up to a half, so that many programs that lost the same
/// daemon do not come back at the same moment.
pub(super) fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = SHORTEST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn pauses_double_up_to_two_seconds_and_jitter_only_shortens_them() {
        assert_eq!(pause(1, 0.0), Duration::from_millis(20));
        assert_eq!(pause(3, 1.0), Duration::from_millis(40));
        assert_eq!(pause(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn work_is_given_up_after_the_patience_and_then_after_each_failed_attempt() {
        let (mut link, start) = (Link::new(PATIENCE), Instant::now());
        link.failed("refused", start, 0.0);
        assert!(!link.has_given_up(start));
        let later = start + PATIENCE;
        assert!(!link.has_given_up(later), "an attempt is due");
        link.failed("refused", later, 0.0);
        assert!(link.has_given_up(later));
        assert_eq!(link.reason(), "refused");
        link.connected(later);
        link.proven();
        assert!(!link.is_failing());
    }

    #[test]
    fn new_work_does_not_wait_for_the_end_of_a_long_pause() {
        let (mut link, now) = (Link::new(PATIENCE), Instant::now());
        link.hurry();
        assert_eq!(link.not_before(), None);
        for _ in 0..9 {
            link.failed("refused", now, 0.0);
        }
        assert_eq!(link.not_before(), Some(now + LONGEST));
        link.hurry();
        assert_eq!(link.not_before(), Some(now + SHORTEST));
        link.failed("refused", now, 1.0);
        link.hurry();
        assert_eq!(link.not_before(), Some(now + SHORTEST), "it brings nothing back later");
    }

    #[test]
    fn a_sound_connection_that_ends_is_replaced_at_once_and_a_young_silent_one_after_a_pause() {
        let (mut link, now) = (Link::new(PATIENCE), Instant::now());
        link.connected(now);
        link.proven();
        link.ended("closed", now, 0.0);
        assert_eq!((link.not_before(), link.is_up()), (None, false));
        link.connected(now);
        link.ended("closed", now, 0.0);
        assert_eq!(link.not_before(), Some(now + SHORTEST));
        link.connected(now);
        link.ended("closed", now + YOUNG, 0.0);
        assert_eq!(link.not_before(), None, "an old one was sound although it was never asked anything");
    }
}
