//! One connection as the dispatch sees it: what is to be written, what is in flight, and the reply that is coming. Pure.
//!
//! Enters: requests to send, bytes that the host sent. Leaves: pieces of replies, each with the transaction to which it
//! belongs. Promised: replies are matched to requests by their order alone; whatever breaks that order (a reply that
//! nobody asked for, one that comes before its request was sent, bytes that are no reply) ends the connection, and
//! nobody is served from it any more.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::Outgoing;
use crate::dialect::{Dialect, Expect, Fed, ReplyFramer, Voice};
use crate::work::TransactionId;

/// A reply up to this size is held until it is whole; a larger one is passed on as it comes (bytes).
pub const HOLD: usize = 64 * 1024;

/// A connection takes no further request while so much is still unsent: what the host does not take waits in the queue,
/// where it can go elsewhere (bytes).
const UNSENT: usize = 256 * 1024;

/// A further connection is wanted when the least busy one owes more replies than this …
const STRAINED_BY: usize = 64;

/// … or has owed one for longer than this.
const STRAINED_AFTER: Duration = Duration::from_millis(10);

/// What is wrong with what the host has sent: its connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// Nobody has asked for it.
    #[error("the host sent a reply that nobody asked for")]
    Unasked,
    /// It cannot be the reply to a request that had not been sent.
    #[error("the host sent a reply before it had been sent the request")]
    Early,
    /// It is no frame of the dialect.
    #[error("the host sent something that is no reply: {0}")]
    Malformed(&'static str),
    /// It is one, and too large.
    #[error("the host sent a reply larger than max_reply")]
    TooLarge,
}

/// One connection.
#[derive(Debug)]
pub struct Slot {
    /// What is to be written.
    pub outgoing: Outgoing,
    /// What is in flight, in the order of sending.
    pub flights: VecDeque<Flight>,
    /// The beginning of a reply that is not complete.
    pub held: Vec<u8>,
    /// Whether it is not read for now, because the only requester that it serves does not read its reply.
    pub stalled: bool,
    /// How many of the flights are tombstones; while there is one the connection takes no new work.
    pub tombstones: u32,
    /// The protocol's version that it speaks.
    pub voice: Voice,
    /// The version that it is to change to; until it has, it takes no new work.
    pub turning: Option<Voice>,
    /// Why it is to end as soon as nothing is in flight; until then it takes no new work.
    pub leaving: Option<&'static str>,
    /// Whether it has given a reply.
    pub proven: bool,
    /// When it was opened.
    pub opened: Instant,
    /// When it was last used.
    pub used: Instant,
    dialect: Dialect,
    framer: ReplyFramer,
    pipeline: usize,
}

/// One transaction in flight.
#[derive(Debug, Clone, Copy)]
pub struct Flight {
    /// Which.
    pub transaction: TransactionId,
    /// What the host will answer.
    pub expect: Expect,
    /// The position of its request in [`Slot::outgoing`].
    pub start: u64,
    /// The length of its request in bytes.
    pub length: usize,
    /// When it was given to the connection.
    pub given: Instant,
}

/// A piece of what the host sent, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes, which end the first flight's reply.
    End(usize),
    /// So many bytes, which end a reply within the first flight, a run; more of the flight is to come.
    Part(usize),
    /// All bytes, and the reply goes on.
    Middle,
}

impl Slot {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(dialect: Dialect, max_reply: u64, pipeline: u32, now: Instant) -> Self {
        Self {
            outgoing: Outgoing::default(),
            flights: VecDeque::new(),
            held: Vec::new(),
            stalled: false,
            tombstones: 0,
            voice: Voice::default(),
            turning: None,
            leaving: None,
            proven: false,
            opened: now,
            used: now,
            dialect,
            framer: ReplyFramer::new(dialect, max_reply),
            pipeline: pipeline as usize,
        }
    }

    /// Whether it may be given a transaction now.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.tombstones == 0
            && self.turning.is_none()
            && self.leaving.is_none()
            && !self.stalled
            && self.flights.len() < self.pipeline
            && self.outgoing.length() < UNSENT
    }

    /// Whether another connection would help, although this one takes work.
    #[must_use]
    pub fn is_strained(&self, now: Instant) -> bool {
        let owing = self.flights.front().is_some_and(|first| now > first.given + STRAINED_AFTER);
        owing || self.flights.len() > STRAINED_BY
    }

    /// Takes a transaction. Its bytes are written by the connection's task when it is next woken.
    #[inline]
    pub fn send(&mut self, transaction: TransactionId, request: Cow<'_, [u8]>, now: Instant) {
        let (expect, length) = (self.dialect.expect(&request), request.len());
        let start = self.outgoing.append(request);
        self.flights.push_back(Flight { transaction, expect, start, length, given: now });
    }

    /// Whether not one byte of this flight's request was handed to the kernel.
    #[must_use]
    pub fn never_sent(&self, flight: &Flight) -> bool {
        flight.start >= self.outgoing.position()
    }

    /// Takes a flight out that was never sent.
    pub fn withdraw(&mut self, transaction: TransactionId) -> bool {
        let Some(index) = self.flights.iter().position(|flight| flight.transaction == transaction) else {
            return false;
        };
        let flight = self.flights[index];
        if !self.never_sent(&flight) {
            return false;
        }
        self.outgoing.withdraw(flight.start, flight.length);
        self.flights.remove(index);
        for later in self.flights.iter_mut().skip(index) {
            later.start -= flight.length as u64;
        }
        true
    }

    /// Holds the beginning of a reply, with room for the rest as far as that is known.
    pub fn hold(&mut self, piece: &[u8]) {
        if self.held.is_empty() {
            let missing = usize::try_from(self.framer.missing()).unwrap_or(HOLD).min(HOLD);
            self.held.reserve_exact(piece.len() + missing);
        }
        self.held.extend_from_slice(piece);
    }

    /// Finds out what the bytes that the host sent are for the first flight.
    ///
    /// # Errors
    /// What is wrong with them; the connection must then be closed.
    #[inline]
    pub fn read(&mut self, bytes: &[u8]) -> Result<Piece, Unfit> {
        let Some(&first) = self.flights.front() else { return Err(Unfit::Unasked) };
        self.framer.expect(first.expect);
        let is_early = first.start + first.length as u64 > self.outgoing.position();
        if is_early && (self.never_sent(&first) || !self.framer.may_come_early(bytes)) {
            return Err(Unfit::Early);
        }
        match self.framer.feed(bytes) {
            Fed::Complete(length) if first.expect.is_run() && !self.framer.is_closing() => Ok(Piece::Part(length)),
            Fed::Complete(_) if first.expect.is_run() && is_early => Err(Unfit::Early),
            Fed::Complete(length) => Ok(Piece::End(length)),
            Fed::Partial => Ok(Piece::Middle),
            Fed::Malformed(what) => Err(Unfit::Malformed(what)),
            Fed::TooLarge => Err(Unfit::TooLarge),
        }
    }
}
