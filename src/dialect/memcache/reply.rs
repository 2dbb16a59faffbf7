//! memcache replies: where they end, and whether they are of the kind that was asked for.
//!
//! ```text
//! values  = *( "VALUE" key flags bytes [cas] CRLF data ) "END" CRLF     ; to get, gets, gat, gats
//! stats   = *( ("STAT" / "ITEM" / "PREFIX") … CRLF ) "END" CRLF         ; to stats; or "RESET" or "OK"
//! meta    = "VA" bytes *flag CRLF data / two-letters *flag CRLF         ; to mg, ms, md, ma, me, mn
//! error   = ("ERROR…" / "CLIENT_ERROR" / "SERVER_ERROR") … CRLF         ; to anything, also instead of a further VALUE
//! line    = anything else CRLF                                          ; to all other commands
//! version = "VERSION" … CRLF                                            ; to version; the end of a run
//! data    = so many bytes CRLF
//! ```
//!
//! In a run each reply within it is a frame of its own; [`ReplyMachine::is_closing`] tells the last one.
//!
//! Enters: bytes in any split, and what they answer. Leaves: ends of replies. Promised: a reply of another kind than
//! was asked for is never taken for one, so that a host that is out of step is noticed; a reply that will be too large
//! is known as soon as a length says so.

use memchr::memchr;

use super::data::{Data, Step};
use super::words::{first, line, number, words};
use crate::dialect::{Expect, Fed};

/// The longest line with which a reply may begin or go on (bytes). Those of memcached have a few hundred.
const MAX_LINE: usize = 64 * 1024;

const OTHER_KIND: &str = "this is not the reply to what was asked";
const BAD_LENGTH: &str = "a value without a length";
const BAD_END: &str = "a value that does not end where its length says";
const LONG: &str = "a line of more than 64 KiB";

/// How far into a reply the bytes went.
#[derive(Debug)]
pub(in crate::dialect) struct ReplyMachine {
    /// What this reply answers.
    expect: Expect,
    /// The beginning of a line that is not complete.
    head: Vec<u8>,
    /// The block that the bytes are in.
    data: Option<Data>,
    /// The lines of this reply so far were of this kind; `None` before the first one.
    series: Option<Series>,
    closing: bool,
}

/// Lines that go on until `END`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Values,
    Stats,
}

/// What a line means by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Stat,
    End,
    Va,
    Error,
    Version,
    /// Two capital letters: a status of the meta commands, or `OK`.
    Two,
    Other,
}

impl ReplyMachine {
    pub(in crate::dialect) fn new() -> Self {
        Self { expect: Expect::Any, head: Vec::new(), data: None, series: None, closing: false }
    }

    /// Says what the reply answers that begins now or has begun.
    pub(in crate::dialect) fn expect(&mut self, expect: Expect) {
        self.expect = expect;
    }

    /// So many bytes of the data that have begun have yet to come.
    pub(in crate::dialect) fn missing(&self) -> u64 {
        self.data.map_or(0, Data::left)
    }

    /// Whether the frame that was completed last is the end of a run.
    pub(in crate::dialect) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether these bytes may come before their request was sent whole: replies within a run, and the error with which
    /// older versions answer a value that is too large before they have read it.
    pub(in crate::dialect) fn may_come_early(&self, bytes: &[u8]) -> bool {
        const ERROR: &[u8] = b"SERVER_ERROR ";
        let begins = |bytes: &[u8]| bytes.iter().zip(ERROR).all(|(one, other)| one == other);
        self.expect.is_run() || begins(if self.head.is_empty() { bytes } else { &self.head })
    }

