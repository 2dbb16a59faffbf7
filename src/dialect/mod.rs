//! Dialects: how a protocol frames requests and replies, and words its failures. No I/O.
//!
//! Enters: bytes in any split. Leaves: where frames end, what a request wants, the words of a failure.
//! Promised: every split of the same bytes gives the same frames; no byte is looked at twice; nothing from outside
//! panics or makes memory grow.

use serde::{Deserialize, Serialize};

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
        command: String,
        /// Whether the requester wants to be closed after the answer (`QUIT`).
        then_close: bool,
    },
    /// Refused, with the reason for people.
    Malformed(&'static str),
}

// The helper's interface (to be implemented in this room):
//
// impl Dialect {
//     /// As written in `hosts.tab`.
//     pub fn name(self) -> &'static str;
//     /// Appends the answer for `failure` to `out`. `detail` is for people; `line` and `len32` have no place for it.
//     pub fn failure(self, failure: Failure, detail: &str, out: &mut Vec<u8>);
//     /// What the complete request `frame` wants.
//     pub fn wish(self, frame: &[u8]) -> Wish;
// }
// pub struct RequestFramer; impl { pub fn new(Dialect, max: u64) -> Self; pub fn feed(&mut self, &[u8]) -> Fed; }
// pub struct ReplyFramer;   impl { pub fn new(Dialect, max: u64) -> Self; pub fn feed(&mut self, &[u8]) -> Fed; }
