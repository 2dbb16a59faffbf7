//! What comes from a requester: bytes → whole requests. Pure.
//!
//! Enters: bytes in any split. Leaves: one request at a time. Promised: the split changes nothing; no more is kept than
//! one request and what one read has brought behind it; an empty intake holds no memory. What stands before a tagged
//! request does not count.

use super::once::{self, Word};
use super::wire::Failure;
use crate::dialect::{Dialect, Fed, RequestFramer};

/// Memory that an intake may keep when it is empty (bytes).
const KEPT: usize = 64 * 1024;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Intake {
    framer: RequestFramer,
    max: u64,
    /// The word of a greeted session.
    word: Option<Word>,
    bytes: Vec<u8>,
    /// So many bytes have been framed and are a part of the request that is not whole yet.
    framed: usize,
}

impl Intake {
    /// Requests of at most `max` bytes.
    pub(super) fn new(dialect: Dialect, max: u64) -> Self {
        Self { framer: RequestFramer::new(dialect, max), max, word: None, bytes: Vec::new(), framed: 0 }
    }

    /// The request that came last was a greeting: from now on lines may have tags.
    pub(super) fn greet(&mut self, word: Word) {
        self.framer = RequestFramer::new(Dialect::Line, self.max.saturating_add(once::PREFIX as u64));
        self.word = Some(word);
    }

    /// Where the next bytes are to be put.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether a request has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole request; none if it has not come.
    ///
    /// # Errors
    /// When there will be none.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self.framer.feed(&self.bytes[self.framed..]) {
            Fed::Complete(length) if self.is_too_large(self.framed + length) => Err(self.too_large()),
            Fed::Partial if self.is_too_large(self.bytes.len()) => Err(self.too_large()),
            Fed::Complete(length) => {
                let rest = self.bytes.split_off(self.framed + length);
                self.framed = 0;
                Ok(Some(std::mem::replace(&mut self.bytes, rest)))
            }
            Fed::Partial => {
                self.framed = self.bytes.len();
                if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
                    self.bytes = Vec::new();
                }
                Ok(None)
            }
            Fed::Malformed(what) => Err(Failure::Refused(what.to_owned())),
            Fed::TooLarge => Err(self.too_large()),
        }
    }

    /// Whether the request of so many bytes, whole or not, is too large although the framer has let it pass.
    fn is_too_large(&self, length: usize) -> bool {
        let Some(word) = &self.word else { return false };
        let uncounted = word.uncounted(self.bytes.get(..length).unwrap_or_default());
        (length - uncounted) as u64 > self.max
    }

    fn too_large(&self) -> Failure {
        Failure::Refused(format!("the request is larger than {} bytes", self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_one_by_one_whatever_the_split() {
        let stream = b"one\ntwo\n\nfour and more\nfi";
        for size in 1..stream.len() {
            let (mut intake, mut found) = (Intake::new(Dialect::Line, 100), Vec::new());
            for piece in stream.chunks(size) {
                intake.room().extend_from_slice(piece);
                while let Some(request) = intake.next().unwrap() {
                    found.push(request);
                }
            }
            assert_eq!(found, [&b"one\n"[..], b"two\n", b"\n", b"four and more\n"], "{size}");
            assert!(intake.has_begun());
        }
    }

    /// What comes of a stream behind a greeting with this word, in pieces of this size.
    fn greeted(stream: &[u8], max: u64, size: usize) -> (Vec<Vec<u8>>, Option<String>) {
        let hello = b"tieline dedupe 1 0123456789abcdef 5\n";
        let (mut intake, mut found) = (Intake::new(Dialect::Line, 100), Vec::new());
        intake.max = max;
        let mut stream = [&hello[..], stream].concat();
        let rest = stream.split_off(stream.len().min(hello.len() + size));
        for piece in std::iter::once(&stream[..]).chain(rest.chunks(size)) {
            intake.room().extend_from_slice(piece);
            loop {
                match intake.next() {
                    Ok(Some(request)) => found.push(request),
                    Ok(None) => break,
                    Err(failure) => return (found, Some(failure.to_string())),
                }
                if found.len() == 1 {
                    intake.greet(once::greeting(hello).unwrap().unwrap().word);
                }
            }
        }
        (found.split_off(1), None)
    }

    #[test]
    fn of_a_tagged_request_what_stands_before_it_does_not_count_whatever_the_split() {
        let tag = "t".repeat(64);
        let stream = format!("0123456789abcdef {tag} 12345\n12345\n0123456789abcdef a 12345\n");
        for size in 1..stream.len() {
            assert_eq!(greeted(stream.as_bytes(), 6, size).0.len(), 3, "{size}");
            let refused = Some("refused: the request is larger than 5 bytes".to_owned());
            assert_eq!(greeted(stream.as_bytes(), 5, size).1, refused, "{size}");
            for large in ["123456\n", "0123456789abcdef a 123456\n", "0123456789abcdeg a b\n"] {
                let (_, told) = greeted(format!("12345\n{large}").as_bytes(), 6, size);
                assert_eq!(told.unwrap_or_default(), "refused: the request is larger than 6 bytes", "{large}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused_as_soon_as_it_is_known() {
        let mut intake = Intake::new(Dialect::Len32, 8);
        intake.room().extend_from_slice(b"\0\0\0\x09");
        assert_eq!(intake.next().unwrap_err().to_string(), "refused: the request is larger than 8 bytes");
    }
}
