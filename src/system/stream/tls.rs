//! A TLS connection over TCP, after its handshake.
//!
//! Enters: what tokio-rustls has made. Leaves: plain bytes. Promised: a read that fills less than it was given has taken
//! all that had come; what a write was given but the socket did not take is sent by [`Tls::poll_flush`]; the host is told
//! when the connection is dropped, if its socket takes a few bytes at once.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes that are read from the socket at once. rustls alone would ask for 4096, and cost four times the system calls.
const READ: usize = 16 * 1024;

/// What the handshake works on.
pub type Transport = BufReader<TcpStream>;

/// See the head of this file.
#[derive(Debug)]
pub struct Tls(TlsStream<Transport>);

/// A socket, ready for a handshake.
#[must_use]
pub fn transport(socket: TcpStream) -> Transport {
    BufReader::with_capacity(READ, socket)
}

impl Tls {
    /// Takes a connection whose handshake is done.
    #[must_use]
    pub fn new(stream: TlsStream<Transport>) -> Self {
        Self(stream)
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.0.get_ref().0.get_ref()
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buffer) {
            // No farewell: many hosts give none. A reply that is cut short is noticed by its framing.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            polled => polled,
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    /// Sends what is left of earlier writes.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    /// Writes without a task that could be woken.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push()?;
        let count = self.0.get_mut().1.writer().write(bytes)?;
        self.push()?;
        if count == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    /// Gives the socket what it takes of what is encrypted.
    fn push(&mut self) -> io::Result<()> {
        let (transport, session) = self.0.get_mut();
        while session.wants_write() {
            match session.write_tls(&mut AtOnce(transport.get_ref())) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.0.get_mut().1.send_close_notify();
        // If it cannot be said now, the end of the socket says it.
        self.push().ok();
    }
}

/// Writes what the socket takes at once.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
