//! The work queue: transactions that wait for a connection, in turns between requesters.
//!
//! Enters: transactions with their requester, and the connection to which that requester is bound (it has transactions
//! in flight there, and its next ones must follow them). Leaves: the transaction whose turn it is on a given connection.
//!
//! Promised: one requester's transactions leave in the order in which they came; a requester that has ten thousand of
//! them delays the others by one turn; every operation takes constant time, but that a lane which changes its ring walks
//! past the lanes that had a turn since its own (a handful).
//!
//! Each requester has a *lane*. A lane with work stands in one *ring*: that of the connection to which it is bound, or
//! the ring of those who may go to any connection of their voice. A lane whose turn has come gives one transaction and goes to the end of its
//! ring. Turns are numbered across rings, so that a connection serves its own ring and the common one as if they were
//! one. A lane's transactions are linked through a table indexed by their numbers: whoever waits for a moment costs no
//! list of its own.

use super::{ConnectionId, RequesterId, TransactionId};
use crate::dialect::Voice;

/// No neighbour, no ring, no transaction.
const NONE: u32 = u32::MAX;

/// The rings of the lanes that are not bound, by voice; connection `n` has ring `n + 2`.
const ANYWHERE: [u32; 2] = [0, 1];

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Queue {
    lanes: Vec<Lane>,
    /// By transaction: the next one of the same lane.
    next: Vec<u32>,
    rings: Vec<Ring>,
    waiting: usize,
    /// How many lanes are not bound, by voice.
    anywhere: [usize; 2],
    /// The numbers of the next turn at the end and at the head.
    next_turn: i64,
    head_turn: i64,
}

#[derive(Debug)]
struct Lane {
    /// Its first transaction and its last one.
    first: u32,
    last: u32,
    ring: u32,
    before: u32,
    after: u32,
    turn: i64,
    voice: Voice,
}

#[derive(Debug, Clone, Copy)]
struct Ring {
    first: u32,
    last: u32,
}

impl Queue {
    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether a requester that is bound to no connection has work waiting: a further connection would help.
    #[must_use]
    pub fn waits_for_any(&self) -> bool {
        self.anywhere != [0, 0]
    }

    /// As [`Queue::waits_for_any`], for those of one voice.
    #[must_use]
    pub fn waits_for(&self, voice: Voice) -> bool {
        self.anywhere[voice as usize] > 0
    }

    /// Says that `requester`, which has nothing waiting, speaks this voice from now on.
    pub fn speak(&mut self, requester: RequesterId, voice: Voice) {
        self.lane(requester).voice = voice;
    }

    /// Whether `requester` has work waiting, which its next transactions must not overtake.
    #[must_use]
    pub fn has(&self, requester: RequesterId) -> bool {
        self.lanes.get(requester.index()).is_some_and(|lane| lane.first != NONE)
    }

    /// Adds a transaction at the end of its requester's lane.
    pub fn push(&mut self, requester: RequesterId, bound: Option<ConnectionId>, transaction: TransactionId) {
        let number = self.link(transaction, NONE);
        let lane = self.lane(requester);
        let last = std::mem::replace(&mut lane.last, number);
        if last == NONE {
            lane.first = number;
        } else {
            self.next[last as usize] = number;
        }
        if self.lanes[requester.index()].ring == NONE {
            self.next_turn += 1;
            let ring = self.ring_of(requester, bound);
            self.enter(requester.0, ring, self.next_turn);
        }
    }

    /// Puts a transaction back to the head: it had been given to a connection that broke before it was sent.
    pub fn push_back_to_head(
        &mut self,
        requester: RequesterId,
        bound: Option<ConnectionId>,
        transaction: TransactionId,
    ) {
        let first = self.lane(requester).first;
        let number = self.link(transaction, first);
        let lane = self.lane(requester);
        lane.first = number;
        if first == NONE {
            lane.last = number;
        }
        self.leave(requester.0);
        self.head_turn -= 1;
        let ring = self.ring_of(requester, bound);
        self.enter(requester.0, ring, self.head_turn);
    }

    /// The transaction whose turn it is on `connection`, which speaks `voice`, with its requester.
    pub fn take_for(&mut self, connection: ConnectionId, voice: Voice) -> Option<(RequesterId, TransactionId)> {
        let own = self.first_of(ring_of_connection(connection));
        let any = self.first_of(ANYWHERE[voice as usize]);
        let requester = match (own, any) {
            (Some(own), Some(any)) if self.turn(any) < self.turn(own) => any,
            (Some(own), _) => own,
            (None, any) => any?,
        };
        let ring = self.lanes[requester as usize].ring;
        self.leave(requester);
        let taken = self.pop(requester)?;
        if self.lanes[requester as usize].first != NONE {
            self.next_turn += 1;
            self.enter(requester, ring, self.next_turn);
        }
        Some((RequesterId(requester), taken))
    }

