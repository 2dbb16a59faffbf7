//! memcache requests: where they end.
//!
//! ```text
//! request = line                              ; as in `words`
//!         / line data                         ; set add replace append prepend cas: the fourth word after the command
//!                                             ;   is the length of the data; ms: the second one
//! ```
//!
//! A line has at most 2048 bytes, but for `get` and `gets`: memcached hangs up on a longer one. Data have at most
//! 2^31-3 bytes. A line that should have a length and has none cannot be framed: memcached answers an error and takes
//! the data for commands. So does what begins with a blank, in some versions.
//!
//! Enters: bytes in any split. Leaves: ends of requests. Promised: a request that will be too large is known with the
//! end of its line; data are skipped unread.

use memchr::memchr;

use super::data::{Data, Step};
use crate::dialect::Fed;

/// The longest line that memcached reads for certain (bytes, its end included).
const MAX_LINE: u16 = 2048;

/// `INT_MAX - 2`, the longest value that memcached takes the length of (bytes).
const MAX_DATA: u32 = i32::MAX as u32 - 2;

const BINARY: &str = "this is memcached's binary protocol, but only the text protocol is spoken here (set the library to \
                      text or ASCII)";
const BLANK: &str = "the command line begins with a blank";
const NO_LENGTH: &str = "the command stores a value, and does not say how many bytes that has";
const LONG: &str = "the command line has more than 2048 bytes, which only get and gets may have";
const BAD_END: &str = "the value does not end in CR LF where its length says";

/// How far into a request the bytes went. There is one of these per requester, which is why it is laid out so tightly.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct RequestMachine {
    /// So many bytes of the line have come; or more than [`MAX_LINE`].
    line: u16,
    at: At,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// In the first word, as far as it can be the name of a command that stores something; zeros have yet to come.
    Name([u8; 7]),
    /// So many words have yet to end before the length.
    Before { words: u8, within: bool },
    /// At the length (`begun` false), or behind a digit of it.
    Length { begun: bool, value: u32 },
    /// In the rest of a line behind which data follow.
    Behind(u32),
    /// In the rest of a line that is all.
    Rest { may_be_long: bool },
    /// In the data, of which so many bytes have yet to come.
    Data(u32),
}

/// What became of some bytes.
type Taken = Result<At, Fed>;

impl RequestMachine {
    pub(in crate::dialect) const START: Self = Self { line: 0, at: At::Name([0; 7]) };

