//! Sessions: requesters that have a connection of their own, until nothing is bound to it any more.
//!
//! ```text
//!            owed nothing                     a connection, kept or new
//! shared ─────────────────▶ waiting (opening) ─────────────────────────▶ own ──nothing owed, nothing bound──▶ shared
//!                                │ none free, or none to be had: the command is answered busy or lost ─────────▶ shared
//! ```
//!
//! Who is not given one is in `turned`, and how sessions end in `parting`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::turned::is_transaction;
use super::{Dispatch, Place};
use crate::dialect::{Act, Failure, Voice};
use crate::pool::{self, Own};
use crate::requester::{Account, Pending, Way};
use crate::work::{ConnectionId, RequesterId, key};

/// Bytes of what a requester may say about itself, each time.
const LONGEST_NOTE: usize = 256;

/// As many notes of a requester are remembered.
const NOTES: usize = 4;

/// The sessions of this worker.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// The attempts to open a connection, with who waits for it; nobody, if that one has left.
    pub(super) opening: BTreeMap<u64, Option<RequesterId>>,
    /// Attempts that nobody has begun.
    to_open: VecDeque<u64>,
    next: u64,
}

impl Dispatch {
    /// A requester has sent a command that needs a connection of its own.
    pub fn session(
        &mut self,
        requester: RequesterId,
        command: Cow<'static, str>,
        act: Act,
        request: &[u8],
        now: Instant,
    ) {
        let Some(account) = self.account(requester) else { return };
        match (account.way, act) {
            (Way::Own, _) => self.send_own(requester, act, request),
            (_, Act::Quit) => self.farewell(requester),
            (Way::Deferred, _) => self.refuse_session(requester, &command),
            // It may be a value that stands behind an unknown command.
            (Way::Turned, _) if !self.host.dialect.counts_replies() && !self.has_calmed_down(requester, now) => {
                self.answer_turned(requester, request, now);
            }
            (_, Act::Reset) => self.when_owed_nothing(requester, Pending::Reset, now),
            (Way::Turned, Act::Exec | Act::Discard) if is_transaction(account) => {
                self.answer_turned(requester, request, now);
                self.forgive(requester);
            }
            _ => {
                self.forgive(requester);
                self.when_owed_nothing(requester, Pending::Session { command, act, request: request.into() }, now);
            }
        }
    }

    /// A requester wants to speak another voice, or says again which.
    pub fn hello(&mut self, requester: RequesterId, voice: Voice, request: &[u8], now: Instant) {
        if self.has_calmed_down(requester, now) {
            self.forgive(requester);
        }
        let Some(account) = self.account(requester) else { return };
        match account.way {
            Way::Own => self.send_own(requester, Act::Hello(voice), request),
            Way::Deferred => self.refuse_session(requester, "HELLO"),
            Way::Turned => self.answer_turned(requester, request, now),
            _ if account.voice() == voice => self.request(requester, request, now),
            _ => self.when_owed_nothing(requester, Pending::Hello(voice, request.into()), now),
        }
    }

    /// A requester tells who it is; `answer` says that all is well. Its own connections are told.
    pub fn note(&mut self, requester: RequesterId, request: &[u8], answer: &[u8]) {
        let Some(account) = self.account_mut(requester) else { return };
        if account.way == Way::Own {
            return self.send_own(requester, Act::Plain, request);
        }
        account.answer(answer);
        if request.len() <= LONGEST_NOTE {
            let notes = &mut account.aside_mut().notes;
            if notes.len() == NOTES {
                notes.remove(0);
            }
            notes.push(request.into());
        }
        self.dirty(requester);
    }

    /// Does what is pending for a requester that is owed nothing.
    pub(super) fn do_pending(&mut self, requester: RequesterId, now: Instant) {
        let Some(account) = self.account_mut(requester) else { return };
        let opens = account.aside().is_some_and(|aside| aside.opening.is_some());
        if account.way != Way::Waiting || account.outstanding() > 0 || opens {
            return;
        }
        match account.aside_mut().pending.take() {
            None => {}
            Some(Pending::Reset) => self.reset(requester),
            Some(Pending::Hello(voice, request)) => self.change_voice(requester, voice, &request, now),
            Some(pending @ Pending::Session { .. }) => self.begin_session(requester, pending, now),
        }
    }

    /// The next attempt to open a connection for a session.
    pub fn next_opening(&mut self) -> Option<u64> {
        self.sessions.to_open.pop_front()
    }

    /// Such an attempt succeeded. Returns the connection's number.
    pub fn opened_own(&mut self, attempt: u64, now: Instant) -> ConnectionId {
        let own = Own::new(self.host.dialect, now);
        let connection = self.place(self.host.connections as usize, Place::Own(Box::new(own)));
        self.attempts += 1;
        if matches!(self.reach.standing(), pool::Standing::Untried | pool::Standing::Failing) {
            self.errands.reach = true;
            self.reach.connected();
        }
        match self.sessions.opening.remove(&attempt).flatten() {
            Some(requester) => self.give(requester, connection, now),
            None => self.need(now + self.host.idle),
        }
        connection
    }

    /// Such an attempt failed.
    pub fn opening_failed(&mut self, attempt: u64, reason: &str, now: Instant) {
        self.attempts += 1;
        if self.live() == 0 && !self.attempt.under_way {
            let (before, jitter) = (self.reach.standing(), self.rng.f64());
            self.reach.failed(reason.to_owned(), false, now, jitter);
            self.reach_changed(before);
        }
        if let Some(requester) = self.sessions.opening.remove(&attempt).flatten() {
            let why = format!("no connection of its own could be had ({reason})");
            self.turn_away(requester, Failure::Lost, &why, now);
        }
    }

