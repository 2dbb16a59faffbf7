//! Listening sockets: UNIX sockets that replace stale ones atomically, and loopback TCP.
//!
//! Enters: a path with rights, or an address. Leaves: a listening descriptor (non-blocking, closed by exec), and for a
//! path a [`SocketFile`] that removes it again.
//!
//! A UNIX socket is bound to a temporary name in the same directory, given its rights, made to listen, and only then
//! renamed over its final name. So a socket left behind by a crash is replaced, and at no moment does the final name
//! refuse, or let in who should not.

use std::fs::{self, File, Metadata};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::unistd::{getegid, geteuid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who may connect to a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Permission bits; to connect takes the right to write.
    pub mode: u32,
    /// A user ID; none leaves this process's.
    pub owner: Option<u32>,
    /// A group ID; none leaves this process's.
    pub group: Option<u32>,
}

/// Why a listening socket could not be had. Every message names the place and the remedy.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Something else than a socket has the name.
    #[error("{path} exists and is not a socket; move it away, or choose another run_dir or name")]
    NotASocket {
        /// The wanted path.
        path: PathBuf,
    },
    /// The directory, or a right, is missing.
    #[error("cannot make the socket {path}: {what}: {source}; {remedy}")]
    Unix {
        /// The wanted path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {remedy}")]
    Tcp {
        /// The wanted address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
}

/// Which file a socket's name is, as stat(2) tells; or which socket it is, where it has no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl SocketId {
    /// Of a socket without a file: the kernel numbers these as well.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        // Of a copy, because a `File` closes what it has looked at.
        File::from(fd.as_fd().try_clone_to_owned()?).metadata().map(|found| Self::from(&found))
    }
}

impl From<&Metadata> for SocketId {
    fn from(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// The name of a socket in the file system; removed when dropped, if it is still the same socket and need not stay.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: SocketId,
    stays: bool,
}

impl SocketFile {
    /// The file that was this one when it was at `path`; whether it is still there, [`SocketFile::is_in_place`] says.
    #[must_use]
    pub fn known(path: PathBuf, id: SocketId) -> Self {
        Self { path, id, stays: false }
    }

    /// What was `found` at `path`.
    pub(super) fn of(path: &Path, found: &Metadata) -> Self {
        Self { path: path.to_owned(), id: found.into(), stays: false }
    }

    /// The socket that is at `path` now, which somebody else has made; none if there is none.
    #[must_use]
    pub fn of_another(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), id: SocketId::from(&found), stays: true })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the name still leads to this socket.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| SocketId::from(&found) == self.id)
    }

    /// Gives it other rights: they hold for whoever connects from now on.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn change_rights(&self, rights: Rights) -> Result<(), ListenError> {
        // Without an owner it is ours again.
        let owner = rights.owner.or_else(|| Some(geteuid().as_raw()));
        let group = rights.group.or_else(|| Some(getegid().as_raw()));
        give_rights(&self.path, Rights { owner, group, ..rights }).map_err(|(what, source)| {
            let remedy = unix_remedy(&source);
            ListenError::Unix { path: self.path.clone(), what, source, remedy }
        })
    }

    /// Which file it is.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// From now on it is not removed when this is dropped: somebody else made it, or keeps its listener.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// Whether it is removed when this is dropped.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.stays
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.stays
            && self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove the socket {}: {error}", self.path.display());
        }
    }
}

/// Listens at `path`, in place of whatever socket has that name now.
///
/// # Errors
/// When the name belongs to something else than a socket, or the file system refuses.
pub fn listen_unix(path: &Path, rights: Rights) -> Result<(OwnedFd, SocketFile), ListenError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        _ => {}
    }
    let temporary = temporary_name(path);
    let made = make_unix(&temporary, path, rights).map_err(|(what, source)| {
        let remedy = unix_remedy(&source);
        ListenError::Unix { path: path.to_owned(), what, source, remedy }
    });
    if made.is_err() {
        // It may never have been made; the error that is reported is the first one.
        fs::remove_file(&temporary).ok();
    }
    made
}

/// As [`listen_unix`], but not in place of a socket at which somebody listens.
///
/// # Errors
/// Also when somebody does.
pub fn listen_unix_alone(path: &Path, rights: Rights) -> Result<(OwnedFd, SocketFile), ListenError> {
    if is_listened_at(path) {
        let (path, source) = (path.to_owned(), Errno::EADDRINUSE.into());
        let remedy = "another process listens there; stop that one first, or choose another path";
        return Err(ListenError::Unix { path, what: "listen", source, remedy });
    }
    listen_unix(path, rights)
}

/// Whether somebody listens at the socket `path`. Waits for nobody: whose backlog is full is somebody.
fn is_listened_at(path: &Path) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (Ok(address), Ok(fd)) = (UnixAddr::new(path), socket(AddressFamily::Unix, SockType::Stream, flags, None))
    else {
        return false;
    };
    matches!(connect(fd.as_raw_fd(), &address), Ok(()) | Err(Errno::EAGAIN))
}

