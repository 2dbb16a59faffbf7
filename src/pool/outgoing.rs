//! What is to be written to one connection: requests in a row, each of whose bounds stay known.
//!
//! Enters: whole requests; how many bytes the socket took. Leaves: the bytes to write next; for each request whether its
//! first byte was ever handed to the kernel, which is the difference between *never sent* and *unknown*. Pure.

/// A buffer larger than this is given back to the allocator once it is empty (bytes).
const KEEP: usize = 64 * 1024;

/// The outgoing bytes of one connection. Positions count from the connection's first byte.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// The position of `bytes[0]`.
    base: u64,
    /// How many of `bytes` have been written.
    written: usize,
}

impl Outgoing {
    /// Adds a request and returns its position.
    pub fn append(&mut self, request: &[u8]) -> u64 {
        let start = self.end();
        self.bytes.extend_from_slice(request);
        start
    }

    /// What has not been written yet.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Whether everything has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Says that the socket took `count` bytes of [`Self::unsent`].
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.is_empty() {
            self.base = self.end();
            self.written = 0;
            if self.bytes.capacity() > KEEP {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
        } else if self.written > KEEP && self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.base += self.written as u64;
            self.written = 0;
        }
    }

    /// The position up to which bytes were handed to the kernel.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.base + self.written as u64
    }

    /// The bytes of a request that was never sent.
    #[must_use]
    pub fn request(&self, start: u64, length: usize) -> &[u8] {
        let from = usize::try_from(start.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.bytes.get(from..from.saturating_add(length)).unwrap_or_default()
    }

    /// Takes a request out that was never sent. The positions of those behind it move down by `length`.
    pub fn withdraw(&mut self, start: u64, length: usize) {
        let from = usize::try_from(start.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if from >= self.written && from.saturating_add(length) <= self.bytes.len() {
            self.bytes.drain(from..from + length);
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_withdrawn_request_never_leaves() {
        let mut outgoing = Outgoing::default();
        outgoing.append(b"one\n");
        let two = outgoing.append(b"two\n");
        outgoing.append(b"three\n");
        outgoing.wrote(2);
        outgoing.withdraw(two, 4);
        assert_eq!(outgoing.unsent(), b"e\nthree\n");
    }

    proptest! {
        #[test]
        fn positions_name_the_same_bytes_however_the_socket_takes_them(
            steps in prop::collection::vec((1usize..50_000, 0usize..90_000), 1..60)
        ) {
            let (mut outgoing, mut all, mut starts) = (Outgoing::default(), Vec::new(), Vec::new());
            for (index, (length, take)) in steps.into_iter().enumerate() {
                let request = vec![u8::try_from(index).unwrap(); length];
                starts.push((outgoing.append(&request), length));
                all.extend_from_slice(&request);
                let take = take.min(outgoing.unsent().len());
                let position = usize::try_from(outgoing.position()).unwrap();
                prop_assert_eq!(outgoing.unsent(), &all[position..]);
                outgoing.wrote(take);
                for &(start, length) in &starts {
                    if start >= outgoing.position() {
                        let at = usize::try_from(start).unwrap();
                        prop_assert_eq!(outgoing.request(start, length), &all[at..at + length]);
                    }
                }
            }
        }
    }
}
