//! Parting: how sessions end other than by themselves, and what a successor is told of a requester.
//!
//! A connection that breaks takes along what was bound to it: its requester is told what is owed, and closed. A requester
//! that leaves takes its connection along.

use std::time::{Duration, Instant};

use super::{Cost, Dispatch, Place};
use crate::child::handing::Parcel;
use crate::dialect::{Act, Failure, Voice};
use crate::pool::{Loss, Own};
use crate::requester::{Account, Way};
use crate::work::{RequesterId, key};

/// A requester that sends no more is closed when its own connection has been silent for so long, if it cannot be counted
/// what that owes it.
const SILENCE: Duration = Duration::from_secs(2);

impl Dispatch {
    /// What a successor must know of a requester to go on with it.
    #[must_use]
    pub fn parcel_of_requester(&self, requester: RequesterId, unread: usize) -> Option<Parcel> {
        let account = self.account(requester)?;
        let notes = account.aside().map_or(&[][..], |aside| &aside.notes);
        Some(Parcel::Requester {
            dialect: self.host.dialect,
            deferred: account.way == Way::Deferred,
            unread: unread as u64,
            voice: account.voice(),
            notes: notes.iter().map(|note| String::from_utf8_lossy(note).into_owned()).collect(),
        })
    }

    /// What a predecessor knew of a requester that has joined just now.
    pub fn remember(&mut self, requester: RequesterId, voice: Voice, notes: &[String]) {
        let Some(account) = self.account_mut(requester).filter(|account| account.way == Way::Shared) else { return };
        if voice == Voice::default() && notes.is_empty() {
            return;
        }
        let aside = account.aside_mut();
        aside.notes = notes.iter().map(|note| note.as_bytes().into()).collect();
        aside.voice = voice;
        account.way = Way::Waiting;
        account.step_back();
        self.queue.speak(requester, voice);
    }

    /// Whether a requester cannot be handed over to a successor now, even when it is owed nothing.
    pub fn stays(&mut self, requester: RequesterId, now: Instant) -> bool {
        if self.has_calmed_down(requester, now) {
            self.forgive(requester);
        }
        self.account(requester).is_some_and(|account| matches!(account.way, Way::Own | Way::Waiting | Way::Turned))
    }

    /// Ends the session of a requester that waits for a reply that may never come. Returns whether there was one.
    pub fn end_waiting(&mut self, requester: RequesterId, now: Instant) -> bool {
        let waits = self.own_of(requester).is_some_and(Own::waits);
        let connection = self.account(requester).and_then(|account| account.bound);
        if let Some(connection) = connection.filter(|_| waits) {
            self.broke(connection, "tieline stops", now);
        }
        waits
    }

    /// Whether a requester that sends no more, and may be gone, waits for a reply that may never come. One that hears
    /// what cannot be counted is no such: silence ends it.
    #[must_use]
    pub fn waits_for_a_reply(&self, requester: RequesterId) -> bool {
        self.own_of(requester).is_some_and(|own| own.waits() && own.counted().is_some())
    }

    fn own_of(&self, requester: RequesterId) -> Option<&Own> {
        let bound = self.account(requester).filter(|account| account.way == Way::Own).and_then(|account| account.bound);
        bound.and_then(|connection| self.own(connection))
    }

    /// Whether a requester has a connection of its own.
    #[must_use]
    pub fn has_session(&self, requester: RequesterId) -> bool {
        self.account(requester).is_some_and(|account| account.way == Way::Own)
    }

    /// Whether a requester's bytes pass unseen, to a connection of its own.
    #[must_use]
    pub fn relays(&self, requester: RequesterId) -> bool {
        !self.host.dialect.counts_replies() && self.has_session(requester)
    }

    /// Sends bytes on a requester's own connection, whatever they are.
    pub fn relay(&mut self, requester: RequesterId, bytes: &[u8]) {
        self.send_own(requester, Act::Plain, bytes);
    }

    /// A requester sends no more. If it cannot be counted what its own connection owes it, it is given what comes.
    pub fn listens_on(&mut self, requester: RequesterId) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        if account.way == Way::Own
            && let Some(connection) = account.bound
            && let Some(Place::Own(own)) = self.slots.get_mut(connection.index())
        {
            own.listens_on();
            account.in_flight = key(own.owes());
        }
    }

    /// Whether a requester that sends no more has heard nothing over a connection of its own for so long that nothing
    /// more will come, although nobody can know.
    #[must_use]
    pub fn has_heard_all(&self, requester: RequesterId, now: Instant) -> bool {
        let Some(account) = self.account(requester).filter(|account| account.unread() == 0) else { return false };
        let own = account.bound.and_then(|connection| self.own(connection));
        own.is_some_and(|own| own.counted().is_none() && now.saturating_duration_since(own.used) >= SILENCE)
    }

    /// A connection of somebody's own has ended: what is owed is lost or unknown, and so is what was bound to it.
    pub(super) fn broke_own(&mut self, own: &Own, reason: &str) -> Cost {
        let Some(requester) = own.requester else { return Cost::default() };
        let mut cost = Cost::default();
        match own.loss() {
            Loss::Untold => {}
            Loss::Replies(sent, unsent) => {
                let why = format!("the connection of its own ended before the reply: {reason}");
                (0..sent).for_each(|_| self.answer(requester, Failure::Unknown, &why));
                (0..unsent).for_each(|_| self.answer(requester, Failure::Lost, &why));
                cost.unknown = sent as u64;
            }
        }
        if let Some(account) = self.account_mut(requester) {
            let words = account.aside_mut().last_words.take();
            account.answer(&words.unwrap_or_default());
            (account.bound, account.in_flight) = (None, 0);
            account.step_back();
        }
        self.close(requester);
        cost
    }

    /// Tells a requester with a session that its bytes are refused, behind all that its own connection owes it; nothing, if
    /// that cannot be counted.
    pub(super) fn refuse_in_session(&mut self, requester: RequesterId, why: &str) {
        let own = self.account(requester).and_then(|account| account.bound).and_then(|own| self.own(own));
        let Some(owes) = own.and_then(Own::counted) else { return self.tally.failed(Failure::Refused) };
        if owes == 0 {
            return self.answer(requester, Failure::Refused, why);
        }
        self.tally.failed(Failure::Refused);
        let mut words = Vec::new();
        self.word(Failure::Refused, why, &mut words);
        if let Some(account) = self.account_mut(requester) {
            account.aside_mut().last_words = Some(words);
        }
    }

    /// A requester has left: its connection is closed at once, an attempt to open one goes on for nobody.
    pub(super) fn leave_session(&mut self, account: &Account) {
        if account.way == Way::Own
            && let Some(connection) = account.bound
        {
            self.retire_connection(connection, "its requester has left");
        }
        if let Some(opening) = account.aside().and_then(|aside| aside.opening) {
            self.sessions.opening.entry(opening).and_modify(|who| *who = None);
        }
    }

    /// A requester without a session wants all forgotten that it said.
    pub(super) fn reset(&mut self, requester: RequesterId) {
        let Some(account) = self.account_mut(requester) else { return };
        let aside = account.aside_mut();
        (aside.voice, aside.turned) = (Voice::Two, None);
        aside.notes.clear();
        account.step_back();
        account.answer(b"+RESET\r\n");
        self.queue.speak(requester, Voice::Two);
        self.dirty(requester);
    }

    /// A requester without a session wants to leave.
    pub(super) fn farewell(&mut self, requester: RequesterId) {
        if let Some(account) = self.account_mut(requester) {
            account.answer(b"+OK\r\n");
        }
        self.close(requester);
    }
}