type Step = (&'static str, io::Error);

fn make_unix(temporary: &Path, path: &Path, rights: Rights) -> Result<(OwnedFd, SocketFile), Step> {
    let step = |what| move |error: Errno| (what, io::Error::from(error));
    let address = UnixAddr::new(temporary).map_err(step("bind"))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(step("socket"))?;
    // Left behind by a process of the same ID that died right here.
    fs::remove_file(temporary).ok();
    bind(fd.as_raw_fd(), &address).map_err(step("bind"))?;
    give_rights(temporary, rights)?;
    listen(&fd, Backlog::MAXCONN).map_err(step("listen"))?;
    let made = fs::symlink_metadata(temporary).map_err(|error| ("stat", error))?;
    fs::rename(temporary, path).map_err(|error| ("rename", error))?;
    Ok((fd, SocketFile::of(path, &made)))
}

fn give_rights(path: &Path, rights: Rights) -> Result<(), Step> {
    if rights.owner.is_some() || rights.group.is_some() {
        std::os::unix::fs::chown(path, rights.owner, rights.group).map_err(|error| ("chown", error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(rights.mode)).map_err(|error| ("chmod", error))
}

/// `.PID` in base 36 beside `path`: never longer than the shortest `NAME.sock`, so what fits into a socket address under
/// its final name fits under this one.
fn temporary_name(path: &Path) -> PathBuf {
    let mut rest = std::process::id();
    let mut name = String::from(".");
    while rest > 0 {
        name.extend(char::from_digit(rest % 36, 36));
        rest /= 36;
    }
    path.with_file_name(name)
}

fn unix_remedy(error: &io::Error) -> &'static str {
    match errno(error) {
        Errno::ENOENT | Errno::ENOTDIR => "make its directory, or change run_dir",
        Errno::EACCES | Errno::EROFS => {
            "make its directory writable for the user that tieline runs as, or change run_dir"
        }
        Errno::EPERM => "only root may give a socket to others; drop owner= and group=, or join that group",
        Errno::ENAMETOOLONG => "a socket's path has at most 107 bytes; choose a shorter run_dir or name",
        _ => "see errno(3)",
    }
}

/// Listens on a loopback address.
///
/// # Errors
/// When the address is taken, or may not be used.
pub fn listen_tcp(address: SocketAddr) -> Result<OwnedFd, ListenError> {
    make_tcp(address).map_err(|source| ListenError::Tcp { address, remedy: tcp_remedy(&source, address), source })
}

fn make_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    // The standard library allows an address whose old connections are still in TIME_WAIT, but its backlog is short.
    let listener = TcpListener::bind(address)?;
    listen(&listener, Backlog::MAXCONN)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

fn tcp_remedy(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match errno(error) {
        Errno::EADDRINUSE => {
            format!("another program has it (`ss -ltnp 'sport = {port}'` names it); choose another port for listen=")
        }
        Errno::EACCES => "ports below 1024 are root's; choose a higher one for listen=".to_owned(),
        Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT => "this machine has no such address; change listen=".to_owned(),
        _ => "change listen=".to_owned(),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const RIGHTS: Rights = Rights { mode: 0o660, owner: None, group: None };

    #[test]
    fn a_stale_socket_is_replaced_and_has_the_wanted_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (fd, stale) = listen_unix(&path, RIGHTS).unwrap();
        drop(fd);
        std::mem::forget(stale);
        let (_fd, _file) = listen_unix(&path, Rights { mode: 0o604, ..RIGHTS }).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary name is left");
    }

    #[test]
    fn only_the_own_socket_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (_old_fd, old) = listen_unix(&path, RIGHTS).unwrap();
        let (_new_fd, new) = listen_unix(&path, RIGHTS).unwrap();
        drop(old);
        assert!(path.exists(), "the name belongs to the newer socket");
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_to_stay_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (_fd, mut file) = listen_unix(&path, RIGHTS).unwrap();
        file.stay();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_without_a_file_has_an_identity_too() {
        let (one, two) = UnixStream::pair().unwrap();
        let copy = one.try_clone().unwrap();
        assert_eq!(SocketId::of(&one).unwrap(), SocketId::of(&copy).unwrap());
        assert_ne!(SocketId::of(&one).unwrap(), SocketId::of(&two).unwrap());
    }

    #[test]
    fn a_file_of_that_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        fs::write(&path, "precious").unwrap();
        let told = listen_unix(&path, RIGHTS).unwrap_err().to_string();
        assert!(told.contains("is not a socket") && told.contains("a.sock"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let told = listen_unix(Path::new("/nonexistent/a.sock"), RIGHTS).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/a.sock") && told.contains("make its directory"), "{told}");
    }

    #[test]
    fn the_temporary_name_is_no_longer_than_the_final_one() {
        let path = Path::new("/run/a.sock");
        assert!(temporary_name(path).as_os_str().len() <= path.as_os_str().len());
    }

    #[test]
    fn a_taken_port_is_named_with_the_remedy() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let told = listen_tcp(taken.local_addr().unwrap()).unwrap_err().to_string();
        assert!(told.contains("another program has it") && told.contains("listen="), "{told}");
    }
}
