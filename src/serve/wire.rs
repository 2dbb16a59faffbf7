//! What goes over the wire besides frames: what a request is about, and the words of a failure. Pure.
//!
//! Enters: whole frames. Leaves: their content, their first word, replies and failures as frames. Promised: a failure is
//! one reply of the dialect, whatever stands in its text.
//!
//! ```text
//!            content of a request                   reply of a program                     failure
//! line       the line, without LF and a CR before   one line; the LF may be missing        error KIND: text LF
//! len32      the body                               all it wrote, as the body              the same words, as a body
//! resp       its words, joined by blanks            one RESP reply                         -ERR KIND: text CR LF
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::dialect::{Dialect, command_words};

/// Most characters of a failure's text: it is for reading.
const LONGEST: usize = 480;

/// Why a request has no reply of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The handler was not done in time; it may have done its work, or half of it.
    Timeout(Duration),
    /// Nothing was free in time, or too many wait: it was not begun.
    Busy(String),
    /// The handler failed, said nothing, too much, or something else than a reply.
    Handler(String),
    /// The handler could not be given the request: it was not begun.
    NotBegun(String),
    /// The handler was cut off, from outside or because the service stops: it may have done its work, or half of it.
    InDoubt(String),
    /// The request is none, or too large: it was not begun.
    Refused(String),
    /// No handler is for it.
    Unknown(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "timeout: limit is {}", Time(*limit)),
            Self::Busy(why) => write!(f, "busy: {why}"),
            Self::Handler(why) | Self::NotBegun(why) | Self::InDoubt(why) => write!(f, "handler: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// What is known of a request that has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was not begun; at another time it may be.
    NotBegun,
    /// It was not begun, and never will be as it stands.
    Never,
    /// It was begun, and nobody knows how far it came.
    InDoubt,
    /// It was begun, and this is its end.
    Ended,
}

impl Failure {
    /// What is known of its request.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::Busy(_) | Self::NotBegun(_) => Fate::NotBegun,
            Self::Refused(_) | Self::Unknown(_) => Fate::Never,
            Self::InDoubt(_) => Fate::InDoubt,
            Self::Timeout(_) | Self::Handler(_) => Fate::Ended,
        }
    }

    /// As a reply.
    #[must_use]
    pub fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let text: String =
            self.to_string().chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
        match dialect {
            Dialect::Resp => format!("-ERR {text}\r\n").into_bytes(),
            _ => framed(dialect, format!("error {text}").as_bytes()),
        }
    }
}

/// A duration for people, as in `limit is 60 s`.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} s", self.0.as_secs()),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

/// What a request is about.
pub(super) fn content(dialect: Dialect, frame: &[u8]) -> Cow<'_, [u8]> {
    match dialect {
        Dialect::Len32 => Cow::Borrowed(frame.get(4..).unwrap_or_default()),
        Dialect::Resp => Cow::Owned(command_words(frame).collect::<Vec<_>>().join(&b' ')),
        Dialect::Line | Dialect::Memcache => {
            let line = frame.strip_suffix(b"\n").unwrap_or(frame);
            Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line))
        }
    }
}

/// What a program that is started for this request reads.
pub(super) fn for_program(dialect: Dialect, frame: Vec<u8>) -> Vec<u8> {
    match dialect {
        Dialect::Len32 => frame.get(4..).map(<[u8]>::to_vec).unwrap_or_default(),
        _ => frame,
    }
}

/// The first word of what a request is about.
pub(super) fn first_word(dialect: Dialect, frame: &[u8]) -> Cow<'_, [u8]> {
    if dialect == Dialect::Resp {
        return Cow::Borrowed(command_words(frame).next().unwrap_or_default());
    }
    let first = |content: &[u8]| {
        let start = content.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(content.len());
        let rest = &content[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        start..start + end
    };
    match content(dialect, frame) {
        Cow::Borrowed(content) => Cow::Borrowed(&content[first(content)]),
        Cow::Owned(content) => Cow::Owned(content[first(&content)].to_vec()),
    }
}

/// A body as a frame of `line` (a body without LF) or `len32`.
pub(super) fn framed(dialect: Dialect, body: &[u8]) -> Vec<u8> {
    match dialect {
        Dialect::Len32 => [&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes(), body].concat(),
        _ => [body, b"\n"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_about_its_words_whatever_its_frame() {
        let line = b"  add 5 apples\r\n".as_slice();
        assert_eq!(*content(Dialect::Line, line), b"  add 5 apples"[..]);
        assert_eq!(*first_word(Dialect::Line, line), b"add"[..]);
        let resp = b"*2\r\n$3\r\nadd\r\n$3\r\n5 a\r\n".as_slice();
        assert_eq!(*content(Dialect::Resp, resp), b"add 5 a"[..]);
        assert_eq!(*first_word(Dialect::Resp, resp), b"add"[..]);
        assert_eq!(*first_word(Dialect::Len32, b"\0\0\0\x05add 5"), b"add"[..]);
        assert_eq!(for_program(Dialect::Len32, b"\0\0\0\x05add 5".to_vec()), b"add 5");
        assert_eq!([&b"\n"[..], b"", b"  \n"].map(|frame| first_word(Dialect::Line, frame).len()), [0; 3]);
    }

    #[test]
    fn what_is_known_of_a_request_does_not_change_the_words() {
        let why = || "ended by SIGKILL".to_owned();
        let all = [Failure::Handler(why()), Failure::NotBegun(why()), Failure::InDoubt(why())];
        assert_eq!(all.each_ref().map(Failure::fate), [Fate::Ended, Fate::NotBegun, Fate::InDoubt]);
        assert!(all.iter().all(|each| each.encode(Dialect::Line) == b"error handler: ended by SIGKILL\n"));
    }

    #[test]
    fn a_failure_is_one_reply_of_each_dialect() {
        let late = Failure::Timeout(Duration::from_secs(60));
        assert_eq!(late.encode(Dialect::Line), b"error timeout: limit is 60 s\n");
        assert_eq!(late.encode(Dialect::Len32), b"\0\0\0\x1cerror timeout: limit is 60 s");
        assert_eq!(late.encode(Dialect::Resp), b"-ERR timeout: limit is 60 s\r\n");
        let short = Failure::Timeout(Duration::from_millis(1500));
        assert_eq!(short.encode(Dialect::Line), b"error timeout: limit is 1500 ms\n");
        let crooked = Failure::Handler(format!("a\nb\r\nc {}", "x".repeat(10_000)));
        let told = crooked.encode(Dialect::Line);
        assert_eq!((told.iter().filter(|byte| **byte == b'\n').count(), told.len() < 600), (1, true));
    }
}
