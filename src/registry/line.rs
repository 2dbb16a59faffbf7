//! One connection to `registry.sock`: lines in, text out.
//!
//! Enters: a socket. Leaves: lines of at most [`LINE_MAX`] bytes. Promised: an idle connection holds no buffer; what is
//! written is taken within the patience, or the connection is given up.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

use super::grammar::LINE_MAX;

/// Bytes of one read.
const READ: usize = 16 << 10;

thread_local! {
    /// Where every connection of this event loop reads to.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    /// What was read and not taken: from `taken` on.
    unread: Vec<u8>,
    taken: usize,
    patience: Duration,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A line, without its line feed.
    Line(Vec<u8>),
    /// More than a line may have.
    TooLong,
    /// Nothing more will come.
    End,
}

impl Line {
    pub(super) fn new(stream: UnixStream, patience: Duration) -> Self {
        Self { stream, unread: Vec::new(), taken: 0, patience }
    }

    /// A line that was read already.
    pub(super) fn ready(&mut self) -> Option<Came> {
        let rest = self.unread.get(self.taken..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', rest) else {
            return (rest.len() > LINE_MAX).then_some(Came::TooLong);
        };
        if length > LINE_MAX {
            return Some(Came::TooLong);
        }
        let line = rest.get(..length).unwrap_or_default().to_vec();
        self.taken += length + 1;
        if self.taken >= self.unread.len() {
            (self.unread, self.taken) = (Vec::new(), 0);
        }
        Some(Came::Line(line))
    }

    /// Waits for a line.
    pub(super) async fn next(&mut self) -> io::Result<Came> {
        loop {
            if let Some(came) = self.ready() {
                return Ok(came);
            }
            self.unread.drain(..std::mem::take(&mut self.taken));
            let (stream, unread) = (&mut self.stream, &mut self.unread);
            if poll_fn(|cx| poll_read(stream, unread, cx)).await? == 0 {
                return Ok(Came::End);
            }
        }
    }

    /// Waits until the other side says anything or is gone.
    pub(super) async fn stirs(&mut self) {
        let mut ignored = Vec::new();
        if self.taken >= self.unread.len() {
            // Whatever comes, or that it cannot be read, is the same here.
            drop(poll_fn(|cx| poll_read(&mut self.stream, &mut ignored, cx)).await);
        }
    }

    /// Writes `text` and empties it.
    pub(super) async fn say(&mut self, text: &mut String) -> io::Result<()> {
        let written = match self.stream.try_write(text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            done => done?,
        };
        let rest = text.as_bytes().get(written..).unwrap_or_default();
        if !rest.is_empty() {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            tokio::time::timeout(self.patience, self.stream.write_all(rest)).await.map_err(late)??;
        }
        text.clear();
        Ok(())
    }
}

fn poll_read(stream: &mut UnixStream, unread: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        unread.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
