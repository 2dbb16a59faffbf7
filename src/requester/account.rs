//! What one requester is owed: its replies in the order of its requests, and the bytes it has not read yet. Pure.
//!
//! Enters: transactions begun, and their answers in any order. Leaves: the bytes to write. Promised: each transaction is
//! answered once and in its place, whatever order the answers come in.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use super::Spares;
use crate::dialect::{Act, Failure, Voice};
use crate::work::{ConnectionId, TransactionId};

/// An account with room for more than this many replies owed is made small again when nothing is owed.
const KEEP: usize = 16;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Account {
    /// The transaction whose reply is next. Most requesters never have more than this one, and so no list.
    next: Option<TransactionId>,
    /// Whether that one is to fail in silence.
    next_is_silent: bool,
    /// It takes nothing any more.
    is_mute: bool,
    /// What is owed after that, none if there is no `next`; and what few requesters have.
    more: Option<Box<More>>,
    out: Vec<u8>,
    /// How much of it was taken. Four bytes: it is cut long before there are so many, see `MOST_UNREAD`.
    written: u32,
    /// How many of its transactions are in flight; on a connection of its own, how many replies it owes.
    pub in_flight: u32,
    /// The connection on which they are, and on which its next ones must follow.
    pub bound: Option<ConnectionId>,
    /// Whether it stands in the list of those to be flushed.
    pub dirty: bool,
    /// Whether it is not read for now, until [`Account::outstanding`] and [`Account::unread`] have fallen.
    pub paused: bool,
    /// Which way its requests go.
    pub way: Way,
    /// Whether it goes on.
    pub standing: Standing,
}

/// Whether a requester goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It may send requests.
    #[default]
    Open,
    /// It is closed when it is owed nothing.
    Closing,
    /// It is closed now: what it is owed can no longer be given.
    Cut,
}

/// Which way a requester's requests go. Most go the first; whoever looks for the others pays for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// Over shared connections that speak the first voice.
    #[default]
    Shared,
    /// Over shared connections that speak the other one.
    SharedThree,
    /// They are deferred ones.
    Deferred,
    /// Nowhere for now: it is read no further until something has been done.
    Waiting,
    /// Over a connection of its own.
    Own,
    /// Nowhere: they were meant for a connection of its own, which it was not given.
    Turned,
}

/// What few requesters have.
#[derive(Debug, Default)]
pub struct Aside {
    /// The voice that it speaks.
    pub voice: Voice,
    /// What it said about itself, as it said it.
    pub notes: Vec<Box<[u8]>>,
    /// What is to be done when it is owed nothing.
    pub pending: Option<Pending>,
    /// The attempt to open a connection that it waits for.
    pub opening: Option<u64>,
    /// Why its requests go nowhere.
    pub turned: Option<Turned>,
    /// What it is told last, when its own connection owes nothing any more.
    pub last_words: Option<Vec<u8>>,
}

/// What is to be done when a requester is owed nothing.
#[derive(Debug)]
pub enum Pending {
    /// To give it a connection of its own, and to send this on it.
    Session {
        /// The command, for people.
        command: Cow<'static, str>,
        /// What the request does.
        act: Act,
        /// The request.
        request: Box<[u8]>,
    },
    /// To let it speak another voice, and to send this.
    Hello(Voice, Box<[u8]>),
    /// To forget all that it said.
    Reset,
}

/// Why a requester's requests go nowhere.
#[derive(Debug)]
pub struct Turned {
    /// The failure that all are answered with.
    pub failure: Failure,
    /// Why, for people.
    pub why: String,
    /// Whether it was a transaction of the host's, which has an end.
    pub transaction: bool,
    /// When it began.
    pub since: Instant,
    /// When the last request came.
    pub last: Instant,
}

/// Behind a pointer: thousands of requesters are idle, and this is what they have instead.
#[derive(Debug, Default)]
struct More {
    after: VecDeque<Owed>,
    aside: Option<Box<Aside>>,
}

#[derive(Debug)]
enum Owed {
    Awaited(TransactionId),
    /// One that is to fail in silence: its requester wants no reply.
    Silent(TransactionId),
    Answered(Box<[u8]>),
}

