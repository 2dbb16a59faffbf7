//! What is to be written to one connection: requests in a row, each of whose bounds stay known.
//!
//! Enters: whole requests; how many bytes the socket took. Leaves: the bytes to write next; for each request whether its
//! first byte was ever handed to the kernel, which is the difference between *never sent* and *unknown*. Pure.
//!
//! Small requests are gathered, so that one write takes many; a large one that is given away is kept as it is.

use std::borrow::Cow;
use std::collections::VecDeque;

/// Requests are gathered up to this size, and a buffer larger than this is given back to the allocator (bytes).
const KEEP: usize = 64 * 1024;

/// A request of this size is not copied if it is given away (bytes).
const LARGE: usize = 16 * 1024;

/// The outgoing bytes of one connection. Positions count from the connection's first byte.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The bytes that are written next: whole requests, the first of them perhaps in part.
    front: Vec<u8>,
    /// What follows them, in pieces of whole requests.
    behind: VecDeque<Vec<u8>>,
    /// How many bytes that is.
    length_behind: usize,
    /// The position of `front[0]`.
    base: u64,
    /// How many bytes of `front` have been written.
    written: usize,
}

impl Outgoing {
    /// Adds a request and returns its position.
    #[inline]
    pub fn append(&mut self, request: Cow<'_, [u8]>) -> u64 {
        let start = self.end();
        if self.behind.is_empty() && self.front.len() < KEEP && request.len() < LARGE {
            self.front.extend_from_slice(&request);
        } else {
            self.append_behind(request);
        }
        start
    }

    fn append_behind(&mut self, request: Cow<'_, [u8]>) {
        self.length_behind += request.len();
        match self.behind.back_mut() {
            Some(last) if last.len() < KEEP && request.len() < LARGE => last.extend_from_slice(&request),
            _ => self.behind.push_back(request.into_owned()),
        }
        if self.front.is_empty() {
            self.advance();
        }
    }

    /// What is to be written next; there may be more behind it.
    #[must_use]
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        self.front.get(self.written..).unwrap_or_default()
    }

    /// How many bytes have not been written.
    #[must_use]
    #[inline]
    pub fn length(&self) -> usize {
        self.front.len() - self.written + self.length_behind
    }

    /// Whether everything has been written.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.written == self.front.len()
    }

    /// Says that the socket took `count` bytes of [`Self::unsent`].
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.front.len());
        if self.is_empty() {
            self.base += self.written as u64;
            self.written = 0;
            if self.front.capacity() > KEEP {
                self.front = Vec::new();
            }
            self.front.clear();
            self.advance();
        }
    }

    /// The next piece comes to the front, which is empty.
    fn advance(&mut self) {
        if let Some(next) = self.behind.pop_front() {
            self.length_behind -= next.len();
            self.front = next;
        }
    }

    /// The position up to which bytes were handed to the kernel.
    #[must_use]
    #[inline]
    pub fn position(&self) -> u64 {
        self.base + self.written as u64
    }

    /// The bytes of a request that was never sent.
    #[must_use]
    pub fn request(&self, start: u64, length: usize) -> &[u8] {
        let (piece, from) = self.place(start);
        let piece = if piece == 0 { Some(&self.front) } else { self.behind.get(piece - 1) };
        piece.and_then(|piece| piece.get(from..from.saturating_add(length))).unwrap_or_default()
    }

    /// Takes a request out that was never sent. The positions of those behind it move down by `length`.
    pub fn withdraw(&mut self, start: u64, length: usize) {
        let (piece, from) = self.place(start);
        if piece == 0 {
            if from >= self.written && from.saturating_add(length) <= self.front.len() {
                self.front.drain(from..from + length);
                // Perhaps nothing is left of it but what was written.
                self.wrote(0);
            }
        } else if let Some(bytes) = self.behind.get_mut(piece - 1)
            && from.saturating_add(length) <= bytes.len()
        {
            bytes.drain(from..from + length);
            self.length_behind -= length;
            if bytes.is_empty() {
                self.behind.remove(piece - 1);
            }
        }
    }

    /// In which piece the byte of a position is, the front being number 0, and where in it.
    fn place(&self, position: u64) -> (usize, usize) {
        let mut from = usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let pieces = std::iter::once(&self.front).chain(&self.behind);
        for (number, piece) in pieces.enumerate() {
            if from < piece.len() {
                return (number, from);
            }
            from -= piece.len();
        }
        (usize::MAX, 0)
    }

    fn end(&self) -> u64 {
        self.base + (self.front.len() + self.length_behind) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_withdrawn_request_never_leaves() {
        let mut outgoing = Outgoing::default();
        outgoing.append(b"one\n".into());
        let two = outgoing.append(b"two\n".into());
        outgoing.append(b"three\n".into());
        outgoing.wrote(2);
        outgoing.withdraw(two, 4);
        assert_eq!(outgoing.unsent(), b"e\nthree\n");
    }

    #[test]
    fn a_large_request_is_not_copied() {
        let (mut outgoing, large) = (Outgoing::default(), vec![7; 100_000]);
        let place = large.as_ptr();
        outgoing.append(b"small".into());
        outgoing.append(large.into());
        outgoing.append(b"small".into());
        outgoing.wrote(5);
        assert_eq!((outgoing.unsent().as_ptr(), outgoing.unsent().len(), outgoing.length()), (place, 100_000, 100_005));
    }

    proptest! {
        #[test]
        fn positions_name_the_same_bytes_however_the_socket_takes_them_and_whatever_is_withdrawn(
            steps in prop::collection::vec((1usize..50_000, 0usize..90_000, any::<bool>(), 0u8..8), 1..60)
        ) {
            let (mut outgoing, mut taken, mut requests) = (Outgoing::default(), 0u64, Vec::<(u64, Vec<u8>)>::new());
            for (index, (length, take, owned, withdraw)) in steps.into_iter().enumerate() {
                let request = vec![u8::try_from(index).unwrap(); length];
                let start = outgoing.append(if owned { request.clone().into() } else { Cow::Borrowed(&request) });
                requests.push((start, request));
                let count = take.min(outgoing.unsent().len());
                outgoing.wrote(count);
                taken += count as u64;
                prop_assert_eq!(outgoing.position(), taken);
                let unsent = requests.iter().position(|(start, _)| *start >= taken).unwrap_or(requests.len());
                if withdraw == 0 && unsent < requests.len() {
                    let (start, request) = requests.remove(unsent + (requests.len() - unsent) / 2);
                    outgoing.withdraw(start, request.len());
                    requests.iter_mut().filter(|later| later.0 > start).for_each(|later| later.0 -= request.len() as u64);
                }
                for (start, request) in requests.iter().filter(|(start, _)| *start >= taken) {
                    prop_assert_eq!(outgoing.request(*start, request.len()), &request[..]);
                }
                let left: usize = requests.iter().map(|(start, request)| {
                    (start + request.len() as u64).saturating_sub(taken.max(*start)) as usize
                }).sum();
                prop_assert_eq!((outgoing.length(), outgoing.is_empty()), (left, left == 0));
            }
        }
    }
}
