//! Dialects: how a protocol frames requests and replies, and words its failures. No I/O.
//!
//! Enters: bytes in any split. Leaves: where frames end, what a request wants, the words of a failure.
//! Promised: every split of the same bytes gives the same frames; no byte is looked at more than twice (once for a frame
//! that is there at a glance, once more if it is not); nothing from outside panics or makes memory grow.

mod framer;
mod len32;
mod line;
mod memcache;
mod resp;
#[cfg(test)]
mod tests;
mod told;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use framer::{ReplyFramer, RequestFramer};
pub use memcache::CLOSING;
pub use resp::{
    Binding, Lesson, Value, command_words, encode_command, raw_reply, read_reply, render_reply, split_inline,
};

/// How a host speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Lines that end in LF; a CR before it stays part of the line.
    Line,
    /// A length of four bytes, big-endian, then the body.
    Len32,
    /// Redis RESP2 and RESP3.
    Resp,
    /// memcached's text protocol, meta commands included.
    Memcache,
}

/// An outcome that is not the host's reply. The words of each are in [`Dialect::failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection could be had; never sent.
    Lost,
    /// The deadline passed in the queue; never sent.
    Timeout,
    /// Sent, then no reply; may have been executed.
    Unknown,
    /// The queue is full; never sent.
    Busy,
    /// Malformed or too large; never sent, and the requester is closed after it.
    Refused,
    /// Could not be stored; never sent.
    Failed,
}

/// What became of bytes that were fed to a framer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All bytes belong to a frame that is not complete yet.
    Partial,
    /// The frame ends after so many of the bytes fed in this call; the rest has not been looked at.
    Complete(usize),
    /// The bytes are not of this dialect; the text says what is wrong, for people. The stream cannot be framed further.
    Malformed(&'static str),
    /// The frame is or will be larger than the limit. The stream cannot be framed further.
    TooLarge,
}

/// What a complete request wants done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To be sent as it is.
    Forward,
    /// To be sent in this form instead (RESP: an inline command as an array).
    ForwardAs(Vec<u8>),
    /// Nothing: the host would not answer it (RESP: an empty inline command or array).
    Nothing,
    /// A connection of its own: the command binds state to its connection.
    Session {
        /// The command, upper case, at most 32 characters, safe to print.
        command: Cow<'static, str>,
        /// What it does to its connection.
        act: Act,
    },
    /// To be closed as soon as it is owed nothing; the host need not hear of it (memcache: `quit`).
    Quit,
    /// To be answered in the protocol's version that it names from now on (RESP: `HELLO 2`, `HELLO 3`).
    Hello(Voice),
    /// To be answered that all is well, and remembered: the requester tells who it is (RESP: `CLIENT SETINFO`).
    Note(&'static [u8]),
    /// Refused, with the reason for people.
    Malformed(&'static str),
}

/// What a request is answered with, as far as that must be known before the reply comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// One reply, of any kind that the dialect has.
    #[default]
    Any,
    /// memcache: values, then `END`.
    Values,
    /// memcache: lines of statistics, then `END`.
    Stats,
    /// memcache: the reply to a meta command.
    Meta,
    /// memcache: one line.
    Line,
    /// memcache: the line that tells the version.
    Version,
    /// memcache: a run of commands with `noreply`. What comes before its end is nobody's.
    Silence,
    /// memcache: a run of meta commands that reply only if something is to be said.
    Quiet,
}

impl Expect {
    /// Whether several replies, or none, may come before the end of the transaction.
    #[must_use]
    pub fn is_run(self) -> bool {
        matches!(self, Self::Silence | Self::Quiet)
    }
}

/// What a request does to the connection that it is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing: any connection will do.
    Plain,
    /// Begins a transaction of the host's (`MULTI`).
    Multi,
    /// Ends it and all watching, unless it fails (`EXEC`).
    Exec,
    /// Ends it and all watching (`DISCARD`).
    Discard,
    /// Watches keys.
    Watch,
    /// Watches none any more.
    Unwatch,
    /// Undoes everything (`RESET`).
    Reset,
    /// Ends the connection (`QUIT`).
    Quit,
    /// Waits as long as the requester likes, and leaves nothing behind.
    Waits,
    /// Leaves nothing to its requester, but perhaps a connection that nobody else should have.
    Once,
    /// Leaves something behind that lasts as long as the connection, unless it fails.
    Binds,
    /// As `Binds`; and what follows it is meant for a connection with that state alone, and would do harm on another.
    Rules,
    /// Changes the protocol's version.
    Hello(Voice),
    /// From then on more comes than was asked for; replies can no longer be counted.
    Subscribes,
    /// From then on nothing can be said about what the host sends.
    Raw,
}

