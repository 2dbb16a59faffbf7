//! Requests: to a connection at once, or into the queue, or answered with why not.

use std::borrow::Cow;
use std::time::Instant;

use super::{Deferred, Dispatch, Place, spell};
use crate::dialect::{Expect, Failure, Voice};
use crate::pool::{self, Slot};
use crate::requester::{Standing, Way};
use crate::work::{ConnectionId, Phase, RequesterId, Transaction, TransactionId, key};

impl Dispatch {
    /// A requester has sent a complete request that the host may be sent.
    #[inline]
    pub fn request<'a>(&mut self, requester: RequesterId, request: impl Into<Cow<'a, [u8]>>, now: Instant) {
        let request = request.into();
        match self.account(requester).map(|account| account.way) {
            Some(Way::Shared) => self.request_shared(requester, request, now),
            Some(Way::Deferred) => self.request_deferred(requester, &request, now),
            _ => self.request_aside(requester, &request, now),
        }
    }

    #[inline]
    pub(super) fn request_shared(&mut self, requester: RequesterId, request: Cow<'_, [u8]>, now: Instant) {
        let expect = self.host.dialect.expect(&request);
        if expect.is_run() {
            return self.hold(requester, &request, expect, now);
        }
        self.end_run(now);
        self.undertake(requester, request, expect, now);
    }

    /// Begins a transaction, unless it is clear already how it would end.
    #[inline]
    pub(super) fn undertake(&mut self, requester: RequesterId, request: Cow<'_, [u8]>, expect: Expect, now: Instant) {
        if self.reach.standing() == pool::Standing::Dead {
            let why = format!("it cannot be reached ({})", self.reach.reason());
            return self.decline(requester, expect, Failure::Lost, &why);
        }
        let chosen = if self.queue.has(requester) { None } else { self.choose(requester, now) };
        match chosen {
            Some(connection) => self.begin_on(requester, connection, request, None, now),
            None if self.queue.len() >= self.host.queue as usize => {
                let why = format!("{} requests wait for a connection already", self.queue.len());
                return self.decline(requester, expect, Failure::Busy, &why);
            }
            None => self.begin_in_queue(requester, request, None, now),
        }
        if expect == Expect::Silence
            && let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
        {
            account.hush_last();
        }
    }

    /// Answers with a failure, if an answer is wanted at all.
    pub(super) fn decline(&mut self, requester: RequesterId, expect: Expect, failure: Failure, why: &str) {
        match expect {
            Expect::Silence => self.tally.failed(failure),
            _ => self.answer(requester, failure, why),
        }
    }

    /// Begins a transaction: on the chosen connection, else in the queue.
    pub(super) fn begin(
        &mut self,
        requester: RequesterId,
        chosen: Option<ConnectionId>,
        request: Cow<'_, [u8]>,
        deferral: Deferred,
        now: Instant,
    ) {
        match chosen {
            Some(connection) => self.begin_on(requester, connection, request, deferral, now),
            None => self.begin_in_queue(requester, request, deferral, now),
        }
    }

    fn begin_on(
        &mut self,
        requester: RequesterId,
        connection: ConnectionId,
        request: Cow<'_, [u8]>,
        deferral: Deferred,
        now: Instant,
    ) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        let phase = Phase::InFlight(connection);
        let id = self.transactions.insert(Transaction { requester: Some(requester), accepted: now, phase, deferral });
        account.owe(id);
        account.in_flight += 1;
        account.bound = Some(connection);
        self.set_deadline(id, now);
        self.send(connection, id, request, now);
    }

    fn begin_in_queue(&mut self, requester: RequesterId, request: Cow<'_, [u8]>, deferral: Deferred, now: Instant) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        let phase = Phase::Queued(request.into_owned().into());
        let id = self.transactions.insert(Transaction { requester: Some(requester), accepted: now, phase, deferral });
        account.owe(id);
        self.queue.push(requester, account.bound, id);
        self.set_deadline(id, now);
        self.errands.connect = true;
        self.turn_if_wanted(now);
    }

    #[inline]
    fn set_deadline(&mut self, id: TransactionId, now: Instant) {
        let at = now + self.host.timeout;
        self.deadlines.insert(id.0, at);
        self.need(at);
    }

    /// Answers a request at once, in its turn, with a failure.
    pub fn answer(&mut self, requester: RequesterId, failure: Failure, why: &str) {
        let mut words = Vec::new();
        self.word(failure, why, &mut words);
        self.answer_with(requester, failure, &words);
    }

    /// Answers that a requester's bytes are refused; it is closed after that.
    pub fn refuse(&mut self, requester: RequesterId, why: &str) {
        self.intakes.remove(requester.0);
        if self.account(requester).is_some_and(|account| account.standing == Standing::Open) {
            if self.has_session(requester) {
                self.refuse_in_session(requester, why);
            } else {
                self.answer(requester, Failure::Refused, why);
            }
            self.close(requester);
        }
    }

    /// Answers a deferred requester that a command would need a connection of its own. It may go on.
    pub(super) fn refuse_session(&mut self, requester: RequesterId, command: &str) {
        let mut words = Vec::new();
        let name = &self.host.name;
        let detail = format!(
            "{command} needs a connection of its own, which deferred requests to host \"{name}\" have not; nothing was sent"
        );
        self.host.dialect.failure(Failure::Refused, &detail, &mut words);
        self.answer_with(requester, Failure::Refused, &words);
    }

    fn answer_with(&mut self, requester: RequesterId, failure: Failure, words: &[u8]) {
        self.tally.failed(failure);
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.answer(words);
            self.dirty(requester);
        }
    }

    /// What is to be written to a connection.
    pub fn outgoing(&mut self, connection: ConnectionId) -> &[u8] {
        match self.slots.get(connection.index()) {
            Some(Place::Open(slot)) => slot.outgoing.unsent(),
            Some(Place::Own(own)) => own.outgoing.unsent(),
            _ => &[],
        }
    }

    /// A connection's socket took `count` bytes.
    pub fn wrote(&mut self, connection: ConnectionId, count: usize, now: Instant) {
        if let Some(slot) = self.slot(connection) {
            slot.outgoing.wrote(count);
            slot.used = now;
            if !self.queue.is_empty() {
                self.pump(now);
            }
        } else if let Some(own) = self.own_mut(connection) {
            own.outgoing.wrote(count);
            own.used = now;
            if let Some(requester) = own.requester
                && self.account(requester).is_some_and(|account| account.paused)
            {
                self.dirty(requester);
            }
        }
    }

    /// The connection that takes a request of `requester` now: its own while it has transactions in flight, else the
    /// least busy one.
    #[inline]
    pub(super) fn choose(&mut self, requester: RequesterId, now: Instant) -> Option<ConnectionId> {
        let account = self.account(requester)?;
        let voice = account.voice();
        if let Some(bound) = account.bound {
            return self.slot(bound).is_some_and(|slot| slot.takes_work()).then_some(bound);
        }
        self.least_busy(voice, now)
    }

    /// The least busy connection that speaks `voice` and takes work. Says so if a further one would help.
    fn least_busy(&mut self, voice: Voice, now: Instant) -> Option<ConnectionId> {
        let mut best: Option<(usize, &Slot)> = None;
        let mut live = 0;
        for (index, place) in self.slots.iter().take(self.shared_top).enumerate() {
            let Place::Open(slot) = place else { continue };
            live += 1;
            let is_less_busy = best.is_none_or(|(_, least)| slot.flights.len() < least.flights.len());
            if is_less_busy && slot.voice == voice && slot.takes_work() {
                best = Some((index, slot));
            }
        }
        let (index, slot) = best?;
        if live < self.host.connections as usize && slot.is_strained(now) {
            (self.attempt.strained, self.attempt.strained_voice) = (true, voice);
            self.errands.connect = true;
        }
        Some(ConnectionId(key(index)))
    }

    /// Gives a request to a connection.
    #[inline]
    pub(super) fn send(&mut self, connection: ConnectionId, id: TransactionId, request: Cow<'_, [u8]>, now: Instant) {
        let Some(slot) = self.slot(connection) else { return };
        let was_empty = slot.outgoing.is_empty();
        slot.send(id, request, now);
        if was_empty {
            self.errands.wake.push(connection);
        }
    }

    /// Gives queued transactions to the connections that take work, one each in turn.
    pub(super) fn pump(&mut self, now: Instant) {
        self.sweep_if_due();
        let mut gave = !self.queue.is_empty();
        while std::mem::take(&mut gave) {
            for index in 0..self.shared_top {
                let connection = ConnectionId(key(index));
                if let Some(slot) = self.slot(connection)
                    && slot.takes_work()
                    && let voice = slot.voice
                    && let Some((requester, id)) = self.queue.take_for(connection, voice)
                {
                    self.take_off(connection, requester, id, now);
                    gave = true;
                }
            }
        }
        if self.queue.waits_for_any() {
            self.errands.connect = true;
            self.turn_if_wanted(now);
        }
    }

    /// Moves a transaction from the queue to a connection.
    fn take_off(&mut self, connection: ConnectionId, requester: RequesterId, id: TransactionId, now: Instant) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Phase::Queued(request) = std::mem::replace(&mut transaction.phase, Phase::InFlight(connection)) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.in_flight += 1;
            account.bound = Some(connection);
        }
        self.queue.bind(requester, Some(connection));
        self.send(connection, id, request.into_vec().into(), now);
    }

    /// Ends everything that is queued as lost: the host is dead.
    pub(super) fn lose_queue(&mut self) {
        let why = format!("it cannot be reached ({})", self.reach.reason());
        for index in 0..self.accounts.len() {
            let requester = RequesterId(key(index));
            for id in self.queue.take_all_of(requester) {
                self.deadlines.remove(id.0);
                let deferral = self.transactions.remove(id).and_then(|transaction| transaction.deferral);
                self.fail(requester, id, deferral, Failure::Lost, &why);
            }
        }
    }

    /// Why a transaction that waited in the queue ran out of time.
    pub(super) fn why_waited(&self) -> String {
        let waited = spell(self.host.timeout);
        match self.reach.standing() {
            pool::Standing::Up => format!("no connection was free within {waited}"),
            _ => format!("it could not be reached within {waited} ({})", self.reach.reason()),
        }
    }
}
