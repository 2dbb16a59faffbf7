//! RESP requests: where they end.
//!
//! ```text
//! request = array / inline
//! array   = "*" length-line *( "$" length-line body )   ; so many strings as the first length says; 0 or -1: none
//! inline  = line LF                                     ; not beginning with "*"; a CR before the LF is not part of it
//! ```
//!
//! At most 2^31-1 strings (Redis' `INT_MAX`), a string of at most 512 MiB (its `proto-max-bulk-len`), an inline request
//! of at most 64 KiB (`PROTO_INLINE_MAX_SIZE`). Redis hangs up on what exceeds them, so it must not reach a connection
//! that others share. Sources: the Redis protocol specification; `processMultibulkBuffer` and `processInlineBuffer`.
//!
//! Enters: bytes in any split. Leaves: ends of requests. Promised: a request that will be too large is known as soon as
//! a length says so; strings are skipped unread.

use super::pieces::{CRLF, Length, LengthLine, Wrong, split_string, take_body, whole_length};
use crate::dialect::Fed;

const MAX_STRINGS: u64 = i32::MAX as u64;
const MAX_STRING: u64 = 512 * 1024 * 1024;
const MAX_INLINE: usize = 64 * 1024;
/// A request with more strings is not looked at as a whole: in vain that would cost too much.
const FEW: u64 = 16;
/// Bytes of the shortest string, `$0 CR LF CR LF`.
const SHORTEST: u64 = 6;

/// How far into a request the bytes went.
#[derive(Debug)]
pub(in crate::dialect) struct RequestMachine {
    /// Strings that have yet to end; 0 until their number is known.
    strings: u32,
    at: At,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    /// In an inline request, of which so many bytes have come.
    Inline(u32),
    /// Before a `$`.
    Mark,
    /// Behind the `*`, as long as `strings` is 0, or else behind a `$`. One state for both halves the size of this enum,
    /// of which there is one per requester.
    Length(LengthLine),
    /// So many bytes of a body have yet to come, CR LF included.
    Body(u64),
}

/// What became of some bytes.
enum Step {
    /// So many were taken.
    On(usize),
    /// The request ended behind so many.
    End(usize),
    Bad(Wrong),
    TooLarge,
}

impl RequestMachine {
    pub(in crate::dialect) const START: Self = Self { strings: 0, at: At::Start };

    /// The size of the request at the head of `bytes`, if it is whole, sound and an array of few strings, as nearly all are.
    #[inline]
    pub(in crate::dialect) fn whole(bytes: &[u8]) -> Option<usize> {
        let (&b'*', line) = bytes.split_first()? else { return None };
        let (count, head) = whole_length(line).filter(|(count, _)| *count <= FEW)?;
        let mut rest = line.get(head..)?;
        for _ in 0..count {
            let (string, behind) = split_string(rest)?;
            if string.len() as u64 > MAX_STRING {
                return None;
            }
            rest = behind;
        }
        Some(bytes.len() - rest.len())
    }

