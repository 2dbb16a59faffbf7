//! The host's own reply. Pure.
//!
//! Enters: one whole reply, as the dialect frames it. Leaves: its body, its text, for `resp` its [`Value`]. Promised: no
//! reply panics; the bytes are kept as they came.

use std::borrow::Cow;
use std::fmt;

use crate::dialect::{Dialect, raw_reply, read_reply};

pub use crate::dialect::Value;

/// See the head of this file.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    dialect: Dialect,
    frame: Vec<u8>,
}

impl Reply {
    pub(super) fn new(dialect: Dialect, frame: Vec<u8>) -> Self {
        Self { dialect, frame }
    }

    /// As it came, framing included.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// What a program wants of it: of `line` the line without its LF, of `len32` the body, of `memcache` all of it without
    /// the last CR LF; of `resp` bare values as `redis-cli` writes them into a pipe, one element per line.
    #[must_use]
    pub fn body(&self) -> Cow<'_, [u8]> {
        let frame = &self.frame[..];
        match self.dialect {
            Dialect::Line => frame.strip_suffix(b"\n").unwrap_or(frame).into(),
            Dialect::Len32 => frame.get(4..).unwrap_or_default().into(),
            Dialect::Memcache => frame.strip_suffix(b"\r\n").unwrap_or(frame).into(),
            Dialect::Resp => {
                let mut bare = Vec::new();
                raw_reply(frame, &mut bare);
                bare.into()
            }
        }
    }

    /// [`Reply::body`] as text; what is no UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// As a tree of values; `None` if the dialect is not `resp`.
    #[must_use]
    pub fn value(&self) -> Option<Value<'_>> {
        if self.dialect == Dialect::Resp { read_reply(&self.frame) } else { None }
    }

    /// The text of an error that the host replied, where the dialect can tell one (`resp` and `memcache`).
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self.dialect {
            Dialect::Line | Dialect::Len32 => None,
            Dialect::Resp => match self.value()? {
                Value::Error(text) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            },
            Dialect::Memcache => {
                let is_error = self.frame == b"ERROR\r\n"
                    || self.frame.starts_with(b"CLIENT_ERROR ")
                    || self.frame.starts_with(b"SERVER_ERROR ");
                is_error.then(|| self.text())
            }
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({} \"{}\")", self.dialect.name(), self.frame.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_stands_within_the_frame() {
        for (dialect, frame, body) in [
            (Dialect::Line, &b"a\r\n"[..], &b"a\r"[..]),
            (Dialect::Line, b"\n", b""),
            (Dialect::Len32, b"\0\0\0\x02a\n", b"a\n"),
            (Dialect::Resp, b"*2\r\n$1\r\na\r\n:1\r\n", b"a\n1"),
            (Dialect::Memcache, b"VALUE k 0 1\r\nx\r\nEND\r\n", b"VALUE k 0 1\r\nx\r\nEND"),
        ] {
            let reply = Reply::new(dialect, frame.to_vec());
            assert_eq!((reply.body().as_ref(), reply.frame()), (body, frame));
            assert_eq!(reply.error(), None);
        }
    }

    #[test]
    fn the_hosts_errors_are_told_apart_where_the_dialect_can() {
        for (dialect, frame, text) in [
            (Dialect::Resp, &b"-ERR no\r\n"[..], "ERR no"),
            (Dialect::Resp, b"!3\r\nODD\r\n", "ODD"),
            (Dialect::Memcache, b"ERROR\r\n", "ERROR"),
            (Dialect::Memcache, b"SERVER_ERROR out of memory\r\n", "SERVER_ERROR out of memory"),
        ] {
            assert_eq!(Reply::new(dialect, frame.to_vec()).error().as_deref(), Some(text));
        }
    }

    #[test]
    fn a_resp_reply_has_a_value() {
        let reply = Reply::new(Dialect::Resp, b"*2\r\n$1\r\na\r\n$-1\r\n".to_vec());
        assert_eq!(reply.value(), Some(Value::Array(vec![Value::Text(b"a".to_vec()), Value::Null])));
        assert_eq!(Reply::new(Dialect::Line, b"a\n".to_vec()).value(), None);
    }
}
