//! A listening socket in an event loop.
//!
//! Enters: a listener that another process may accept on as well. Leaves: connected sockets, which do not block and are
//! passed on to no other program.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{SockFlag, accept4};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::plain::{Socket, register};
use super::{Plain, Stream};

/// See the head of this file.
#[derive(Debug)]
pub struct Acceptor {
    listener: AsyncFd<OwnedFd>,
    is_tcp: bool,
}

impl Acceptor {
    /// Takes a listener into the current event loop. It must not block.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn new(listener: OwnedFd, is_tcp: bool) -> io::Result<Self> {
        Ok(Self { listener: register(listener, Interest::READABLE)?, is_tcp })
    }

    /// Accepts the next one.
    ///
    /// # Errors
    /// Those of accept(2) and of the event loop.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        loop {
            let mut ready = ready!(self.listener.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|listener| accept(listener.get_ref())) {
                return Poll::Ready(accepted.and_then(|socket| self.stream(socket)));
            }
        }
    }

    fn stream(&self, socket: OwnedFd) -> io::Result<Stream> {
        let socket = if self.is_tcp {
            let socket = TcpStream::from(socket);
            // A reply must not wait for the next one. The socket works without, only slower.
            drop(socket.set_nodelay(true));
            Socket::Tcp(socket)
        } else {
            Socket::Unix(UnixStream::from(socket))
        };
        Plain::new(socket).map(Stream::Plain)
    }
}

fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let accepted = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // SAFETY: accept4(2) has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}
