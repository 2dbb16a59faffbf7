//! One process of a handler: started, spoken to, made to end.
//!
//! Enters: a command. Leaves: its pipes in the event loop, and its end. Promised: its standard error goes to the log,
//! within bounds; its group is killed when this is dropped before it has ended.

use std::io;
use std::path::Path;
use std::rc::Rc;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::complaints;
use super::leftovers;
use super::life::Due;
use super::output::Exit;
use super::reaper::Reaper;
use super::wire::Failure;
use crate::system::program::{self, Program};

/// The variable with the tag of the request that a process is for.
const TRANSACTION: &str = "TIELINE_TRANSACTION";

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Process {
    leader: Pid,
    reaper: Rc<Reaper>,
    /// Its standard input; dropped to end it.
    pub(super) input: Option<pipe::Sender>,
    /// Its standard output.
    pub(super) output: pipe::Receiver,
    /// How it ends.
    pub(super) end: End,
}

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unstarted {
    /// There never was.
    #[error("cannot start {program}: {}", plain(.error))]
    Never {
        /// What was to be started.
        program: String,
        /// The system's reason.
        error: io::Error,
    },
    /// It could not be spoken to, and was killed at once.
    #[error("cannot start {program}: {}", plain(.error))]
    Killed {
        /// What was to be started.
        program: String,
        /// The system's reason.
        error: io::Error,
    },
}

impl Unstarted {
    /// What it means for a request that is for this process alone.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Never { .. } => Failure::NotBegun(self.to_string()),
            Self::Killed { .. } => Failure::InDoubt(self.to_string()),
        }
    }
}

fn plain(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// The end of a process, which may be waited for again and again.
#[derive(Debug)]
pub(super) struct End {
    told: oneshot::Receiver<Exit>,
    exit: Option<Exit>,
}

impl Process {
    /// Starts it. `service` is the name of the far end, `tag` that of the one request that it is for, if it has one.
    pub(super) fn start(
        reaper: &Rc<Reaper>,
        command: &[String],
        dir: &Path,
        service: &str,
        tag: Option<&str>,
    ) -> Result<Self, Unstarted> {
        let name = || command.first().cloned().unwrap_or_default();
        let server = leftovers::mark(std::process::id()).unwrap_or_default();
        let mut variables = vec![(leftovers::NAME, service), (leftovers::SERVER, &server)];
        variables.extend(tag.map(|tag| (TRANSACTION, tag)));
        let program = program::start(command, dir, &variables);
        let program = program.map_err(|error| Unstarted::Never { program: name(), error })?;
        Self::adopt(reaper, program, command).map_err(|error| Unstarted::Killed { program: name(), error })
    }

    /// Takes one that runs into the event loop.
    fn adopt(reaper: &Rc<Reaper>, program: Program, command: &[String]) -> io::Result<Self> {
        let end = End { told: reaper.watch(program.leader), exit: None };
        // If a pipe cannot be used, the process must not live.
        let given_up = |_: &io::Error| reaper.signal(program.leader, Signal::SIGKILL);
        let input = Some(pipe::Sender::from_owned_fd(program.input).inspect_err(given_up)?);
        let output = pipe::Receiver::from_owned_fd(program.output).inspect_err(given_up)?;
        let complaints = pipe::Receiver::from_owned_fd(program.complaints).inspect_err(given_up)?;
        tokio::task::spawn_local(complaints::log(complaints, label(command, program.leader)));
        Ok(Self { leader: program.leader, reaper: Rc::clone(reaper), input, output, end })
    }

    /// Signals its whole group, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        self.reaper.signal(self.leader, signal);
    }

    /// Whether it waits for something.
    pub(super) fn is_asleep(&self) -> bool {
        program::is_asleep(self.leader)
    }

    /// Does what is due, apart from answering.
    pub(super) fn suffer(&self, due: Due) {
        match due {
            Due::Overrun | Due::Term => self.signal(Signal::SIGTERM),
            Due::Kill => self.signal(Signal::SIGKILL),
        }
    }
}

/// The program's name and the process's number, as ps(1) would show it.
fn label(command: &[String], leader: Pid) -> String {
    let name = command.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    format!("{name}[{leader}]")
}

impl End {
    /// Waits for it.
    pub(super) async fn wait(&mut self) -> Exit {
        if self.exit.is_none() {
            self.exit = Some((&mut self.told).await.unwrap_or(Exit::Unknown));
        }
        self.exit.unwrap_or(Exit::Unknown)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end.exit.is_none() {
            self.signal(Signal::SIGKILL);
        }
    }
}