    /// Takes bytes of a reply that may have `room` bytes from here on.
    pub(in crate::dialect) fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let fed = match self.data {
                Some(data) => self.data(data, rest),
                None => self.line(rest, room - at as u64),
            };
            match fed {
                Ok((taken, true)) => {
                    (self.series, self.data) = (None, None);
                    return Fed::Complete(at + taken);
                }
                Ok((taken, false)) => at += taken,
                Err(fed) => return fed,
            }
        }
        Fed::Partial
    }

    /// Takes bytes of a block. How many were taken, and whether the reply ends with them.
    fn data(&mut self, mut data: Data, bytes: &[u8]) -> Result<(usize, bool), Fed> {
        let step = data.feed(bytes);
        self.data = Some(data);
        match step {
            Step::On => Ok((bytes.len(), false)),
            Step::End(taken) => {
                self.data = None;
                Ok((taken, self.series.is_none()))
            }
            Step::Bad => Err(Fed::Malformed(BAD_END)),
        }
    }

    /// Takes bytes of a line; as `data`.
    fn line(&mut self, bytes: &[u8], room: u64) -> Result<(usize, bool), Fed> {
        let lf = memchr(b'\n', bytes);
        let length = lf.map_or(bytes.len(), |lf| lf + 1);
        if self.head.len() + length > MAX_LINE {
            return Err(Fed::Malformed(LONG));
        }
        if lf.is_none() {
            self.head.extend_from_slice(bytes);
            return Ok((length, false));
        }
        let room = room - length as u64;
        if self.head.is_empty() {
            return Ok((length, self.end_of_line(&bytes[..length], room)?));
        }
        let mut head = std::mem::take(&mut self.head);
        head.extend_from_slice(&bytes[..length]);
        Ok((length, self.end_of_line(&head, room)?))
    }

    /// Takes a whole line. Whether the reply ends with it.
    fn end_of_line(&mut self, whole: &[u8], room: u64) -> Result<bool, Fed> {
        let (name, rest) = first(line(whole));
        let kind = kind(name);
        if !self.fits(kind, name) {
            return Err(Fed::Malformed(OTHER_KIND));
        }
        self.closing = kind == Kind::Version;
        match kind {
            Kind::Value => {
                self.series = Some(Series::Values);
                self.begin_data(words(rest).nth(2), room)
            }
            Kind::Va => self.begin_data(words(rest).next(), room),
            Kind::Stat => {
                self.series = Some(Series::Stats);
                Ok(false)
            }
            Kind::End | Kind::Error | Kind::Version | Kind::Two | Kind::Other => Ok(true),
        }
    }

    fn begin_data(&mut self, length: Option<&[u8]>, room: u64) -> Result<bool, Fed> {
        let length = length.and_then(number).filter(|&length| length < u64::MAX - 2);
        let data = Data::of(length.ok_or(Fed::Malformed(BAD_LENGTH))?);
        self.data = Some(data);
        if data.left() > room { Err(Fed::TooLarge) } else { Ok(false) }
    }

    /// Whether a line of this kind can stand here.
    fn fits(&self, kind: Kind, name: &[u8]) -> bool {
        match (self.series, self.expect) {
            _ if kind == Kind::Error => true,
            (Some(Series::Values), _) => matches!(kind, Kind::Value | Kind::End),
            (Some(Series::Stats), _) => matches!(kind, Kind::Stat | Kind::End),
            (None, Expect::Any) => true,
            (None, Expect::Values) => matches!(kind, Kind::Value | Kind::End),
            (None, Expect::Stats) => matches!(kind, Kind::Stat | Kind::End) || name == b"RESET" || name == b"OK",
            (None, Expect::Meta) => matches!(kind, Kind::Va | Kind::Two),
            (None, Expect::Line) => kind == Kind::Other || name == b"OK",
            (None, Expect::Version) => kind == Kind::Version,
            (None, Expect::Silence | Expect::Quiet) => !matches!(kind, Kind::Value | Kind::Stat | Kind::End),
        }
    }
}

fn kind(name: &[u8]) -> Kind {
    match name {
        b"VALUE" => Kind::Value,
        b"END" => Kind::End,
        b"VA" => Kind::Va,
        b"STAT" | b"ITEM" | b"PREFIX" => Kind::Stat,
        b"VERSION" => Kind::Version,
        b"CLIENT_ERROR" | b"SERVER_ERROR" => Kind::Error,
        _ if name.starts_with(b"ERROR") => Kind::Error,
        [b'A'..=b'Z', b'A'..=b'Z'] => Kind::Two,
        _ => Kind::Other,
    }
}
