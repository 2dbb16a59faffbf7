//! What the user gave, as requests in the host's dialect.
//!
//! Enters: the words of the command line, or standard input in any split. Leaves: framed requests, or why something is
//! none. Promised: no more of the input is held than one request, and a `line` longer than [`CHUNK`] not even that far.
//!
//! ```text
//!          words                                         standard input
//! line     joined by blanks, LF                          each line is a request
//! len32    joined by blanks, as the body                 all of it is one body
//! resp     a command; a single word with blanks in it    each line is a command as people type it
//!          is split as a command that people type
//! memcache joined by blanks, CR LF                    as memcached reads it: lines, and values of the length they say
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::client::request::{NO_VALUE, body, has_reply};
use crate::client::{Request, Unfit};
use crate::dialect::{Dialect, Fed, RequestFramer, encode_command, split_inline};

/// Bytes that are read at once from standard input.
pub(super) const CHUNK: usize = 64 * 1024;

/// The one request that `words` are, framed; `max` is the host's `max_request`.
pub(super) fn from_words(dialect: Dialect, words: &[OsString], max: u64) -> Result<Vec<u8>, Unfit> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let request = match *words {
        [line] if line.is_empty() || line.iter().any(u8::is_ascii_whitespace) => Request::from(line),
        _ => Request::from(words.as_slice()),
    };
    request.framed(dialect, max)
}

/// Standard input, taken apart.
#[derive(Debug)]
pub(super) struct Intake {
    dialect: Dialect,
    max: u64,
    /// What was read and is in no request yet begins at `at`.
    input: Vec<u8>,
    at: usize,
    ended: bool,
    /// The beginning of a `line` has been given already.
    within: bool,
    lines: u64,
}

/// What the input gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A request, which began in this line; of a long `line` its beginning.
    Request(u64),
    /// This line is no request.
    Unfit(u64, Unfit),
    /// What begins in this line is no request, and nothing more will come. All of the input is line 0.
    Hopeless(u64, Unfit),
    /// More must be read first.
    More,
    /// There is nothing more.
    Done,
}

impl Intake {
    pub(super) fn new(dialect: Dialect, max: u64) -> Self {
        Self { dialect, max, input: Vec::new(), at: 0, ended: false, within: false, lines: 0 }
    }

    /// Takes what was read; nothing is the end.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.ended |= bytes.is_empty();
        self.input.drain(..std::mem::take(&mut self.at));
        self.input.extend_from_slice(bytes);
    }

    /// Appends the next request, or a part of it, to `out`.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Step {
        loop {
            if let Some(step) = self.look(out) {
                return step;
            }
        }
    }

    /// As `next`; `None` for a line that wants nothing.
    fn look(&mut self, out: &mut Vec<u8>) -> Option<Step> {
        if self.dialect == Dialect::Len32 {
            return Some(self.whole(out));
        }
        if self.dialect == Dialect::Memcache {
            return Some(self.framed(out));
        }
        let rest = &self.input[self.at..];
        match memchr::memchr(b'\n', rest) {
            Some(lf) => self.line(lf + 1, out),
            None if self.ended && rest.is_empty() && !self.within => Some(Step::Done),
            None if self.ended => self.line(rest.len(), out),
            None if self.dialect == Dialect::Line && rest.len() >= CHUNK => Some(self.part(out)),
            None if rest.len() as u64 > self.max => Some(self.give_up(self.lines + 1)),
            None => Some(Step::More),
        }
    }

    /// The next request of `memcache`, which may have a value of several lines.
    fn framed(&mut self, out: &mut Vec<u8>) -> Step {
        let rest = &self.input[self.at..];
        let first = self.lines + 1;
        match RequestFramer::new(self.dialect, self.max).feed(rest) {
            Fed::Complete(length) => {
                let frame = &rest[..length];
                self.lines += memchr::memchr_iter(b'\n', frame).count() as u64;
                self.at += length;
                match has_reply(frame) {
                    Ok(()) => {
                        out.extend_from_slice(frame);
                        Step::Request(first)
                    }
                    Err(unfit) => Step::Unfit(first, unfit),
                }
            }
            Fed::Partial if !self.ended => Step::More,
            Fed::Partial if rest.is_empty() => Step::Done,
            Fed::Partial if rest.ends_with(b"\n") => self.hopeless(first, Unfit::Inline(NO_VALUE)),
            Fed::Partial => {
                // The last line may lack its end.
                self.input.extend_from_slice(b"\r\n");
                self.framed(out)
            }
            Fed::Malformed(what) => self.hopeless(first, Unfit::Inline(what)),
            Fed::TooLarge => self.give_up(first),
        }
    }

    /// All that was read, as one body.
    fn whole(&mut self, out: &mut Vec<u8>) -> Step {
        if self.lines > 0 {
            return Step::Done;
        }
        if self.input.len() as u64 + 4 > self.max {
            self.lines = 1;
            return self.give_up(0);
        }
        if !self.ended {
            return Step::More;
        }
        self.lines = 1;
        match body(&std::mem::take(&mut self.input), self.max) {
            Ok(frame) => {
                out.extend_from_slice(&frame);
                Step::Request(1)
            }
            Err(unfit) => Step::Hopeless(0, unfit),
        }
    }

    /// The line that has `length` more bytes, LF included if there is one.
    fn line(&mut self, length: usize, out: &mut Vec<u8>) -> Option<Step> {
        self.lines += u64::from(!self.within);
        let line = &self.input[self.at..self.at + length];
        self.at += length;
        if self.dialect == Dialect::Resp {
            return command(line, self.lines, out);
        }
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.push(b'\n');
        }
        let is_known = std::mem::take(&mut self.within);
        (!is_known).then_some(Step::Request(self.lines))
    }

    /// A long line's beginning, or its next part.
    fn part(&mut self, out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(&self.input[self.at..]);
        self.at = self.input.len();
        if std::mem::replace(&mut self.within, true) {
            return Step::More;
        }
        self.lines += 1;
        Step::Request(self.lines)
    }

    fn give_up(&mut self, line: u64) -> Step {
        self.hopeless(line, Unfit::TooLarge { max: self.max })
    }

    fn hopeless(&mut self, line: u64, unfit: Unfit) -> Step {
        (self.input, self.at, self.ended) = (Vec::new(), 0, true);
        Step::Hopeless(line, unfit)
    }
}

