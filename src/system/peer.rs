//! Who is at the other end of a UNIX socket, as the kernel knows it.
//!
//! Enters: an accepted socket. Leaves: process, user and groups as they were when the other end connected. Promised:
//! nothing of it is what the other end says about itself.
#![expect(unsafe_code, reason = "getsockopt(2) with SO_PEERGROUPS, which nix has not")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc::{SO_PEERGROUPS, SOL_SOCKET, c_void, getsockopt as raw_getsockopt, gid_t, socklen_t};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Gid, Uid, User, getgrouplist};

/// Groups for which there is room at the first try. Few users are in more.
const USUAL: usize = 32;

/// Who connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The process; 0 if it is of another namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group, then the further ones.
    pub groups: Vec<u32>,
}

/// Who connected to this socket.
///
/// # Errors
/// Those of getsockopt(2): it is no UNIX socket.
pub fn peer(socket: &impl AsFd) -> io::Result<Peer> {
    let found = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?;
    let mut groups = vec![found.gid()];
    groups.extend(further_groups(socket).or_else(|_| listed_groups(found.uid(), found.gid()))?);
    Ok(Peer { pid: found.pid(), uid: found.uid(), groups })
}

/// The name of a process, as the kernel shows it; it may be any other by now.
#[must_use]
pub fn program(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    if name.trim_end().is_empty() { "gone".to_owned() } else { name.trim_end().to_owned() }
}

/// What the kernel says (Linux 4.13 and newer).
fn further_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<gid_t> = vec![0; USUAL];
    loop {
        let room = groups.len() * size_of::<gid_t>();
        let mut length = socklen_t::try_from(room).map_err(io::Error::other)?;
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: `groups` has room for `length` bytes and lives until the call is over; both pointers are valid, and the
        // kernel writes whole numbers of the type that `groups` holds.
        let done = unsafe {
            raw_getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.as_mut_ptr().cast::<c_void>(), &raw mut length)
        };
        let count = length as usize / size_of::<gid_t>();
        match Errno::result(done) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // It has said how many there are.
            Err(Errno::ERANGE) if count > groups.len() => groups.resize(count, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the machine's table of groups says, for want of better.
fn listed_groups(uid: u32, gid: u32) -> io::Result<Vec<u32>> {
    let Some(user) = User::from_uid(Uid::from_raw(uid))? else { return Ok(Vec::new()) };
    let name = CString::new(user.name)?;
    Ok(getgrouplist(&name, Gid::from_raw(gid))?.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn this_process_is_known_by_its_socket() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer(&one).unwrap();
        assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        let mut own: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        let (mut further, first) = (peer.groups[1..].to_vec(), peer.groups[0]);
        own.sort_unstable();
        further.sort_unstable();
        assert_eq!((first, further), (nix::unistd::getegid().as_raw(), own));
        assert_ne!(program(peer.pid), "gone");
        assert_eq!(program(i32::MAX), "gone");
    }

    #[test]
    fn a_tcp_socket_has_no_peer_that_is_known() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(further_groups(&socket).is_err());
    }

    #[test]
    fn the_table_of_groups_knows_roots() {
        assert!(listed_groups(0, 0).unwrap().contains(&0));
    }
}
