//! Connections: when one more is wanted, and how it opens, is handed over and is let go.

use std::time::Instant;

use super::{Attempt, Cost, Dispatch, Place};
use crate::child::handing::Parcel;
use crate::dialect::Voice;
use crate::pool::{self, Slot};
use crate::work::ConnectionId;

impl Dispatch {
    /// When the next attempt to connect is to be made; `None` if none is wanted.
    #[must_use]
    pub fn next_attempt(&self, now: Instant) -> Option<Instant> {
        let live = self.live();
        if self.attempt.under_way || live >= self.host.connections as usize {
            return None;
        }
        let failing = matches!(self.reach.standing(), pool::Standing::Failing | pool::Standing::Dead);
        let alone = live == 0 && (failing || !self.queue.is_empty());
        let wanted = alone || self.attempt.asked || self.attempt.strained || self.queue.waits_for_any();
        wanted.then(|| self.reach.not_before().map_or(now, |at| at.max(now)))
    }

    /// An attempt to connect begins.
    pub fn attempt_begins(&mut self) {
        let strained_voice = self.attempt.strained_voice;
        self.attempt = Attempt { under_way: true, strained: false, strained_voice, asked: false };
    }

    /// Somebody asked to try the host now.
    pub fn probe(&mut self, now: Instant) {
        self.reach.hurry(now);
        self.attempt.asked = true;
        self.errands.connect = true;
    }

    /// An attempt succeeded. Returns the connection's number.
    pub fn opened(&mut self, now: Instant) -> ConnectionId {
        self.attempt.under_way = false;
        self.attempts += 1;
        self.admit(false, now)
    }

    /// A predecessor has handed over a connection; `proven`: it has given a reply. Returns its number, or `None` if there
    /// are as many as there may be.
    pub fn adopted(&mut self, proven: bool, now: Instant) -> Option<ConnectionId> {
        let most = self.host.connections as usize;
        (self.live() + usize::from(self.attempt.under_way) < most).then(|| self.admit(proven, now))
    }

    /// A connection is there.
    fn admit(&mut self, proven: bool, now: Instant) -> ConnectionId {
        let mut slot = Slot::new(self.host.dialect, self.host.max_reply, self.host.pipeline, now);
        slot.proven = proven;
        let connection = self.place(0, Place::Open(Box::new(slot)));
        self.shared_top = self.shared_top.max(connection.index() + 1);
        let back = self.reach.standing() != pool::Standing::Up;
        self.errands.reach |= back;
        self.reach.connected();
        self.need(now + self.host.idle);
        self.ask_for_commands(connection, back, now);
        self.give_voice(connection, now);
        self.pump(now);
        if back {
            self.host_is_back(now);
        }
        self.errands.connect = true;
        connection
    }

    /// What a successor must know of a connection to go on with it; `None` if it owes something, or is owed something.
    #[must_use]
    pub fn parcel_of(&self, connection: ConnectionId) -> Option<Parcel> {
        let Some(Place::Open(slot)) = self.slots.get(connection.index()) else { return None };
        // Without a flight, tombstones included, nothing can be half read either: it would have ended the connection.
        // One that speaks another voice than it was opened with is not worth telling.
        let is_plain = slot.voice == Voice::default() && slot.turning.is_none();
        let owes_nothing = slot.flights.is_empty() && slot.outgoing.is_empty() && is_plain;
        owes_nothing.then(|| Parcel::Connection {
            dialect: self.host.dialect,
            address: self.host.address.clone(),
            opening: crate::config::opening(&self.host),
            proven: slot.proven,
        })
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.live()
    }

    /// A connection's task has let go of it: its number may be given to the next one.
    pub fn released(&mut self, connection: ConnectionId) {
        if let Some(place) = self.slots.get_mut(connection.index()) {
            *place = Place::Free;
        }
    }

    /// Why a connection has ended, and what that cost; `None` while it is open.
    #[must_use]
    pub fn ended(&self, connection: ConnectionId) -> Option<(&str, Cost)> {
        match self.slots.get(connection.index()) {
            Some(Place::Ended(reason, cost)) => Some((reason, *cost)),
            _ => None,
        }
    }
}
