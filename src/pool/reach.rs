//! Whether the host can be reached: failures in a row, backoff, dead or not. Pure.
//!
//! Enters: attempts and how they ended, with the time. Leaves: whether an attempt may be made now or when, and whether
//! new work has a chance. Promised: attempts on a failing host are at most [`LONGEST`] and at least half of [`SHORTEST`]
//! apart, also when it accepts connections only to close them.

use std::time::{Duration, Instant};

/// The pause after the first failed attempt, before jitter.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest pause between two attempts, before jitter (which only shortens it).
const LONGEST: Duration = Duration::from_secs(60);

/// A connection that breaks younger than this without having given a reply counts as a failed attempt.
const YOUNG: Duration = Duration::from_secs(1);

/// How the host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has tried yet.
    Untried,
    /// The last attempt succeeded.
    Up,
    /// The last attempt failed, but there were not yet `retries` of them: queued work waits.
    Failing,
    /// `retries` attempts in a row failed: work ends at once as lost.
    Dead,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Reach {
    retries: u32,
    failures: u32,
    standing: Standing,
    reason: String,
    next: Option<Instant>,
}

impl Reach {
    /// A host that nobody has tried yet, dead after `retries` failed attempts in a row.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        Self { retries: retries.max(1), failures: 0, standing: Standing::Untried, reason: String::new(), next: None }
    }

    /// How the host stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Why it stands so, for people; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Not before this time may an attempt be made; `None`: at any time.
    #[must_use]
    pub fn not_before(&self) -> Option<Instant> {
        self.next
    }

    /// An attempt failed. `others_live`: whether there are connections, so that nobody's work depends on this attempt.
    /// `jitter` is from 0.0 to 1.0 and shortens the pause by up to a half.
    pub fn failed(&mut self, reason: String, others_live: bool, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.reason = reason;
        self.next = Some(now + pause(self.failures, jitter));
        if !others_live {
            self.standing = if self.failures >= self.retries { Standing::Dead } else { Standing::Failing };
        }
    }

    /// An attempt succeeded. Failures are forgotten only when the connection proves itself.
    pub fn connected(&mut self) {
        self.standing = Standing::Up;
        self.reason.clear();
        self.next = None;
    }

    /// A connection gave a reply.
    pub fn proven(&mut self) {
        self.failures = 0;
    }

    /// A connection broke: `age` after it was opened, `proven` if it had given a reply. Returns whether this counts as a
    /// failed attempt.
    pub fn broke(
        &mut self,
        reason: &str,
        age: Duration,
        proven: bool,
        others_live: bool,
        now: Instant,
        jitter: f64,
    ) -> bool {
        if proven || age >= YOUNG {
            self.failures = 0;
            reason.clone_into(&mut self.reason);
            return false;
        }
        self.failed(reason.to_owned(), others_live, now, jitter);
        true
    }

    /// Somebody asked for an attempt now.
    pub fn hurry(&mut self, now: Instant) {
        if self.next.is_some() {
            self.next = Some(now);
        }
    }
}

/// 100 ms, doubling with every failure, at most a minute; shortened by up to a half, so that many daemons that lost the
/// same host do not come back at the same moment.
pub(crate) fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = SHORTEST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_dead_after_its_retries_and_not_before() {
        let (mut reach, now) = (Reach::new(3), Instant::now());
        for _ in 0..2 {
            reach.failed("refused".to_owned(), false, now, 0.0);
            assert_eq!(reach.standing(), Standing::Failing);
        }
        reach.failed("refused".to_owned(), false, now, 0.0);
        assert_eq!(reach.standing(), Standing::Dead);
        assert_eq!(reach.reason(), "refused");
    }

    #[test]
    fn a_failed_extra_connection_fails_nobody() {
        let (mut reach, now) = (Reach::new(1), Instant::now());
        reach.connected();
        reach.failed("too many connections".to_owned(), true, now, 0.0);
        assert_eq!(reach.standing(), Standing::Up);
        assert!(reach.not_before().is_some(), "but the next attempt waits");
    }

    #[test]
    fn a_host_that_accepts_only_to_close_counts_as_failing() {
        let (mut reach, now) = (Reach::new(2), Instant::now());
        for _ in 0..2 {
            reach.connected();
            assert!(reach.broke("closed by the host", Duration::from_millis(1), false, false, now, 0.0));
        }
        assert_eq!(reach.standing(), Standing::Dead);
    }

    #[test]
    fn a_proven_connection_forgives_earlier_failures() {
        let (mut reach, now) = (Reach::new(2), Instant::now());
        reach.failed("refused".to_owned(), false, now, 0.0);
        reach.connected();
        reach.proven();
        assert!(!reach.broke("closed by the host", Duration::ZERO, true, false, now, 0.0));
        reach.failed("refused".to_owned(), false, now, 0.0);
        assert_eq!(reach.standing(), Standing::Failing);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_jitter_only_shortens_them() {
        assert_eq!(pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(pause(4, 0.0), Duration::from_millis(800));
        assert_eq!(pause(4, 1.0), Duration::from_millis(400));
        assert_eq!(pause(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn a_hurried_attempt_may_be_made_at_once() {
        let (mut reach, now) = (Reach::new(1), Instant::now());
        reach.failed("refused".to_owned(), false, now, 0.0);
        reach.hurry(now);
        assert_eq!(reach.not_before(), Some(now));
    }
}
