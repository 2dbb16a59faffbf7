//! What one image of the parent leaves to the next: what it holds, and what it knows.
//!
//! Enters: the bytes that the image before this one has written down, see [`crate::system::reexec`]. Leaves:
//! [`Heritage`], descriptors among it. Promised: a heritage names each descriptor once; what a later build adds has a
//! default, so that what an earlier build wrote is understood.
//!
//! It is one JSON object. Descriptors stand in it as the numbers under which they are open.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use super::Note;
use super::channel::Idle;
use super::child::Child;
use super::control::Pause;
use super::sockets::{Inherited, Keeper, Listening, Place};
use super::table::HostId;
use super::table::bequest::HostBequest;
use super::table::made::Build;
use crate::config::Settings;
use crate::system::listen::{Rights, SocketFile, SocketId};
use crate::system::reexec;

/// Why the image before this one is not understood.
#[derive(Debug, Error)]
pub(crate) enum HeritageError {
    /// It cannot be read.
    #[error("what the image before this one has left cannot be read: {0}")]
    Unread(#[from] io::Error),
    /// It is something else.
    #[error("what the image before this one has left is not understood: {0}; stop and start instead")]
    Unknown(#[from] serde_json::Error),
    /// A descriptor would have two owners.
    #[error("what the image before this one has left names descriptor {0} twice; this is a fault of tieline")]
    Twice(RawFd),
}

/// See the head of this file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Heritage {
    /// Of the image before this one.
    pub(super) build: Build,
    /// Where that was started from.
    pub(super) binary: PathBuf,
    /// Of its configuration.
    pub(super) generation: u64,
    /// When the first image started.
    pub(super) started: Timestamp,
    #[serde(default)]
    pub(super) debug: bool,
    /// The number of the last question to a child.
    #[serde(default)]
    pub(super) last_ask: u64,
    /// Whether the status file is still to be written.
    #[serde(default)]
    pub(super) status_owed: bool,
    /// How many restarts were asked for.
    #[serde(default)]
    pub(super) asked: u64,
    /// How many of them this one is for.
    #[serde(default)]
    pub(super) serves: u64,
    /// The configuration by which it went: it holds on if the new one cannot be read after all.
    pub(crate) settings: Settings,
    pub(super) hosts: Vec<HostBequest>,
    pub(super) sockets: Vec<Socket>,
    pub(super) control: Option<Socket>,
    pub(super) pid_file: Option<Lock>,
    pub(super) children: Vec<ChildEnds>,
    #[serde(default)]
    pub(super) conversations: Vec<Conversation>,
}

/// A listening socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Socket {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) fd: RawFd,
    /// Which its file is.
    #[serde(default)]
    pub(super) file: Option<SocketId>,
    #[serde(default)]
    pub(super) rights: Option<Rights>,
    pub(super) keeper: Keeper,
}

/// The held pid file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lock {
    pub(super) path: PathBuf,
    pub(super) fd: RawFd,
}

/// What the parent holds of one child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ChildEnds {
    pub(super) pid: i32,
    pub(super) inlet: RawFd,
    /// None if it has ended.
    pub(super) channel: Option<RawFd>,
    /// Bytes of the child that are no whole line yet.
    #[serde(default)]
    pub(super) unread: Vec<u8>,
    /// Bytes for the child.
    #[serde(default)]
    pub(super) unsent: Vec<u8>,
}

/// One who talks at the control socket and waits for nothing now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Conversation {
    pub(super) fd: RawFd,
    #[serde(default)]
    pub(super) unread: Vec<u8>,
}

impl Heritage {
    /// What the image before this one has left; none at a first start.
    ///
    /// # Errors
    /// When there is something that cannot be understood.
    pub(crate) fn take() -> Result<Option<Self>, HeritageError> {
        reexec::heritage()?.map(|bytes| Self::read(&bytes)).transpose()
    }

