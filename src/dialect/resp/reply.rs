//! RESP replies: where they end.
//!
//! ```text
//! reply     = *attribute value
//! value     = simple / string / streamed / aggregate
//! simple    = ("+" / "-" / ":" / "_" / "#" / "," / "(") content CR LF      ; content without CR and LF
//! string    = ("$" / "!" / "=") length-line body / "$-1" CR LF             ; "=" begins with a kind: "txt:"
//! streamed  = "$?" CR LF *( ";" length-line body ) ";0" CR LF
//! aggregate = ("*" / "~" / ">") length-line *reply / "*-1" CR LF           ; so many replies as the length says
//!           / "%" length-line *( reply reply )                             ; twice as many
//!           / ("*?" / "~?") CR LF *reply "." CR LF / "%?" CR LF *( reply reply ) "." CR LF
//! attribute = "|" length-line *( reply reply )                             ; about the reply that follows
//! ```
//!
//! At most 128 aggregates are open at once. A `>` in the open is a push message: it answers nothing, and a connection
//! that subscribed to nothing gets none. Within an array there may be one: Redis 7.0 answers `EXEC` so. Sources: the
//! Redis protocol specification, <https://redis.io/docs/latest/develop/reference/protocol-spec/>, and for the streamed
//! forms <https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md>.
//!
//! Enters: bytes in any split. Leaves: ends of replies. Promised: strings are skipped unread; nothing is kept but one
//! small entry per open aggregate.

use super::pieces::{CRLF, Length, LengthLine, Wrong, split_string, take_body, whole_length};
use super::simple::{Simple, SimpleStep};
use crate::dialect::Fed;

/// Aggregates that may be open at once.
pub(super) const MAX_DEPTH: usize = 128;
/// Bytes of the shortest element, `+ CR LF`.
const SHORTEST: u64 = 3;
const END: u64 = CRLF.len() as u64;

/// How far into a reply the bytes went.
#[derive(Debug)]
pub(in crate::dialect) struct ReplyMachine {
    at: At,
    /// The open aggregates, the innermost last. Kept between replies, so that it is allocated once per connection.
    open: Vec<Level>,
    /// An attribute has just ended: what it is about must follow.
    attributed: bool,
    /// Whether push messages may come in the open.
    pushes: bool,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// Before a value, or the end of a streamed aggregate.
    Kind,
    Simple(Simple),
    /// Behind the kind of a string or an aggregate.
    Length(u8, LengthLine),
    /// So many bytes of a body have yet to come, CR LF included.
    Body(u64),
    /// Before the `;` of a streamed string's next part.
    Part,
    PartLength(LengthLine),
    PartBody(u64),
}

#[derive(Debug, Clone, Copy)]
enum Level {
    /// So many values have yet to end.
    Values(u64),
    /// Like `Values`, and the whole is an attribute.
    Attribute(u64),
    /// Values until a `.`.
    Streamed,
    /// Pairs until a `.`; whether one is half.
    StreamedPairs(bool),
}

/// What became of some bytes.
enum Step {
    /// So many were taken.
    On(usize),
    /// A value ended behind so many.
    Value(usize),
    TooLarge,
}

impl ReplyMachine {
    pub(in crate::dialect) fn new() -> Self {
        Self { at: At::Kind, open: Vec::new(), attributed: false, pushes: false }
    }

    /// For a connection whose requester may have asked for push messages: each counts as a reply.
    pub(in crate::dialect) fn with_pushes() -> Self {
        Self { pushes: true, ..Self::new() }
    }

    /// So many bytes of the string that has begun have yet to come.
    pub(in crate::dialect) fn missing(&self) -> u64 {
        if let At::Body(left) = self.at { left } else { 0 }
    }

