//! The core of a client: what was asked, what is owed, what came. Pure; both faces are around it.
//!
//! Enters: framed requests with their deadlines, bytes, the ends of connections, the time. Leaves: bytes to be written,
//! when to connect, when to look at the clock, and outcomes. Promised:
//!
//! - Each request has exactly one outcome, and each reply goes to the request that it answers, or to nobody.
//! - Bytes of a request are never written to a second connection once one of them was written to a first: what may have
//!   been sent is [`Failure::Unknown`] when its connection ends. What was not written at all waits for the next one.
//! - A request whose deadline passes ends alone: as `timeout` or `lost` if nothing of it was written, else as `unknown`,
//!   and then its late reply is read and dropped.
//!
//! - `ends` — deadlines, connections that are over, a daemon that stays away
//! - `results` — outcomes in the order of the requests
//! - [`super::link`] — whether there is a connection

mod ends;
mod results;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use self::results::Results;
use super::link::Link;
use super::outcome::Outcome;
use crate::dialect::{Dialect, Expect, Failure, Fed, ReplyFramer};

pub use self::results::Ticket;

/// Requests that one write may carry.
const AT_ONCE: usize = 64;

/// What does not change as long as a client lives.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) dialect: Dialect,
    /// Whether requests are for the socket that stores them.
    pub(super) deferred: bool,
    /// Largest reply in bytes, framing included.
    pub(super) max_reply: u64,
    /// How long a daemon is waited for that cannot be connected to.
    pub(super) patience: Duration,
    /// How long a connection is kept whose reply is overdue.
    pub(super) overdue: Duration,
}

/// A request without its reply.
#[derive(Debug)]
struct Owed {
    /// Nobody waits for a reply that is overdue.
    ticket: Option<Ticket>,
    deadline: Instant,
    expect: Expect,
    /// Empty once all of it is written.
    frame: Vec<u8>,
    written: usize,
}

impl Owed {
    fn is_written(&self) -> bool {
        self.written > 0 && self.written >= self.frame.len()
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Core {
    terms: Terms,
    link: Link,
    /// In their order: those of which something was written on this connection, then the others.
    owed: VecDeque<Owed>,
    /// So many of them are wholly written.
    whole: usize,
    results: Results,
    framer: ReplyFramer,
    /// The beginning of a reply.
    held: Vec<u8>,
    /// No deadline is before.
    earliest: Option<Instant>,
}

impl Core {
    pub(super) fn new(terms: Terms) -> Self {
        let (link, framer) = (Link::new(terms.patience), ReplyFramer::new(terms.dialect, terms.max_reply));
        let (owed, results, held) = (VecDeque::new(), Results::default(), Vec::new());
        Self { terms, link, owed, whole: 0, results, framer, held, earliest: None }
    }

    /// Takes a request, framed, of which one reply is expected.
    pub(super) fn submit(&mut self, frame: Vec<u8>, deadline: Instant) -> Ticket {
        self.link.hurry();
        let (ticket, expect) = (self.results.open(), self.terms.dialect.expect(&frame));
        self.owed.push_back(Owed { ticket: Some(ticket), deadline, expect, frame, written: 0 });
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        ticket
    }

    /// The outcome of one request, once.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Outcome> {
        self.results.take(ticket)
    }

    /// The outcome of the first request that was not taken yet, once it is there.
    pub(super) fn take_next(&mut self) -> Option<(Ticket, Outcome)> {
        self.results.take_next()
    }

    /// Whether there is a request whose outcome was not taken.
    pub(super) fn is_owed_anything(&self) -> bool {
        self.results.has_any()
    }

    /// Nobody will ask for this outcome any more.
    pub(super) fn abandon(&mut self, ticket: Ticket) {
        self.results.abandon(ticket);
    }

    /// Whether there is a connection; if not, the faces drop theirs.
    pub(super) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// When to connect, if that is wanted: a time that has passed is now.
    pub(super) fn connect_at(&self, now: Instant) -> Option<Instant> {
        let is_wanted = !self.link.is_up() && !self.owed.is_empty();
        is_wanted.then(|| self.link.not_before().unwrap_or(now))
    }

    /// When to call [`Core::tick`] although nothing else has happened.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let waits = !self.link.is_up() && !self.owed.is_empty();
        let gives_up = self.link.gives_up_at().filter(|_| waits);
        self.earliest.into_iter().chain(gives_up).min()
    }

