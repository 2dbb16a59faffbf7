//! What the service manager is told, what it asks for, and what it keeps for us: sd_notify(3), sd_watchdog_enabled(3),
//! sd_listen_fds(3).
//!
//! Enters: the environment. Leaves: datagrams to `NOTIFY_SOCKET`; nothing if it is unset. Promised: telling never waits;
//! a manager that reads too slowly misses a message. `MAINPID=` is never said, because the process ID never changes.
//!
//! - [`names`] — what a listener is called in the manager's store; pure
//! - [`passed`] — the listeners that it passes at a start
//!
//! Sending is done here rather than by `sd_notify::notify`, which waits for the reader and knows no abstract sockets.

pub(crate) mod names;
pub(crate) mod passed;

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sd_notify::NotifyState;

use super::table::Counts;

/// The way to the service manager.
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    keeps: bool,
    told: String,
    said: Said,
}

/// What was said last of being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Nothing, by this image.
    Nothing,
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
}

impl Manager {
    /// As the environment says.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let opened = open(&name);
            opened
                .inspect_err(|error| {
                    tracing::warn!("cannot tell systemd anything at {}: {error}", name.display());
                })
                .ok()
        });
        Self {
            socket,
            keeps: has_store(std::env::var("FDSTORE").ok().as_deref()),
            told: String::new(),
            said: Said::Nothing,
        }
    }

    /// How often the manager wants to be told that the parent lives; it kills a parent that is silent for so long.
    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    /// All that starts with the parent is served now; after [`Manager::reloading`]: the restart has ended, one way
    /// or the other.
    pub(super) fn ready(&mut self) {
        self.said = Said::Ready;
        self.tell(&NotifyState::Ready);
    }

    /// Whether [`Manager::ready`] is to be said once all are served: not after a restart has begun, for then it is said
    /// by the next image, or when the restart has failed.
    pub(super) fn owes_ready(&self) -> bool {
        self.said == Said::Nothing
    }

    /// A restart begins; it ends with [`Manager::ready`], said by this image or by the next.
    pub(super) fn reloading(&mut self) {
        self.said = Said::Reloading;
        match NotifyState::monotonic_usec_now() {
            // In one datagram, as systemd demands from version 253 on.
            Ok(now) => self.send(&format!("{}\n{now}\n", NotifyState::Reloading), None),
            Err(error) => {
                tracing::debug!("no restart is announced to systemd, as there is no monotonic clock: {error}");
                false
            }
        };
    }

    /// The parent lives.
    pub(super) fn alive(&self) {
        self.tell(&NotifyState::Watchdog);
    }

    /// A stop has begun.
    pub(super) fn stopping(&self) {
        self.tell(&NotifyState::Stopping);
    }

    /// How many hosts are how, if that has changed.
    pub(super) fn counts(&mut self, counts: Counts) {
        let Counts { hosts, up, down, idle, backlogs, services, services_down } = counts;
        let plural = if hosts == 1 { "host" } else { "hosts" };
        let backlog =
            if backlogs > 0 { format!("; {backlogs} with deferred requests that wait") } else { String::new() };
        let failed =
            if services_down > 0 { format!("; {services_down} of {services} services down") } else { String::new() };
        let text = format!("{hosts} {plural}: {up} up, {down} down, {idle} idle{backlog}{failed}");
        if text != self.told {
            self.tell(&NotifyState::Status(&text));
            self.told = text;
        }
    }

    /// Whether the manager keeps descriptors for us, so that listeners outlive us and their files must stay at a stop.
    /// `FDSTORE` says so: set by systemd from version 254 on, and by our unit for older ones.
    pub(super) fn keeps(&self) -> bool {
        self.keeps && self.socket.is_some()
    }

    /// Has the manager keep `fd` under `name` and pass it at the next start. One that it has already it keeps once, under
    /// the first name. False if nothing was sent, because the manager keeps nothing, or has not read what it was told
    /// before.
    pub(super) fn keep(&self, name: &str, fd: BorrowedFd<'_>) -> bool {
        // Without FDPOLL=0 the manager would drop a socket that has hung up.
        self.keeps() && self.send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n"), Some(fd))
    }

    /// Has the manager close all that it keeps under `name`.
    pub(super) fn forget(&self, name: &str) {
        if self.keeps() {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), None);
        }
    }

    fn tell(&self, state: &NotifyState<'_>) {
        self.send(&format!("{state}\n"), None);
    }

    /// One datagram.
    fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        let fds: Vec<_> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let extra = if fds.is_empty() { &[][..] } else { &rights[..] };
        let bytes = [IoSlice::new(text.as_bytes())];
        let sent = sendmsg::<()>(socket.as_raw_fd(), &bytes, extra, MsgFlags::MSG_NOSIGNAL, None);
        if let Err(error) = sent {
            tracing::debug!("cannot tell systemd {}: {error}", text.trim_end().escape_debug());
        }
        sent.is_ok()
    }
}

