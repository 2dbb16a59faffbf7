//! Voices: the protocol's versions that requesters and shared connections speak, and what tieline asks in its own name.
//!
//! A connection opens with the first voice. One that is wanted with another one is *turned*: it takes no new work, and
//! when it owes nothing it is sent the dialect's hello, whose answer nobody is given. So one connection can serve both
//! voices by turns, and a full pool has one for each. A requester changes its voice when it is owed nothing, by a hello
//! of its own, which is sent on a connection that speaks that voice already.

use std::time::Instant;

use super::{Dispatch, Place};
use crate::dialect::{Failure, Lesson, Voice, Wish};
use crate::pool::{self, Slot};
use crate::requester::Account;
use crate::work::{ConnectionId, Deferral, Phase, RequesterId, Transaction, TransactionId, key};

/// Bytes of the host's list of its commands, at most.
const MOST: usize = 4 * 1024 * 1024;

/// What the host said of its commands.
#[derive(Debug, Default)]
pub(super) enum Taught {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// It was asked; should the connection end over that, it is not asked again.
    Asked,
    /// It said this; nothing, if the built-in table is enough.
    Known(Option<Box<Lesson>>),
}

impl Dispatch {
    /// What a request wants that the built-in table would let pass.
    #[must_use]
    #[inline]
    pub fn wish(&self, request: &[u8]) -> Wish {
        match &self.taught {
            Taught::Known(Some(lesson)) => lesson.wish(request),
            _ => Wish::Forward,
        }
    }

    /// Asks the host for its commands, if nobody has; on a connection that was just opened.
    pub(super) fn ask_for_commands(&mut self, connection: ConnectionId, is_back: bool, now: Instant) {
        let again = is_back && matches!(self.taught, Taught::Known(_));
        let Some(question) = self.host.dialect.question() else { return };
        if again || matches!(self.taught, Taught::Unasked) {
            if !again {
                self.taught = Taught::Asked;
            }
            self.ask_aside(connection, question, Deferral::Lesson, now);
        }
    }

    /// Makes a connection that was just opened speak the voice that is waited for.
    pub(super) fn give_voice(&mut self, connection: ConnectionId, now: Instant) {
        let lacks = |voice| self.queue.waits_for(voice) && !self.has_voice(voice);
        let wanted = match self.attempt.strained_voice {
            _ if lacks(Voice::Three) => Voice::Three,
            _ if lacks(Voice::Two) => Voice::Two,
            _ if self.queue.waits_for(Voice::Two) => Voice::Two,
            _ if self.queue.waits_for(Voice::Three) => Voice::Three,
            strained => strained,
        };
        if wanted != Voice::Two {
            self.turn(connection, wanted, now);
        }
    }

    /// If somebody waits for a voice, and no further connection may be opened: has one of the other voice turned.
    pub(super) fn turn_if_wanted(&mut self, now: Instant) {
        for voice in [Voice::Two, Voice::Three] {
            if self.queue.waits_for(voice)
                && self.open_slots().any(|slot| speaks(slot) != voice)
                && self.live() >= self.host.connections as usize
                && !self.open_slots().any(|slot| slot.turning == Some(voice))
                && let Some(connection) = self.to_be_turned(voice)
            {
                self.turn(connection, voice, now);
            }
        }
    }

    /// Has those turned that owe nothing any more, for whatever reason.
    pub(super) fn turn_idle_ones(&mut self, now: Instant) {
        for index in 0..self.shared_top {
            let connection = ConnectionId(key(index));
            if self.slot(connection).is_some_and(|slot| slot.flights.is_empty()) {
                self.turn_idle(connection, now);
            }
        }
    }

    /// A connection owes nothing: if it is to be turned, that is done now.
    pub(super) fn turn_idle(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(voice) = self.slot(connection).and_then(|slot| slot.turning)
            && let Some(hello) = self.host.dialect.hello(voice)
        {
            self.ask_aside(connection, hello, Deferral::Turn(voice), now);
        }
    }

    /// A requester that is owed nothing says that it speaks another voice from now on.
    pub(super) fn change_voice(&mut self, requester: RequesterId, voice: Voice, request: &[u8], now: Instant) {
        let Some(account) = self.account_mut(requester) else { return };
        let old = std::mem::replace(&mut account.aside_mut().voice, voice);
        self.queue.speak(requester, voice);
        let refusal = match self.reach.standing() {
            pool::Standing::Dead => Some((Failure::Lost, format!("it cannot be reached ({})", self.reach.reason()))),
            _ if self.queue.len() >= self.host.queue as usize => {
                Some((Failure::Busy, format!("{} requests wait for a connection already", self.queue.len())))
            }
            _ => None,
        };
        if let Some((failure, why)) = refusal {
            self.voice_changed(requester, old);
            return self.answer(requester, failure, &why);
        }
        let chosen = self.choose(requester, now);
        self.begin(requester, chosen, request.into(), Some(Box::new(Deferral::Hello(old))), now);
    }

