//! One face for the sockets that carry requests and replies: UNIX and TCP.
//!
//! Enters: an open socket. Leaves: its two halves, and bytes. Promised: a read goes through tokio's `poll_read`, which
//! learns from a short read that the socket is empty and saves the second `recv`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::sys::socket::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use super::handover;

/// An open socket.
#[derive(Debug)]
pub enum Stream {
    /// A UNIX socket.
    Unix(UnixStream),
    /// A TCP socket.
    Tcp(TcpStream),
}

/// The half that is read.
#[derive(Debug)]
pub enum ReadHalf {
    /// Of a UNIX socket.
    Unix(unix::OwnedReadHalf),
    /// Of a TCP socket.
    Tcp(tcp::OwnedReadHalf),
}

/// The half that is written.
#[derive(Debug)]
pub enum WriteHalf {
    /// Of a UNIX socket.
    Unix(unix::OwnedWriteHalf),
    /// Of a TCP socket.
    Tcp(tcp::OwnedWriteHalf),
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
        };
        polled.map_ok(|()| buffer.filled().len())
    }

    /// Whether this is a TCP socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
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
        }
    }
}

impl WriteHalf {
    /// Drops this half without ending the sending direction: somebody else has the socket now.
    pub fn forget(self) {
        match self {
            Self::Unix(half) => half.forget(),
            Self::Tcp(half) => half.forget(),
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
        }
    }

    /// Writes, or wakes the task when the socket takes bytes again.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    /// Wakes the task when the socket takes bytes again.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
        }
    }

    /// Ends the sending direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
