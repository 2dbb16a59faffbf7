//! Breaks: attempts that fail and connections that end, each with what it owed.

use std::time::Instant;

use super::{Dispatch, Place};
use crate::dialect::Failure;
use crate::pool::{self, Flight, Slot};
use crate::requester::Standing;
use crate::work::{ConnectionId, Phase, RequesterId};

/// What a broken connection cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Transactions that ended as unknown.
    pub unknown: u64,
    /// Transactions that went back to the queue, never sent.
    pub requeued: u64,
}

impl Dispatch {
    /// An attempt to connect failed.
    pub fn attempt_failed(&mut self, reason: &str, now: Instant) {
        self.attempt.under_way = false;
        self.attempts += 1;
        let before = self.reach.standing();
        let jitter = self.rng.f64();
        self.reach.failed(reason.to_owned(), self.live() > 0, now, jitter);
        self.reach_changed(before);
        self.turn_spool(now);
    }

    /// A connection ended, by the host or by a decision of ours: what was sent is unknown, what was not goes back to the
    /// head of the queue.
    pub fn broke(&mut self, connection: ConnectionId, reason: &str, now: Instant) {
        let Some(place) = self.slots.get_mut(connection.index()) else { return };
        if !matches!(place, Place::Open(_) | Place::Own(_)) {
            return;
        }
        let slot = match std::mem::replace(place, Place::Ended(reason.to_owned(), Cost::default())) {
            Place::Open(slot) => slot,
            Place::Own(own) => {
                let cost = self.broke_own(&own, reason);
                self.errands.wake.push(connection);
                return self.cost(connection, cost);
            }
            Place::Free | Place::Ended(..) => return,
        };
        self.passages.remove(connection.0);
        let unsent = slot.flights.iter().position(|flight| slot.never_sent(flight)).unwrap_or(slot.flights.len());
        let mut cost = Cost::default();
        for flight in slot.flights.range(..unsent) {
            cost.unknown += u64::from(self.end_unknown(flight, reason));
        }
        for flight in slot.flights.range(unsent..).rev() {
            cost.requeued += u64::from(self.put_back(&slot, flight));
        }
        // Those in the queue must not overtake those that were on this connection.
        self.take_back_replays();
        self.cost(connection, cost);
        let before = self.reach.standing();
        let (live, jitter) = (self.live() > 0, self.rng.f64());
        let age = now.saturating_duration_since(slot.opened);
        self.reach.broke(reason, age, slot.proven, live, now, jitter);
        self.reach_changed(before);
        self.errands.wake.push(connection);
        self.turn_spool(now);
        self.pump(now);
    }

    /// Notes what the end of a connection has cost.
    fn cost(&mut self, connection: ConnectionId, cost: Cost) {
        if let Some(Place::Ended(_, at_cost)) = self.slots.get_mut(connection.index()) {
            *at_cost = cost;
        }
    }

    /// Ends an idle connection, or one that is not needed any more, without blame.
    pub(super) fn retire_connection(&mut self, connection: ConnectionId, reason: &str) {
        if let Some(place) = self.slots.get_mut(connection.index()) {
            *place = Place::Ended(reason.to_owned(), Cost::default());
            self.errands.wake.push(connection);
        }
    }

    /// A flight that was sent, wholly or in part. Returns whether somebody was told *unknown*.
    fn end_unknown(&mut self, flight: &Flight, reason: &str) -> bool {
        let id = flight.transaction;
        let Some(transaction) = self.transactions.remove(id) else { return false };
        self.deadlines.remove(id.0);
        self.tombstones.remove(id.0);
        let Some(requester) = transaction.requester else { return false };
        self.landed(requester);
        if matches!(transaction.phase, Phase::Streaming(_)) {
            // Half of the reply has been passed on: no failure can be worded any more.
            self.tally.failed(Failure::Unknown);
            self.cut(requester);
        } else {
            let deferral = transaction.deferral;
            self.fail(
                requester,
                id,
                deferral,
                Failure::Unknown,
                &format!("the connection ended before the reply: {reason}"),
            );
        }
        true
    }

    /// A flight that was never sent. Returns whether somebody still waits for it.
    fn put_back(&mut self, slot: &Slot, flight: &Flight) -> bool {
        let id = flight.transaction;
        let requester = self.transactions.get(id).and_then(|transaction| transaction.requester);
        let Some(requester) = requester else {
            // What tieline asks in its own name is not asked again: it may be what ended the connection.
            self.transactions.remove(id);
            self.deadlines.remove(id.0);
            return false;
        };
        self.landed(requester);
        if self.take_back_replay(id) {
            return false;
        }
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.phase = Phase::Queued(slot.outgoing.request(flight.start, flight.length).into());
        }
        let bound = self.account(requester).and_then(|account| account.bound);
        self.queue.push_back_to_head(requester, bound, id);
        self.sweep_later();
        true
    }

    pub(super) fn cut(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.standing = Standing::Cut;
            self.dirty(requester);
        }
    }

    /// After an attempt or a connection failed.
    pub(super) fn reach_changed(&mut self, before: pool::Standing) {
        let after = self.reach.standing();
        self.errands.reach |= before != after;
        self.errands.connect = true;
        if after == pool::Standing::Dead && !self.queue.is_empty() {
            self.lose_queue();
        }
    }
}
