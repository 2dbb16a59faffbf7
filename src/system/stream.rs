//! One face for the sockets that carry requests and replies: UNIX, TCP, and TLS over TCP.
//!
//! Enters: an open socket. Leaves: its two halves, and bytes. Promised: a read goes through tokio's `poll_read`, which
//! learns from a short read that the socket is empty and saves the second `recv`.
//!
//! A TLS socket may hold bytes that were read and decrypted already, and bytes that were taken and not yet sent: it is
//! read until it is pending, and flushed when there is nothing more to write. For the others a flush costs nothing.
#![expect(unsafe_code, reason = "lending the descriptor of a socket that two halves share")]

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::sys::socket::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

pub use self::tls::{Tls, Transport, transport};
use super::handover;

mod tls;

/// An open socket.
#[derive(Debug)]
pub enum Stream {
    /// A UNIX socket.
    Unix(UnixStream),
    /// A TCP socket.
    Tcp(TcpStream),
    /// TLS over TCP; boxed, as it is ten times the size of the others.
    Tls(Box<Tls>),
}

/// The half that is read.
#[derive(Debug)]
pub enum ReadHalf {
    /// Of a UNIX socket.
    Unix(unix::OwnedReadHalf),
    /// Of a TCP socket.
    Tcp(tcp::OwnedReadHalf),
    /// Of a TLS socket.
    Tls(Shared),
}

/// The half that is written.
#[derive(Debug)]
pub enum WriteHalf {
    /// Of a UNIX socket.
    Unix(unix::OwnedWriteHalf),
    /// Of a TCP socket.
    Tcp(tcp::OwnedWriteHalf),
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
    /// Takes a socket that another process had into the current event loop; `None` if it is no connected socket of a
    /// kind that is known here.
    #[must_use]
    pub fn adopt(socket: OwnedFd) -> Option<Self> {
        match handover::stream_family(socket.as_fd())? {
            AddressFamily::Unix => {
                let stream = std::os::unix::net::UnixStream::from(socket);
                stream.set_nonblocking(true).ok()?;
                UnixStream::from_std(stream).ok().map(Self::Unix)
            }
            AddressFamily::Inet | AddressFamily::Inet6 => {
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true).ok()?;
                TcpStream::from_std(stream).ok().map(Self::Tcp)
            }
            _ => None,
        }
    }

    /// Takes the two halves apart.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Tls(tls) => {
                let shared = Shared::new(*tls);
                (ReadHalf::Tls(shared.clone()), WriteHalf::Tls(shared))
            }
        }
    }

    /// Whether its bytes are those on the wire, so that another process can go on with it. What TLS knows cannot be
    /// handed over.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    fn plain(&mut self) -> Result<Pin<&mut dyn Socket>, &mut Tls> {
        match self {
            Self::Unix(stream) => Ok(Pin::new(stream)),
            Self::Tcp(stream) => Ok(Pin::new(stream)),
            Self::Tls(tls) => Err(tls),
        }
    }
}

/// Whatever is read and written as it is.
trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl Socket for UnixStream {}
impl Socket for TcpStream {}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.plain() {
            Ok(socket) => socket.poll_read(cx, buffer),
            Err(tls) => tls.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.plain() {
            Ok(socket) => socket.poll_write(cx, bytes),
            Err(tls) => tls.poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.plain() {
            Ok(socket) => socket.poll_flush(cx),
            Err(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.plain() {
            Ok(socket) => socket.poll_shutdown(cx),
            Err(tls) => tls.poll_shutdown(cx),
        }
    }
}

impl ReadHalf {
    /// Reads what there is into `buffer`; `Ok(0)` is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = match self {
            Self::Unix(half) => Pin::new(half).poll_read(cx, &mut buffer),
            Self::Tcp(half) => Pin::new(half).poll_read(cx, &mut buffer),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_read(cx, &mut buffer),
        };
        polled.map_ok(|()| buffer.filled().len())
    }

    /// Whether this is a TCP socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// As [`Stream::is_plain`].
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Tls(_))
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
            Self::Unix(half) => half.as_ref().as_fd(),
            Self::Tcp(half) => half.as_ref().as_fd(),
            Self::Tls(shared) => shared.fd(),
        }
    }
}

impl WriteHalf {
    /// Drops this half without ending the sending direction: somebody else has the socket now.
    pub fn forget(self) {
        match self {
            Self::Unix(half) => half.forget(),
            Self::Tcp(half) => half.forget(),
            // Nobody can have it, so that its end is to be told.
            Self::Tls(_) => {}
        }
    }

    /// Writes what the socket takes at once; `WouldBlock` if it takes nothing.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(half) => half.try_write(bytes),
            Self::Tcp(half) => half.try_write(bytes),
            Self::Tls(shared) => shared.tls.borrow_mut().try_write(bytes),
        }
    }

    /// Writes, or wakes the task when the socket takes bytes again.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_write(cx, bytes),
        }
    }

    /// Sends what was taken by earlier writes and is not on its way yet; only TLS keeps anything.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(_) | Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_flush(cx),
        }
    }

    /// Wakes the task when the socket takes bytes again.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            Self::Tls(shared) => shared.tls.borrow().socket().poll_write_ready(cx),
        }
    }

    /// Ends the sending direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tls(shared) => shared.tls.borrow_mut().poll_shutdown(cx),
        }
    }
}