/// A version of the protocol of one dialect, as a connection or a requester speaks it. Dialects with one version alone
/// speak the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// RESP2, or the only one.
    #[default]
    Two,
    /// RESP3.
    Three,
}

impl Dialect {
    /// Every dialect, in the order in which they are explained to people.
    pub const ALL: [Self; 4] = [Self::Line, Self::Len32, Self::Resp, Self::Memcache];

    /// As written in `hosts.tab`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Len32 => "len32",
            Self::Resp => "resp",
            Self::Memcache => "memcache",
        }
    }

    /// The dialect of this name; the letters' case counts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Appends the answer for `failure` to `out`. `detail` is for people; `line` and `len32` have no place for it.
    pub fn failure(self, failure: Failure, detail: &str, out: &mut Vec<u8>) {
        match self {
            Self::Line => line::failure(failure, out),
            Self::Len32 => len32::failure(failure, out),
            Self::Resp => resp::failure(failure, detail, out),
            Self::Memcache => memcache::failure(failure, detail, out),
        }
    }

    /// Appends the answer that a request was stored under `id` (`line`, `len32`: `con_delayed:ID`; `resp`: `+DELAYED ID`).
    /// Hosts that speak `memcache` store nothing; the configuration sees to that.
    pub fn delayed(self, id: u64, out: &mut Vec<u8>) {
        match self {
            Self::Line => out.extend_from_slice(format!("con_delayed:{id}\n").as_bytes()),
            Self::Len32 => len32::frame(format!("con_delayed:{id}").as_bytes(), out),
            Self::Resp => out.extend_from_slice(format!("+DELAYED {id}\r\n").as_bytes()),
            Self::Memcache => out.extend_from_slice(format!("SERVER_ERROR con_delayed:{id}\r\n").as_bytes()),
        }
    }

    /// The request by which a connection takes up this voice, and the one that asks which commands there are; none for
    /// a dialect that has no such thing.
    #[must_use]
    pub fn hello(self, voice: Voice) -> Option<&'static [u8]> {
        match (self, voice) {
            (Self::Resp, Voice::Two) => Some(b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"),
            (Self::Resp, Voice::Three) => Some(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
            (Self::Line | Self::Len32 | Self::Memcache, _) => None,
        }
    }

    /// The request that asks the host which commands it has; the reply to it is for [`Lesson::read`].
    #[must_use]
    pub fn question(self) -> Option<&'static [u8]> {
        match self {
            Self::Resp => Some(b"*1\r\n$7\r\nCOMMAND\r\n"),
            Self::Line | Self::Len32 | Self::Memcache => None,
        }
    }

    /// A request that the host answers at once and that does nothing.
    #[must_use]
    pub fn nothing(self) -> Option<&'static [u8]> {
        match self {
            Self::Resp => Some(b"*1\r\n$4\r\nPING\r\n"),
            Self::Line | Self::Len32 | Self::Memcache => None,
        }
    }

    /// Whether the replies of a session can be told apart, so that it may end before its requester leaves.
    #[must_use]
    pub fn counts_replies(self) -> bool {
        match self {
            Self::Resp => true,
            Self::Line | Self::Len32 | Self::Memcache => false,
        }
    }

    /// What the complete request `frame` wants.
    #[must_use]
    pub fn wish(self, frame: &[u8]) -> Wish {
        match self {
            Self::Line | Self::Len32 => Wish::Forward,
            Self::Resp => resp::wish(frame),
            Self::Memcache => memcache::wish(frame),
        }
    }

    /// What the host will answer to `frame`: a request that may be sent as it is, or a run of those.
    #[must_use]
    #[inline]
    pub fn expect(self, frame: &[u8]) -> Expect {
        match self {
            Self::Line | Self::Len32 | Self::Resp => Expect::Any,
            Self::Memcache => memcache::expect(frame),
        }
    }
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 6] = [Self::Lost, Self::Timeout, Self::Unknown, Self::Busy, Self::Refused, Self::Failed];

    /// Its word, as `line`, `len32` and `memcache` say it; `resp` says it as an error code (`CONLOST`).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "con_lost",
            Self::Timeout => "con_timeout",
            Self::Unknown => "con_unknown",
            Self::Busy => "con_busy",
            Self::Refused => "con_refused",
            Self::Failed => "con_failed",
        }
    }
}
