//! What comes from a requester: bytes → whole requests. Pure.
//!
//! Enters: bytes in any split. Leaves: one request at a time. Promised: the split changes nothing; no more is kept than
//! one request and what one read has brought behind it; an empty intake holds no memory.

use super::wire::Failure;
use crate::dialect::{Dialect, Fed, RequestFramer};

/// Memory that an intake may keep when it is empty (bytes).
const KEPT: usize = 64 * 1024;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Intake {
    framer: RequestFramer,
    max: u64,
    bytes: Vec<u8>,
    /// So many bytes have been framed and are a part of the request that is not whole yet.
    framed: usize,
}

impl Intake {
    /// Requests of at most `max` bytes.
    pub(super) fn new(dialect: Dialect, max: u64) -> Self {
        Self { framer: RequestFramer::new(dialect, max), max, bytes: Vec::new(), framed: 0 }
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
            Fed::TooLarge => Err(Failure::Refused(format!("the request is larger than {} bytes", self.max))),
        }
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

    #[test]
    fn what_is_too_large_is_refused_as_soon_as_it_is_known() {
        let mut intake = Intake::new(Dialect::Len32, 8);
        intake.room().extend_from_slice(b"\0\0\0\x09");
        assert_eq!(intake.next().unwrap_err().to_string(), "refused: the request is larger than 8 bytes");
    }
}