    /// Bytes to be written, in order; nothing without a connection.
    pub(super) fn unwritten(&self) -> Vec<IoSlice<'_>> {
        if !self.link.is_up() {
            return Vec::new();
        }
        let rest = self.owed.iter().skip(self.whole).take(AT_ONCE);
        rest.map(|owed| IoSlice::new(&owed.frame[owed.written..])).collect()
    }

    /// How many bytes wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.owed.iter().skip(self.whole).map(|owed| owed.frame.len() - owed.written).sum()
    }

    /// So many of these bytes were given to the kernel.
    pub(super) fn wrote(&mut self, mut count: usize) {
        for owed in self.owed.iter_mut().skip(self.whole) {
            let taken = count.min(owed.frame.len() - owed.written);
            if taken == 0 {
                return;
            }
            owed.written += taken;
            count -= taken;
            if owed.is_written() {
                owed.frame = Vec::new();
                self.whole += 1;
            }
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, now: Instant) {
        self.link.connected(now);
        self.framer = ReplyFramer::new(self.terms.dialect, self.terms.max_reply);
        self.held = Vec::new();
    }

    /// An attempt to connect failed.
    pub(super) fn connect_failed(&mut self, reason: &str, now: Instant, jitter: f64) {
        self.link.failed(reason, now, jitter);
        self.give_up(now);
    }

    /// The connection ended.
    pub(super) fn ended(&mut self, reason: &str, now: Instant, jitter: f64) {
        if self.link.is_up() {
            self.link.ended(reason, now, jitter);
            self.part(Failure::Unknown, &format!("{reason} before it had replied; it may have been executed"));
            self.give_up(now);
        }
    }

    /// Takes what the daemon sent.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: Instant, jitter: f64) {
        while !bytes.is_empty() && self.link.is_up() {
            let Some(expect) = self.owed.front().filter(|owed| owed.written > 0).map(|owed| owed.expect) else {
                return self.ended("the daemon sent what nobody had asked for", now, jitter);
            };
            self.framer.expect(expect);
            match self.framer.feed(bytes) {
                Fed::Partial => return self.held.extend_from_slice(bytes),
                Fed::Complete(end) => {
                    let (last, rest) = bytes.split_at(end);
                    bytes = rest;
                    self.complete(last, now, jitter);
                }
                Fed::Malformed(what) => return self.ended(&format!("the daemon sent no reply ({what})"), now, jitter),
                Fed::TooLarge => return self.ended("the daemon sent a reply larger than allowed", now, jitter),
            }
        }
    }

    /// A reply is complete with these bytes.
    fn complete(&mut self, last: &[u8], now: Instant, jitter: f64) {
        let mut frame = std::mem::take(&mut self.held);
        frame.extend_from_slice(last);
        let Some(owed) = self.pop() else { return };
        self.link.proven();
        let outcome = Outcome::told(self.terms.dialect, self.terms.deferred, frame);
        let was_refused = matches!(&outcome, Outcome::Failure(failed) if failed.kind == Failure::Refused);
        if let Some(ticket) = owed.ticket {
            self.results.settle(ticket, outcome);
        }
        // Of a deferred requester of `resp` single commands are refused, and those behind are not.
        if was_refused && !(self.terms.deferred && self.terms.dialect == Dialect::Resp) {
            // The daemon looks at nothing that came behind, and closes.
            self.link.ended("the daemon refused a request", now, jitter);
            self.part(Failure::Lost, "the daemon refused the request before it, and closed; nothing was sent");
        } else if !owed.is_written() {
            self.ended("the daemon replied before it was asked", now, jitter);
        }
    }

    fn pop(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front()?;
        self.whole -= usize::from(owed.is_written());
        Some(owed)
    }
}
