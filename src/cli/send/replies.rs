//! What the daemon answers: replies of the host, or failures of its own.
//!
//! Enters: bytes in any split. Leaves: whole replies, each with what it is, and how it is printed. Promised: no more is
//! held than one reply, which has at most the host's `max_reply` bytes.

use crate::dialect::{Dialect, Fed, ReplyFramer, raw_reply, render_reply};

/// Finds the replies in what the daemon sends.
#[derive(Debug)]
pub(super) struct Replies {
    framer: ReplyFramer,
    /// The beginning of a reply.
    held: Vec<u8>,
}

/// The daemon sent what is no reply; the text says what is wrong.
pub(super) type NoReply = &'static str;

impl Replies {
    pub(super) fn new(dialect: Dialect, max: u64) -> Self {
        Self { framer: ReplyFramer::new(dialect, max), held: Vec::new() }
    }

    /// Takes bytes; gives each reply that they complete to `each`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), NoReply> {
        while !bytes.is_empty() {
            match self.framer.feed(bytes) {
                Fed::Partial => {
                    self.held.extend_from_slice(bytes);
                    return Ok(());
                }
                Fed::Complete(end) => {
                    let (reply, rest) = bytes.split_at(end);
                    if self.held.is_empty() {
                        each(reply);
                    } else {
                        self.held.extend_from_slice(reply);
                        each(&self.held);
                        self.held = Vec::new();
                    }
                    bytes = rest;
                }
                Fed::Malformed(what) => return Err(what),
                Fed::TooLarge => return Err("it is larger than this host's max_reply"),
            }
        }
        Ok(())
    }
}

/// Appends `reply` as standard output shows it.
pub(super) fn show(dialect: Dialect, reply: &[u8], to_terminal: bool, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Line | Dialect::Memcache => return out.extend_from_slice(reply),
        Dialect::Len32 => out.extend_from_slice(reply.get(4..).unwrap_or_default()),
        Dialect::Resp if to_terminal => out.extend_from_slice(render_reply(reply).as_bytes()),
        Dialect::Resp => raw_reply(reply, out),
    }
    // A body is given to a program as it is; a person's prompt shall not stand behind it.
    if dialect == Dialect::Resp || to_terminal {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dialect: Dialect, reply: &[u8], to_terminal: bool) -> String {
        let mut out = Vec::new();
        show(dialect, reply, to_terminal, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_split_of_the_bytes_gives_the_same_replies() {
        let bytes = b"*2\r\n+a\r\n:1\r\n+OK\r\n$3\r\na\nb\r\n";
        for size in 1..bytes.len() {
            let (mut replies, mut found) = (Replies::new(Dialect::Resp, 100), Vec::new());
            for piece in bytes.chunks(size) {
                replies.feed(piece, |reply| found.push(reply.to_vec())).unwrap();
            }
            assert_eq!(found, [&b"*2\r\n+a\r\n:1\r\n"[..], b"+OK\r\n", b"$3\r\na\nb\r\n"], "{size}");
            assert_eq!(replies.held.capacity(), 0);
        }
    }

    #[test]
    fn what_is_no_reply_or_too_large_is_said() {
        assert!(Replies::new(Dialect::Resp, 100).feed(b"hello", |_| ()).is_err());
        assert!(Replies::new(Dialect::Line, 4).feed(b"hello", |_| ()).is_err());
    }

    #[test]
    fn programs_get_values_as_they_are_and_people_get_a_line_more() {
        for is_terminal in [false, true] {
            assert_eq!(shown(Dialect::Line, b"a\r\n", is_terminal), "a\r\n");
        }
        assert_eq!(shown(Dialect::Len32, b"\0\0\0\x01a", false), "a");
        assert_eq!(shown(Dialect::Len32, b"\0\0\0\x01a", true), "a\n");
        assert_eq!(shown(Dialect::Resp, b"$1\r\na\r\n", false), "a\n");
        assert_eq!(shown(Dialect::Resp, b"$1\r\na\r\n", true), "\"a\"\n");
    }
}