impl Owed {
    fn awaited(&self) -> Option<TransactionId> {
        match self {
            Self::Awaited(id) | Self::Silent(id) => Some(*id),
            Self::Answered(_) => None,
        }
    }
}

impl Account {
    /// The voice that it speaks.
    #[must_use]
    pub fn voice(&self) -> Voice {
        match self.way {
            Way::Shared | Way::Deferred => Voice::Two,
            Way::SharedThree => Voice::Three,
            Way::Waiting | Way::Own | Way::Turned => self.aside().map_or(Voice::Two, |aside| aside.voice),
        }
    }

    /// What few have, if it has any.
    #[must_use]
    pub fn aside(&self) -> Option<&Aside> {
        self.more.as_ref()?.aside.as_deref()
    }

    /// What few have.
    pub fn aside_mut(&mut self) -> &mut Aside {
        self.more.get_or_insert_default().aside.get_or_insert_default()
    }

    /// Leaves the shared connections for `way`; the voice is remembered.
    pub fn step_aside(&mut self, way: Way) {
        self.aside_mut().voice = self.voice();
        self.way = way;
    }

    /// Goes on over shared connections.
    pub fn step_back(&mut self) {
        self.way = if self.voice() == Voice::Three { Way::SharedThree } else { Way::Shared };
        if let Some(more) = &mut self.more
            && more.aside.as_ref().is_some_and(|aside| aside.notes.is_empty())
        {
            more.aside = None;
        }
    }

    /// A transaction begins.
    #[inline]
    pub fn owe(&mut self, transaction: TransactionId) {
        if self.next.is_none() {
            self.next = Some(transaction);
        } else {
            self.more.get_or_insert_default().after.push_back(Owed::Awaited(transaction));
        }
    }

    /// The requester wants no reply to the transaction that began last.
    pub fn hush_last(&mut self) {
        match self.more.as_mut().and_then(|more| more.after.back_mut()) {
            Some(last) => {
                if let Owed::Awaited(id) = *last {
                    *last = Owed::Silent(id);
                }
            }
            None => self.next_is_silent = true,
        }
    }

    /// Whether a transaction has not ended to which the requester wants no reply.
    #[must_use]
    pub fn awaits_silently(&self) -> bool {
        let mut after = self.more.iter().flat_map(|more| &more.after);
        self.next_is_silent || after.any(|owed| matches!(owed, Owed::Silent(_)))
    }

    /// The requester takes nothing any more: whatever it would be given is dropped.
    pub fn mute(&mut self) {
        (self.is_mute, self.out, self.written) = (true, Vec::new(), 0);
    }

    fn give(&mut self, bytes: &[u8]) {
        if !self.is_mute {
            self.out.extend_from_slice(bytes);
        }
    }

    /// What is large is not copied if nothing stands before it.
    fn give_held(&mut self, held: Vec<u8>) {
        if self.out.is_empty() && !self.is_mute {
            self.out = held;
        } else {
            self.give(&held);
        }
    }

    /// Whether bytes for this transaction may be written at once, past what is kept here: nothing stands before them.
    #[must_use]
    pub fn is_clear_for(&self, transaction: TransactionId) -> bool {
        self.next == Some(transaction) && self.unread() == 0 && !self.is_mute
    }

    /// Something is answered at once, in its turn.
    pub fn answer(&mut self, bytes: &[u8]) {
        if self.next.is_none() {
            self.give(bytes);
        } else {
            self.more.get_or_insert_default().after.push_back(Owed::Answered(bytes.into()));
        }
    }

    /// A transaction ends with an answer: what was held of it, and its last piece. Returns whether it was owed.
    pub fn settle(&mut self, transaction: TransactionId, held: Vec<u8>, piece: &[u8]) -> bool {
        if self.next == Some(transaction) {
            if !held.is_empty() {
                self.give_held(held);
            }
            self.give(piece);
            self.advance();
            return true;
        }
        let awaited = |owed: &&mut Owed| owed.awaited() == Some(transaction);
        let mut after = self.more.iter_mut().flat_map(|more| more.after.iter_mut());
        let Some(place) = after.find(awaited) else { return false };
        *place = Owed::Answered([&held, piece].concat().into());
        true
    }

