//! The way of sockets from a child to its successor: a pair of connected sockets that keep packets apart.
//!
//! Enters: a header, and up to [`MOST`] descriptors. Leaves: the same in another process. Promised: a packet arrives whole
//! and at one reader, however many processes and threads write and read; what is received is passed on to no other
//! program; a packet is not taken while there is no descriptor left to take it with.
#![expect(unsafe_code, reason = "descriptors arrive as numbers in a control message")]

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrStorage, getsockname, getsockopt, sendmsg,
    socketpair, sockopt,
};
use tokio::io::unix::AsyncFd;

/// Descriptors in one packet, at most.
pub const MOST: usize = 2;

/// Bytes of a header, at most. The longest holds an address: a path or a name of a few hundred bytes.
const HEADER: usize = 4096;

/// Room for a control message with [`MOST`] descriptors (bytes; CMSG_SPACE(2 × 4) is 24), aligned as it must be.
#[repr(align(8))]
struct Control([u8; 64]);

/// One packet, as it arrived.
#[derive(Debug)]
pub struct Packet {
    /// Its header.
    pub header: Vec<u8>,
    /// Its descriptors. There are fewer than were sent if the process had no room for them.
    pub descriptors: Vec<OwnedFd>,
}

/// A way: the outlet, which a child puts things into, and the inlet, where its successor finds them.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// One end of a way, in an event loop.
#[derive(Debug)]
pub struct End(AsyncFd<OwnedFd>);

impl End {
    /// Takes an outlet or inlet into the current event loop. Copies of it may be in others.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, and `AsyncFd` deregisters it before.
        Ok(Self(unsafe { AsyncFd::register(fd) }?))
    }

    /// Puts a packet into an outlet, when there is room. One task at a time may wait for that.
    ///
    /// # Errors
    /// As [`send`].
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        header: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(sent) = ready.try_io(|fd| send(fd.as_fd(), header, descriptors)) {
                return Poll::Ready(sent);
            }
        }
    }

    /// Takes the next packet out of an inlet; see [`receive`].
    ///
    /// # Errors
    /// As [`receive`], but for `WouldBlock`.
    pub async fn receive(&self) -> io::Result<Option<Packet>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(received) = ready.try_io(|fd| receive(fd.as_fd())) {
                return received;
            }
        }
    }
}

/// Puts a packet into an outlet.
///
/// # Errors
/// `WouldBlock` when there is no room now; else those of sendmsg(2).
pub fn send(outlet: BorrowedFd<'_>, header: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(outlet.as_raw_fd(), &[IoSlice::new(header)], &control, flags, None)?;
    Ok(())
}

/// Takes the next packet out of an inlet; `None` when it is empty and no outlet is left.
///
/// # Errors
/// `WouldBlock` when there is none now; EMFILE or ENFILE when a packet must wait for descriptors to become free; else
/// those of recvmsg(2).
pub fn receive(inlet: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    make_sure_of_room(inlet)?;
    let (mut header, mut control) = (vec![0; HEADER], Control([0; 64]));
    let mut part = libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() };
    // SAFETY: a message header of zeroes is valid: all its pointers are null and all its lengths zero.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = ptr::from_mut(&mut part);
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header describes buffers that live, and are not otherwise used, until after the call.
    let received = unsafe { libc::recvmsg(inlet.as_raw_fd(), &raw mut message, flags) };
    let length = Errno::result(received)?.unsigned_abs();
    let descriptors = descriptors_of(&message);
    header.truncate(length);
    // A packet always has a header.
    Ok((length > 0).then_some(Packet { header, descriptors }))
}

/// The kernel drops descriptors for which the process has no number left, and who was connected by them would be cut off.
fn make_sure_of_room(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut held = [const { None }; MOST];
    for place in &mut held {
        *place = Some(fd.try_clone_to_owned()?);
    }
    Ok(())
}

/// Takes ownership of what came with a message, also of what is not wanted, so that it is closed.
fn descriptors_of(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: `message` was filled in by recvmsg(2) and its control buffer still lives.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: the macro gives null or a whole control message's head within the buffer, which is aligned.
        let head = unsafe { next.read() };
        if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: the data of a control message begin where the macro says, within the buffer.
            let numbers = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
            // SAFETY: the length of an empty control message is plain arithmetic.
            let bytes = head.cmsg_len.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
            for index in 0..bytes / size_of::<RawFd>() {
                // SAFETY: the kernel wrote so many numbers there. Each is a descriptor that it opened for this call
                // and that nobody else knows of.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(numbers.add(index).read_unaligned()) });
            }
        }
        // SAFETY: as above; the macro goes on within the buffer or gives null.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    descriptors
}

/// A file in memory with these bytes, to travel with a packet: a packet itself has room for little.
///
/// # Errors
/// When the process has no descriptor or the machine no memory left.
pub fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"tieline-unread", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// The family of a connected stream socket; `None` if it is something else.
#[must_use]
pub fn stream_family(socket: BorrowedFd<'_>) -> Option<AddressFamily> {
    use nix::sys::socket::SockaddrLike;
    let is_stream = getsockopt(&socket, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(true);
    if !is_stream || listens {
        return None;
    }
    getsockname::<SockaddrStorage>(socket.as_fd().as_raw_fd()).ok()?.family()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    #[test]
    fn a_socket_and_bytes_of_any_length_arrive_and_are_passed_on_to_no_program() {
        let (outlet, inlet) = pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let unread = in_memory(&vec![7; 20 << 20]).unwrap();
        send(outlet.as_fd(), b"header", &[far.as_fd(), unread.as_fd()]).unwrap();
        drop((far, outlet));
        let packet = receive(inlet.as_fd()).unwrap().unwrap();
        assert_eq!(packet.header, b"header");
        let [socket, unread] = <[OwnedFd; 2]>::try_from(packet.descriptors).unwrap();
        for fd in [&socket, &unread] {
            assert_eq!(fcntl(fd, FcntlArg::F_GETFD).unwrap() & FdFlag::FD_CLOEXEC.bits(), FdFlag::FD_CLOEXEC.bits());
        }
        let mut last = [0];
        File::from(unread).read_exact_at(&mut last, (20 << 20) - 1).unwrap();
        assert_eq!(last, [7]);
        UnixStream::from(socket).write_all(b"hello").unwrap();
        let mut heard = String::new();
        near.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        assert!(receive(inlet.as_fd()).unwrap().is_none(), "the end");
    }

    #[test]
    fn nothing_is_taken_out_of_an_empty_way_nor_put_into_a_full_one() {
        let (outlet, inlet) = pair().unwrap();
        assert_eq!(receive(inlet.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (near, _far) = UnixStream::pair().unwrap();
        let full = (0..100_000).find_map(|_| send(outlet.as_fd(), b"header", &[near.as_fd()]).err()).unwrap();
        assert!(full.kind() == io::ErrorKind::WouldBlock || full.raw_os_error() == Some(libc::ETOOMANYREFS), "{full}");
        drop(inlet);
        assert!(send(outlet.as_fd(), b"header", &[near.as_fd()]).is_err(), "nobody is there");
    }

    #[test]
    fn only_connected_stream_sockets_have_a_family() {
        let (near, _far) = UnixStream::pair().unwrap();
        assert_eq!(stream_family(near.as_fd()), Some(AddressFamily::Unix));
        assert_eq!(stream_family(pair().unwrap().0.as_fd()), None);
        assert_eq!(stream_family(File::open("/dev/null").unwrap().as_fd()), None);
        assert_eq!(stream_family(std::net::TcpListener::bind("127.0.0.1:0").unwrap().as_fd()), None);
    }
}
