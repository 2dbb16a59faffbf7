//! Expiry: what time ends.

use std::time::Instant;

use super::{Dispatch, Place, spell};
use crate::dialect::Failure;
use crate::work::{ConnectionId, Deferral, Phase, RequesterId, TransactionId, key};

impl Dispatch {
    /// Ends whatever has expired, and says (through [`Dispatch::alarm`]) when to come again.
    pub fn expire(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_expired(now) {
            self.run_out(TransactionId(id), now);
        }
        while let Some(id) = self.tombstones.pop_expired(now) {
            if let Some(connection) = self.connection_of(TransactionId(id)) {
                let twice = spell(self.host.timeout * 2);
                self.broke(connection, &format!("a reply did not come within {twice}"), now);
            }
        }
        while let Some(connection) = self.passages.pop_expired(now) {
            let timeout = spell(self.host.timeout);
            self.broke(ConnectionId(connection), &format!("a large reply made no progress for {timeout}"), now);
        }
        while let Some(requester) = self.intakes.pop_expired(now) {
            let why = format!("the request was not complete within {}", spell(self.host.timeout));
            self.refuse(RequesterId(requester), &why);
        }
        while let Some(requester) = self.unread.pop_expired(now) {
            self.cut(RequesterId(requester));
        }
        self.close_idle(now);
        self.turn_idle_ones(now);
        self.turn_spool(now);
        self.pump(now);
        self.rearm(now);
    }

    /// The deadline of a transaction has passed.
    fn run_out(&mut self, id: TransactionId, now: Instant) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let requester = transaction.requester;
        match transaction.phase {
            Phase::Queued(_) => {
                // Deadlines of one requester are in the order of its lane, so this is the first one there.
                if let Some(requester) = requester {
                    self.queue.take_first_of(requester);
                    let deferral = self.transactions.remove(id).and_then(|transaction| transaction.deferral);
                    let why = self.why_waited();
                    self.fail(requester, id, deferral, Failure::Timeout, &why);
                }
            }
            Phase::InFlight(connection) => self.run_out_in_flight(connection, id, requester, now),
            Phase::Storing => self.run_out_early(id),
            Phase::Streaming(_) | Phase::Tombstone(_) => {}
        }
    }

    fn run_out_in_flight(
        &mut self,
        connection: ConnectionId,
        id: TransactionId,
        requester: Option<RequesterId>,
        now: Instant,
    ) {
        let deferral = self.transactions.get_mut(id).and_then(|transaction| transaction.deferral.take());
        if matches!(deferral.as_deref(), Some(Deferral::Turn(_))) {
            return self.broke(
                connection,
                &format!("it did not answer HELLO within {}", spell(self.host.timeout)),
                now,
            );
        }
        let withdrawn = self.slot(connection).is_some_and(|slot| slot.withdraw(id));
        if withdrawn {
            self.transactions.remove(id);
        } else {
            self.bury(connection, id, now);
        }
        let Some(requester) = requester else { return };
        self.landed(requester);
        let timeout = spell(self.host.timeout);
        if withdrawn {
            self.fail(requester, id, deferral, Failure::Timeout, &format!("it took no request within {timeout}"));
        } else {
            self.fail(requester, id, deferral, Failure::Unknown, &format!("it did not reply within {timeout}"));
        }
    }

    /// Leaves a tombstone: the late reply will be read and dropped.
    fn bury(&mut self, connection: ConnectionId, id: TransactionId, now: Instant) {
        if self.first_flight(connection) == Some(id) {
            self.drop_held(connection);
        }
        if let Some(slot) = self.slot(connection) {
            slot.tombstones += 1;
        }
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.phase = Phase::Tombstone(connection);
            transaction.requester = None;
        }
        self.tombstones.insert(id.0, now + self.host.timeout);
    }

    fn close_idle(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            self.end_left_off(ConnectionId(key(index)));
            let used = match &self.slots[index] {
                Place::Open(slot) if slot.flights.is_empty() => slot.used,
                Place::Own(own) if own.requester.is_none() => own.used,
                _ => continue,
            };
            if now.saturating_duration_since(used) >= self.host.idle {
                self.retire_connection(ConnectionId(key(index)), "it was idle");
            }
        }
    }

    fn rearm(&mut self, now: Instant) {
        let lists = [&self.deadlines, &self.tombstones, &self.passages, &self.intakes, &self.unread];
        let first = lists.iter().filter_map(|list| list.first()).map(|(_, at)| at).min();
        let idle = self.slots.iter().filter_map(|place| match place {
            Place::Open(slot) if slot.flights.is_empty() => Some(slot.used + self.host.idle),
            Place::Own(own) if own.requester.is_none() => Some(own.used + self.host.idle),
            _ => None,
        });
        let idle = idle.min();
        let spool = self.spool.as_ref().and_then(|spool| spool.alarm(self.reach.standing()));
        self.armed = [first, idle, spool].into_iter().flatten().min().map(|at| at.max(now));
        self.errands.timer = true;
    }
}
