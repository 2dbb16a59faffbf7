//! What one requester is owed: its replies in the order of its requests, and the bytes it has not read yet. Pure.
//!
//! Enters: transactions begun, and their answers in any order. Leaves: the bytes to write. Promised: each transaction is
//! answered once and in its place, whatever order the answers come in.

use std::collections::VecDeque;

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
    /// What is owed after that; none if there is no `next`.
    after: Option<Box<After>>,
    out: Vec<u8>,
    written: usize,
    /// How many of its transactions are in flight.
    pub in_flight: u32,
    /// The connection on which they are, and on which its next ones must follow.
    pub bound: Option<ConnectionId>,
    /// Whether it stands in the list of those to be flushed.
    pub dirty: bool,
    /// Whether it is not read for now, until [`Account::outstanding`] and [`Account::unread`] have fallen.
    pub paused: bool,
    /// Whether its requests are deferred ones.
    pub deferred: bool,
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

/// A list behind a pointer: thousands of requesters are idle, and this is what they have instead of one.
#[derive(Debug, Default)]
struct After(VecDeque<Owed>);

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
    /// A transaction begins.
    pub fn owe(&mut self, transaction: TransactionId) {
        if self.next.is_none() {
            self.next = Some(transaction);
        } else {
            self.after.get_or_insert_default().0.push_back(Owed::Awaited(transaction));
        }
    }

    /// The requester wants no reply to the transaction that began last.
    pub fn hush_last(&mut self) {
        match self.after.as_mut().and_then(|after| after.0.back_mut()) {
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
        let mut after = self.after.iter().flat_map(|after| &after.0);
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

    /// Something is answered at once, in its turn.
    pub fn answer(&mut self, bytes: &[u8]) {
        if self.next.is_none() {
            self.give(bytes);
        } else {
            self.after.get_or_insert_default().0.push_back(Owed::Answered(bytes.into()));
        }
    }

    /// A transaction ends with an answer, given in pieces. Returns whether it was owed.
    pub fn settle(&mut self, transaction: TransactionId, pieces: [&[u8]; 2]) -> bool {
        if self.next == Some(transaction) {
            self.give(pieces[0]);
            self.give(pieces[1]);
            self.advance();
            return true;
        }
        let awaited = |owed: &&mut Owed| owed.awaited() == Some(transaction);
        let mut after = self.after.iter_mut().flat_map(|after| after.0.iter_mut());
        let Some(place) = after.find(awaited) else { return false };
        *place = Owed::Answered(pieces.concat().into());
        true
    }

    /// A transaction ends with a failure, which is told unless the requester wants no reply. Returns whether it was owed.
    pub fn fail(&mut self, transaction: TransactionId, words: &[u8]) -> bool {
        let mut after = self.after.iter().flat_map(|after| &after.0);
        let is_silent = match self.next {
            Some(next) if next == transaction => self.next_is_silent,
            _ => after.any(|owed| matches!(owed, Owed::Silent(id) if *id == transaction)),
        };
        self.settle(transaction, [if is_silent { b"" } else { words }, b""])
    }

    /// A transaction goes on under another number.
    pub fn rename(&mut self, from: TransactionId, to: TransactionId) {
        if self.next == Some(from) {
            self.next = Some(to);
            return;
        }
        let mut after = self.after.iter_mut().flat_map(|after| after.0.iter_mut());
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
        let after = self.after.iter().flat_map(|after| &after.0).filter_map(Owed::awaited);
        self.next.into_iter().chain(after)
    }

    /// How many replies are owed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        usize::from(self.next.is_some()) + self.after.as_ref().map_or(0, |after| after.0.len())
    }

    /// Bytes of replies that the requester has not taken yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.out.len() - self.written
    }

    /// The bytes to write next.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// Says that the socket took `count` bytes. An idle requester holds no buffer.
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.out.len());
        if self.written == self.out.len() {
            (self.out, self.written) = (Vec::new(), 0);
        } else if self.written > self.out.len() / 2 {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Whether it is owed nothing and has taken everything.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.next.is_none() && self.unread() == 0
    }

    /// After the next reply: those behind it that are answered already, up to one that is not.
    fn advance(&mut self) {
        (self.next, self.next_is_silent) = (None, false);
        let Some(after) = &mut self.after else { return };
        while let Some(owed) = after.0.pop_front() {
            match owed {
                Owed::Answered(bytes) if !self.is_mute => self.out.extend_from_slice(&bytes),
                Owed::Answered(_) => {}
                Owed::Awaited(id) | Owed::Silent(id) => {
                    (self.next, self.next_is_silent) = (Some(id), matches!(owed, Owed::Silent(_)));
                    return;
                }
            }
        }
        if after.0.capacity() > KEEP {
            self.after = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn answers_leave_in_the_order_of_the_requests(order in Just((0u32..40).collect::<Vec<_>>()).prop_shuffle()) {
            let mut account = Account::default();
            for id in 0..40 {
                if id % 7 == 3 { account.answer(format!("busy {id}\n").as_bytes()); } else { account.owe(TransactionId(id)); }
            }
            let mut read = Vec::new();
            for id in order.into_iter().filter(|id| id % 7 != 3) {
                let end = format!("ply {id}\n");
                prop_assert!(account.settle(TransactionId(id), [b"re", end.as_bytes()]));
                let count = account.unsent().len() / 2;
                read.extend_from_slice(&account.unsent()[..count]);
                account.wrote(count);
            }
            read.extend_from_slice(account.unsent());
            account.wrote(account.unsent().len());
            let expected: String = (0..40).map(|id| {
                if id % 7 == 3 { format!("busy {id}\n") } else { format!("reply {id}\n") }
            }).collect();
            prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
            prop_assert!(account.is_settled());
        }
    }

    #[test]
    fn a_transaction_is_answered_once() {
        let mut account = Account::default();
        account.owe(TransactionId(1));
        assert!(account.settle(TransactionId(1), [b"a\n", b""]));
        assert!(!account.settle(TransactionId(1), [b"b\n", b""]));
        assert_eq!(account.unsent(), b"a\n");
    }

    #[test]
    fn a_large_reply_is_passed_on_in_its_turn_only() {
        let mut account = Account::default();
        account.owe(TransactionId(1));
        account.owe(TransactionId(2));
        assert!(!account.pass(TransactionId(2), b"x"));
        assert!(account.pass(TransactionId(1), b"y"));
        assert_eq!(account.unsent(), b"y");
    }
}