    /// The size of the reply at the head of `bytes`, if it is whole and sound, and of a kind that most are.
    #[inline]
    pub(in crate::dialect) fn whole(bytes: &[u8]) -> Option<usize> {
        match bytes {
            [b'+', b'O', b'K', b'\r', b'\n', ..] | [b'$', b'-', b'1', b'\r', b'\n', ..] => Some(5),
            [b'$', ..] => split_string(bytes).map(|(_, rest)| bytes.len() - rest.len()),
            [b':', number @ ..] => whole_length(number).map(|(_, head)| 1 + head),
            _ => None,
        }
    }

    /// Takes bytes of a reply that may have `room` bytes from here on.
    pub(in crate::dialect) fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..], room - at as u64) {
                Ok(Step::On(taken)) => at += taken,
                Ok(Step::Value(taken)) => {
                    at += taken;
                    self.at = At::Kind;
                    if self.close() {
                        return Fed::Complete(at);
                    }
                }
                Ok(Step::TooLarge) => return Fed::TooLarge,
                Err(wrong) => return Fed::Malformed(wrong),
            }
        }
        Fed::Partial
    }

    /// `bytes` is not empty.
    #[inline]
    fn step(&mut self, bytes: &[u8], room: u64) -> Result<Step, Wrong> {
        match self.at {
            At::Kind => self.begin(bytes, room),
            At::Simple(simple) => self.simple(simple, bytes, 0),
            At::Length(kind, line) => self.length_byte(kind, line, bytes[0], room),
            At::Body(left) => self.body(left, bytes),
            At::Part => self.part(bytes[0]),
            At::PartLength(line) => self.part_length(line, bytes[0], room),
            At::PartBody(left) => self.part_body(left, bytes),
        }
    }

    /// A value has ended, and with it the aggregates that it was the last of. Whether it was the reply.
    #[inline]
    fn close(&mut self) -> bool {
        while let Some(level) = self.open.last_mut() {
            match level {
                Level::Values(left @ 2..) | Level::Attribute(left @ 2..) => *left -= 1,
                Level::Streamed => {}
                Level::StreamedPairs(half) => *half = !*half,
                Level::Attribute(_) => {
                    self.open.pop();
                    self.attributed = true;
                }
                Level::Values(_) => {
                    self.open.pop();
                    continue;
                }
            }
            return false;
        }
        true
    }

    #[inline]
    fn begin(&mut self, bytes: &[u8], room: u64) -> Result<Step, Wrong> {
        let kind = bytes[0];
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {
                self.attributed = false;
                self.simple(Simple::new(kind), &bytes[1..], 1)
            }
            b'.' => self.begin_end(&bytes[1..]),
            b'>' if self.open.is_empty() && !self.pushes => {
                Err("push message on a connection that subscribed to nothing")
            }
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => {
                self.attributed = false;
                self.begin_length(kind, &bytes[1..], room - 1)
            }
            _ => Err("a reply begins with a byte that is no RESP type"),
        }
    }

    /// A `.` ends the innermost aggregate, if that is streamed and nothing is owed to it.
    fn begin_end(&mut self, bytes: &[u8]) -> Result<Step, Wrong> {
        match self.open.last() {
            Some(Level::Streamed | Level::StreamedPairs(false)) if !self.attributed => {
                // The aggregate is closed as its `.` line ends like any other value.
                self.open.pop();
                self.simple(Simple::new(b'.'), bytes, 1)
            }
            _ => Err("the end of a streamed aggregate where none can end"),
        }
    }

    /// `before` bytes of the step came before `bytes`.
    #[inline]
    fn simple(&mut self, mut simple: Simple, bytes: &[u8], before: usize) -> Result<Step, Wrong> {
        match simple.feed(bytes)? {
            SimpleStep::End(taken) => Ok(Step::Value(before + taken)),
            SimpleStep::On => {
                self.at = At::Simple(simple);
                Ok(Step::On(before + bytes.len()))
            }
        }
    }

    #[inline]
    fn begin_length(&mut self, kind: u8, bytes: &[u8], room: u64) -> Result<Step, Wrong> {
        let Some((length, head)) = whole_length(bytes) else {
            self.at = At::Length(kind, LengthLine::START);
            return Ok(Step::On(1));
        };
        self.measured(kind, Length::Of(length), 1 + head, room - head as u64)
    }

    fn length_byte(&mut self, kind: u8, mut line: LengthLine, byte: u8, room: u64) -> Result<Step, Wrong> {
        if let Some(length) = line.push(byte)? {
            return self.measured(kind, length, 1, room - 1);
        }
        self.at = At::Length(kind, line);
        Ok(Step::On(1))
    }

    /// `taken` bytes told the length of something that may have `room` bytes more.
    #[inline]
    fn measured(&mut self, kind: u8, length: Length, taken: usize, room: u64) -> Result<Step, Wrong> {
        match (kind, length) {
            (b'$' | b'!' | b'=', Length::Of(length)) => {
                if length + END > room {
                    return Ok(Step::TooLarge);
                }
                if kind == b'=' && length < 4 {
                    return Err("a verbatim string is too short to say what it is");
                }
                self.at = At::Body(length + END);
                Ok(Step::On(taken))
            }
            (b'$' | b'*', Length::Null) => Ok(Step::Value(taken)),
            (b'$', Length::Open) => {
                self.at = At::Part;
                Ok(Step::On(taken))
            }
            (b'*' | b'~' | b'>', Length::Of(count)) => self.open_counted(kind, count, taken, room),
            (b'%' | b'|', Length::Of(count)) => self.open_counted(kind, count * 2, taken, room),
            (b'*' | b'~', Length::Open) => self.open(Level::Streamed, taken),
            (b'%', Length::Open) => self.open(Level::StreamedPairs(false), taken),
            (_, Length::Null) => Err("only strings and arrays can be null"),
            _ => Err("only strings, arrays, sets and maps can be streamed"),
        }
    }

    fn open_counted(&mut self, kind: u8, count: u64, taken: usize, room: u64) -> Result<Step, Wrong> {
        if count * SHORTEST > room {
            return Ok(Step::TooLarge);
        }
        match (kind, count) {
            (b'|', 0) => {
                self.attributed = true;
                self.at = At::Kind;
                Ok(Step::On(taken))
            }
            (_, 0) => Ok(Step::Value(taken)),
            (b'|', _) => self.open(Level::Attribute(count), taken),
            _ => self.open(Level::Values(count), taken),
        }
    }

    fn open(&mut self, level: Level, taken: usize) -> Result<Step, Wrong> {
        if self.open.len() == MAX_DEPTH {
            return Err("a reply is nested deeper than 128");
        }
        self.open.push(level);
        self.at = At::Kind;
        Ok(Step::On(taken))
    }

    #[inline]
    fn body(&mut self, mut left: u64, bytes: &[u8]) -> Result<Step, Wrong> {
        let taken = take_body(&mut left, bytes)?;
        if left == 0 {
            return Ok(Step::Value(taken));
        }
        self.at = At::Body(left);
        Ok(Step::On(taken))
    }

    fn part(&mut self, byte: u8) -> Result<Step, Wrong> {
        if byte != b';' {
            return Err("`;` expected before the next part of a streamed string");
        }
        self.at = At::PartLength(LengthLine::START);
        Ok(Step::On(1))
    }

    fn part_length(&mut self, mut line: LengthLine, byte: u8, room: u64) -> Result<Step, Wrong> {
        match line.push(byte)? {
            None => self.at = At::PartLength(line),
            Some(Length::Of(0)) => return Ok(Step::Value(1)),
            Some(Length::Of(length)) if length + END > room - 1 => return Ok(Step::TooLarge),
            Some(Length::Of(length)) => self.at = At::PartBody(length + END),
            Some(Length::Null | Length::Open) => return Err("a part of a streamed string has a length"),
        }
        Ok(Step::On(1))
    }

    fn part_body(&mut self, mut left: u64, bytes: &[u8]) -> Result<Step, Wrong> {
        let taken = take_body(&mut left, bytes)?;
        self.at = if left == 0 { At::Part } else { At::PartBody(left) };
        Ok(Step::On(taken))
    }
}
