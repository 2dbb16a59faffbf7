//! What the requesters of the demo have lived through, in numbers. Pure.
//!
//! Enters: one answer after the other, with the time it took. Leaves: counts and latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::dialect::Failure;

/// The longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// What a requester heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to its question.
    Answer,
    /// A failure, told by the daemon.
    Failure(Failure),
    /// Neither.
    Wrong,
}

impl Heard {
    /// What the line `reply` is to the question `words`.
    pub(super) fn of(reply: &str, words: &str) -> Self {
        let failure = Failure::ALL.into_iter().find(|failure| failure.word() == reply);
        match failure {
            Some(failure) => Self::Failure(failure),
            None if reply.strip_prefix("question ") == Some(words) => Self::Answer,
            None => Self::Wrong,
        }
    }
}

/// Counts of what was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) answers: u64,
    pub(super) lost: u64,
    pub(super) unknown: u64,
    /// Failures that have no place in this story: timeout, busy, refused.
    pub(super) other: u64,
    pub(super) wrong: u64,
}

impl Counts {
    fn note(&mut self, heard: Heard) {
        *match heard {
            Heard::Answer => &mut self.answers,
            Heard::Failure(Failure::Lost) => &mut self.lost,
            Heard::Failure(Failure::Unknown) => &mut self.unknown,
            Heard::Failure(_) => &mut self.other,
            Heard::Wrong => &mut self.wrong,
        } += 1;
    }

    pub(super) fn failures(&self) -> u64 {
        self.lost + self.unknown + self.other
    }

    /// Adds those of another time.
    pub(super) fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self.other += other.other;
        self.wrong += other.wrong;
    }
}

/// What was heard since some moment.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) since: Instant,
    pub(super) counts: Counts,
    pub(super) first_answer: Option<Instant>,
    pub(super) first_lost: Option<Instant>,
    answers: Histogram<u32>,
    failures: Histogram<u32>,
}

impl Figures {
    /// None yet; they begin at `since`.
    pub(super) fn begin(since: Instant) -> Result<Self, hdrhistogram::CreationError> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 2)?;
        let counts = Counts::default();
        Ok(Self {
            since,
            counts,
            first_answer: None,
            first_lost: None,
            answers: histogram.clone(),
            failures: histogram,
        })
    }

    /// Takes one more: what was heard `now`, after `took`.
    pub(super) fn note(&mut self, heard: Heard, took: Duration, now: Instant) {
        self.counts.note(heard);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match heard {
            Heard::Answer => {
                self.first_answer.get_or_insert(now);
                self.answers.saturating_record(us);
            }
            Heard::Failure(failure) => {
                if failure == Failure::Lost {
                    self.first_lost.get_or_insert(now);
                }
                self.failures.saturating_record(us);
            }
            Heard::Wrong => {}
        }
    }

    /// Median and 99th percentile of the answers.
    pub(super) fn answer_times(&self) -> (Duration, Duration) {
        times(&self.answers)
    }

    /// Median and 99th percentile of the failures.
    pub(super) fn failure_times(&self) -> (Duration, Duration) {
        times(&self.failures)
    }
}

fn times(histogram: &Histogram<u32>) -> (Duration, Duration) {
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    (at(0.5), at(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_very_question_is_one() {
        assert_eq!(Heard::of("question 1 2", "1 2"), Heard::Answer);
        assert_eq!(Heard::of("con_lost", "1 2"), Heard::Failure(Failure::Lost));
        for reply in ["question 1 3", "question 1 2 ", "answer 1 2", "1 2", "", "con_lost "] {
            assert_eq!(Heard::of(reply, "1 2"), Heard::Wrong, "{reply:?}");
        }
    }

    #[test]
    fn answers_and_failures_are_counted_and_timed_apart() {
        let start = Instant::now();
        let mut figures = Figures::begin(start).unwrap();
        let ms = Duration::from_millis;
        figures.note(Heard::Answer, ms(1), start);
        figures.note(Heard::Failure(Failure::Unknown), ms(50), start + ms(1));
        figures.note(Heard::Failure(Failure::Lost), ms(50), start + ms(2));
        figures.note(Heard::Failure(Failure::Busy), ms(50), start + ms(3));
        figures.note(Heard::Wrong, ms(1), start);
        assert_eq!(figures.counts, Counts { answers: 1, lost: 1, unknown: 1, other: 1, wrong: 1 });
        assert_eq!(figures.counts.failures(), 3);
        assert_eq!((figures.first_answer, figures.first_lost), (Some(start), Some(start + ms(2))));
        assert!(figures.answer_times().1 < ms(2) && figures.failure_times().0 > ms(40));
    }
}
