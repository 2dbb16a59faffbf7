//! What a listener is called in the service manager's store. Pure.
//!
//! Enters: what it listens for, and which socket it is. Leaves: an `FDNAME=`, and back. Promised: what is written here is
//! read again; any other name is taken as it is.
//!
//! ```text
//! far.sock,26,4711     stored by us: the socket of the host far, whose file had device 26 and inode 4711
//! far.listen,8,4712    stored by us: its loopback listener, with the identity of the socket itself
//! far.serve,8,4713     stored by us: the listener of [serve.far]
//! far.sock, far        from a socket unit (FileDescriptorName=)
//! ```
//!
//! The identity is there because our UNIX sockets are bound to a temporary name and renamed: getsockname(2) does not
//! tell where they are. A name may have all printable characters but `:`, and at most 255, sd_notify(3).

use crate::system::listen::SocketId;

/// The control socket.
pub(crate) const CONTROL: &str = "control.sock";

/// The socket of the registry; no host can have its name.
pub(crate) const REGISTRY: &str = "registry.sock";

/// The listener of what is served under `name`.
pub(crate) fn serve(name: &str) -> String {
    format!("{name}.serve")
}

/// The socket of a host.
pub(crate) fn unix(host: &str) -> String {
    format!("{host}.sock")
}

/// Its socket for deferred requests.
pub(crate) fn deferred(host: &str) -> String {
    format!("{host}.deferred.sock")
}

/// Its loopback listener.
pub(crate) fn tcp(host: &str) -> String {
    format!("{host}.listen")
}

/// The name under which `base` is stored.
pub(crate) fn stored_name(base: &str, SocketId { device, inode }: SocketId) -> String {
    format!("{base},{device},{inode}")
}

/// What a name is about, and the identity if it was stored by us.
pub(crate) fn parse_name(name: &str) -> (&str, Option<SocketId>) {
    let mut parts = name.rsplitn(3, ',');
    let (inode, device, base) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text?.parse().ok();
    match (base, number(device), number(inode)) {
        (Some(base), Some(device), Some(inode)) => (base, Some(SocketId { device, inode })),
        _ => (name, None),
    }
}

/// Whether a descriptor about `base` may be the listener `wanted`. A socket unit may leave `.sock` out.
pub(crate) fn is_about(base: &str, wanted: &str) -> bool {
    base == wanted || wanted.strip_suffix(".sock") == Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        for (device, inode) in [(0, 0), (26, 4711), (u64::MAX, u64::MAX)] {
            let id = SocketId { device, inode };
            let name = stored_name("far.deferred.sock", id);
            assert_eq!(parse_name(&name), ("far.deferred.sock", Some(id)), "{name}");
        }
    }

    #[test]
    fn the_longest_name_fits_into_the_store() {
        let id = SocketId { device: u64::MAX, inode: u64::MAX };
        let name = stored_name(&deferred(&"x".repeat(63)), id);
        assert!(name.len() <= 255 && !name.contains(':'), "{name}");
    }

    #[test]
    fn other_names_are_taken_as_they_are() {
        for name in ["far", "far.sock", "unknown", "", "far.sock,1", "far.sock,1,x", "far.sock,-1,2", ",,", "a,1,2,"] {
            assert_eq!(parse_name(name), (name, None));
        }
    }

    #[test]
    fn a_socket_unit_may_leave_the_ending_out() {
        assert!(is_about("far", &unix("far")) && is_about("far.sock", &unix("far")));
        assert!(is_about("far.deferred", &deferred("far")) && is_about("control", CONTROL));
        assert!(is_about("far.listen", &tcp("far")));
        assert!(
            !is_about("far", &tcp("far")) && !is_about("far", &unix("farther")) && !is_about("far.sock.sock", "far")
        );
    }
}
