//! A requester: a local program's connection to a host's socket, in any dialect.
//!
//! Enters: texts `TAG word…` (line, len32 and memcache: as they are; resp: the arguments of an ECHO). Leaves: texts of replies.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tieline::dialect::Dialect;

use super::memcached;
use super::resp::reply_length;
use super::{LONG, wait_until};

/// One connection; reading gives up after `LONG`, which is a failure of the test.
pub(crate) struct Requester {
    pub(crate) stream: UnixStream,
    dialect: Dialect,
    bytes: Vec<u8>,
    taken: usize,
}

impl Requester {
    pub(crate) fn connect(path: &Path, dialect: Dialect) -> Self {
        Self::try_connect(path, dialect).unwrap_or_else(|e| panic!("connect to {}: {e}", path.display()))
    }

    /// As `connect`, for those who expect that it may fail.
    pub(crate) fn try_connect(path: &Path, dialect: Dialect) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Self { stream, dialect, bytes: Vec::new(), taken: 0 })
    }

    /// Sends the request and waits for its reply.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.reply()
    }

    /// Sends one request.
    pub(crate) fn send(&mut self, text: &str) {
        let bytes = encode(self.dialect, text);
        self.send_bytes(&bytes);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the requester can write");
    }

    /// The next reply; its absence is a failure.
    pub(crate) fn reply(&mut self) -> String {
        self.next_reply().expect("the requester can read").expect("a reply and not the end")
    }

    /// The next whole reply, or `None` when the other side has closed before its end.
    pub(crate) fn next_reply(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(reply) = self.take() {
                return Ok(Some(reply));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Tells that nothing more will be sent.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the requester can shut down its side");
    }

    /// Waits until the other side closes; whatever comes before is the answer.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more().expect("the requester can read to the end") {}
        self.bytes.split_off(self.taken)
    }

    /// Waits until a reply is there, without taking it.
    pub(crate) fn wait_for_reply(&mut self, bound: Duration) -> bool {
        self.stream.set_read_timeout(Some(bound)).expect("a timeout can be set");
        let came = matches!(self.read_more(), Ok(true));
        self.stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
        came
    }

    fn read_more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(length) => {
                self.bytes.extend_from_slice(&chunk[..length]);
                Ok(length > 0)
            }
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn take(&mut self) -> Option<String> {
        let bytes = &self.bytes[self.taken..];
        let (length, text) = first_reply(self.dialect, bytes)?;
        let text = String::from_utf8_lossy(text).into_owned();
        self.taken += length;
        Some(text)
    }
}

/// The first reply: how many bytes it takes, and those to be looked at (all of it in RESP).
fn first_reply(dialect: Dialect, bytes: &[u8]) -> Option<(usize, &[u8])> {
    match dialect {
        Dialect::Line => {
            let end = bytes.iter().position(|b| *b == b'\n')?;
            Some((end + 1, &bytes[..end]))
        }
        Dialect::Len32 => {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let length = u32::from_be_bytes(*length) as usize;
            Some((4 + length, rest.get(..length)?))
        }
        Dialect::Resp => {
            let length = reply_length(bytes)?;
            Some((length, &bytes[..length]))
        }
        Dialect::Memcache => {
            let length = memcached::reply_length(bytes)?;
            Some((length, &bytes[..length]))
        }
    }
}

/// The bytes of a request.
pub(crate) fn encode(dialect: Dialect, text: &str) -> Vec<u8> {
    match dialect {
        Dialect::Line => format!("{text}\n").into_bytes(),
        Dialect::Memcache => format!("{text}\r\n").into_bytes(),
        Dialect::Len32 => [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat(),
        Dialect::Resp => {
            let words: Vec<&str> = std::iter::once("ECHO").chain(text.split(' ')).collect();
            encode_command(&words)
        }
    }
}

/// A RESP command.
pub(crate) fn encode_command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

/// Waits until a requester of `path` is answered by the host.
pub(crate) fn wait_for_service(path: &Path, dialect: Dialect) {
    wait_until("the host answers again", || {
        let mut requester = Requester::try_connect(path, dialect).ok()?;
        requester.send("<0> hello");
        requester.next_reply().ok()??.contains("<0>").then_some(())
    });
}
