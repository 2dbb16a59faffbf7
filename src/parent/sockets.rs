//! The listening sockets of one host, held by the parent so that they outlive every child.
//!
//! Enters: a host's settings. Leaves: listeners for its children; a watch over them while there is no child.
//! Promised: the parent accepts nobody; dropped, the sockets are closed and their files removed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Note;
use super::table::HostId;
use crate::config::{DaemonSettings, HostSettings};
use crate::heritage::ListenerKind;
use crate::system::listen::{ListenError, Rights, SocketFile, listen_tcp, listen_unix};
use crate::system::readiness::Watched;

/// The listeners of one host.
pub(super) struct HostSockets {
    listeners: Vec<(ListenerKind, OwnedFd)>,
    _files: Vec<SocketFile>,
}

impl HostSockets {
    /// Opens all that `host` listens on, and says so.
    pub(super) fn open(daemon: &DaemonSettings, host: &HostSettings) -> Result<Self, ListenError> {
        let rights = Rights { mode: host.mode, owner: host.owner, group: host.group };
        let (unix, file) = listen_unix(&daemon.host_socket(&host.name), rights)?;
        tracing::info!(host = host.name, "listening on {}", file.path().display());
        let (mut listeners, mut files) = (vec![(ListenerKind::Unix, unix)], vec![file]);
        if host.deferred {
            let (unix, file) = listen_unix(&daemon.deferred_socket(&host.name), rights)?;
            tracing::info!(host = host.name, "listening on {} for deferred requests", file.path().display());
            listeners.push((ListenerKind::Deferred, unix));
            files.push(file);
        }
        if let Some(address) = host.listen {
            listeners.push((ListenerKind::Tcp, listen_tcp(address)?));
            tracing::info!(host = host.name, "listening on {address}");
        }
        Ok(Self { listeners, _files: files })
    }

    /// What kinds there are, in the order of [`HostSockets::descriptors`].
    pub(super) fn kinds(&self) -> Vec<ListenerKind> {
        self.listeners.iter().map(|(kind, _)| *kind).collect()
    }

    /// The listeners, to be inherited.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.listeners.iter().map(|(_, fd)| fd.as_fd()).collect()
    }

    /// Sends [`Note::Wanted`] once a requester waits at one of them.
    pub(super) fn watch(&self, host: HostId, notes: &mpsc::Sender<Note>) -> io::Result<Watch> {
        let watched = Watched::new(self.descriptors())?;
        let notes = notes.clone();
        let task = tokio::spawn(async move {
            watched.readable().await;
            drop(watched);
            notes.send(Note::Wanted { host }).await.ok();
        });
        Ok(Watch(task.abort_handle()))
    }
}

/// A watch over listeners; over when dropped.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