    /// As [`Account::settle`], with an answer that came in one piece.
    #[inline]
    pub fn settle_whole(&mut self, transaction: TransactionId, answer: &[u8], spares: &mut Spares) -> bool {
        if self.next != Some(transaction) || self.is_mute {
            return self.settle(transaction, Vec::new(), answer);
        }
        if self.out.capacity() == 0 && !answer.is_empty() {
            self.out = spares.lend();
        }
        self.out.extend_from_slice(answer);
        self.advance();
        true
    }

    /// A transaction ends with a failure, which is told unless the requester wants no reply. Returns whether it was owed.
    pub fn fail(&mut self, transaction: TransactionId, words: &[u8]) -> bool {
        let mut after = self.more.iter().flat_map(|more| &more.after);
        let is_silent = match self.next {
            Some(next) if next == transaction => self.next_is_silent,
            _ => after.any(|owed| matches!(owed, Owed::Silent(id) if *id == transaction)),
        };
        self.settle(transaction, Vec::new(), if is_silent { b"" } else { words })
    }

    /// A transaction goes on under another number.
    pub fn rename(&mut self, from: TransactionId, to: TransactionId) {
        if self.next == Some(from) {
            self.next = Some(to);
            return;
        }
        let mut after = self.more.iter_mut().flat_map(|more| more.after.iter_mut());
        if let Some(place) = after.find(|owed| matches!(owed, Owed::Awaited(id) if *id == from)) {
            *place = Owed::Awaited(to);
        }
    }

    /// Passes on a piece of a reply that does not end with it. Returns whether it is this reply's turn.
    pub fn pass(&mut self, transaction: TransactionId, piece: &[u8]) -> bool {
        let its_turn = self.next == Some(transaction);
        if its_turn {
            self.give(piece);
        }
        its_turn
    }

    /// Its transactions that have not been answered.
    pub fn awaited(&self) -> impl Iterator<Item = TransactionId> + '_ {
        let after = self.more.iter().flat_map(|more| &more.after).filter_map(Owed::awaited);
        self.next.into_iter().chain(after)
    }

    /// How many replies are owed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        usize::from(self.next.is_some()) + self.more.as_ref().map_or(0, |more| more.after.len())
    }

    /// Bytes of replies that the requester has not taken yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.out.len() - self.taken()
    }

    /// The bytes to write next.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.out.get(self.taken()..).unwrap_or_default()
    }

    /// Says that the socket took `count` bytes. An idle requester holds no buffer: `spares` has it back.
    #[inline]
    pub fn wrote(&mut self, count: usize, spares: &mut Spares) {
        let taken = (self.taken() + count).min(self.out.len());
        if taken == self.out.len() {
            self.written = 0;
            spares.take_back(std::mem::take(&mut self.out));
        } else if taken > self.out.len() / 2 {
            self.out.drain(..taken);
            self.written = 0;
        } else {
            self.written = u32::try_from(taken).unwrap_or(u32::MAX);
        }
    }

    fn taken(&self) -> usize {
        self.written as usize
    }

    /// Whether it is owed nothing and has taken everything.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let elsewhere = self.way == Way::Waiting || self.way == Way::Own && self.in_flight > 0;
        self.next.is_none() && self.unread() == 0 && !elsewhere
    }

    /// After the next reply: those behind it that are answered already, up to one that is not.
    #[inline]
    fn advance(&mut self) {
        (self.next, self.next_is_silent) = (None, false);
        if self.more.is_some() {
            self.advance_to_more();
        }
    }

    fn advance_to_more(&mut self) {
        let Some(more) = &mut self.more else { return };
        while let Some(owed) = more.after.pop_front() {
            match owed {
                Owed::Answered(bytes) if !self.is_mute => self.out.extend_from_slice(&bytes),
                Owed::Answered(_) => {}
                Owed::Awaited(id) | Owed::Silent(id) => {
                    (self.next, self.next_is_silent) = (Some(id), matches!(owed, Owed::Silent(_)));
                    return;
                }
            }
        }
        if more.after.capacity() > KEEP {
            more.after = VecDeque::new();
            if more.aside.is_none() {
                self.more = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
