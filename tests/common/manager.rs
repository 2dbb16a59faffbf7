//! A service manager: what it hears from a daemon, what it keeps for it, what it passes to the next one.
//!
//! Enters: datagrams of sd_notify(3), with descriptors. Leaves: their texts; a command that is started as
//! sd_listen_fds(3) says.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tieline::system::listen::SocketId;

/// Descriptors with their names, in the order in which they are passed.
pub(crate) type Passed = Vec<(String, OwnedFd)>;

/// What is kept for a daemon.
#[derive(Debug, Default)]
pub(crate) struct Store(pub(crate) Passed);

impl Store {
    /// A command that finds what is kept at the numbers from 3 on. A shell is needed to learn the process ID before the
    /// command begins; it becomes the command.
    pub(crate) fn command(&self, program: &Path) -> Command {
        if self.0.is_empty() {
            return Command::new(program);
        }
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let mappings = self.0.iter().zip(3..).map(|((_, fd), child_fd)| {
            let parent_fd = fd.try_clone().expect("a copy of a kept descriptor");
            FdMapping { parent_fd, child_fd }
        });
        let mut command = Command::new("sh");
        command.args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"]).arg(program);
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.fd_mappings(mappings.collect()).expect("every number is given once");
        command
    }

    /// Whether something is kept whose name begins so.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(kept, _)| kept.starts_with(name))
    }

    /// Hears one datagram, if one comes within `bound`, and does what it says.
    pub(crate) fn receive(&mut self, socket: &UnixDatagram, bound: Duration) -> Option<String> {
        socket.set_read_timeout(Some(bound)).expect("a timeout can be set");
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let heard = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut rights, RecvFlags::CMSG_CLOEXEC);
        let length = match heard {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Err(error) => panic!("the notices of the daemon: {error}"),
        };
        let fds = rights.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds: Vec<OwnedFd> = fds.flatten().collect();
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        self.told(&text, fds);
        Some(text)
    }

    fn told(&mut self, text: &str, fds: Vec<OwnedFd>) {
        let says = |line: &str| text.lines().any(|each| each == line);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        if says("FDSTOREREMOVE=1") {
            self.0.retain(|(kept, _)| kept != name);
        } else if says("FDSTORE=1") {
            assert!(says("FDPOLL=0"), "a listener need not be polled: {text}");
            fds.into_iter().for_each(|fd| self.keep(name, fd));
        }
    }

    /// What is kept already is kept once, under its first name.
    fn keep(&mut self, name: &str, fd: OwnedFd) {
        let id = |fd: &OwnedFd| SocketId::of(fd.as_fd()).expect("an identity");
        if !self.0.iter().any(|(_, kept)| id(kept) == id(&fd)) {
            self.0.push((name.to_owned(), fd));
        }
    }
}
