//! How requests end that have no reply. Pure.
//!
//! Enters: the time, the end of a connection. Leaves: failures in the results. Promised: what was not written at all ends as
//! one that was never sent, everything else as one that may have been.

use std::time::Instant;

use super::{Core, Owed};
use crate::client::outcome::{Failed, Outcome};
use crate::dialect::Failure;

impl Core {
    /// What is due by now.
    pub(in crate::client) fn tick(&mut self, now: Instant, jitter: f64) {
        self.give_up(now);
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        self.expire(now);
        let overdue = |owed: &Owed| owed.ticket.is_none() && owed.deadline + self.terms.overdue <= now;
        if self.owed.front().is_some_and(overdue) {
            self.ended("the daemon did not reply in time", now, jitter);
        }
        let first_overdue = self.owed.front().filter(|owed| owed.ticket.is_none());
        let overdue_at = first_overdue.map(|owed| owed.deadline + self.terms.overdue);
        let deadlines = self.owed.iter().filter(|owed| owed.ticket.is_some()).map(|owed| owed.deadline);
        self.earliest = deadlines.chain(overdue_at).min();
    }

    /// Ends those whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        let (results, link) = (&mut self.results, &self.link);
        for owed in self.owed.iter_mut().filter(|owed| owed.deadline <= now) {
            let Some(ticket) = owed.ticket.take() else { continue };
            let failed = match owed.written {
                0 if !link.is_up() && link.is_failing() => lost(link.reason()),
                0 => Failed::new(Failure::Timeout, "the deadline passed before it could be written; nothing was sent"),
                _ => {
                    Failed::new(Failure::Unknown, "the deadline passed before a reply came; it may have been executed")
                }
            };
            results.settle(ticket, Outcome::Failure(failed));
        }
        // What was never written leaves no tombstone: no reply will come.
        self.owed.retain(|owed| owed.ticket.is_some() || owed.written > 0);
    }

    /// Ends what waits for a daemon that has been away for too long.
    pub(super) fn give_up(&mut self, now: Instant) {
        if self.link.is_up() || !self.link.has_given_up(now) {
            return;
        }
        for owed in self.owed.drain(..) {
            if let Some(ticket) = owed.ticket {
                self.results.settle(ticket, Outcome::Failure(lost(self.link.reason())));
            }
        }
        self.earliest = None;
    }

    /// Ends what was written, in whole or in part, as `kind`; the rest waits for the next connection.
    pub(super) fn part(&mut self, kind: Failure, detail: &str) {
        while self.owed.front().is_some_and(|owed| owed.written > 0) {
            let Some(ticket) = self.pop().and_then(|owed| owed.ticket) else { continue };
            self.results.settle(ticket, Outcome::Failure(Failed::new(kind, detail)));
        }
        self.held = Vec::new();
    }
}

fn lost(reason: &str) -> Failed {
    Failed::new(Failure::Lost, &format!("no connection to the daemon could be had ({reason}); nothing was sent"))
}