    /// The host has answered a requester's hello.
    pub(super) fn hello_answered(&mut self, requester: RequesterId, old: Voice, reply: &[u8]) {
        let refused = reply.first() == Some(&b'-');
        let voice = if refused { old } else { self.account(requester).map_or(old, Account::voice) };
        self.voice_changed(requester, voice);
    }

    /// A requester that waited for its hello goes on with this voice.
    pub(super) fn voice_changed(&mut self, requester: RequesterId, voice: Voice) {
        if let Some(account) = self.account_mut(requester) {
            account.aside_mut().voice = voice;
            account.step_back();
            self.queue.speak(requester, voice);
        }
    }

    /// The whole reply to something that tieline asked in its own name.
    pub(super) fn answered_aside(&mut self, connection: ConnectionId, deferral: &Deferral, reply: &[u8], now: Instant) {
        match deferral {
            Deferral::Lesson => self.taught = Taught::Known(Lesson::read(reply).map(Box::new)),
            Deferral::Turn(voice) => self.turned(connection, *voice, reply, now),
            _ => {}
        }
    }

    /// Keeps a piece of such a reply, as far as it is of use.
    pub(super) fn hold_aside(&mut self, connection: ConnectionId, id: TransactionId, piece: &[u8]) {
        let deferral = self.transactions.get(id).and_then(|transaction| transaction.deferral.as_deref());
        let wanted = matches!(deferral, Some(Deferral::Lesson | Deferral::Turn(_)));
        match self.slot(connection) {
            Some(slot) if wanted && slot.held.len() + piece.len() <= MOST => slot.held.extend_from_slice(piece),
            _ => self.drop_held(connection),
        }
    }

    fn has_voice(&self, voice: Voice) -> bool {
        self.open_slots().any(|slot| speaks(slot) == voice)
    }

    /// The connection whose turning costs least: an idle one, else the least busy one if there is none for `voice`.
    fn to_be_turned(&self, voice: Voice) -> Option<ConnectionId> {
        let is_spare = |(index, place): (usize, &Place)| match place {
            Place::Open(slot) if speaks(slot) != voice && slot.turning.is_none() && slot.tombstones == 0 => {
                Some((slot.flights.len(), index))
            }
            _ => None,
        };
        let (load, index) = self.slots.iter().enumerate().filter_map(is_spare).min()?;
        (load == 0 || !self.has_voice(voice)).then(|| ConnectionId(key(index)))
    }

    fn turn(&mut self, connection: ConnectionId, voice: Voice, now: Instant) {
        let Some(slot) = self.slot(connection) else { return };
        slot.turning = Some(voice);
        if slot.flights.is_empty() {
            self.turn_idle(connection, now);
        }
    }

    /// The host has answered a connection's hello.
    fn turned(&mut self, connection: ConnectionId, voice: Voice, reply: &[u8], now: Instant) {
        let refused = reply.first() == Some(&b'-');
        if let Some(slot) = self.slot(connection) {
            slot.turning = None;
            if !refused {
                slot.voice = voice;
            }
        }
        if !refused {
            return self.pump(now);
        }
        if voice == Voice::Two {
            return self.retire_connection(connection, "the host refuses to speak RESP2 on it again");
        }
        self.refuse_voice(voice, reply);
        self.pump(now);
    }

    /// The host does not speak this voice: whoever said hello in it is told so in the host's words.
    fn refuse_voice(&mut self, voice: Voice, words: &[u8]) {
        for index in 0..self.accounts.len() {
            let requester = RequesterId(key(index));
            if self.account(requester).is_none_or(|account| account.voice() != voice) {
                continue;
            }
            for id in self.queue.take_all_of(requester) {
                self.deadlines.remove(id.0);
                match self.transactions.remove(id).and_then(|transaction| transaction.deferral).as_deref() {
                    Some(Deferral::Hello(old)) => self.refuse_hello(requester, id, *old, words),
                    _ => self.fail(requester, id, None, Failure::Lost, "it does not speak RESP3 any more"),
                }
            }
        }
    }

    fn refuse_hello(&mut self, requester: RequesterId, id: TransactionId, old: Voice, words: &[u8]) {
        self.voice_changed(requester, old);
        if self.account_mut(requester).is_some_and(|account| account.settle(id, Vec::new(), words)) {
            self.dirty(requester);
        }
    }

    /// Sends something in tieline's own name.
    fn ask_aside(&mut self, connection: ConnectionId, request: &[u8], deferral: Deferral, now: Instant) {
        let (phase, deferral) = (Phase::InFlight(connection), Some(Box::new(deferral)));
        let id = self.transactions.insert(Transaction { requester: None, accepted: now, phase, deferral });
        let at = now + self.host.timeout;
        self.deadlines.insert(id.0, at);
        self.send(connection, id, request.into(), now);
        self.need(at);
    }
}

/// What a connection speaks, or will.
fn speaks(slot: &Slot) -> Voice {
    slot.turning.unwrap_or(slot.voice)
}
