//! The listeners that the service manager passes at a start: kept for us in its store, or opened by its socket units.
//!
//! Enters: descriptors with names. Leaves: those that are listeners which somebody here wants. Promised: one that does
//! not fit is closed, with a warning that says which and why, and is no longer kept.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::Manager;
use super::names::{is_about, parse_name};
use crate::system::activation::passed_sockets;
use crate::system::adopt::{Unfit, adopt_tcp, adopt_unix};
use crate::system::listen::{SocketFile, SocketId};

/// Those that nobody has claimed yet.
#[derive(Debug)]
pub(crate) struct Passed(Vec<Descriptor>);

#[derive(Debug)]
struct Descriptor {
    name: String,
    fd: OwnedFd,
    /// Why it was not what somebody wanted it to be.
    unfit: Option<Unfit>,
}

/// A listener that was passed.
#[derive(Debug)]
pub(crate) struct Claimed<T> {
    /// It itself, non-blocking.
    pub(crate) listener: OwnedFd,
    /// Its file, for a UNIX socket.
    pub(crate) file: T,
    /// Whether a socket unit holds it: then it need not be kept, and its rights are the unit's matter.
    pub(crate) is_units: bool,
}

impl Passed {
    /// As the environment says. To be asked at a first start only: see [`passed_sockets`].
    pub(crate) fn from_environment() -> Self {
        Self::new(passed_sockets())
    }

    fn new(passed: Vec<(String, OwnedFd)>) -> Self {
        Self(passed.into_iter().map(|(name, fd)| Descriptor { name, fd, unfit: None }).collect())
    }

    /// The UNIX socket called `wanted` that listens at `path`, if it was passed.
    pub(crate) fn unix(&mut self, wanted: &str, path: &Path) -> Option<Claimed<SocketFile>> {
        self.claim(wanted, |fd, id| adopt_unix(fd, path, id))
    }

    /// The loopback listener called `wanted` on `address`, if it was passed.
    pub(crate) fn tcp(&mut self, wanted: &str, address: SocketAddr) -> Option<Claimed<()>> {
        self.claim(wanted, |fd, _| adopt_tcp(fd, address))
    }

    /// Closes those that are left, and has the manager forget them. To be called before anything is kept: what was kept
    /// under the same name would be forgotten as well.
    pub(crate) fn close(self, manager: &Manager) {
        for Descriptor { name, fd, unfit } in self.0 {
            let why = unfit.map_or_else(|| "nobody here listens under this name".to_owned(), |why| why.to_string());
            tracing::warn!("the descriptor that was passed as `{name}` is closed: {why}");
            drop(fd);
            if parse_name(&name).1.is_some() {
                manager.forget(&name);
            }
        }
    }

    /// The first one about `wanted` that `adopt` takes.
    fn claim<T>(
        &mut self,
        wanted: &str,
        adopt: impl Fn(BorrowedFd<'_>, Option<SocketId>) -> Result<T, Unfit>,
    ) -> Option<Claimed<T>> {
        let mut found = None;
        for (at, passed) in self.0.iter_mut().enumerate() {
            let (base, id) = parse_name(&passed.name);
            if !is_about(base, wanted) {
                continue;
            }
            match adopt(passed.fd.as_fd(), id) {
                Ok(file) => {
                    found = Some((at, file, id.is_none()));
                    break;
                }
                Err(why) => passed.unfit = Some(why),
            }
        }
        let (at, file, is_units) = found?;
        Some(Claimed { listener: self.0.swap_remove(at).fd, file, is_units })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::super::names::stored_name;
    use super::*;
    use crate::system::listen::{Rights, listen_tcp, listen_unix};

    fn listen(path: &Path) -> (OwnedFd, SocketFile) {
        listen_unix(path, Rights { mode: 0o660, owner: None, group: None }).unwrap()
    }

    #[test]
    fn a_kept_listener_and_one_of_a_socket_unit_are_claimed_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let (far, near) = (dir.path().join("far.sock"), dir.path().join("near.sock"));
        let (kept, file) = listen(&far);
        let units = OwnedFd::from(UnixListener::bind(&near).unwrap());
        let mut passed = Passed::new(vec![("near".into(), units), (stored_name("far.sock", file.id()), kept)]);
        assert!(passed.unix("other.sock", &far).is_none());
        assert!(!passed.unix("far.sock", &far).unwrap().is_units);
        assert!(passed.unix("far.sock", &far).is_none(), "each is claimed once");
        assert!(passed.unix("near.sock", &near).unwrap().is_units);
        assert!(passed.0.is_empty());
    }

    #[test]
    fn among_several_of_a_name_the_one_that_fits_is_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("far.sock");
        let (stale, stale_file) = listen(&path);
        let (fresh, fresh_file) = listen(&path);
        let name = |file: &SocketFile| stored_name("far.sock", file.id());
        let mut passed = Passed::new(vec![(name(&stale_file), stale), (name(&fresh_file), fresh)]);
        let claimed = passed.unix("far.sock", &path).unwrap();
        assert_eq!(claimed.file.id(), fresh_file.id());
        UnixStream::connect(&path).unwrap();
        UnixListener::from(claimed.listener).accept().unwrap();
        assert!(passed.0[0].unfit.is_some(), "the other one is left, and it is known why");
    }

    #[test]
    fn a_tcp_listener_is_claimed_by_name_and_address() {
        let tcp = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = std::net::TcpListener::from(tcp.try_clone().unwrap()).local_addr().unwrap();
        let mut passed = Passed::new(vec![("far.listen".into(), tcp)]);
        assert!(passed.tcp("far.listen", "127.0.0.1:1".parse().unwrap()).is_none());
        assert!(passed.tcp("far.listen", address).is_some());
    }

    #[test]
    fn what_is_left_is_closed_and_what_was_kept_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("far.sock");
        let (kept, file) = listen(&path);
        let name = stored_name("far.sock", file.id());
        file_stays(file);
        let units = OwnedFd::from(UnixListener::bind(dir.path().join("near.sock")).unwrap());
        let (manager, heard) = super::super::tests::manager();
        Passed::new(vec![(name.clone(), kept), ("near".into(), units)]).close(&manager);
        assert!(UnixStream::connect(&path).is_err(), "nobody listens any more");
        assert_eq!(hear(&heard), format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
        assert!(heard.recv(&mut [0; 1]).is_err(), "the manager's own need not be forgotten");
    }

    fn file_stays(mut file: SocketFile) {
        file.stay();
    }

    fn hear(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}
