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
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Note;
use super::channel::{Channel, Idle};
use super::table::HostId;
use super::table::restart::Exit;
use crate::heritage::Heritage;
use crate::system::handover;
use crate::system::spawn::spawn_child;

/// A child that lives, or whose end is not complete yet: complete is an exit once the process was waited for and its
/// channel was read to the end, because its last words may lie there.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    line: Line,
    exit: Option<Exit>,
    /// Where its successor will find what it hands over.
    inlet: OwnedFd,
}

/// The control channel.
#[derive(Debug)]
enum Line {
    Served(Channel),
    /// Taken back before an exec.
    Idle(Idle),
    Ended,
}

impl Child {
    /// Starts the child of `host`.
    pub(super) fn start(
        host: HostId,
        heritage: &Heritage,
        listeners: &[BorrowedFd<'_>],
        inlets: &[BorrowedFd<'_>],
        notes: &mpsc::Sender<Note>,
    ) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let (outlet, inlet) = handover::pair()?;
        let title = format!("tieline: {}", heritage.role.title());
        let own = [theirs.as_fd(), outlet.as_fd()];
        let descriptors: Vec<_> = own.iter().chain(listeners).chain(inlets).copied().collect();
        let mut first = serde_json::to_vec(heritage)?;
        first.push(b'\n');
        let pid = spawn_child(&title, &descriptors)?;
        let idle = Idle { socket: ours.into(), unread: Vec::new(), unsent: first };
        Self::resume(host, pid, Some(idle), inlet, notes)
    }

    /// Goes on with a child that lives already.
    pub(super) fn resume(
        host: HostId,
        pid: Pid,
        channel: Option<Idle>,
        inlet: OwnedFd,
        notes: &mpsc::Sender<Note>,
    ) -> io::Result<Self> {
        let line = match channel {
            Some(idle) => Line::Served(Channel::serve(idle, host, pid, notes)?),
            None => Line::Ended,
        };
        Ok(Self { pid, line, exit: None, inlet })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn inlet(&self) -> BorrowedFd<'_> {
        self.inlet.as_fd()
    }

    /// Says `message`; false if the child does not read what it was told before.
    pub(super) fn say(&mut self, message: &impl Serialize) -> bool {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        match &mut self.line {
            Line::Served(channel) => channel.say(line),
            Line::Idle(idle) => {
                idle.unsent.append(&mut line);
                true
            }
            Line::Ended => false,
        }
    }

    /// Begins to take the channel back, before an exec; what comes of it is for [`Child::taken`]. What is said meanwhile
    /// is lost.
    pub(super) fn take_channel(&mut self) -> Option<JoinHandle<Option<Idle>>> {
        if !matches!(self.line, Line::Served(_)) {
            return None;
        }
        match std::mem::replace(&mut self.line, Line::Ended) {
            Line::Served(channel) => Some(channel.take_back()),
            _ => None,
        }
    }

    /// The channel was taken back; what is said from now on waits.
    pub(super) fn taken(&mut self, idle: Idle) {
        self.line = Line::Idle(idle);
    }

    /// The channel, if it was taken back.
    pub(super) fn idle(&self) -> Option<&Idle> {
        match &self.line {
            Line::Idle(idle) => Some(idle),
            _ => None,
        }
    }

    /// Serves the channel again, after an exec that failed.
    pub(super) fn serve_again(&mut self, host: HostId, notes: &mpsc::Sender<Note>) -> io::Result<()> {
        self.line = match std::mem::replace(&mut self.line, Line::Ended) {
            Line::Idle(idle) => Line::Served(Channel::serve(idle, host, self.pid, notes)?),
            other => other,
        };
        Ok(())
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
        if self.exit.is_none() {
            self.exit = ended(self.pid);
        }
    }

    /// Its channel has ended. A child that only closed it will see the end of ours, and retire.
    pub(super) fn channel_ended(&mut self) {
        self.line = Line::Ended;
    }

    /// How it ended, once that is complete.
    pub(super) fn ended(&self) -> Option<Exit> {
        self.exit.filter(|_| matches!(self.line, Line::Ended))
    }
}

/// How the process `pid`, which this one has started, has ended; none if it lives. To be asked once after its end.
pub(super) fn ended(pid: Pid) -> Option<Exit> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(Exit::Signal(signal)),
        Ok(_) | Err(Errno::EINTR) => None,
        Err(error) => {
            // Somebody else waited for it; how it ended cannot be known.
            tracing::error!("cannot wait for process {pid}: {error}");
            Some(Exit::Code(crate::cli::exit::SOFTWARE.into()))
        }
    }
}
