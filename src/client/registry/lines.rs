//! Bytes → lines. Pure.
//!
//! Enters: bytes in any split. Leaves: lines, without their line feeds. Promised: no more is held than one line of
//! [`LONGEST`] bytes and what came with it.

use crate::registry::grammar::ANSWER_MAX;

/// Longest line in bytes.
const LONGEST: usize = ANSWER_MAX;

/// See the head of this file.
#[derive(Debug, Default)]
pub(in crate::client) struct Lines {
    held: Vec<u8>,
    at: usize,
}

impl Lines {
    pub(in crate::client) fn feed(&mut self, bytes: &[u8]) {
        self.held.drain(..std::mem::take(&mut self.at));
        self.held.extend_from_slice(bytes);
    }

    /// The next line, once it is whole; an error text if it is none.
    pub(in crate::client) fn next(&mut self) -> Result<Option<String>, &'static str> {
        let rest = &self.held[self.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > LONGEST { Err("it sends a line without an end") } else { Ok(None) };
        };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| "it sends what is no text")?.to_owned();
        self.at += end + 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_gives_the_same_lines() {
        for size in 1..9 {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in b"ok 1\n\nrow\nhalf".chunks(size) {
                lines.feed(piece);
                while let Some(line) = lines.next().unwrap() {
                    found.push(line);
                }
            }
            assert_eq!(found, ["ok 1", "", "row"], "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_no_line() {
        let mut lines = Lines::default();
        lines.feed(&[b'x'; LONGEST]);
        assert_eq!(lines.next(), Ok(None));
        lines.feed(b"x");
        assert!(lines.next().is_err());
    }
}
