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
    owed: VecDeque<Owed>,
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

#[derive(Debug)]
enum Owed {
    Awaited(TransactionId),
    Answered(Box<[u8]>),
}

impl Account {
    /// A transaction begins.
    pub fn owe(&mut self, transaction: TransactionId) {
        self.owed.push_back(Owed::Awaited(transaction));
    }

    /// Something is answered at once, in its turn.
    pub fn answer(&mut self, bytes: &[u8]) {
        if self.owed.is_empty() {
            self.out.extend_from_slice(bytes);
        } else {
            self.owed.push_back(Owed::Answered(bytes.into()));
        }
    }

    /// A transaction ends with an answer, given in pieces. Returns whether it was owed.
    pub fn settle(&mut self, transaction: TransactionId, pieces: [&[u8]; 2]) -> bool {
        let awaited = |owed: &Owed| matches!(owed, Owed::Awaited(id) if *id == transaction);
        if self.owed.front().is_some_and(awaited) {
            self.owed.pop_front();
            self.out.extend_from_slice(pieces[0]);
            self.out.extend_from_slice(pieces[1]);
            self.advance();
            return true;
        }
        let Some(place) = self.owed.iter_mut().find(|owed| awaited(owed)) else { return false };
        *place = Owed::Answered(pieces.concat().into());
        true
    }

    /// Passes on a piece of a reply that does not end with it. Returns whether it is this reply's turn.
    pub fn pass(&mut self, transaction: TransactionId, piece: &[u8]) -> bool {
        let its_turn = matches!(self.owed.front(), Some(Owed::Awaited(id)) if *id == transaction);
        if its_turn {
            self.out.extend_from_slice(piece);
        }
        its_turn
    }

    /// Its transactions that have not been answered.
    pub fn awaited(&self) -> impl Iterator<Item = TransactionId> + '_ {
        self.owed.iter().filter_map(|owed| match owed {
            Owed::Awaited(id) => Some(*id),
            Owed::Answered(_) => None,
        })
    }

    /// How many replies are owed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.owed.len()
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
        self.owed.is_empty() && self.unread() == 0
    }

    fn advance(&mut self) {
        while let Some(Owed::Answered(bytes)) = self.owed.front() {
            self.out.extend_from_slice(bytes);
            self.owed.pop_front();
        }
        if self.owed.is_empty() && self.owed.capacity() > KEEP {
            self.owed = VecDeque::new();
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
