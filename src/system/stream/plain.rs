//! A socket whose bytes are those on the wire, in an event loop.
//!
//! Enters: a connected socket. Leaves: bytes both ways. Promised: a read that fills less than it was given has emptied the
//! socket, and costs no second one that finds nothing; who waits until bytes can be written is woken when they can.
//!
//! The kernel tells of a UNIX socket that it takes bytes each time its peer has read some: once per reply, to nobody's
//! use, and it wakes the whole process for that. So such a socket is watched for what can be read alone. Only while it has
//! refused bytes a second descriptor of it is watched for when it takes them again ([`Watch`]). TCP tells only after it has
//! refused some, so that there one descriptor is enough.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

/// How long it takes until a write is tried again where no descriptor is left to watch.
const LATER: Duration = Duration::from_millis(10);

/// Either kind of socket. It does not block.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(std::os::unix::net::UnixStream),
    Tcp(std::net::TcpStream),
}

/// See the head of this file.
#[derive(Debug)]
pub struct Plain {
    socket: AsyncFd<Socket>,
    /// While the socket takes no bytes; never of TCP.
    watch: RefCell<Option<Box<Watch>>>,
}

/// How it is noticed that the socket takes bytes again.
#[derive(Debug)]
enum Watch {
    Edge(AsyncFd<OwnedFd>),
    /// There was no descriptor left.
    Later(Pin<Box<Sleep>>),
}

impl Socket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => (&mut &*socket).read(buffer),
            Self::Tcp(socket) => (&mut &*socket).read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => (&mut &*socket).write(bytes),
            Self::Tcp(socket) => (&mut &*socket).write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Plain {
    /// Takes a socket into the current event loop.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let interest = match socket {
            Socket::Unix(_) => Interest::READABLE,
            Socket::Tcp(_) => Interest::READABLE | Interest::WRITABLE,
        };
        Ok(Self { socket: register(socket, interest)?, watch: RefCell::default() })
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.socket.get_ref(), Socket::Tcp(_))
    }

    /// Reads what there is; `Ok(0)` is the end.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.get_ref().read(buffer) {
                Ok(count) => {
                    if count > 0 && count < buffer.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads at most `most` bytes, for which there must be room, to the end of `buffer`; `Ok(0)` is the end.
    pub(super) fn poll_append(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let room = buffer.spare_capacity_mut();
            let most = most.min(room.len());
            match rustix::io::read(self, &mut room[..most]) {
                Ok((filled, _)) => {
                    let count = filled.len();
                    // SAFETY: the kernel has filled so many bytes behind the old end, within the capacity.
                    unsafe { buffer.set_len(buffer.len() + count) };
                    if count > 0 && count < most {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Writes what the socket takes at once; `WouldBlock` if it takes nothing.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket.get_ref();
        if self.is_tcp() {
            return self.socket.try_io(Interest::WRITABLE, |socket| socket.write(bytes));
        }
        let mut watch = self.watch.borrow_mut();
        let written = match watch.as_deref() {
            Some(Watch::Edge(edge)) => edge.try_io(Interest::WRITABLE, |_| socket.write(bytes)),
            _ => socket.write(bytes),
        };
        if watch.is_some() && written.as_ref().is_ok_and(|count| *count == bytes.len()) {
            *watch = None;
        }
        written
    }

    /// Ready when the socket may take bytes that it has refused.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_tcp() {
            ready!(self.socket.poll_write_ready(cx))?.retain_ready();
            return Poll::Ready(Ok(()));
        }
        let mut watch = self.watch.borrow_mut();
        match &mut **watch.get_or_insert_with(|| Box::new(self.begin_watch())) {
            Watch::Edge(edge) => ready!(edge.poll_write_ready(cx))?.retain_ready(),
            Watch::Later(later) => {
                ready!(later.as_mut().poll(cx));
                *watch = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_write_ready(cx))?,
                written => return Poll::Ready(written),
            }
        }
    }

    /// Ends the sending direction.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.socket.get_ref() {
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
        }
    }

    fn begin_watch(&self) -> Watch {
        let copy = self.as_fd().try_clone_to_owned();
        let edge = copy.and_then(|copy| register(copy, Interest::WRITABLE));
        edge.map_or_else(|_| Watch::Later(Box::pin(tokio::time::sleep(LATER))), Watch::Edge)
    }
}

impl AsFd for Plain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

pub(super) fn register<T: AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: what is given here owns its descriptor, which stays open until it is dropped; `AsyncFd` deregisters it before.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Plain, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (Plain::new(Socket::Unix(near)).unwrap(), far)
    }

    fn in_a_loop(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.unwrap() });
    }

    fn fill(near: &Plain) -> usize {
        let mut sent = 0;
        while let Ok(count) = near.try_write(&[7; 4096]) {
            sent += count;
        }
        sent
    }

    #[test]
    fn who_waits_to_write_is_woken_each_time_the_peer_has_read() {
        in_a_loop(async {
            let (near, mut far) = pair();
            for _ in 0..3 {
                let sent = fill(&near);
                let peer = std::thread::spawn(move || {
                    far.read_exact(&mut vec![0; sent]).unwrap();
                    far
                });
                poll_fn(|cx| near.poll_write(cx, b"more")).await.unwrap();
                far = peer.join().unwrap();
                let mut more = [0; 4];
                far.read_exact(&mut more).unwrap();
                assert_eq!((&more, near.watch.borrow().is_none()), (b"more", true), "it is watched on");
            }
        });
    }

    #[test]
    fn bytes_and_the_end_that_come_together_are_both_read() {
        in_a_loop(async {
            let (near, mut far) = pair();
            let mut buffer = [0; 100];
            for text in [b"one", b"two"] {
                far.write_all(text).unwrap();
                let count = poll_fn(|cx| near.poll_read(cx, &mut buffer)).await.unwrap();
                assert_eq!(&buffer[..count], text);
            }
            far.write_all(b"last").unwrap();
            drop(far);
            assert_eq!(poll_fn(|cx| near.poll_read(cx, &mut buffer)).await.unwrap(), 4);
            assert_eq!(poll_fn(|cx| near.poll_read(cx, &mut buffer)).await.unwrap(), 0);
        });
    }
}
