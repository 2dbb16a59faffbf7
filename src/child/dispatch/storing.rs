//! Storing: requests on their way into the store, from the end of a first try to the store's answer.
//!
//! Enters: deferred requests whose first try has failed, or that were not tried. Leaves: errands for the store, and what it
//! answered, for their requesters. Promised: requests are stored in the order in which each requester has written them, and
//! nothing that was accepted later is sent before.

use std::time::Instant;

use super::Dispatch;
use crate::dialect::Failure;
use crate::requester::Way;
use crate::spool::replay::Id;
use crate::work::{ConnectionId, Deferral, Phase, RequesterId, Tagged, Transaction, TransactionId, key};

impl Dispatch {
    /// A first try ended without success: its request is stored, under a number of its own, for the old one may still
    /// be a tombstone's.
    pub(super) fn store_instead(&mut self, requester: RequesterId, id: TransactionId, request: Tagged, in_doubt: bool) {
        let ticket = self.new_ticket(requester, Instant::now());
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.rename(id, ticket);
        }
        self.store(requester, ticket, request, in_doubt);
        self.sweep_later();
    }

    pub(super) fn new_ticket(&mut self, requester: RequesterId, now: Instant) -> TransactionId {
        let requester = Some(requester);
        self.transactions.insert(Transaction { requester, accepted: now, phase: Phase::Storing, deferral: None })
    }

    pub(super) fn store(&mut self, requester: RequesterId, ticket: TransactionId, request: Tagged, in_doubt: bool) {
        let in_flight = self.account(requester).is_some_and(|account| account.in_flight > 0);
        let Some(spool) = &mut self.spool else { return };
        if in_flight || spool.held.contains_key(&requester) {
            spool.held.entry(requester).or_default().insert(ticket, (request, in_doubt));
            spool.release |= !in_flight;
        } else {
            self.append(ticket, request, in_doubt);
        }
    }

    /// A deferred requester has nothing in flight any more: what was held behind that can be stored.
    pub(super) fn release_later(&mut self, requester: RequesterId) {
        if let Some(spool) = &mut self.spool {
            spool.release |= spool.held.contains_key(&requester);
        }
    }

    /// Stores what was held behind first tries that have ended, in the order in which each requester has written it.
    pub(super) fn release_held(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        if !std::mem::take(&mut spool.release) {
            return;
        }
        let mut released = Vec::new();
        for (requester, mut held) in std::mem::take(&mut spool.held) {
            let Some(account) = self.accounts.get(requester.index()).and_then(Option::as_ref) else { continue };
            if account.in_flight > 0 {
                spool.held.insert(requester, held);
                continue;
            }
            released.extend(account.awaited().filter_map(|ticket| held.remove(&ticket).map(|held| (ticket, held))));
        }
        for (ticket, (request, in_doubt)) in released {
            self.append(ticket, request, in_doubt);
        }
    }

    /// A requester has left: what was held for it is not stored.
    pub(super) fn drop_held_of(&mut self, requester: RequesterId) {
        let held = self.spool.as_mut().and_then(|spool| spool.held.remove(&requester));
        for ticket in held.unwrap_or_default().into_keys() {
            self.transactions.remove(ticket);
        }
    }

    /// Moves the first tries that have not been sent into the store, in the order in which they were accepted: they must
    /// not overtake what is stored.
    pub(super) fn sweep(&mut self) {
        let mut waiting = self.withdraw_unsent(|deferral| matches!(deferral, Deferral::FirstTry(_)));
        for index in 0..self.accounts.len() {
            let requester = RequesterId(key(index));
            if self.account(requester).is_some_and(|account| account.way == Way::Deferred) {
                waiting.extend(self.queue.take_all_of(requester).into_iter().map(|id| (requester, id)));
            }
        }
        // A requester's own stay in their order, for the sort is stable and connections come before the queue.
        waiting.sort_by_key(|(_, id)| self.transactions.get(*id).map(|transaction| transaction.accepted));
        for (requester, id) in waiting {
            self.deadlines.remove(id.0);
            if let Some(deferral) = self.transactions.remove(id).and_then(|transaction| transaction.deferral)
                && let Deferral::FirstTry(request) = *deferral
            {
                self.store_instead(requester, id, request, false);
            }
        }
    }

    /// Takes transactions back from connections of which not one byte was sent.
    pub(super) fn withdraw_unsent(&mut self, wanted: impl Fn(&Deferral) -> bool) -> Vec<(RequesterId, TransactionId)> {
        let mut withdrawn = Vec::new();
        for index in 0..self.slots.len() {
            let Some(slot) = self.slot(ConnectionId(key(index))) else { continue };
            let unsent = slot.flights.iter().filter(|flight| slot.never_sent(flight));
            for id in unsent.map(|flight| flight.transaction).collect::<Vec<_>>() {
                let Some(Transaction { requester, deferral, .. }) = self.transactions.get(id) else { continue };
                let Some(requester) = requester.filter(|_| deferral.as_deref().is_some_and(&wanted)) else { continue };
                if self.slot(ConnectionId(key(index))).is_some_and(|slot| slot.withdraw(id)) {
                    self.landed(requester);
                    withdrawn.push((requester, id));
                }
            }
        }
        withdrawn
    }

    pub(super) fn stored(&mut self, ticket: TransactionId, id: Id) {
        let mut words = Vec::new();
        self.host.dialect.delayed(id, &mut words);
        self.tally.delayed();
        if let Some(spool) = &mut self.spool {
            spool.replay.stored();
        }
        self.end_storing(ticket, &words);
    }

    /// A request could not be stored. One whose first try had been sent is unknown, whatever the store says.
    pub(super) fn not_stored(&mut self, ticket: TransactionId, failure: Failure, why: &str) {
        let storing = self.spool.as_ref().and_then(|spool| spool.storing.iter().find(|(id, _)| *id == ticket));
        let failure = if storing.is_some_and(|(_, in_doubt)| *in_doubt) { Failure::Unknown } else { failure };
        let mut words = Vec::new();
        self.word(failure, &format!("it could not be stored: {why}"), &mut words);
        self.tally.failed(failure);
        self.end_storing(ticket, &words);
    }

    fn end_storing(&mut self, ticket: TransactionId, words: &[u8]) {
        if let Some(spool) = &mut self.spool {
            // Nearly always the first one: the store answers in order.
            let place = spool.storing.iter().position(|(id, _)| *id == ticket);
            place.and_then(|place| spool.storing.remove(place));
        }
        let Some(requester) = self.transactions.remove(ticket).and_then(|transaction| transaction.requester) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
            && account.settle(ticket, Vec::new(), words)
        {
            self.dirty(requester);
        }
    }

    /// First tries that wait in the queue must not overtake what is stored.
    pub(super) fn sweep_later(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.sweep = true;
        }
    }

    /// Takes the first tries that wait in the queue out of it, if they must not overtake what is stored.
    pub(super) fn sweep_if_due(&mut self) {
        if let Some(spool) = &mut self.spool
            && spool.sweep
            && spool.has_backlog()
        {
            spool.sweep = false;
            self.sweep();
        }
    }
}
