//! One face for the sockets that carry requests and replies: UNIX, TCP, and TLS over TCP.
//!
//! Enters: an open socket. Leaves: its two halves, and bytes. UNIX and TCP sockets are in `plain`, where a read or a write
//! costs one system call, and listeners in `acceptor`.
//!
//! A TLS socket may hold bytes that were read and decrypted already, and bytes that were taken and not yet sent: it is
//! read until it is pending, and flushed when there is nothing more to write. For the others a flush costs nothing.
#![expect(unsafe_code, reason = "descriptors that an event loop watches, and that two halves share")]

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::sys::socket::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use self::acceptor::Acceptor;
pub use self::plain::Plain;
use self::plain::Socket;
pub use self::tls::{Tls, Transport, transport};
use super::handover;

mod acceptor;
mod plain;
mod tls;

/// An open socket.
#[derive(Debug)]
pub enum Stream {
    /// A UNIX or TCP socket.
    Plain(Plain),
    /// TLS over TCP; boxed, as it is ten times the size of the others.
    Tls(Box<Tls>),
}

/// The half that is read.
#[derive(Debug)]
pub enum ReadHalf {
    /// Of a UNIX or TCP socket.
    Plain(Rc<Plain>),
    /// Of a TLS socket.
    Tls(Shared),
}

/// The half that is written. It is dropped without a word: the socket is closed with its other half.
#[derive(Debug)]
pub enum WriteHalf {
    /// Of a UNIX or TCP socket.
    Plain(Rc<Plain>),
    /// Of a TLS socket.
    Tls(Shared),
}

/// A TLS socket of which there are two halves, in one event loop.
#[derive(Debug, Clone)]
pub struct Shared {
    tls: Rc<RefCell<Tls>>,
    fd: RawFd,
}

impl Shared {
    fn new(tls: Tls) -> Self {
        let fd = tls.raw_fd();
        Self { tls: Rc::new(RefCell::new(tls)), fd }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is owned by what `tls` points at, nothing takes it out of there, and it lives as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl Stream {
    /// A UNIX socket of the current event loop.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn unix(socket: UnixStream) -> io::Result<Self> {
        Plain::new(Socket::Unix(socket.into_std()?)).map(Self::Plain)
    }

    /// A TCP socket of the current event loop.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn tcp(socket: TcpStream) -> io::Result<Self> {
        Plain::new(Socket::Tcp(socket.into_std()?)).map(Self::Plain)
    }

    /// Takes a socket that another process had into the current event loop; `None` if it is no connected socket of a
    /// kind that is known here.
    #[must_use]
    pub fn adopt(socket: OwnedFd) -> Option<Self> {
        let socket = match handover::stream_family(socket.as_fd())? {
            AddressFamily::Unix => {
                let stream = std::os::unix::net::UnixStream::from(socket);
                stream.set_nonblocking(true).ok()?;
                Socket::Unix(stream)
            }
            AddressFamily::Inet | AddressFamily::Inet6 => {
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true).ok()?;
                Socket::Tcp(stream)
            }
            _ => return None,
        };
        Plain::new(socket).map(Self::Plain).ok()
    }

    /// Takes the two halves apart.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(plain) => {
                let shared = Rc::new(plain);
                (ReadHalf::Plain(Rc::clone(&shared)), WriteHalf::Plain(shared))
            }
            Self::Tls(tls) => {
                let shared = Shared::new(*tls);
                (ReadHalf::Tls(shared.clone()), WriteHalf::Tls(shared))
            }
        }
    }

    /// The descriptor, if this is a UNIX socket.
    #[must_use]
    pub fn as_unix(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(plain) if !plain.is_tcp() => Some(plain.as_fd()),
            _ => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(plain) => {
                plain.poll_read(cx, buffer.initialize_unfilled()).map_ok(|count| buffer.advance(count))
            }
            Self::Tls(tls) => tls.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(plain) => plain.poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(plain) => Poll::Ready(plain.shutdown()),
            Self::Tls(tls) => tls.poll_shutdown(cx),
        }
    }
}

impl ReadHalf {
    /// Reads what there is into `buffer`; `Ok(0)` is the end.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.poll_read(cx, buffer),
            Self::Tls(shared) => {
                let mut buffer = ReadBuf::new(buffer);
                shared.tls.borrow_mut().poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
            }
        }
    }

    /// Reads at most `most` bytes, for which there must be room, to the end of `buffer`; `Ok(0)` is the end.
    pub fn poll_append(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>, most: usize) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.poll_append(cx, buffer, most),
            Self::Tls(shared) => {
                let before = buffer.len();
                buffer.resize(before + most, 0);
                let mut room = ReadBuf::new(&mut buffer[before..]);
                let polled = shared.tls.borrow_mut().poll_read(cx, &mut room);
                let count = room.filled().len();
                buffer.truncate(before + count);
                polled.map_ok(|()| count)
            }
        }
    }

    /// Whether this is a TCP socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Plain(plain) if plain.is_tcp())
    }

    /// Whether its bytes are those on the wire, so that another process can go on with it. What TLS knows cannot be
    /// handed over.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether the other side has closed the socket altogether, not only its sending direction.
    #[must_use]
    pub fn is_hung_up(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut asked = [PollFd::new(self.as_fd(), PollFlags::empty())];
        let answered = poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        answered && asked[0].revents().is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
    }
}

impl AsFd for ReadHalf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(plain) => plain.as_fd(),
            Self::Tls(shared) => shared.fd(),
        }
    }
}

impl WriteHalf {
    /// Writes what the socket takes at once; `WouldBlock` if it takes nothing.
    ///
    /// # Errors
    /// Those of write(2).
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_write(bytes),
            Self::Tls(shared) => shared.tls.borrow_mut().try_write(bytes),
        }
    }

    /// Writes, or wakes the task when the socket takes bytes again.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.poll_write(cx, bytes),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_write(cx, bytes),
        }
    }

    /// Sends what was taken by earlier writes and is not on its way yet; only TLS keeps anything.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_flush(cx),
        }
    }

    /// Wakes the task when the socket takes bytes that it has refused.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) => plain.poll_write_ready(cx),
            Self::Tls(shared) => shared.tls.borrow().socket().poll_write_ready(cx),
        }
    }

    /// Ends the sending direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) => Poll::Ready(plain.shutdown()),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_shutdown(cx),
        }
    }
}