    /// # Errors
    /// When it cannot be understood.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, HeritageError> {
        let heritage: Self = serde_json::from_slice(bytes)?;
        heritage.name_each_once()?;
        Ok(heritage)
    }

    /// Taking ownership of a number twice would close one owner's descriptor under the other.
    fn name_each_once(&self) -> Result<(), HeritageError> {
        let mut seen = BTreeSet::new();
        match self.descriptors().find(|number| !seen.insert(*number)) {
            Some(number) => Err(HeritageError::Twice(number)),
            None => Ok(()),
        }
    }

    fn descriptors(&self) -> impl Iterator<Item = RawFd> + '_ {
        let sockets = self.sockets.iter().chain(&self.control).map(|socket| socket.fd);
        let children = self.children.iter().flat_map(|child| child.channel.into_iter().chain([child.inlet]));
        let others = self.conversations.iter().map(|each| each.fd).chain(self.pid_file.iter().map(|lock| lock.fd));
        sockets.chain(children).chain(others)
    }

    /// Whether there is a listener on this address.
    pub(crate) fn listens_on(&self, address: SocketAddr) -> bool {
        self.sockets.iter().any(|socket| socket.place == Place::Tcp(address))
    }

    /// Whether its control socket is this one.
    pub(crate) fn answers_at(&self, path: &Path) -> bool {
        self.control.as_ref().is_some_and(|socket| socket.place == Place::Unix(path.to_owned()))
    }

    /// What it says of the hosts.
    pub(crate) fn into_hosts(self) -> Vec<HostBequest> {
        self.hosts
    }

    /// The listeners of all children.
    pub(super) fn take_sockets(&mut self) -> Inherited {
        Inherited(self.sockets.drain(..).filter_map(Socket::take).collect())
    }
}

impl Socket {
    /// `listening`, written down.
    pub(super) fn of(listening: &Listening) -> Self {
        Self {
            place: listening.place.clone(),
            name: listening.name.clone(),
            fd: listening.fd.as_raw_fd(),
            file: listening.file.as_ref().map(SocketFile::id),
            rights: listening.rights,
            keeper: listening.keeper.clone(),
        }
    }

    /// The socket, if its descriptor is still there.
    pub(super) fn take(self) -> Option<Listening> {
        let Self { place, name, fd, file, rights, keeper } = self;
        let fd = taken(fd, &place.to_string())?;
        let mut file = match (&place, file) {
            (Place::Unix(path), Some(id)) => Some(SocketFile::known(path.clone(), id)),
            _ => None,
        };
        if let (Keeper::Unit, Some(file)) = (&keeper, &mut file) {
            file.stay();
        }
        Some(Listening { place, name, fd, file, rights, keeper })
    }
}

/// A descriptor of the image before this one. Whatever it was, the parent can go on without it.
pub(super) fn taken(number: RawFd, what: &str) -> Option<OwnedFd> {
    let taken = reexec::inherit(number);
    taken.inspect_err(|error| tracing::error!("descriptor {number} ({what}) was not inherited: {error}")).ok()
}

impl ChildEnds {
    /// Goes on with it; none if a descriptor is gone.
    pub(super) fn into_child(self, host: Option<HostId>, notes: &mpsc::Sender<Note>) -> Option<Child> {
        let Self { pid, inlet, channel, unread, unsent } = self;
        let what = format!("process {pid}");
        let inlet = taken(inlet, &what)?;
        let socket = match channel {
            Some(number) => Some(taken(number, &what)?),
            None => None,
        };
        let idle = socket.map(|socket| Idle { socket, unread, unsent });
        let child = Child::resume(host?, Pid::from_raw(pid), idle, inlet, notes);
        child.inspect_err(|error| tracing::error!("{what} cannot be listened to: {error}")).ok()
    }
}

impl Conversation {
    pub(super) fn take(self) -> Option<Pause> {
        Some(Pause { socket: taken(self.fd, "a requester of the control socket")?, unread: self.unread })
    }
}
