//! Replies: from a connection to the requester whose turn it is.

use std::time::Instant;

use super::{Dispatch, Place};
use crate::dialect::Expect;
use crate::pool::{Flight, HOLD, Piece, Unfit};
use crate::requester::Standing;
use crate::work::{ConnectionId, Deferral, Phase, RequesterId, TransactionId};

/// Writes bytes to a requester that has nothing unread, as far as its socket takes them at once; how many it took.
pub type AtOnce<'a> = dyn FnMut(RequesterId, &[u8]) -> usize + 'a;

impl Dispatch {
    /// A connection's host has sent bytes. What is passed on of a large reply need not be kept if `at_once` can write it.
    ///
    /// # Errors
    /// Why the connection must be ended, with [`Dispatch::broke`].
    pub fn received(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        now: Instant,
        at_once: &mut AtOnce<'_>,
    ) -> Result<(), String> {
        let taken = self.take_replies(connection, bytes, now, at_once);
        self.tally.replies_end(now);
        taken?;
        self.end_left_off(connection);
        self.release_held();
        if !self.queue.is_empty() {
            self.pump(now);
        }
        Ok(())
    }

    #[inline]
    fn take_replies(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        now: Instant,
        at_once: &mut AtOnce<'_>,
    ) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(slot) = self.slot(connection) else { return self.received_own(connection, rest, now) };
            slot.used = now;
            let read = slot.read(rest);
            match read.map_err(|unfit| self.cannot_be_read(connection, &unfit, now))? {
                Piece::End(length) => {
                    let (piece, after) = rest.split_at(length);
                    self.end_of_reply(connection, piece, now);
                    rest = after;
                }
                Piece::Part(length) => {
                    let (piece, after) = rest.split_at(length);
                    self.part_of_reply(connection, piece, now);
                    rest = after;
                }
                Piece::Middle => {
                    self.middle_of_reply(connection, rest, now, at_once);
                    rest = &[];
                }
            }
        }
        Ok(())
    }

    /// What the host has sent cannot be read on: why the connection must be ended. That a reply is too large would be so
    /// again at the next replay of its request.
    #[cold]
    fn cannot_be_read(&mut self, connection: ConnectionId, unfit: &Unfit, now: Instant) -> String {
        let first = self.slot(connection).and_then(|slot| slot.flights.front()).map(|flight| flight.transaction);
        if let (Unfit::TooLarge, Some(id)) = (unfit, first) {
            self.replay_without_end(id, &unfit.to_string(), now);
        }
        unfit.to_string()
    }

    /// Whether a connection may be read: not while the only requester that it serves leaves a large reply unread.
    /// While others wait behind that reply, it is read on, up to a bound that closes the idle reader.
    pub fn may_receive(&mut self, connection: ConnectionId) -> bool {
        let limit = self.host.unread;
        if let Some(Place::Own(own)) = self.slots.get_mut(connection.index()) {
            let account = own.requester.and_then(|requester| self.accounts.get(requester.index())?.as_ref());
            own.stalled = account.is_some_and(|account| account.unread() as u64 > limit);
            return !own.stalled;
        }
        let stalled = self.is_blocked_by_reader(connection);
        if let Some(slot) = self.slot(connection) {
            slot.stalled = stalled;
        }
        !stalled
    }

    /// The last bytes of a reply.
    fn end_of_reply(&mut self, connection: ConnectionId, piece: &[u8], now: Instant) {
        let Some(slot) = self.slot(connection) else { return };
        let Some(flight) = slot.flights.pop_front() else { return };
        let (mut held, mut piece) = (std::mem::take(&mut slot.held), piece);
        if flight.expect.is_run() {
            // The answer to what ended the run is for nobody.
            (held, piece) = (Vec::new(), b"");
        }
        let (idle, first) = (slot.flights.is_empty(), !std::mem::replace(&mut slot.proven, true));
        let turns = idle && slot.turning.is_some();
        if first {
            self.reach.proven();
        }
        if idle {
            self.need(now + self.host.idle);
        }
        let id = flight.transaction;
        let Some(transaction) = self.transactions.remove(id) else { return };
        if turns && !matches!(transaction.deferral.as_deref(), Some(Deferral::Turn(_))) {
            self.turn_idle(connection, now);
        }
        match transaction.phase {
            Phase::Tombstone(_) => {
                self.tombstones.remove(id.0);
                if let Some(slot) = self.slot(connection) {
                    slot.tombstones -= 1;
                }
                return;
            }
            Phase::Streaming(_) => self.passages.remove(connection.0),
            Phase::InFlight(_) | Phase::Queued(_) | Phase::Storing => self.deadlines.remove(id.0),
        };
        let Some(requester) = transaction.requester else {
            if let Some(deferral) = transaction.deferral {
                self.answered_aside(connection, &deferral, &[&held[..], piece].concat(), now);
            }
            return;
        };
        self.landed(requester);
        self.tally.replied_to(transaction.accepted, now);
        if let Some(deferral) = transaction.deferral
            && self.judge_reply(requester, id, *deferral, &[&held[..], piece].concat(), now)
        {
            return;
        }
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        let was_owed = if held.is_empty() {
            account.settle_whole(id, piece, &mut self.spares)
        } else {
            account.settle(id, held, piece)
        };
        if was_owed && !std::mem::replace(&mut account.dirty, true) {
            self.errands.flush.push(requester);
        }
    }

    /// Bytes of a reply that goes on. Small ones are held; a large one is passed on; one that nobody waits for is dropped.
    fn middle_of_reply(&mut self, connection: ConnectionId, piece: &[u8], now: Instant, at_once: &mut AtOnce<'_>) {
        let Some(&Flight { transaction: id, expect, .. }) = self.slot(connection).and_then(|slot| slot.flights.front())
        else {
            return;
        };
        let at = now + self.host.timeout;
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let (requester, streaming) = match (&transaction.phase, transaction.requester) {
            (Phase::Streaming(_), requester) => (requester, true),
            (Phase::Tombstone(_), _) => (None, false),
            (_, requester) => (requester, false),
        };
        let replayed = matches!(transaction.deferral.as_deref(), Some(Deferral::Replay(_)));
        if streaming {
            self.passages.insert(connection.0, at);
            self.need(at);
        }
        let Some(requester) = requester.filter(|_| expect != Expect::Silence) else {
            return self.hold_aside(connection, id, piece);
        };
        if streaming {
            return self.pass_at_once(requester, id, piece, at_once);
        }
        let Some(slot) = self.slot(connection) else { return };
        if slot.held.len() + piece.len() <= HOLD {
            return slot.hold(piece);
        }
        if replayed {
            // Nobody waits for it: its beginning is enough to be judged by.
            return;
        }
        let held = std::mem::take(&mut slot.held);
        self.deadlines.remove(id.0);
        self.passages.insert(connection.0, at);
        self.need(at);
        if let Some(transaction) = self.transactions.get_mut(id) {
            // What is passed on can no longer be stored instead.
            transaction.deferral = None;
            transaction.phase = Phase::Streaming(connection);
        }
        self.pass(requester, id, &[&held, piece]);
    }

    /// Passes a piece of a large reply on, without keeping what the requester takes now.
    fn pass_at_once(&mut self, requester: RequesterId, id: TransactionId, piece: &[u8], at_once: &mut AtOnce<'_>) {
        let is_clear = self.account(requester).is_some_and(|account| account.is_clear_for(id));
        let taken = if is_clear { at_once(requester, piece) } else { 0 };
        if taken < piece.len() {
            self.pass(requester, id, &[&piece[taken..]]);
        }
    }

    pub(super) fn pass(&mut self, requester: RequesterId, id: TransactionId, pieces: &[&[u8]]) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        if !pieces.iter().all(|piece| account.pass(id, piece)) {
            // Cannot be: a requester keeps to one connection, which answers in order. If it is, no reply may be mixed
            // into another.
            account.standing = Standing::Cut;
        }
        self.dirty(requester);
    }

    pub(super) fn first_flight(&mut self, connection: ConnectionId) -> Option<TransactionId> {
        self.slot(connection)?.flights.front().map(|flight| flight.transaction)
    }

    pub(super) fn drop_held(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.slot(connection) {
            slot.held = Vec::new();
        }
    }

    /// Lets a connection read again that waited for its reader.
    pub(super) fn let_read(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.slot(connection)
            && std::mem::take(&mut slot.stalled)
        {
            self.errands.wake.push(connection);
        }
        if let Some(own) = self.own_mut(connection)
            && std::mem::take(&mut own.stalled)
        {
            self.errands.wake.push(connection);
        }
    }

    fn is_blocked_by_reader(&mut self, connection: ConnectionId) -> bool {
        let Some(first) = self.first_flight(connection) else { return false };
        let Some(transaction) = self.transactions.get(first) else { return false };
        let (Phase::Streaming(_), Some(requester)) = (&transaction.phase, transaction.requester) else { return false };
        if self.unread.at(requester.0).is_none() {
            return false;
        }
        let Some(flights) = self.slot(connection).map(|slot| slot.flights.clone()) else { return false };
        flights.iter().all(|flight| {
            self.transactions.get(flight.transaction).is_some_and(|other| other.requester == Some(requester))
        })
    }
}
