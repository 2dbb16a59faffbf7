//! What a program for one request has written, and what that is as a reply. Pure.
//!
//! Enters: the bytes of its standard output, and how it ended. Leaves: the reply as a frame, or why there is none.
//! Promised: no more is kept than a reply may have; a reply counts only if its program has ended well.

use std::fmt;

use super::wire::{Failure, framed};
use crate::dialect::{Dialect, Fed, ReplyFramer};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "ended by {signal}"),
                Err(_) => write!(f, "ended by signal {number}"),
            },
            Self::Unknown => f.write_str("ended in an unknown way"),
        }
    }
}

impl Exit {
    /// What it means for a request without a reply, in these words.
    #[must_use]
    pub fn failure(self, why: String) -> Failure {
        match self {
            Self::Status(_) => Failure::Handler(why),
            // Its own end as well: it would crash at the same request again.
            Self::Signal(number) if is_crash(number) => Failure::Handler(why),
            // Nobody here sends a signal to a process whose request is not answered.
            Self::Signal(_) | Self::Unknown => Failure::InDoubt(why),
        }
    }
}

/// Whether a process gets this signal for what it does itself, see signal(7).
fn is_crash(number: i32) -> bool {
    use nix::sys::signal::Signal as S;
    let crashes = [S::SIGSEGV, S::SIGBUS, S::SIGFPE, S::SIGILL, S::SIGABRT, S::SIGTRAP, S::SIGSYS];
    S::try_from(number).is_ok_and(|signal| crashes.contains(&signal))
}

/// More was written than a reply may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood;

/// See the head of this file.
#[derive(Debug)]
pub struct Output {
    dialect: Dialect,
    max: u64,
    bytes: Vec<u8>,
}

impl Output {
    /// Nothing yet. A reply may have `max` bytes.
    #[must_use]
    pub fn new(dialect: Dialect, max: u64) -> Self {
        Self { dialect, max, bytes: Vec::new() }
    }

    /// More was written.
    ///
    /// # Errors
    /// When it is too much.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        let (before, length) = (self.bytes.len(), self.bytes.len() + bytes.len());
        // What the frame adds to what was written.
        let framing = match self.dialect {
            Dialect::Len32 => 4,
            Dialect::Line => usize::from(bytes.last().or(self.bytes.last()) != Some(&b'\n')),
            Dialect::Resp | Dialect::Memcache => 0,
        };
        if (length + framing) as u64 > self.max && length > before {
            return Err(Flood);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The reply of a program that has ended so.
    ///
    /// # Errors
    /// Why there is none.
    pub fn reply(mut self, exit: Exit) -> Result<Vec<u8>, Failure> {
        let failed = |why: &str| Err(Failure::Handler(why.to_owned()));
        if exit != Exit::Status(0) {
            return Err(exit.failure(exit.to_string()));
        }
        if self.bytes.is_empty() {
            return failed("it said nothing");
        }
        if self.dialect == Dialect::Len32 {
            return Ok(framed(self.dialect, &self.bytes));
        }
        if self.dialect == Dialect::Line && !self.bytes.ends_with(b"\n") {
            self.bytes.push(b'\n');
        }
        match ReplyFramer::new(self.dialect, u64::MAX).feed(&self.bytes) {
            Fed::Complete(end) if end == self.bytes.len() => Ok(self.bytes),
            Fed::Complete(_) => failed("it gave more than one reply"),
            Fed::Partial => failed("it ended in the middle of its reply"),
            Fed::Malformed(what) => failed(what),
            Fed::TooLarge => failed("its reply is too large"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::wire::Fate;

    fn said(dialect: Dialect, bytes: &[u8], exit: Exit) -> Result<Vec<u8>, String> {
        let mut output = Output::new(dialect, 100);
        output.push(bytes).unwrap();
        output.reply(exit).map_err(|failure| failure.to_string())
    }

    #[test]
    fn one_reply_of_a_program_that_ended_well_counts() {
        let well = Exit::Status(0);
        assert_eq!(said(Dialect::Line, b"yes\n", well).unwrap(), b"yes\n");
        assert_eq!(said(Dialect::Line, b"yes", well).unwrap(), b"yes\n");
        assert_eq!(said(Dialect::Line, b"\n", well).unwrap(), b"\n");
        assert_eq!(said(Dialect::Len32, b"a\nb", well).unwrap(), b"\0\0\0\x03a\nb");
        assert_eq!(said(Dialect::Resp, b"$1\r\na\r\n", well).unwrap(), b"$1\r\na\r\n");
    }

    #[test]
    fn anything_else_is_said_to_be_the_handlers_fault() {
        let told = |dialect, bytes: &[u8], exit| said(dialect, bytes, exit).unwrap_err();
        let well = Exit::Status(0);
        assert_eq!(told(Dialect::Line, b"", well), "handler: it said nothing");
        assert_eq!(told(Dialect::Line, b"a\nb\n", well), "handler: it gave more than one reply");
        assert_eq!(told(Dialect::Line, b"a\nb", well), "handler: it gave more than one reply");
        assert_eq!(told(Dialect::Line, b"fine\n", Exit::Status(3)), "handler: exit status 3");
        assert_eq!(told(Dialect::Line, b"fine\n", Exit::Signal(11)), "handler: ended by SIGSEGV");
        assert_eq!(told(Dialect::Resp, b"$5\r\nab", well), "handler: it ended in the middle of its reply");
        assert!(told(Dialect::Resp, b"hello\r\n", well).starts_with("handler: "));
    }

    #[test]
    fn who_was_killed_may_have_done_its_work_and_who_has_failed_has_said_so() {
        let fate = |exit| Output::new(Dialect::Line, 9).reply(exit).unwrap_err().fate();
        assert_eq!([Exit::Status(0), Exit::Status(3)].map(fate), [Fate::Ended; 2]);
        assert_eq!([Exit::Signal(9), Exit::Signal(15), Exit::Unknown].map(fate), [Fate::InDoubt; 3]);
        assert_eq!([Exit::Signal(11), Exit::Signal(6)].map(fate), [Fate::Ended; 2], "it has crashed by itself");
    }

    #[test]
    fn what_exceeds_a_reply_is_not_kept() {
        let mut output = Output::new(Dialect::Resp, 3);
        assert_eq!([output.push(b"ab"), output.push(b"cd"), output.push(b"c")], [Ok(()), Err(Flood), Ok(())]);
    }

    #[test]
    fn the_frame_counts_as_well() {
        for (dialect, most) in [(Dialect::Line, &b"abcdef"[..]), (Dialect::Line, b"abcdef\n"), (Dialect::Len32, b"abc")]
        {
            let push = |max| Output::new(dialect, max).push(most);
            assert_eq!((push(7), push(6)), (Ok(()), Err(Flood)), "{dialect:?} {most:?}");
            let mut output = Output::new(dialect, 7);
            output.push(most).unwrap();
            assert_eq!(output.reply(Exit::Status(0)).unwrap().len(), 7);
        }
    }
}
