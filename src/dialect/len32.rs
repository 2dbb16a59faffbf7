//! The dialect `len32`: a length, then so many bytes.
//!
//! ```text
//! frame = length body        ; length: four bytes, unsigned, big-endian; it counts the body alone and may be 0
//! ```
//!
//! Enters: bytes in any split. Leaves: where frames end. Promised: a frame that will be too large is known with the
//! last byte of its length; bodies are skipped unread.

use super::{Failure, Fed};

/// Bytes of the length.
const HEADER: usize = 4;

/// How far into a frame the bytes went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Len32 {
    /// So many bytes of the length have come; this is their value.
    Length { got: u8, value: u32 },
    /// So many bytes of the body have yet to come; never 0.
    Body { left: u32 },
}

impl Len32 {
    pub(super) const START: Self = Self::Length { got: 0, value: 0 };

    /// Takes bytes of a frame that may have `room` bytes from here on.
    pub(super) fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        match *self {
            Self::Length { got, value } => self.length(got, value, bytes, room),
            Self::Body { left } => self.body(left, bytes, 0),
        }
    }

    /// So many bytes of the body have yet to come; 0 as long as that is not known.
    pub(super) fn missing(&self) -> u64 {
        match *self {
            Self::Length { .. } => 0,
            Self::Body { left } => u64::from(left),
        }
    }

    fn length(&mut self, mut got: u8, mut value: u32, bytes: &[u8], room: u64) -> Fed {
        let head = bytes.len().min(HEADER - usize::from(got));
        for &byte in &bytes[..head] {
            value = value << 8 | u32::from(byte);
            got += 1;
        }
        *self = Self::Length { got, value };
        if usize::from(got) < HEADER {
            Fed::Partial
        } else if u64::from(value) > room - head as u64 {
            Fed::TooLarge
        } else {
            self.body(value, &bytes[head..], head)
        }
    }

    /// `before` bytes of the call came before `bytes`.
    fn body(&mut self, left: u32, bytes: &[u8], before: usize) -> Fed {
        if bytes.len() >= left as usize {
            *self = Self::START;
            return Fed::Complete(before + left as usize);
        }
        *self = Self::Body { left: left - bytes.len() as u32 };
        Fed::Partial
    }
}

/// The word alone, framed.
pub(super) fn failure(failure: Failure, out: &mut Vec<u8>) {
    frame(failure.word().as_bytes(), out);
}

/// A body behind its length. Ours are a few bytes long.
pub(super) fn frame(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(bytes: &[u8], room: u64) -> Fed {
        let mut framer = Len32::START;
        framer.feed(bytes, room)
    }

    #[test]
    fn an_empty_body_is_a_frame() {
        assert_eq!(fed(b"\0\0\0\0rest", 100), Fed::Complete(4));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_body_comes() {
        assert_eq!(fed(b"\0\0\0\x05", 8), Fed::TooLarge);
        assert_eq!(fed(b"\0\0\0\x04", 8), Fed::Partial);
        assert_eq!(fed(b"\xff\xff\xff\xff", u64::MAX), Fed::Partial);
    }

    #[test]
    fn a_frame_in_pieces_ends_where_its_length_says() {
        let mut framer = Len32::START;
        assert_eq!(framer.feed(b"\0\0", 100), Fed::Partial);
        assert_eq!(framer.feed(b"\0\x03a", 98), Fed::Partial);
        assert_eq!(framer.feed(b"bc\0\0", 95), Fed::Complete(2));
        assert_eq!(framer.feed(b"\0\0\0\x01z", 100), Fed::Complete(5));
    }
}
