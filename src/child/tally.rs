//! The tally: how many transactions ended in which way, and how long the replied ones took. Pure.
//!
//! Enters: outcomes. Leaves: counts and percentiles. Promised: counting costs a few nanoseconds and never allocates.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::dialect::Failure;
use crate::snapshot::{Latency, Outcomes};

/// The longest latency that is told apart from longer ones (µs): an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// See the head of this file.
#[derive(Debug, Clone)]
pub struct Tally {
    outcomes: Outcomes,
    latencies: Histogram<u32>,
    /// When the requests of the last replies were accepted, and how many of these replies have not been counted.
    accepted: Option<Instant>,
    uncounted: u32,
}

impl Default for Tally {
    fn default() -> Self {
        // Two significant digits: 1 %, in about 13 KiB. The bounds are constants that the library accepts; should it
        // ever not, a histogram that resizes itself serves as well.
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, 2).or_else(|_| Histogram::new(2));
        Self {
            outcomes: Outcomes::default(),
            latencies: latencies.unwrap_or_else(|_| unreachable!("2 is a valid precision")),
            accepted: None,
            uncounted: 0,
        }
    }
}

impl Tally {
    /// The host replied after `took`.
    pub fn replied(&mut self, took: Duration) {
        self.count(took, 1);
    }

    /// As [`Tally::replied`], to a request that was accepted then. Requests that came together are mostly replied to
    /// together: those are counted at once, the last of them by [`Tally::replies_end`].
    #[inline]
    pub fn replied_to(&mut self, accepted: Instant, now: Instant) {
        if self.accepted != Some(accepted) {
            self.replies_end(now);
            self.accepted = Some(accepted);
        }
        self.uncounted += 1;
    }

    /// No more replies come now.
    pub fn replies_end(&mut self, now: Instant) {
        let Some(accepted) = self.accepted.take() else { return };
        let count = std::mem::take(&mut self.uncounted);
        self.count(now.saturating_duration_since(accepted), count);
    }

    fn count(&mut self, took: Duration, replies: u32) {
        self.outcomes.replies += u64::from(replies);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record_n(micros.max(1), replies);
    }

    /// The host replied within a session, where it may have waited on purpose: no latency is counted.
    pub fn passed(&mut self) {
        self.outcomes.replies += 1;
    }

    /// A transaction failed.
    pub fn failed(&mut self, failure: Failure) {
        let count = match failure {
            Failure::Lost => &mut self.outcomes.lost,
            Failure::Timeout => &mut self.outcomes.timeout,
            Failure::Unknown => &mut self.outcomes.unknown,
            Failure::Busy => &mut self.outcomes.busy,
            Failure::Refused => &mut self.outcomes.refused,
            Failure::Failed => &mut self.outcomes.failed,
        };
        *count += 1;
    }

    /// A transaction was stored.
    pub fn delayed(&mut self) {
        self.outcomes.delayed += 1;
    }

    /// Adds another worker's tally.
    pub fn add(&mut self, other: &Self) {
        let (ours, theirs) = (&mut self.outcomes, &other.outcomes);
        ours.replies += theirs.replies;
        ours.lost += theirs.lost;
        ours.timeout += theirs.timeout;
        ours.unknown += theirs.unknown;
        ours.busy += theirs.busy;
        ours.refused += theirs.refused;
        ours.delayed += theirs.delayed;
        ours.failed += theirs.failed;
        for value in other.latencies.iter_recorded() {
            self.latencies.saturating_record_n(
                value.value_iterated_to(),
                value.count_since_last_iteration().try_into().unwrap_or(u32::MAX),
            );
        }
    }

    /// The counts.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        self.outcomes
    }

    /// The percentiles.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let at = |quantile| self.latencies.value_at_quantile(quantile);
        if self.latencies.is_empty() {
            return Latency::default();
        }
        Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: self.latencies.max() }
    }
}
