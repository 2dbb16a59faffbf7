//! One request and one reply at a time, over a connection that serves nobody yet.
//!
//! Enters: frames to send. Leaves: whole replies. Promised: no byte that comes behind a reply is lost.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{GreetFailure, words};
use crate::dialect::{Dialect, Fed, ReplyFramer};

/// Largest reply to a greeting (bytes).
const MOST: u64 = 64 * 1024;

/// See the head of this file.
pub(super) struct Wire<'a, S> {
    stream: &'a mut S,
    pub(super) dialect: Dialect,
    framer: ReplyFramer,
    /// What has come and was not asked for yet.
    bytes: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Wire<'a, S> {
    pub(super) fn new(stream: &'a mut S, dialect: Dialect) -> Self {
        Self { stream, dialect, framer: ReplyFramer::new(dialect, MOST), bytes: Vec::new() }
    }

    /// Sends a whole frame.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), GreetFailure> {
        self.stream.write_all(frame).await.map_err(GreetFailure::Broken)?;
        self.stream.flush().await.map_err(GreetFailure::Broken)
    }

    /// The next whole reply. `step` says what it answers.
    pub(super) async fn reply(&mut self, step: &str) -> Result<Vec<u8>, GreetFailure> {
        let malformed = |what| GreetFailure::Malformed { step: step.to_owned(), what };
        let mut fed = 0;
        loop {
            if fed < self.bytes.len() {
                match self.framer.feed(&self.bytes[fed..]) {
                    Fed::Partial => fed = self.bytes.len(),
                    Fed::Complete(length) => {
                        let behind = self.bytes.split_off(fed + length);
                        return Ok(std::mem::replace(&mut self.bytes, behind));
                    }
                    Fed::Malformed(what) => return Err(malformed(what)),
                    Fed::TooLarge => return Err(malformed("it is longer than 64 KiB")),
                }
            }
            let count = self.stream.read_buf(&mut self.bytes).await.map_err(GreetFailure::Broken)?;
            if count == 0 {
                return Err(GreetFailure::Closed { step: step.to_owned() });
            }
        }
    }

    /// Ends the greeting: a byte that is still there would be taken for the reply to somebody's request.
    pub(super) fn must_be_empty(&self, secrets: &[&[u8]]) -> Result<(), GreetFailure> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(GreetFailure::TooMuch { said: words(&self.bytes, secrets) }),
        }
    }
}
