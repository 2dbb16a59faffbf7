//! Who may begin: the places of one handler, and the queue before them. Pure.
//!
//! A place holds a process (or a connection of a forwarder) from its start until nothing is left of it. A worker keeps
//! its place while it rests, and takes the next request from there; a process for one request is never at rest.
//!
//! Enters: requests, each as a ticket, and what becomes of places, with the time. Leaves: which ticket may begin, and
//! with what. Promised: never more places are taken than there are; who waits is taken in the order of arrival; nobody
//! waits while something is free, but for the pause after a failed start, and for a worker that is about to rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::pool::pause;

/// Starts that fail in a row after which nobody waits for the next one.
const HOPELESS: u32 = 5;

/// What a ticket may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// A free place: something must be started in it.
    Start,
    /// The worker of this number, which was at rest.
    Worker(u64),
}

/// What becomes of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It may begin.
    Given(Given),
    /// It waits.
    Waits,
    /// Too many wait.
    Full,
    /// Nothing can be started, for at least so long.
    Hopeless(Duration),
}

/// See the head of this file.
#[derive(Debug)]
pub struct Gate {
    places: u32,
    taken: u32,
    /// The one that has rested shortest is last, and first to be taken: what is not needed is not kept awake.
    resting: Vec<u64>,
    /// Workers that will rest, or leave, in a moment.
    nearly: usize,
    queue: usize,
    waiting: BTreeSet<u64>,
    failures: u32,
    failed_at: Option<Instant>,
    not_before: Option<Instant>,
}

impl Gate {
    /// So many places, and a queue of that length.
    #[must_use]
    pub fn new(places: u32, queue: u32) -> Self {
        let (resting, waiting) = (Vec::new(), BTreeSet::new());
        Self {
            places,
            taken: 0,
            resting,
            nearly: 0,
            queue: queue as usize,
            waiting,
            failures: 0,
            failed_at: None,
            not_before: None,
        }
    }

    /// A request comes. Tickets are numbered in the order of their arrival.
    pub fn ask(&mut self, ticket: u64, now: Instant) -> Asked {
        if let Some(pause) = self.hopeless(now) {
            return Asked::Hopeless(pause);
        }
        if self.waiting.is_empty()
            && (self.nearly == 0 || self.queue == 0 || !self.resting.is_empty())
            && let Some(given) = self.give(now)
        {
            return Asked::Given(given);
        }
        if self.waiting.len() >= self.queue {
            return Asked::Full;
        }
        self.waiting.insert(ticket);
        Asked::Waits
    }

    /// Who waits no longer.
    pub fn give_up(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// The next one that may begin, if there is one. To be asked again until there is none.
    pub fn next(&mut self, now: Instant) -> Option<(u64, Given)> {
        if self.waiting.is_empty() || (self.resting.is_empty() && self.waiting.len() <= self.nearly) {
            return None;
        }
        let given = self.give(now)?;
        self.waiting.pop_first().map(|ticket| (ticket, given))
    }

    /// When [`Gate::next`] is worth asking although nothing has happened.
    #[must_use]
    pub fn alarm(&self) -> Option<Instant> {
        let waits_for_pause = !self.waiting.is_empty() && self.taken < self.places;
        self.not_before.filter(|_| waits_for_pause)
    }

    /// A worker has replied, and will rest or leave in a moment. Who comes meanwhile waits for that.
    pub fn is_nearly_done(&mut self) {
        self.nearly += 1;
    }

    /// The moment of a worker is over.
    pub fn is_done(&mut self) {
        self.nearly = self.nearly.saturating_sub(1);
    }

    /// A worker has nothing to do.
    pub fn rests(&mut self, worker: u64) {
        self.resting.push(worker);
    }

    /// A worker that was at rest is not any more, though nobody took it.
    pub fn rises(&mut self, worker: u64) {
        self.resting.retain(|each| *each != worker);
    }

    /// A place is free again.
    pub fn leaves(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// What was started at `began` has failed before it was of any use. `jitter` is from 0.0 to 1.0. Says how long the
    /// pause is. Those that were started before the last failure tell nothing new.
    pub fn failed(&mut self, began: Instant, now: Instant, jitter: f64) -> Duration {
        if self.failed_at.is_none_or(|at| at < began) {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
            self.not_before = Some(now + pause(self.failures, jitter));
        }
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Something that was started has been of use.
    pub fn proven(&mut self) {
        self.failures = 0;
        self.failed_at = None;
        self.not_before = None;
    }

    /// Places that are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// Workers at rest.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give(&mut self, now: Instant) -> Option<Given> {
        if let Some(worker) = self.resting.pop() {
            return Some(Given::Worker(worker));
        }
        if self.taken >= self.places || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.taken += 1;
        Some(Given::Start)
    }

    /// For how long nothing will be started, if there is nothing that could answer meanwhile. Nobody is to wait for that.
    #[must_use]
    pub fn hopeless(&self, now: Instant) -> Option<Duration> {
        let pause = self.not_before?.checked_duration_since(now).filter(|pause| !pause.is_zero())?;
        (self.failures >= HOPELESS && self.taken == 0).then_some(pause)
    }
}

#[cfg(test)]
mod tests;