    /// The host has sent bytes over a connection of somebody's own.
    pub(super) fn received_own(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant) -> Result<(), String> {
        let Some(Place::Own(own)) = self.slots.get_mut(connection.index()) else { return Ok(()) };
        own.used = now;
        let Some(requester) = own.requester else {
            return Err("the host sent something that nobody asked for".to_owned());
        };
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let part = own.read(rest);
            let (piece, after) = rest.split_at(part.length);
            if part.passes {
                account.answer(piece);
            }
            if let Some(voice) = part.voice {
                account.aside_mut().voice = voice;
            }
            if part.replies {
                self.tally.passed();
            }
            rest = after;
        }
        account.in_flight = key(own.owes());
        let is_over = own.is_over();
        if account.in_flight == 0
            && let Some(words) = account.aside_mut().last_words.take()
        {
            account.answer(&words);
        }
        if is_over {
            self.end_session(connection, requester, now);
        }
        self.dirty(requester);
        Ok(())
    }

    /// How many connections there are for sessions, those that are being opened included.
    pub(super) fn sessions_open(&self) -> usize {
        let own = self.slots.iter().filter(|place| matches!(place, Place::Own(_))).count();
        own + self.sessions.opening.len()
    }

    pub(super) fn own(&self, connection: ConnectionId) -> Option<&Own> {
        match self.slots.get(connection.index()) {
            Some(Place::Own(own)) => Some(own),
            _ => None,
        }
    }

    pub(super) fn own_mut(&mut self, connection: ConnectionId) -> Option<&mut Own> {
        match self.slots.get_mut(connection.index()) {
            Some(Place::Own(own)) => Some(own),
            _ => None,
        }
    }

    /// Has something done when a requester is owed nothing, which may be now. It is read no further until then.
    fn when_owed_nothing(&mut self, requester: RequesterId, pending: Pending, now: Instant) {
        let Some(account) = self.account_mut(requester) else { return };
        account.step_aside(Way::Waiting);
        account.aside_mut().pending = Some(pending);
        self.do_pending(requester, now);
    }

    fn begin_session(&mut self, requester: RequesterId, pending: Pending, now: Instant) {
        let voice = self.account(requester).map_or(Voice::Two, Account::voice);
        let idle = self.idle_own(voice);
        if let Some(account) = self.account_mut(requester) {
            account.aside_mut().pending = Some(pending);
        }
        if let Some(connection) = idle {
            self.give(requester, connection, now);
        } else if self.reach.standing() == pool::Standing::Dead {
            let why = format!("it cannot be reached ({})", self.reach.reason());
            self.turn_away(requester, Failure::Lost, &why, now);
        } else if self.sessions_open() >= self.host.sessions as usize {
            let why = format!("all {} connections for sessions are in use", self.host.sessions);
            self.turn_away(requester, Failure::Busy, &why, now);
        } else {
            self.begin_opening(requester);
        }
    }

    fn begin_opening(&mut self, requester: RequesterId) {
        let attempt = self.sessions.next;
        self.sessions.next += 1;
        self.sessions.opening.insert(attempt, Some(requester));
        self.sessions.to_open.push_back(attempt);
        if let Some(account) = self.account_mut(requester) {
            account.aside_mut().opening = Some(attempt);
        }
        self.errands.sessions = true;
    }

    /// An idle connection for a session, best one that speaks `voice`.
    fn idle_own(&self, voice: Voice) -> Option<ConnectionId> {
        let is_idle = |(index, place): (usize, &Place)| match place {
            Place::Own(own) if own.requester.is_none() => Some((own.voice != voice, index)),
            _ => None,
        };
        let best = self.slots.iter().enumerate().filter_map(is_idle).min();
        best.map(|(_, index)| ConnectionId(key(index)))
    }

    /// A requester is given a connection of its own, and what is pending is sent on it.
    fn give(&mut self, requester: RequesterId, connection: ConnectionId, now: Instant) {
        let dialect = self.host.dialect;
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        let Some(Place::Own(own)) = self.slots.get_mut(connection.index()) else { return };
        let voice = account.voice();
        (account.way, account.bound) = (Way::Own, Some(connection));
        let aside = account.aside_mut();
        aside.opening = None;
        own.used = now;
        own.begin(requester, dialect, voice, &aside.notes);
        let Some(Pending::Session { command, act, request }) = aside.pending.take() else { return };
        if command.starts_with("WAIT")
            && let Some(nothing) = dialect.nothing()
        {
            // WAIT is about what its connection has written, up to its last command: so that it covers what the
            // requester wrote over others.
            own.say(Act::Plain, nothing);
        }
        self.send_own(requester, act, &request);
        self.dirty(requester);
    }

    /// Sends a request on its requester's own connection.
    pub(super) fn send_own(&mut self, requester: RequesterId, act: Act, request: &[u8]) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        let Some(connection) = account.bound else { return };
        let Some(Place::Own(own)) = self.slots.get_mut(connection.index()) else { return };
        own.send(act, request);
        account.in_flight = key(own.owes());
        self.errands.wake.push(connection);
    }

    /// Nothing is owed and nothing bound: the requester goes back to the shared connections, its own is kept if it may be.
    fn end_session(&mut self, connection: ConnectionId, requester: RequesterId, now: Instant) {
        let Some(account) = self.account_mut(requester) else { return };
        (account.bound, account.in_flight) = (None, 0);
        account.step_back();
        let voice = account.voice();
        self.queue.speak(requester, voice);
        if self.own_mut(connection).is_some_and(|own| own.release(now)) {
            self.need(now + self.host.idle);
        } else {
            self.retire_connection(connection, "what was bound to it cannot be undone for sure");
        }
    }
}

#[cfg(test)]
mod tests;