/// Whether `FDSTORE`, the number of descriptors that the manager would keep, is above zero.
fn has_store(value: Option<&str>) -> bool {
    value.and_then(|value| value.parse::<u64>().ok()).is_some_and(|most| most > 0)
}

fn open(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A manager that keeps descriptors, and where it hears.
    pub(super) fn manager() -> (Manager, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Manager { socket: Some(ours), keeps: true, told: String::new(), said: Said::Nothing }, theirs)
    }

    fn hear(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_restart_is_announced_with_its_time_in_one_datagram_and_ends_with_ready() {
        let (mut manager, heard) = manager();
        assert!(manager.owes_ready());
        manager.ready();
        assert_eq!(hear(&heard), "READY=1\n");
        manager.reloading();
        assert!(!manager.owes_ready(), "not before the restart has ended");
        let told = hear(&heard);
        let time = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.strip_suffix('\n'));
        assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)), "{told}");
        manager.ready();
        assert_eq!(hear(&heard), "READY=1\n");
    }

    #[test]
    fn services_are_spoken_of_when_one_is_down() {
        let (mut manager, heard) = manager();
        let counts = Counts { hosts: 1, up: 1, services: 2, ..Counts::default() };
        manager.counts(counts);
        assert_eq!(hear(&heard), "STATUS=1 host: 1 up, 0 down, 0 idle\n");
        manager.counts(Counts { services_down: 1, ..counts });
        assert_eq!(hear(&heard), "STATUS=1 host: 1 up, 0 down, 0 idle; 1 of 2 services down\n");
    }

    #[test]
    fn what_is_kept_has_a_name_and_is_not_polled() {
        let (manager, heard) = manager();
        assert!(manager.keep("far.sock,26,4711", heard.as_fd()));
        assert_eq!(hear(&heard), "FDSTORE=1\nFDNAME=far.sock,26,4711\nFDPOLL=0\n");
        manager.forget("far.sock,26,4711");
        assert_eq!(hear(&heard), "FDSTOREREMOVE=1\nFDNAME=far.sock,26,4711\n");
    }

    #[test]
    fn a_manager_that_keeps_nothing_or_is_not_there_is_not_bothered() {
        let (mut manager, heard) = manager();
        manager.keeps = false;
        assert!(!manager.keep("far.sock", heard.as_fd()));
        manager.forget("far.sock");
        assert!(heard.recv(&mut [0; 1]).is_err());
        manager = Manager { socket: None, keeps: true, told: String::new(), said: Said::Nothing };
        assert!(!manager.keeps() && !manager.keep("far.sock", heard.as_fd()));
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let (manager, heard) = manager();
        let sent = (0..100_000).take_while(|_| manager.keep("far.sock", heard.as_fd())).count();
        assert!(sent > 0 && sent < 100_000, "{sent}");
    }

    #[test]
    fn the_store_is_there_if_its_size_says_so() {
        let said = [Some("512"), Some("0"), Some("-1"), Some("yes"), Some(""), None].map(has_store);
        assert_eq!(said, [true, false, false, false, false, false]);
    }
}
