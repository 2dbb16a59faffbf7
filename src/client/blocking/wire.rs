//! A connection that never waits by itself: bytes in, bytes out, and waiting as a step of its own.
//!
//! Enters: an address; bytes. Leaves: what the kernel took or had. Promised: only [`Wire::connect`] over TCP and
//! [`Wire::wait`] wait, each for as long as it is told.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::config::Address;

/// See the head of this file.
#[derive(Debug)]
pub(in crate::client) enum Wire {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Wire {
    /// Connects until the time has passed. The resolver of host names has its own times.
    pub(in crate::client) fn connect(address: &Address, until: Instant) -> io::Result<Self> {
        match address {
            Address::Unix { path } => unix(path).map(Self::Unix),
            Address::Tcp { host, port } => tcp(host, *port, until).map(Self::Tcp),
            // The registry leads to no further name.
            Address::Name { .. } => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// What has come; nothing at all is the end.
    pub(in crate::client) fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(chunk),
            Self::Tcp(stream) => stream.read(chunk),
        }
    }

    pub(in crate::client) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write_vectored(slices),
            Self::Tcp(stream) => stream.write_vectored(slices),
        }
    }

    /// Waits until something has come, or there is room to write if that is wanted, or the time has passed.
    pub(in crate::client) fn wait(&self, wants_room: bool, until: Option<Instant>) -> io::Result<()> {
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, wants_room);
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            // Rounded up, so that it does not turn on the spot during the last millisecond.
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(self.as_fd(), events)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Whether an operation may simply be tried again later.
pub(in crate::client) fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A listener whose backlog is full would keep a blocking socket waiting without a limit; this one is told so.
fn unix(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

fn tcp(host: &str, port: u16, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
