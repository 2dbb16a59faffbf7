//! The two pieces that RESP's requests and replies are made of: the line with a length, and the body so announced.
//!
//! ```text
//! length-line = ( number / "-1" / "?" ) CR LF      ; "-1": null, "?": streamed; not everywhere
//! number      = "0" / ( %x31-39 *9DIGIT )          ; no sign, no leading zero, at most 10 digits
//! body        = so many bytes CR LF
//! ```
//!
//! Redis itself takes any byte for the LF behind a length's CR, any two bytes behind a body, and any count below zero.
//! Nobody sends that, and what two readers could understand differently must not pass. Source: the Redis protocol
//! specification, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Enters: bytes in any split. Leaves: lengths and ends. Promised: bodies are skipped unread but for their CR LF.

/// Digits of a length; more bytes than they can say fit no memory.
const MAX_DIGITS: u8 = 10;

pub(super) const CRLF: &[u8; 2] = b"\r\n";

/// What a length line said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Of(u64),
    Null,
    Open,
}

/// A piece that is not as it must be; the text is for people.
pub(super) type Wrong = &'static str;

/// A length line of which not everything has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct LengthLine {
    value: u64,
    digits: u8,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Digits,
    Minus,
    Null,
    Open,
    Cr(Mark),
}

/// What stood before the CR.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Number,
    Null,
    Open,
}

impl LengthLine {
    pub(super) const START: Self = Self { value: 0, digits: 0, stage: Stage::Digits };

    /// Takes the next byte; the length comes with the line's last.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Length>, Wrong> {
        match (self.stage, byte) {
            (Stage::Digits, b'0'..=b'9') => self.digit(byte - b'0')?,
            (Stage::Digits, b'\r') if self.digits > 0 => self.stage = Stage::Cr(Mark::Number),
            (Stage::Digits, b'-') if self.digits == 0 => self.stage = Stage::Minus,
            (Stage::Digits, b'?') if self.digits == 0 => self.stage = Stage::Open,
            (Stage::Minus, b'1') => self.stage = Stage::Null,
            (Stage::Null, b'\r') => self.stage = Stage::Cr(Mark::Null),
            (Stage::Open, b'\r') => self.stage = Stage::Cr(Mark::Open),
            (Stage::Cr(mark), b'\n') => return Ok(Some(self.length(mark))),
            (Stage::Cr(_), _) => return Err("a length line must end in CR LF"),
            _ => return Err("a length must be digits, without a sign or leading zeros, and end in CR LF"),
        }
        Ok(None)
    }

    fn digit(&mut self, digit: u8) -> Result<(), Wrong> {
        if self.digits == 1 && self.value == 0 {
            return Err("a length has leading zeros");
        }
        if self.digits == MAX_DIGITS {
            return Err("a length has more than 10 digits");
        }
        self.value = self.value * 10 + u64::from(digit);
        self.digits += 1;
        Ok(())
    }

    fn length(&self, mark: Mark) -> Length {
        match mark {
            Mark::Number => Length::Of(self.value),
            Mark::Null => Length::Null,
            Mark::Open => Length::Open,
        }
    }
}

/// The number and the size of a whole, sound length line at the head of `bytes`. Whatever else is there is left to
/// [`LengthLine`], which takes one byte at a time and knows what is wrong. Nearly all lengths have one digit or two.
#[inline]
pub(super) fn whole_length(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes {
        [only @ b'0'..=b'9', b'\r', b'\n', ..] => Some((u64::from(only - b'0'), 3)),
        [first @ b'1'..=b'9', second @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((u64::from(first - b'0') * 10 + u64::from(second - b'0'), 4))
        }
        _ => longer_length(bytes),
    }
}

/// As [`whole_length`], whatever the number of digits.
fn longer_length(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(usize::from(MAX_DIGITS) + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let sound = byte == b'\r' && bytes.get(at + 1) == Some(&b'\n') && (at == 1 || at > 1 && bytes[0] != b'0');
            return sound.then_some((value, at + 2));
        }
        value = value * 10 + u64::from(digit);
    }
    None
}

/// A whole, sound string (`$`, length, body) at the head of `bytes`, and what is behind it. Whatever else is there is left
/// to those who know what is wrong.
#[inline]
pub(super) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&b'$', line) = bytes.split_first()? else { return None };
    let (length, head) = whole_length(line)?;
    let (string, rest) = line.get(head..)?.split_at_checked(usize::try_from(length).ok()?)?;
    Some((string, rest.strip_prefix(CRLF)?))
}

/// Takes bytes of a body of which `left` have yet to come, CR LF included. `left` is counted down; at 0 it has ended.
#[inline]
pub(super) fn take_body(left: &mut u64, bytes: &[u8]) -> Result<usize, Wrong> {
    let content = usize::try_from(left.saturating_sub(2)).unwrap_or(usize::MAX);
    if bytes.len() <= content {
        *left -= bytes.len() as u64;
        return Ok(bytes.len());
    }
    let end = CRLF.len() - (*left).min(2) as usize;
    let have = (bytes.len() - content).min(CRLF.len() - end);
    if bytes[content..content + have] != CRLF[end..end + have] {
        return Err("CR LF expected behind a string: its length is wrong");
    }
    *left -= (content + have) as u64;
    Ok(content + have)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_bytes(line: &[u8]) -> Result<Option<Length>, Wrong> {
        let mut state = LengthLine::START;
        for (at, &byte) in line.iter().enumerate() {
            if let Some(length) = state.push(byte)? {
                assert_eq!(at + 1, line.len(), "ended early: {line:?}");
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    #[test]
    fn lengths_are_read_alike_in_one_go_and_byte_by_byte() {
        for (line, value) in [("0\r\n", 0), ("7\r\n", 7), ("10\r\n", 10), ("9999999999\r\n", 9_999_999_999)] {
            assert_eq!(by_bytes(line.as_bytes()), Ok(Some(Length::Of(value))), "{line:?}");
            assert_eq!(whole_length(line.as_bytes()), Some((value, line.len())), "{line:?}");
        }
    }

    #[test]
    fn anything_but_canonical_digits_is_no_length() {
        for line in
            ["\r\n", "00\r\n", "01\r\n", "+1\r\n", "-2\r\n", "-11\r\n", "1\n", "1\rx", "1 \r\n", "10000000000\r\n"]
        {
            assert!(by_bytes(line.as_bytes()).is_err(), "{line:?}");
            assert_eq!(whole_length(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn null_and_streamed_lengths_are_marked_as_such() {
        assert_eq!(by_bytes(b"-1\r\n"), Ok(Some(Length::Null)));
        assert_eq!(by_bytes(b"?\r\n"), Ok(Some(Length::Open)));
    }

    #[test]
    fn a_body_ends_in_cr_lf_at_the_announced_place_in_every_split() {
        for cut in 0..=5 {
            let mut left = 5;
            let first = take_body(&mut left, &b"a\r\n\r\n"[..cut]).unwrap();
            let second = take_body(&mut left, &b"a\r\n\r\n+"[first..]).unwrap();
            assert_eq!((first + second, left), (5, 0), "cut at {cut}");
        }
        assert!(take_body(&mut 4, b"ab\rx").is_err());
        assert!(take_body(&mut 4, b"abc").is_err());
    }
}