    /// Takes out the oldest transaction of `requester` (its deadline has passed).
    pub fn take_first_of(&mut self, requester: RequesterId) -> Option<TransactionId> {
        let taken = self.pop(requester.0)?;
        if self.lanes[requester.index()].first == NONE {
            self.leave(requester.0);
        }
        Some(taken)
    }

    /// Says that `requester` is now bound to another connection, or to none.
    pub fn bind(&mut self, requester: RequesterId, bound: Option<ConnectionId>) {
        let Some(lane) = self.lanes.get(requester.index()) else { return };
        let (turn, ring) = (lane.turn, self.ring_of(requester, bound));
        if lane.ring == NONE || lane.ring == ring {
            return;
        }
        self.leave(requester.0);
        self.enter(requester.0, ring, turn);
    }

    /// Takes out everything that `requester` has waiting: it has hung up.
    pub fn take_all_of(&mut self, requester: RequesterId) -> Vec<TransactionId> {
        let all = std::iter::from_fn(|| self.pop(requester.0)).collect();
        if requester.index() < self.lanes.len() {
            self.leave(requester.0);
        }
        all
    }

    /// A transaction waits from now on, before `next`. Returns its number.
    fn link(&mut self, transaction: TransactionId, next: u32) -> u32 {
        let index = transaction.0 as usize;
        if self.next.len() <= index {
            self.next.resize(index + 1, NONE);
        }
        self.next[index] = next;
        self.waiting += 1;
        transaction.0
    }

    /// The first transaction of a lane waits no more.
    fn pop(&mut self, lane: u32) -> Option<TransactionId> {
        let lane = self.lanes.get_mut(lane as usize).filter(|lane| lane.first != NONE)?;
        let first = lane.first;
        lane.first = self.next[first as usize];
        if lane.first == NONE {
            lane.last = NONE;
        }
        self.waiting -= 1;
        Some(TransactionId(first))
    }

    fn lane(&mut self, requester: RequesterId) -> &mut Lane {
        while self.lanes.len() <= requester.index() {
            self.lanes.push(Lane {
                first: NONE,
                last: NONE,
                ring: NONE,
                before: NONE,
                after: NONE,
                turn: 0,
                voice: Voice::default(),
            });
        }
        &mut self.lanes[requester.index()]
    }

    fn ring_of(&self, requester: RequesterId, bound: Option<ConnectionId>) -> u32 {
        let voice = self.lanes.get(requester.index()).map_or(Voice::default(), |lane| lane.voice);
        bound.map_or(ANYWHERE[voice as usize], ring_of_connection)
    }

    fn turn(&self, lane: u32) -> i64 {
        self.lanes[lane as usize].turn
    }

    fn first_of(&self, ring: u32) -> Option<u32> {
        self.rings.get(ring as usize).map(|ring| ring.first).filter(|first| *first != NONE)
    }

    /// Puts a lane into a ring, at the place of its turn: nearly always one of the ends.
    fn enter(&mut self, lane: u32, ring: u32, turn: i64) {
        while self.rings.len() <= ring as usize {
            self.rings.push(Ring { first: NONE, last: NONE });
        }
        let mut after = if self.first_of(ring).is_some_and(|first| self.turn(first) > turn) {
            self.rings[ring as usize].first
        } else {
            NONE
        };
        let mut before = if after == NONE { self.rings[ring as usize].last } else { NONE };
        while before != NONE && self.turn(before) > turn {
            after = before;
            before = self.lanes[before as usize].before;
        }
        let place = &mut self.lanes[lane as usize];
        (place.ring, place.turn, place.before, place.after) = (ring, turn, before, after);
        self.join(ring, before, lane, true);
        self.join(ring, after, lane, false);
        if let Some(count) = self.anywhere.get_mut(ring as usize) {
            *count += 1;
        }
    }

    fn leave(&mut self, lane: u32) {
        let place = &mut self.lanes[lane as usize];
        let (ring, before, after) = (place.ring, place.before, place.after);
        if ring == NONE {
            return;
        }
        (place.ring, place.before, place.after) = (NONE, NONE, NONE);
        self.join(ring, before, after, true);
        self.join(ring, after, before, false);
        if let Some(count) = self.anywhere.get_mut(ring as usize) {
            *count -= 1;
        }
    }

    /// Makes `to` the neighbour of `of`, behind it or before it; the ring's end if there is no `of`.
    fn join(&mut self, ring: u32, of: u32, to: u32, behind: bool) {
        match (of, behind) {
            (NONE, true) => self.rings[ring as usize].first = to,
            (NONE, false) => self.rings[ring as usize].last = to,
            (_, true) => self.lanes[of as usize].after = to,
            (_, false) => self.lanes[of as usize].before = to,
        }
    }
}

fn ring_of_connection(connection: ConnectionId) -> u32 {
    connection.0 + 2
}

#[cfg(test)]
mod tests;
