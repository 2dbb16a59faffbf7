//! Values of RESP that are one line.
//!
//! ```text
//! "+" text  "-" text                  ; any bytes but CR and LF
//! ":" integer  "(" integer            ; [ "+" / "-" ] 1*DIGIT
//! "," double                          ; 1*( DIGIT / "+" / "-" / "." / "e" / "E" / letters of "inf" and "nan" )
//! "#" ( "t" / "f" )   "_"   "."       ; "." ends a streamed aggregate
//! ```
//!
//! Integers are looked at as closely as framing needs: a stream that lost its place is noticed, not a number that is
//! out of range. All but texts are at most 64 KiB long.
//!
//! Enters: bytes behind the kind, in any split. Leaves: where the line ends. Promised: each byte is looked at once.

use super::pieces::Wrong;

const MAX_LINE: u32 = 64 * 1024;

/// A line of which not everything has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Simple {
    kind: u8,
    /// The CR has come.
    cr: bool,
    /// The content's last byte so far.
    last: u8,
    /// Bytes of content so far; not counted for texts.
    length: u32,
}

/// What became of some bytes.
pub(super) enum SimpleStep {
    /// All were taken.
    On,
    /// The line ended behind so many.
    End(usize),
}

impl Simple {
    pub(super) fn new(kind: u8) -> Self {
        Self { kind, cr: false, last: 0, length: 0 }
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<SimpleStep, Wrong> {
        let mut at = 0;
        if !self.cr {
            at = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
            self.content(&bytes[..at])?;
            match bytes.get(at) {
                None => return Ok(SimpleStep::On),
                Some(b'\r') => self.end_content()?,
                Some(_) => return Err("a line of a reply ends in LF without CR"),
            }
            self.cr = true;
            at += 1;
        }
        match bytes.get(at) {
            None => Ok(SimpleStep::On),
            Some(b'\n') => Ok(SimpleStep::End(at + 1)),
            Some(_) => Err("CR without LF within a line of a reply"),
        }
    }

    #[inline]
    fn content(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        if matches!(self.kind, b'+' | b'-') {
            return Ok(());
        }
        for &byte in bytes {
            if self.length == MAX_LINE {
                return Err("a number in a reply is longer than 64 KiB");
            }
            if !self.may_have(byte) {
                return Err(self.complaint());
            }
            self.length += 1;
            self.last = byte;
        }
        Ok(())
    }

    fn may_have(&self, byte: u8) -> bool {
        match self.kind {
            b':' | b'(' => byte.is_ascii_digit() || self.length == 0 && matches!(byte, b'+' | b'-'),
            b',' => byte.is_ascii_digit() || b"+-.eEinfaINFA".contains(&byte),
            b'#' => self.length == 0 && matches!(byte, b't' | b'f'),
            _ => false,
        }
    }

    fn end_content(&self) -> Result<(), Wrong> {
        let sound = match self.kind {
            b':' | b'(' => self.last.is_ascii_digit(),
            b',' | b'#' => self.length > 0,
            _ => true,
        };
        if sound { Ok(()) } else { Err(self.complaint()) }
    }

    fn complaint(&self) -> Wrong {
        match self.kind {
            b':' | b'(' => "an integer in a reply has something else than digits",
            b',' => "a double in a reply is no number",
            b'#' => "a boolean in a reply is neither `t` nor `f`",
            b'_' => "a null in a reply is not empty",
            _ => "the end of a streamed aggregate is not a `.` alone",
        }
    }
}
