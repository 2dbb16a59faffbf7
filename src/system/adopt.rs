//! Listening sockets that somebody else has opened, or this program in an earlier life.
//!
//! Enters: a descriptor, and where it should listen. Leaves: the [`SocketFile`] of a UNIX socket, or why it does not fit
//! ([`Unfit`]). Promised: what fits is made non-blocking, as if it had been opened here; what does not is not touched.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{SockType, getsockopt, sockopt};
use thiserror::Error;

use super::listen::{SocketFile, SocketId};

/// Why a descriptor is not the listener that is wanted.
#[derive(Debug, Error)]
pub enum Unfit {
    /// Something else than a listening stream socket.
    #[error("it is no listening stream socket")]
    NotListening,
    /// Of another family, or without an address.
    #[error("it listens on no address of the wanted kind, {wanted}")]
    OtherKind {
        /// Where it should listen.
        wanted: String,
    },
    /// The file that should be its name is gone, or cannot be seen.
    #[error("{path} cannot be looked at: {source}")]
    NoFile {
        /// The wanted path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another socket, or something else, has the name by now.
    #[error("what is at {path} now is not this socket")]
    OtherFile {
        /// The wanted path.
        path: PathBuf,
    },
    /// It listens, but elsewhere.
    #[error("it listens on {bound}, not on {wanted}")]
    Elsewhere {
        /// Where it listens.
        bound: String,
        /// Where it should.
        wanted: String,
    },
    /// A system call failed.
    #[error("it cannot be used: {0}")]
    System(#[from] io::Error),
}

/// Checks that `fd` listens at `path`. With `id`, the identity that the socket's file had when it was made: that it still
/// is this file. Such a socket was bound to a temporary name, so the system cannot tell. Without `id` the system is
/// asked; the file is then somebody else's and stays when the [`SocketFile`] is dropped.
///
/// # Errors
/// When it is another socket, or none, or the name belongs to something else.
pub fn adopt_unix(fd: BorrowedFd<'_>, path: &Path, id: Option<SocketId>) -> Result<SocketFile, Unfit> {
    let listener = UnixListener::from(listening(fd)?.try_clone_to_owned()?);
    let bound = listener.local_addr().map_err(|_| Unfit::OtherKind { wanted: path.display().to_string() })?;
    let found = fs::symlink_metadata(path).map_err(|source| Unfit::NoFile { path: path.to_owned(), source })?;
    if !found.file_type().is_socket() || id.is_some_and(|id| id != SocketId::from(&found)) {
        return Err(Unfit::OtherFile { path: path.to_owned() });
    }
    if id.is_none() {
        bound_there(bound.as_pathname(), path)?;
    }
    listener.set_nonblocking(true)?;
    // Not before: dropped, it would remove a file that is somebody else's.
    let mut file = SocketFile::of(path, &found);
    if id.is_none() {
        file.stay();
    }
    Ok(file)
}

/// Whether `bound` is another way to write `path`.
fn bound_there(bound: Option<&Path>, path: &Path) -> Result<(), Unfit> {
    let is_there = bound.is_some_and(|bound| match (bound.canonicalize(), path.canonicalize()) {
        (Ok(bound), Ok(path)) => bound == path,
        _ => false,
    });
    if is_there {
        return Ok(());
    }
    let bound = bound.map_or_else(|| "no path".to_owned(), |bound| bound.display().to_string());
    Err(Unfit::Elsewhere { bound, wanted: path.display().to_string() })
}

/// Checks that `fd` listens on `address`.
///
/// # Errors
/// When it is another socket, or none.
pub fn adopt_tcp(fd: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Unfit> {
    let listener = TcpListener::from(listening(fd)?.try_clone_to_owned()?);
    let bound = listener.local_addr().map_err(|_| Unfit::OtherKind { wanted: address.to_string() })?;
    if bound != address {
        return Err(Unfit::Elsewhere { bound: bound.to_string(), wanted: address.to_string() });
    }
    Ok(listener.set_nonblocking(true)?)
}

fn listening(fd: BorrowedFd<'_>) -> Result<BorrowedFd<'_>, Unfit> {
    let is_stream = getsockopt(&fd, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&fd, sockopt::AcceptConn) == Ok(true);
    if is_stream && listens { Ok(fd) } else { Err(Unfit::NotListening) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;
    use crate::system::listen::{Rights, listen_tcp, listen_unix};

    const RIGHTS: Rights = Rights { mode: 0o660, owner: None, group: None };

    #[test]
    fn an_own_socket_is_known_by_its_file_and_removed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (fd, mut file) = listen_unix(&path, RIGHTS).unwrap();
        let id = file.id();
        file.stay();
        drop(file);
        let adopted = adopt_unix(fd.as_fd(), &path, Some(id)).unwrap();
        assert_eq!(adopted.id(), id);
        drop(adopted);
        assert!(!path.exists(), "whoever made it removes it");
    }

    #[test]
    fn a_socket_whose_name_another_one_has_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (old, old_file) = listen_unix(&path, RIGHTS).unwrap();
        let (_new, new_file) = listen_unix(&path, RIGHTS).unwrap();
        let told = adopt_unix(old.as_fd(), &path, Some(old_file.id())).unwrap_err().to_string();
        assert!(told.contains("is not this socket"), "{told}");
        drop(new_file);
        let told = adopt_unix(old.as_fd(), &path, Some(old_file.id())).unwrap_err().to_string();
        assert!(told.contains("cannot be looked at"), "{told}");
    }

    #[test]
    fn a_socket_of_the_manager_is_known_by_its_address_and_its_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let detour = dir.path().join(".").join("a.sock");
        drop(adopt_unix(listener.as_fd(), &detour, None).unwrap());
        UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "it does not block any more");
    }

    #[test]
    fn a_socket_of_the_manager_that_listens_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("a.sock"), dir.path().join("b.sock"));
        let listener = UnixListener::bind(&there).unwrap();
        let (_fd, _file) = listen_unix(&here, RIGHTS).unwrap();
        let told = adopt_unix(listener.as_fd(), &here, None).unwrap_err().to_string();
        assert!(told.contains("b.sock, not on") && told.contains("a.sock"), "{told}");
        UnixStream::connect(&here).expect("the other socket keeps its file");
    }

    #[test]
    fn tcp_is_known_by_its_address() {
        let tcp = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = TcpListener::from(tcp.try_clone().unwrap()).local_addr().unwrap();
        adopt_tcp(tcp.as_fd(), address).unwrap();
        let told = adopt_tcp(tcp.as_fd(), "127.0.0.1:1".parse().unwrap()).unwrap_err().to_string();
        assert!(told.contains("not on 127.0.0.1:1"), "{told}");
    }

    #[test]
    fn what_does_not_listen_or_is_of_another_family_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let address = "127.0.0.1:1".parse().unwrap();
        let datagrams = UnixDatagram::unbound().unwrap();
        assert!(matches!(adopt_unix(datagrams.as_fd(), &path, None), Err(Unfit::NotListening)));
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(matches!(adopt_unix(stream.as_fd(), &path, None), Err(Unfit::NotListening)));
        let (unix, _file) = listen_unix(&path, RIGHTS).unwrap();
        assert!(matches!(adopt_tcp(unix.as_fd(), address), Err(Unfit::OtherKind { .. })));
        let tcp = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(matches!(adopt_unix(tcp.as_fd(), &path, None), Err(Unfit::OtherKind { .. })));
    }
}
