//! One living child as the parent handles it: its process and its control channel.
//!
//! Enters: what to start it with, what to say to it. Leaves: [`Note`]s of what it says, its exit.
//! Promised: the parent never waits for a child. What is said goes into a short queue; when that is full, because the
//! child hangs, what is said is dropped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::Note;
use super::lines::read_line;
use super::table::HostId;
use super::table::restart::Exit;
use crate::heritage::{Heritage, ToChild, ToParent};
use crate::system::handover;
use crate::system::spawn::spawn_child;

/// Longest line of a control channel in bytes.
const LONGEST_MESSAGE: u64 = 1 << 20;

/// Messages that wait for a child to read them.
const QUEUE: usize = 16;

/// A child that lives, or whose end is not complete yet: complete is an exit once the process was waited for and its
/// channel was read to the end, because its last words may lie there.
pub(super) struct Child {
    pid: Pid,
    /// None once the channel has ended.
    channel: Option<mpsc::Sender<Vec<u8>>>,
    exit: Option<Exit>,
    /// For its successor.
    _inlet: OwnedFd,
}

impl Child {
    /// Starts the child of `host`.
    pub(super) fn start(
        host: HostId,
        heritage: &Heritage,
        listeners: &[BorrowedFd<'_>],
        notes: &mpsc::Sender<Note>,
    ) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let title = format!("tieline: {}", heritage.host.name);
        let (outlet, inlet) = handover::pair()?;
        let own = [theirs.as_fd(), outlet.as_fd()];
        let pid = spawn_child(&title, &own.iter().chain(listeners).copied().collect::<Vec<_>>())?;
        let (read, write) = ours.into_split();
        let (channel, queue) = mpsc::channel(QUEUE);
        tokio::spawn(hear(host, pid, read, notes.clone()));
        tokio::spawn(tell(write, queue));
        let child = Self { pid, channel: Some(channel), exit: None, _inlet: inlet };
        child.send(heritage);
        Ok(child)
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Says `message`; false if the child does not read what it was told before.
    pub(super) fn say(&self, message: &ToChild) -> bool {
        self.send(message)
    }

    fn send(&self, message: &impl Serialize) -> bool {
        let Some(channel) = &self.channel else {
            return false;
        };
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        channel.try_send(line).is_ok()
    }

    /// Sends a signal, unless the process was waited for: its ID may be another's by then.
    pub(super) fn signal(&self, signal: Signal) {
        if self.exit.is_none()
            && let Err(error) = kill(self.pid, signal)
        {
            tracing::error!("cannot send {signal} to process {}: {error}", self.pid);
        }
    }

    /// Waits for the process if it has ended.
    pub(super) fn reap(&mut self) {
        if self.exit.is_some() {
            return;
        }
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => self.exit = Some(Exit::Code(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => self.exit = Some(Exit::Signal(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                // Somebody else waited for it; how it ended cannot be known.
                tracing::error!("cannot wait for process {}: {error}", self.pid);
                self.exit = Some(Exit::Code(crate::cli::exit::SOFTWARE.into()));
            }
        }
    }

    /// Its channel has ended. A child that only closed it will see the end of ours, and retire.
    pub(super) fn channel_ended(&mut self) {
        self.channel = None;
    }

    /// How it ended, once that is complete.
    pub(super) fn ended(&self) -> Option<Exit> {
        self.exit.filter(|_| self.channel.is_none())
    }
}

async fn hear(host: HostId, pid: Pid, channel: OwnedReadHalf, notes: mpsc::Sender<Note>) {
    let mut channel = BufReader::with_capacity(4096, channel);
    let mut line = Vec::new();
    loop {
        match read_line(&mut channel, &mut line, LONGEST_MESSAGE).await {
            Ok(true) => {}
            Ok(false) => break,
            // A reset: the child died with messages of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => {
                tracing::warn!("cannot read from process {pid}: {error}; its control channel is closed");
                break;
            }
        }
        match serde_json::from_slice::<ToParent>(&line) {
            Ok(message) => send(&notes, Note::Said { host, pid, message }).await,
            Err(error) => tracing::warn!("process {pid} says what nobody understands: {error}"),
        }
    }
    send(&notes, Note::ChannelEnded { host, pid }).await;
}

/// Nobody listens any more only when the parent itself ends.
async fn send(notes: &mpsc::Sender<Note>, note: Note) {
    notes.send(note).await.ok();
}

async fn tell(mut channel: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if channel.write_all(&line).await.is_err() {
            // The reading side sees the same end and reports it.
            return;
        }
    }
}
