//! What the service manager is told, and what it asks for: sd_notify(3), sd_watchdog_enabled(3).
//!
//! Enters: the environment. Leaves: datagrams to `NOTIFY_SOCKET`; nothing if it is unset. Promised: telling never waits;
//! a manager that reads too slowly misses a message.
//!
//! Sending is done here rather than by `sd_notify::notify`, which waits for the reader and knows no abstract sockets.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use super::table::Counts;

/// The way to the service manager.
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    told: String,
    is_ready: bool,
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
        Self { socket, told: String::new(), is_ready: false }
    }

    /// How often the manager wants to be told that the parent lives; it kills a parent that is silent for so long.
    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    /// A restart begins.
    pub(super) fn reloading(&mut self) {
        self.is_ready = false;
    }

    /// Every host that starts with the parent is served now.
    pub(super) fn ready(&mut self) {
        self.is_ready = true;
        self.tell(&NotifyState::Ready);
    }

    /// Whether [`Manager::ready`] has been said.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
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
        let Counts { hosts, up, down, idle, backlogs } = counts;
        let plural = if hosts == 1 { "host" } else { "hosts" };
        let backlog =
            if backlogs > 0 { format!("; {backlogs} with deferred requests that wait") } else { String::new() };
        let text = format!("{hosts} {plural}: {up} up, {down} down, {idle} idle{backlog}");
        if text != self.told {
            self.tell(&NotifyState::Status(&text));
            self.told = text;
        }
    }

    fn tell(&self, state: &NotifyState<'_>) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(format!("{state}\n").as_bytes())
        {
            tracing::debug!("cannot tell systemd {state}: {error}");
        }
    }
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