    /// Takes bytes of a request that may have `room` bytes from here on.
    pub(in crate::dialect) fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        let mut at = 0;
        while at < bytes.len() {
            let fed = match self.at {
                At::Data(left) => return self.data(left, bytes, at),
                At::Behind(_) | At::Rest { .. } => self.skip_to_end(bytes, &mut at, room),
                _ => self.byte(bytes[at], &mut at, room),
            };
            if !matches!(fed, Fed::Partial) {
                return fed;
            }
        }
        Fed::Partial
    }

    /// So many bytes of the data that have begun have yet to come.
    pub(in crate::dialect) fn missing(&self) -> u64 {
        if let At::Data(left) = self.at { u64::from(left) } else { 0 }
    }

    fn data(&mut self, left: u32, bytes: &[u8], from: usize) -> Fed {
        let mut data = Data::with(u64::from(left));
        let step = data.feed(&bytes[from..]);
        // Less than before.
        self.at = At::Data(u32::try_from(data.left()).unwrap_or(left));
        match step {
            Step::On => Fed::Partial,
            Step::End(taken) => self.end(from + taken),
            Step::Bad => Fed::Malformed(BAD_END),
        }
    }

    fn end(&mut self, at: usize) -> Fed {
        *self = Self::START;
        Fed::Complete(at)
    }

    /// Skips what does not matter, up to the LF.
    fn skip_to_end(&mut self, bytes: &[u8], at: &mut usize, room: u64) -> Fed {
        let found = memchr(b'\n', &bytes[*at..]);
        let length = found.map_or(bytes.len() - *at, |lf| lf + 1);
        *at += length;
        self.line = self.line.saturating_add(u16::try_from(length).unwrap_or(u16::MAX));
        let is_long = self.line > MAX_LINE && !matches!(self.at, At::Rest { may_be_long: true });
        match (found, self.at) {
            _ if is_long => Fed::Malformed(LONG),
            (None, _) => Fed::Partial,
            (Some(_), At::Behind(length)) => self.begin_data(length, room - *at as u64),
            (Some(_), _) => self.end(*at),
        }
    }

    /// Takes one byte of the part of a line that matters.
    fn byte(&mut self, byte: u8, at: &mut usize, room: u64) -> Fed {
        *at += 1;
        self.line += 1;
        let next = match self.at {
            At::Name(name) => name_goes_on(name, byte, self.line).map_err(|fed| match fed {
                Fed::Complete(_) => self.end(*at),
                fed => fed,
            }),
            At::Before { words, within } => before(words, within, byte),
            At::Length { begun: true, value } if byte == b'\n' => return self.begin_data(value, room - *at as u64),
            At::Length { begun, value } => length(begun, value, byte),
            here => Ok(here),
        };
        match next {
            Ok(_) if self.line > MAX_LINE => Fed::Malformed(LONG),
            Ok(next) => {
                self.at = next;
                Fed::Partial
            }
            Err(fed) => fed,
        }
    }

    fn begin_data(&mut self, length: u32, room: u64) -> Fed {
        // CR LF behind them.
        let left = length + 2;
        self.at = At::Data(left);
        if u64::from(left) > room { Fed::TooLarge } else { Fed::Partial }
    }
}

/// A byte of the first word. `Complete` stands for the end of the line, which is the end of the request.
fn name_goes_on(mut name: [u8; 7], byte: u8, line: u16) -> Taken {
    let got = name.iter().position(|&letter| letter == 0).unwrap_or(name.len());
    match byte {
        0x80 if line == 1 => Err(Fed::Malformed(BINARY)),
        b' ' if got == 0 => Err(Fed::Malformed(BLANK)),
        b' ' => Ok(behind_name(&name[..got])),
        b'\n' => Err(Fed::Complete(0)),
        0 => Ok(At::Rest { may_be_long: false }),
        _ if got == name.len() => Ok(At::Rest { may_be_long: false }),
        _ => {
            name[got] = byte;
            Ok(At::Name(name))
        }
    }
}

fn behind_name(name: &[u8]) -> At {
    match name {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => At::Before { words: 3, within: false },
        b"ms" => At::Before { words: 1, within: false },
        b"get" | b"gets" => At::Rest { may_be_long: true },
        _ => At::Rest { may_be_long: false },
    }
}

/// A byte of the words before the length.
fn before(words: u8, within: bool, byte: u8) -> Taken {
    match byte {
        b'\n' => Err(Fed::Malformed(NO_LENGTH)),
        b' ' if within && words == 1 => Ok(At::Length { begun: false, value: 0 }),
        b' ' => Ok(At::Before { words: words - u8::from(within), within: false }),
        _ => Ok(At::Before { words, within: true }),
    }
}

/// A byte of the length.
fn length(begun: bool, value: u32, byte: u8) -> Taken {
    match byte {
        b' ' if !begun => Ok(At::Length { begun, value }),
        b' ' | b'\r' if begun => Ok(At::Behind(value)),
        b'0'..=b'9' => {
            let longer = value.checked_mul(10).and_then(|ten| ten.checked_add(u32::from(byte - b'0')));
            let value = longer.filter(|&value| value <= MAX_DATA).ok_or(Fed::Malformed(NO_LENGTH))?;
            Ok(At::Length { begun: true, value })
        }
        _ => Err(Fed::Malformed(NO_LENGTH)),
    }
}
