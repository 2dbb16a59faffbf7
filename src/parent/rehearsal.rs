//! A rehearsal: the binary now on disk starts, reads the configuration and what it would inherit, and says whether it would
//! do. One that crashes there never takes over.
//!
//! Enters: a binary, a configuration, the heritage. Leaves: that it is fit, or a [`Complaint`]. Promised: the parent does
//! not wait for it; whatever it does, it is over after [`WITHIN`].
//!
//! Fit is who exits with 0 and whose last line is [`FIT`] and its version: a text file that a shell takes for an empty
//! script ends well, too.

use std::fs::File;
use std::io::{self, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

use super::Note;
use super::child::ended;
use super::status::RestartFault;
use super::table::restart::Exit;
use crate::cli::exit;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Longest text that is kept, in bytes.
const LONGEST: u64 = 16 * 1024;

/// With this, and its version, a rehearsal ends that went well.
pub(crate) const FIT: &str = "rehearsed: tieline ";

/// Why there is no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Whose fault it is.
    pub(super) fault: RestartFault,
    /// For people.
    pub(super) text: String,
}

impl Complaint {
    pub(super) fn about_binary(text: String) -> Self {
        Self { fault: RestartFault::Binary, text }
    }
}

/// One that is under way.
#[derive(Debug)]
pub(super) struct Rehearsal {
    binary: PathBuf,
    pid: Pid,
    exit: Option<Exit>,
    said: Option<String>,
    until: Instant,
    overdue: bool,
}

impl Rehearsal {
    /// Starts it.
    pub(super) fn start(
        binary: &Path,
        configuration: &Path,
        heritage: File,
        notes: &mpsc::Sender<Note>,
        now: Instant,
    ) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let mut command = Command::new(binary);
        command.arg("rehearse").arg("--config").arg(configuration).process_group(0);
        command.stdin(heritage).stdout(writer.try_clone()?).stderr(Stdio::from(writer));
        let process = command.spawn()?;
        // It would keep the pipe open.
        drop(command);
        let pid = Pid::from_raw(i32::try_from(process.id()).map_err(io::Error::other)?);
        let reader = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        tokio::spawn(hear(pid, reader, notes.clone()));
        Ok(Self { binary: binary.to_owned(), pid, exit: None, said: None, until: now + WITHIN, overdue: false })
    }

    /// What it said, once it says no more.
    pub(super) fn said(&mut self, pid: Pid, text: String) {
        if pid == self.pid {
            self.said = Some(text);
        }
    }

    /// Waits for the process if it has ended.
    pub(super) fn reap(&mut self) {
        if self.exit.is_none() {
            self.exit = ended(self.pid);
        }
    }

    /// Whether its process has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.exit.is_some()
    }

    /// Ends it if it takes too long.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.until && !self.overdue {
            self.overdue = true;
            self.kill();
        }
    }

    /// When [`Rehearsal::tick`] has something to do.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        (!self.overdue).then_some(self.until)
    }

    /// Ends it, and whatever it has started.
    pub(super) fn kill(&self) {
        if self.exit.is_none()
            && let Err(error) = killpg(self.pid, Signal::SIGKILL)
        {
            tracing::error!("cannot end the rehearsal, process {}: {error}", self.pid);
        }
    }

    /// What came of it, once it is over: the version that is fit.
    pub(super) fn verdict(&self) -> Option<Result<String, Complaint>> {
        // Something that it left behind may hold the pipe for ever.
        let said = self.said.as_deref().or_else(|| self.overdue.then_some(""));
        let (exit, said) = (self.exit?, said?.trim());
        // Whoever tells it says again who speaks.
        let said = said.strip_prefix("tieline: ").unwrap_or(said);
        let fit = said.lines().next_back().and_then(|line| line.strip_prefix(FIT));
        let binary = self.binary.display();
        Some(match (exit, fit) {
            _ if self.overdue => {
                let within = WITHIN.as_secs();
                Err(Complaint::about_binary(format!("the rehearsal of {binary} was not over after {within} s")))
            }
            (Exit::Code(0), Some(version)) => Ok(version.to_owned()),
            (Exit::Code(code), _) if code == i32::from(exit::CONFIG) => {
                Err(Complaint { fault: RestartFault::Configuration, text: said.to_owned() })
            }
            (Exit::Code(0), None) => Err(Complaint::about_binary(format!("{binary} is no tieline; it said {said:?}"))),
            (exit, _) => Err(Complaint::about_binary(format!("the rehearsal of {binary} failed: {exit}: {said}"))),
        })
    }
}

async fn hear(pid: Pid, reader: Receiver, notes: mpsc::Sender<Note>) {
    let mut text = Vec::new();
    let mut reader = reader.take(LONGEST);
    // What was read before an error is as good as any.
    reader.read_to_end(&mut text).await.ok();
    // To the end, lest it stops for want of a reader.
    tokio::io::copy(reader.get_mut(), &mut tokio::io::sink()).await.ok();
    let text = String::from_utf8_lossy(&text).into_owned();
    notes.send(Note::Rehearsed { pid, text }).await.ok();
}
