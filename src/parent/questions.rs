//! Who waits for the children's snapshots, and for which ones.
//!
//! Enters: who wants a status, which children were asked for it, their answers, the time. Leaves: whose answer is
//! complete. Pure.

use std::time::Instant;

use super::table::HostId;
use super::table::entry::ANSWER_WITHIN;

/// Those who wait; `T` is who.
#[derive(Debug)]
pub(super) struct Questions<T> {
    waiting: Vec<Question<T>>,
}

#[derive(Debug)]
struct Question<T> {
    who: T,
    /// Which host owes the answer to which number.
    owed: Vec<(HostId, u64)>,
    until: Instant,
}

impl<T> Questions<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new() }
    }

    /// `who` waits for what is `owed`, at most [`ANSWER_WITHIN`].
    pub(super) fn put(&mut self, who: T, owed: Vec<(HostId, u64)>, now: Instant) {
        self.waiting.push(Question { who, owed, until: now + ANSWER_WITHIN });
    }

    /// `host` has answered question `ask`, and with it every earlier one.
    pub(super) fn answered(&mut self, host: HostId, ask: u64) {
        self.owe_no_more(|(debtor, owed)| debtor == host && owed <= ask);
    }

    /// The child of `host` is gone and will answer nothing.
    pub(super) fn gone(&mut self, host: HostId) {
        self.owe_no_more(|(debtor, _)| debtor == host);
    }

    /// Those who need not or must not wait any longer.
    pub(super) fn complete(&mut self, now: Instant) -> Vec<T> {
        let done = self.waiting.extract_if(.., |question| question.owed.is_empty() || question.until <= now);
        done.map(|question| question.who).collect()
    }

    /// Whether somebody of this kind waits.
    pub(super) fn any(&self, is_one: impl Fn(&T) -> bool) -> bool {
        self.waiting.iter().any(|question| is_one(&question.who))
    }

    /// When the first one must not wait any longer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|question| question.until).min()
    }

    fn owe_no_more(&mut self, settled: impl Fn((HostId, u64)) -> bool) {
        for question in &mut self.waiting {
            question.owed.retain(|owed| !settled(*owed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);

    #[test]
    fn one_waits_for_answers_to_the_own_question_or_a_later_one() {
        let now = Instant::now();
        let mut questions = Questions::new();
        questions.put("first", vec![(A, 1), (B, 2)], now);
        questions.put("second", vec![(A, 3)], now);
        questions.answered(A, 1);
        assert!(questions.complete(now).is_empty());
        questions.answered(B, 2);
        assert_eq!(questions.complete(now), ["first"]);
        questions.answered(A, 3);
        assert_eq!(questions.complete(now), ["second"]);
        assert_eq!(questions.next(), None);
    }

    #[test]
    fn nobody_waits_for_the_dead_nor_for_ever() {
        let now = Instant::now();
        let mut questions = Questions::new();
        questions.put("dead", vec![(A, 1)], now);
        questions.put("hung", vec![(B, 2)], now);
        questions.gone(A);
        assert_eq!(questions.complete(now), ["dead"]);
        assert_eq!(questions.next(), Some(now + ANSWER_WITHIN));
        assert_eq!(questions.complete(now + ANSWER_WITHIN), ["hung"]);
    }
}
