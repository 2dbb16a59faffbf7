//! A RESP reply as a tree, for those who show it.
//!
//! Enters: a whole reply. Leaves: its [`Value`]. Promised: bytes that are no reply give none; nesting is bounded, and
//! memory by the reply's size.

use super::pieces::{CRLF, Length, LengthLine};
use super::reply::MAX_DEPTH;

/// A reply, or a part of one. The texts are as the host wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing (`$-1`, `*-1`, `_`).
    Null,
    /// A word such as `OK`.
    Status(&'a [u8]),
    /// An error, its code first.
    Error(&'a [u8]),
    /// A whole number of 64 bits, as digits.
    Integer(&'a [u8]),
    /// A number with a fraction, or `inf` or `nan`.
    Double(&'a [u8]),
    /// A whole number of any size, as digits.
    Big(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A string, in one piece or joined from a streamed string's parts.
    Text(Vec<u8>),
    /// A string that is for people, without its kind (`txt:`).
    Verbatim(&'a [u8]),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Values in no order.
    Set(Vec<Value<'a>>),
    /// Keys and values in turn.
    Map(Vec<Value<'a>>),
    /// Keys and values in turn, then what they are about.
    Attributed(Vec<Value<'a>>, Box<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The reply at the head of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        Reader { rest: bytes }.reply(MAX_DEPTH + 1)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A value with its attributes; `depth` more levels may be opened.
    fn reply(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut about = Vec::new();
        while let Some(rest) = self.rest.strip_prefix(b"|") {
            self.rest = rest;
            about.append(&mut self.elements(2, depth)?);
        }
        let value = self.value(depth)?;
        Some(if about.is_empty() { value } else { Value::Attributed(about, Box::new(value)) })
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            b'+' => Value::Status(self.line()?),
            b'-' => Value::Error(self.line()?),
            b':' => Value::Integer(self.line()?),
            b',' => Value::Double(self.line()?),
            b'(' => Value::Big(self.line()?),
            b'#' => Value::Bool(self.line()? == b"t"),
            b'_' => self.line().map(|_| Value::Null)?,
            b'$' => self.text()?,
            b'!' => Value::Error(self.string()?),
            b'=' => Value::Verbatim(self.string()?.get(4..)?),
            b'*' if self.rest.starts_with(b"-1") => self.line().map(|_| Value::Null)?,
            b'*' | b'>' => Value::Array(self.elements(1, depth)?),
            b'~' => Value::Set(self.elements(1, depth)?),
            b'%' => Value::Map(self.elements(2, depth)?),
            _ => return None,
        })
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memmem::find(self.rest, CRLF)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + CRLF.len()..];
        Some(line)
    }

    fn length(&mut self) -> Option<Length> {
        let mut line = LengthLine::START;
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if let Some(length) = line.push(byte).ok()? {
                return Some(length);
            }
        }
    }

    fn body(&mut self, length: u64) -> Option<&'a [u8]> {
        let (body, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest.strip_prefix(CRLF)?;
        Some(body)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        match self.length()? {
            Length::Of(length) => self.body(length),
            Length::Null | Length::Open => None,
        }
    }

    fn text(&mut self) -> Option<Value<'a>> {
        Some(match self.length()? {
            Length::Of(length) => Value::Text(self.body(length)?.to_vec()),
            Length::Null => Value::Null,
            Length::Open => Value::Text(self.parts()?),
        })
    }

    fn parts(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            self.rest = self.rest.strip_prefix(b";")?;
            match self.length()? {
                Length::Of(0) => return Some(text),
                Length::Of(length) => text.extend_from_slice(self.body(length)?),
                Length::Null | Length::Open => return None,
            }
        }
    }

    /// What an aggregate holds, whose length counts `each` values as one.
    fn elements(&mut self, each: u64, depth: usize) -> Option<Vec<Value<'a>>> {
        let depth = depth.checked_sub(1)?;
        let mut left = match self.length()? {
            Length::Of(count) => Some(count * each),
            Length::Open => None,
            Length::Null => return None,
        };
        let mut values = Vec::new();
        while left != Some(0) {
            if left.is_none() && self.rest.starts_with(b".") {
                self.line()?;
                break;
            }
            values.push(self.reply(depth)?);
            left = left.map(|left| left - 1);
        }
        Some(values)
    }
}