/// A command as people type it. Redis does not answer an empty one, so that there would be nothing to wait for.
fn command(line: &[u8], number: u64, out: &mut Vec<u8>) -> Option<Step> {
    match split_inline(line) {
        Ok(words) if words.is_empty() => None,
        Ok(words) => {
            encode_command(&words, out);
            Some(Step::Request(number))
        }
        Err(why) => Some(Step::Unfit(number, Unfit::Inline(why))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(dialect: Dialect, words: &[&str]) -> Result<String, Unfit> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        from_words(dialect, &words, 64).map(|request| request.escape_ascii().to_string())
    }

    /// Requests and mishaps from an input that comes in pieces of `size` bytes.
    fn steps(dialect: Dialect, input: &[u8], size: usize) -> (String, Vec<Step>) {
        let (mut intake, mut out, mut steps) = (Intake::new(dialect, 64), Vec::new(), Vec::new());
        let mut pieces = input.chunks(size);
        loop {
            match intake.next(&mut out) {
                Step::More => intake.feed(pieces.next().unwrap_or_default()),
                Step::Done => return (out.escape_ascii().to_string(), steps),
                step => steps.push(step),
            }
        }
    }

    #[test]
    fn words_are_one_request_of_the_dialect() {
        assert_eq!(words(Dialect::Line, &["a b", "", "c"]).unwrap(), r"a b  c\n");
        assert_eq!(words(Dialect::Len32, &["a", "b"]).unwrap(), r"\x00\x00\x00\x03a b");
        assert_eq!(words(Dialect::Resp, &["GET", "a b"]).unwrap(), r"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
        assert_eq!(words(Dialect::Resp, &["GET 'a b'"]).unwrap(), r"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
        assert_eq!(words(Dialect::Resp, &["PING"]).unwrap(), r"*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn words_that_are_no_request_are_refused_here() {
        assert_eq!(words(Dialect::Line, &["a\nb"]), Err(Unfit::LineBreak));
        assert_eq!(words(Dialect::Resp, &[" "]), Err(Unfit::Empty));
        assert_eq!(words(Dialect::Resp, &[""]), Err(Unfit::Empty));
        assert_eq!(words(Dialect::Resp, &["GET 'a"]), Err(Unfit::Inline("unbalanced quotes in request")));
        for dialect in Dialect::ALL {
            assert_eq!(words(dialect, &[&"x".repeat(65)]), Err(Unfit::TooLarge { max: 64 }), "{dialect:?}");
        }
    }

    #[test]
    fn each_line_of_the_input_is_a_request_whatever_its_split_and_the_last_may_lack_its_lf() {
        for size in 1..10 {
            let (out, found) = steps(Dialect::Line, b"one\n\ntwo", size);
            assert_eq!((out.as_str(), found), (r"one\n\ntwo\n", [1, 2, 3].map(Step::Request).into()), "{size}");
            let (out, found) = steps(Dialect::Resp, b"PING\r\n\n  \nGET 'x\nPING", size);
            assert_eq!(out, r"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "{size}");
            let unfit = Step::Unfit(4, Unfit::Inline("unbalanced quotes in request"));
            assert_eq!(found, [Step::Request(1), unfit, Step::Request(5)], "{size}");
            assert_eq!(steps(Dialect::Line, b"", size), (String::new(), vec![]));
        }
    }

    #[test]
    fn memcache_requests_may_have_values_and_must_have_replies() {
        assert_eq!(words(Dialect::Memcache, &["set k 0 0 1\r\nx"]).unwrap(), r"set k 0 0 1\r\nx\r\n");
        assert_eq!(words(Dialect::Memcache, &["get", "a", "b"]).unwrap(), r"get a b\r\n");
        assert_eq!(words(Dialect::Memcache, &["set k 0 0 1"]), Err(Unfit::Inline(NO_VALUE)));
        for endless in ["watch", "lru_crawler metadump all", "stats cachedump 1 0", "nonsense"] {
            assert_eq!(words(Dialect::Memcache, &[endless]), Err(Unfit::Endless));
        }
        for silent in ["delete k noreply", "mg k q", "quit"] {
            assert_eq!(words(Dialect::Memcache, &[silent]), Err(Unfit::NoReply));
        }
        for size in 1..20 {
            let (out, found) = steps(Dialect::Memcache, b"set a 0 0 3\nx\ny\r\ndelete a noreply\nget a", size);
            assert_eq!(out, r"set a 0 0 3\nx\ny\r\nget a\r\n", "{size}");
            assert_eq!(found, [Step::Request(1), Step::Unfit(4, Unfit::NoReply), Step::Request(5)], "{size}");
            let found = steps(Dialect::Memcache, b"version\nset a 0 0 3\nx", size).1;
            assert_eq!(found, [Step::Request(1), Step::Hopeless(2, Unfit::Inline(NO_VALUE))], "{size}");
        }
    }

    #[test]
    fn a_len32_body_is_the_whole_input() {
        for (input, frame) in [(&b"a\nb"[..], r"\x00\x00\x00\x03a\nb"), (b"", r"\x00\x00\x00\x00")] {
            assert_eq!(steps(Dialect::Len32, input, 2), (frame.to_owned(), vec![Step::Request(1)]));
        }
    }

    #[test]
    fn a_request_beyond_the_limit_is_given_up_without_being_read_to_its_end() {
        let endless = vec![b'x'; 3 * CHUNK];
        for (dialect, line) in [(Dialect::Line, 1), (Dialect::Resp, 1), (Dialect::Len32, 0)] {
            let found = steps(dialect, &endless, 1000).1;
            assert_eq!(found, [Step::Hopeless(line, Unfit::TooLarge { max: 64 })], "{dialect:?}");
        }
    }

    #[test]
    fn a_long_line_is_passed_on_in_parts_and_counts_once() {
        let (mut intake, mut out) = (Intake::new(Dialect::Line, u64::MAX), Vec::new());
        let long = vec![b'x'; CHUNK];
        intake.feed(&[b"1\n", long.as_slice()].concat());
        assert_eq!([intake.next(&mut out), intake.next(&mut out)], [1, 2].map(Step::Request));
        assert_eq!((out.len(), intake.next(&mut out)), (CHUNK + 2, Step::More), "nothing is held back");
        intake.feed(&[long.as_slice(), b"\n3\n"].concat());
        assert_eq!(intake.next(&mut out), Step::Request(3));
        intake.feed(&long);
        intake.feed(&[]);
        assert_eq!([intake.next(&mut out), intake.next(&mut out)], [Step::Request(4), Step::Done]);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 4);
    }
}
