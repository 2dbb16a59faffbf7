//! Who waits for what a child says about its spool.
//!
//! Enters: who asks which child, the children's answers, the time. Leaves: to whom an answer goes, and who must be told
//! that none will come. Pure.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::table::HostId;

/// A child that owes an answer for so long hangs.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Those who wait; `T` is who.
#[derive(Debug)]
pub(super) struct Relays<T> {
    last_ask: u64,
    waiting: Vec<Relay<T>>,
    /// Those to whom no answer will come, and why.
    failed: Vec<(T, HostId, Failure)>,
}

#[derive(Debug)]
struct Relay<T> {
    who: T,
    host: HostId,
    /// The process that was asked.
    pid: Pid,
    ask: u64,
    until: Instant,
}

/// Why no answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The child is gone.
    Gone,
    /// It hangs.
    Hung,
}

impl<T> Relays<T> {
    pub(super) fn new() -> Self {
        Self { last_ask: 0, waiting: Vec::new(), failed: Vec::new() }
    }

    /// The number for the next question.
    pub(super) fn next_ask(&mut self) -> u64 {
        self.last_ask += 1;
        self.last_ask
    }

    /// `who` waits for the answer of `host` to the question `ask`.
    pub(super) fn put(&mut self, who: T, host: HostId, pid: Pid, ask: u64, now: Instant) {
        self.waiting.push(Relay { who, host, pid, ask, until: now + ANSWER_WITHIN });
    }

    /// Whom the answer of `host` to `ask` is for; nobody, if it came too late.
    pub(super) fn answered(&mut self, host: HostId, ask: u64) -> Option<T> {
        let place = self.waiting.iter().position(|relay| relay.host == host && relay.ask == ask)?;
        Some(self.waiting.swap_remove(place).who)
    }

    /// The child `pid` of `host` is gone and will answer nothing.
    pub(super) fn gone(&mut self, host: HostId, pid: Pid) {
        self.fail(|relay| relay.host == host && relay.pid == pid, Failure::Gone);
    }

    /// Those who will not be answered, each once.
    pub(super) fn failed(&mut self, now: Instant) -> Vec<(T, HostId, Failure)> {
        self.fail(|relay| relay.until <= now, Failure::Hung);
        std::mem::take(&mut self.failed)
    }

    /// When the first one must not wait any longer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|relay| relay.until).min()
    }

    fn fail(&mut self, which: impl Fn(&Relay<T>) -> bool, why: Failure) {
        let failed = self.waiting.extract_if(.., |relay| which(relay));
        self.failed.extend(failed.map(|relay| (relay.who, relay.host, why)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const PID: Pid = Pid::from_raw(7);

    #[test]
    fn an_answer_goes_to_who_asked_and_to_nobody_twice() {
        let now = Instant::now();
        let mut relays = Relays::new();
        let asks = [relays.next_ask(), relays.next_ask()];
        relays.put("first", A, PID, asks[0], now);
        relays.put("second", B, PID, asks[1], now);
        assert_eq!(relays.answered(A, asks[1]), None, "another child cannot answer for it");
        assert_eq!(relays.answered(B, asks[1]), Some("second"));
        assert_eq!(relays.answered(B, asks[1]), None);
        assert_eq!(relays.answered(A, asks[0]), Some("first"));
        assert_eq!(relays.next(), None);
    }

    #[test]
    fn nobody_waits_for_the_dead_nor_for_ever() {
        let now = Instant::now();
        let mut relays = Relays::new();
        relays.put("dead", A, PID, 1, now);
        relays.put("hung", B, PID, 2, now);
        relays.gone(A, Pid::from_raw(8));
        assert_eq!(relays.failed(now), [], "it was not the one who died");
        relays.gone(A, PID);
        assert_eq!(relays.failed(now), [("dead", A, Failure::Gone)]);
        assert_eq!(relays.next(), Some(now + ANSWER_WITHIN));
        assert_eq!(relays.failed(now + ANSWER_WITHIN), [("hung", B, Failure::Hung)]);
        assert_eq!(relays.answered(B, 2), None, "an answer that comes too late goes to nobody");
    }
}