    /// Takes bytes of a request that may have `room` bytes from here on.
    pub(in crate::dialect) fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..], room - at as u64) {
                Step::On(taken) => at += taken,
                Step::End(taken) => {
                    *self = Self::START;
                    return Fed::Complete(at + taken);
                }
                Step::Bad(wrong) => return Fed::Malformed(wrong),
                Step::TooLarge => return Fed::TooLarge,
            }
        }
        Fed::Partial
    }

    /// So many bytes of the string that has begun have yet to come.
    pub(in crate::dialect) fn missing(&self) -> u64 {
        if let At::Body(left) = self.at { left } else { 0 }
    }

    /// `bytes` is not empty.
    #[inline]
    fn step(&mut self, bytes: &[u8], room: u64) -> Step {
        match self.at {
            At::Start if bytes[0] == b'*' => self.begin(bytes, room),
            At::Start => self.inline(0, bytes),
            At::Inline(seen) => self.inline(seen, bytes),
            At::Mark => self.whole_strings(bytes, room),
            At::Length(line) if self.strings == 0 => self.count_byte(line, bytes[0], room),
            At::Length(line) => self.length_byte(line, bytes[0], room),
            At::Body(left) => self.body(left, bytes),
        }
    }

    fn inline(&mut self, seen: u32, bytes: &[u8]) -> Step {
        let room = MAX_INLINE - seen as usize;
        let within = &bytes[..room.min(bytes.len())];
        match memchr::memchr(b'\n', within) {
            Some(lf) => Step::End(lf + 1),
            None if bytes.len() >= room => Step::Bad("an inline request is longer than 64 KiB"),
            None => {
                self.at = At::Inline(seen + within.len() as u32);
                Step::On(within.len())
            }
        }
    }

    #[inline]
    fn begin(&mut self, bytes: &[u8], room: u64) -> Step {
        if let Some((count, head)) = whole_length(&bytes[1..]) {
            return self.counted(count, 1 + head, room);
        }
        self.at = At::Length(LengthLine::START);
        Step::On(1)
    }

    fn count_byte(&mut self, mut line: LengthLine, byte: u8, room: u64) -> Step {
        match line.push(byte) {
            Ok(Some(Length::Of(count))) => return self.counted(count, 1, room),
            Ok(Some(Length::Null)) => return Step::End(1),
            Ok(Some(Length::Open)) => return Step::Bad("a request cannot be streamed"),
            Ok(None) => self.at = At::Length(line),
            Err(wrong) => return Step::Bad(wrong),
        }
        Step::On(1)
    }

    /// `taken` bytes told that the request has `count` strings.
    #[inline]
    fn counted(&mut self, count: u64, taken: usize, room: u64) -> Step {
        if count == 0 {
            return Step::End(taken);
        }
        if count * SHORTEST > room - taken as u64 {
            return Step::TooLarge;
        }
        if count > MAX_STRINGS {
            return Step::Bad("a request has more than 2147483647 strings");
        }
        self.strings = count as u32;
        self.at = At::Mark;
        Step::On(taken)
    }

    /// Takes as many whole strings as there are: the way of nearly every request.
    #[inline]
    fn whole_strings(&mut self, bytes: &[u8], room: u64) -> Step {
        let mut at = 0;
        while let Some((length, head)) = whole_string_head(&bytes[at..]) {
            at += head;
            if let Some(refused) = self.refuse(length, room - at as u64) {
                return refused;
            }
            let end = at + length as usize;
            match bytes.get(end..end + CRLF.len()) {
                Some(tail) if tail == CRLF => at = end + CRLF.len(),
                _ => {
                    self.at = At::Body(length + CRLF.len() as u64);
                    return Step::On(at);
                }
            }
            self.strings -= 1;
            if self.strings == 0 {
                return Step::End(at);
            }
        }
        if at == 0 { self.mark(bytes[0]) } else { Step::On(at) }
    }

    fn mark(&mut self, byte: u8) -> Step {
        if byte != b'$' {
            return Step::Bad("a request's array holds strings alone: `$` expected");
        }
        self.at = At::Length(LengthLine::START);
        Step::On(1)
    }

    fn length_byte(&mut self, mut line: LengthLine, byte: u8, room: u64) -> Step {
        match line.push(byte) {
            Ok(Some(Length::Of(length))) => {
                self.at = At::Body(length + CRLF.len() as u64);
                return self.refuse(length, room - 1).unwrap_or(Step::On(1));
            }
            Ok(Some(Length::Null | Length::Open)) => {
                return Step::Bad("a request's strings have a length of 0 or more");
            }
            Ok(None) => self.at = At::Length(line),
            Err(wrong) => return Step::Bad(wrong),
        }
        Step::On(1)
    }

    /// Why a string of `length` bytes, whose body may begin here, cannot be taken.
    #[inline]
    fn refuse(&self, length: u64, room: u64) -> Option<Step> {
        let others = u64::from(self.strings - 1) * SHORTEST;
        if length + CRLF.len() as u64 + others > room {
            return Some(Step::TooLarge);
        }
        (length > MAX_STRING).then_some(Step::Bad("a string is longer than 512 MiB"))
    }

    fn body(&mut self, mut left: u64, bytes: &[u8]) -> Step {
        let taken = match take_body(&mut left, bytes) {
            Ok(taken) => taken,
            Err(wrong) => return Step::Bad(wrong),
        };
        self.at = At::Body(left);
        if left == 0 {
            self.at = At::Mark;
            self.strings -= 1;
            if self.strings == 0 {
                return Step::End(taken);
            }
        }
        Step::On(taken)
    }
}

/// The length and the size of a whole `$` line at the head of `bytes`.
#[inline]
fn whole_string_head(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&mark, line) = bytes.split_first()?;
    let (length, head) = whole_length(line)?;
    (mark == b'$').then_some((length, 1 + head))
}
