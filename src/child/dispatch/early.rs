//! Early: deferred requests that come while the store is being opened. A predecessor may have it still.
//!
//! They wait here and not in the store's thread, because here they can be taken back: when their deadline passes (they end
//! as timeout, for not one byte was sent and nothing will be stored), and when the child is replaced before it ever had the
//! store (they go to the successor, as bytes that nobody has read).

use super::deferred::{Door, Errand};
use super::{Dispatch, spell};
use crate::dialect::Failure;
use crate::requester::Way;
use crate::work::{RequesterId, Tagged, TransactionId};

/// One request that waits.
#[derive(Debug)]
pub(super) struct Early {
    ticket: TransactionId,
    request: Tagged,
    /// Whether the first try had sent it.
    in_doubt: bool,
}

impl Dispatch {
    /// Has a request stored, when the store is there.
    pub(super) fn append(&mut self, ticket: TransactionId, request: Tagged, in_doubt: bool) {
        let accepted = self.transactions.get(ticket).map(|transaction| transaction.accepted);
        let Some(spool) = &mut self.spool else { return };
        if spool.door != Door::Opening {
            spool.storing.push_back((ticket, in_doubt));
            self.errands.store.push(Errand::Append { ticket, request, in_doubt });
            return;
        }
        spool.early.push_back(Early { ticket, request, in_doubt });
        if let Some(accepted) = accepted {
            let at = accepted + self.host.timeout;
            self.deadlines.insert(ticket.0, at);
            self.need(at);
        }
    }

    /// The store is there, or cannot be used: it says so to each of those that waited.
    pub(super) fn let_in(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        for Early { ticket, request, in_doubt } in std::mem::take(&mut spool.early) {
            self.deadlines.remove(ticket.0);
            self.append(ticket, request, in_doubt);
        }
    }

    /// The deadline of a request that waits for the store has passed.
    pub(super) fn run_out_early(&mut self, ticket: TransactionId) {
        let Some(spool) = &mut self.spool else { return };
        let place = spool.early.iter().position(|early| early.ticket == ticket);
        let Some(Early { in_doubt, .. }) = place.and_then(|place| spool.early.remove(place)) else { return };
        let timeout = spell(self.host.timeout);
        let why = format!("its spool could not be opened within {timeout}, for another process has it");
        let failure = if in_doubt { Failure::Unknown } else { Failure::Timeout };
        if let Some(requester) = self.transactions.remove(ticket).and_then(|transaction| transaction.requester) {
            self.fail(requester, ticket, None, failure, &why);
        }
    }

    /// A requester has left: what waited for it is not stored.
    pub(super) fn drop_early_of(&mut self, requester: RequesterId) {
        let Some(spool) = self.spool.as_mut().filter(|spool| !spool.early.is_empty()) else { return };
        let (deadlines, transactions) = (&mut self.deadlines, &mut self.transactions);
        spool.early.retain(|early| {
            let stays = transactions.get(early.ticket).is_some_and(|it| it.requester != Some(requester));
            if !stays {
                deadlines.remove(early.ticket.0);
                transactions.remove(early.ticket);
            }
            stays
        });
    }

    /// Takes a requester's requests back, in their order, if all that it is owed is the answers to requests that wait for
    /// the store and were never sent. It is owed nothing afterwards.
    pub fn take_back_early(&mut self, requester: RequesterId) -> Option<Vec<u8>> {
        let spool = self.spool.as_mut().filter(|spool| !spool.early.is_empty())?;
        let account = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)?;
        let owed: Vec<TransactionId> = account.awaited().collect();
        let place_of =
            |ticket: &TransactionId| spool.early.iter().position(|early| early.ticket == *ticket && !early.in_doubt);
        if account.unread() > 0 || account.outstanding() != owed.len() || !owed.iter().all(|id| place_of(id).is_some())
        {
            return None;
        }
        let mut requests = Vec::new();
        for ticket in owed {
            let place = spool.early.iter().position(|early| early.ticket == ticket);
            if let Some(early) = place.and_then(|place| spool.early.remove(place)) {
                requests.extend_from_slice(&early.request.body);
            }
            account.settle(ticket, Vec::new(), b"");
            self.deadlines.remove(ticket.0);
            self.transactions.remove(ticket);
        }
        Some(requests)
    }

    /// Whether a deferred requester may still need the store: one that is owed something, or (`idle`) one that is not.
    #[must_use]
    pub fn needs_store(&self, idle: bool) -> bool {
        self.accounts.iter().flatten().any(|account| account.way == Way::Deferred && (idle || !account.is_settled()))
    }
}
