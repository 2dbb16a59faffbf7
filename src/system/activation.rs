//! Descriptors that the service manager passes at a start: sd_listen_fds(3).
//!
//! Enters: the environment. Leaves: sockets with the names that the manager gave them. Promised: each is given out once,
//! and is not passed on to other programs; variables that are meant for another process, or make no sense, give nothing.
//!
//! ```text
//! LISTEN_PID=4711                       for whom they are
//! LISTEN_FDS=2                          how many, at the numbers 3, 4, …
//! LISTEN_FDNAMES=cache.sock:unknown     their names, if the manager knows some
//! ```
#![expect(unsafe_code, reason = "taking ownership of a descriptor by its number")]

use std::env;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};

/// The number of the first one, sd_listen_fds(3).
const FIRST: RawFd = 3;

/// What a descriptor is called whose name the manager does not tell, sd_listen_fds(3).
const UNNAMED: &str = "unknown";

/// Whether they were given out already: two owners of one descriptor would close each other's.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets that this process was passed when it was started, with their names; nothing at a second call.
///
/// To be called early, before anything else opens sockets, and only by an image that was started by the manager: after
/// an exec in place the process ID is still the right one and the variables still stand, but the numbers have come to
/// mean something else.
#[must_use]
pub fn passed_sockets() -> Vec<(String, OwnedFd)> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let read = |name| env::var_os(name).and_then(|value| value.into_string().ok());
    let count = announced(read("LISTEN_PID").as_deref(), read("LISTEN_FDS").as_deref(), std::process::id());
    take(FIRST, count, &read("LISTEN_FDNAMES").unwrap_or_default())
}

/// How many were announced to the process `own`.
fn announced(pid: Option<&str>, count: Option<&str>, own: u32) -> RawFd {
    let is_for_us = pid.and_then(|pid| pid.parse().ok()) == Some(own);
    count.filter(|_| is_for_us).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Those of `count` numbers from `first` on that are sockets. What is not even open ends the row: then whoever announced
/// it has closed it again, and the numbers behind it may be anybody's.
fn take(first: RawFd, count: RawFd, names: &str) -> Vec<(String, OwnedFd)> {
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let last = first.saturating_add(count.max(0));
    let named = (first..last).map(|number| (number, names.next().unwrap_or(UNNAMED).to_owned()));
    let open = named.map_while(|(number, name)| close_on_exec(number).map(|()| (number, name)));
    open.filter_map(|(number, name)| own(number, name)).collect()
}

fn own(number: RawFd, name: String) -> Option<(String, OwnedFd)> {
    if !is_socket(number) {
        tracing::warn!("descriptor {number}, which was passed as `{name}`, is no socket; it is left alone");
        return None;
    }
    // SAFETY: the descriptor is open and a socket (checked above). The manager announced it to this very process, which
    // opens no socket before it comes here, and `TAKEN` shows that nobody got it from here before.
    Some((name, unsafe { OwnedFd::from_raw_fd(number) }))
}

/// None if the number is not open.
fn close_on_exec(number: RawFd) -> Option<()> {
    // SAFETY: the borrow ends with this function; a closed number makes the call fail with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok().map(drop)
}

fn is_socket(number: RawFd) -> bool {
    // SAFETY: as above.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    getsockopt(&fd, sockopt::SockType).err() != Some(Errno::ENOTSOCK)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn only_what_is_announced_to_this_process_counts() {
        assert_eq!(announced(Some("7"), Some("3"), 7), 3);
        assert_eq!(announced(Some("8"), Some("3"), 7), 0, "for another process");
        for (pid, count) in [(None, Some("3")), (Some("7"), None), (Some("7"), Some("many")), (Some(""), Some(""))] {
            assert_eq!(announced(pid, count, 7), 0);
        }
        assert!(take(FIRST, announced(Some("7"), Some("-3"), 7), "").is_empty());
    }

    #[test]
    fn a_socket_has_the_name_that_stands_at_its_place_and_does_not_survive_an_exec() {
        let number = UnixDatagram::unbound().unwrap().into_raw_fd();
        let taken = take(number, 1, "far.sock:near.sock");
        assert_eq!(
            taken.iter().map(|(name, fd)| (name.as_str(), fd.as_raw_fd())).collect::<Vec<_>>(),
            [("far.sock", number)]
        );
        let flags = fcntl(&taken[0].1, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
    }

    #[test]
    fn without_a_name_it_is_unknown() {
        let number = UnixDatagram::unbound().unwrap().into_raw_fd();
        assert_eq!(take(number, 1, "")[0].0, "unknown");
    }

    #[test]
    fn what_is_no_socket_is_left_to_whoever_owns_it() {
        let file = File::open("/dev/null").unwrap();
        assert!(take(file.as_raw_fd(), 1, "far.sock").is_empty());
        file.metadata().unwrap();
    }

    #[test]
    fn numbers_that_are_not_open_give_nothing_however_many_are_announced() {
        // Far above what a test opens, and far below what an announcement may say.
        assert!(take(60_000, RawFd::MAX, "a:b").is_empty());
    }
}
