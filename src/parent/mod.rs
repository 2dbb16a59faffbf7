//! The parent: the process that holds the listeners and supervises one child per host, the registry's, and one for each
//! name that is served.
//!
//! Enters: [`Settings`], signals, what children say, questions at the control socket. Leaves: children, a status, an
//! exit code. Promised: it parses no requester's byte; it never waits for a child; a host in trouble touches no other;
//! when it ends, every child is gone, and so are the sockets and the pid file (but for SIGKILL).
//!
//! - `table` — hosts and their children, events → what to do; pure
//! - `supervise` — the loop: what happens → the table → what is done
//! - `estate` — what the parent begins with: `heritage`, what the image before it has left, and what is new
//! - `reconcile` — what becomes of each host when the configuration or the build has changed; pure
//! - `rehearsal` — whether the next image is fit to take over
//! - `child`, `channel` — one living child: its process and its control channel
//! - `sockets` — what one host listens on, and the watch over it while it has no child
//! - `signals`, `control`, `systemd` — who speaks to the parent
//! - `questions`, `relays` — who waits for the children's snapshots, and for answers about a spool; pure
//! - `rows` — what the registry is told of the hosts, and when; pure
//! - `status`, `status_file` — what is told of it all

mod channel;
mod child;
pub(crate) mod control;
pub(crate) mod estate;
pub(crate) mod heritage;
mod lines;
mod questions;
pub(crate) mod reconcile;
pub(crate) mod rehearsal;
mod relays;
mod rows;
mod signals;
mod sockets;
pub(crate) mod status;
mod status_file;
mod supervise;
mod systemd;
pub(crate) mod table;

use std::io;
use std::path::PathBuf;

use nix::unistd::Pid;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::cli::exit;
use crate::config::Settings;
use crate::heritage::ToParent;
use crate::system::limits::raise_open_files;
use crate::system::listen::ListenError;
use crate::system::pid_file::PidFileError;
use crate::version::version;
use control::{Answer, Desk, Request};
use heritage::Heritage;
use supervise::Parent;
use table::HostId;

/// Why the parent could not start.
#[derive(Debug, Error)]
pub(crate) enum ParentError {
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "another tieline{} answers at {path} although it holds another pid file; stop it first, or give this one its \
         own run_dir", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Another { path: PathBuf, pid: Option<i32> },
    #[error("the system refuses to {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl ParentError {
    /// Unavailable (69) rather than "try later" (75) when another parent is there: it will not go away by itself.
    fn exit_code(&self) -> u8 {
        match self {
            Self::PidFile(PidFileError::Held { .. }) | Self::Another { .. } => exit::UNAVAILABLE,
            Self::Listen(ListenError::Tcp { .. } | ListenError::NotASocket { .. }) => exit::UNAVAILABLE,
            Self::PidFile(PidFileError::Io { source, .. }) | Self::Listen(ListenError::Unix { source, .. }) => {
                if source.kind() == io::ErrorKind::PermissionDenied { exit::NOPERM } else { exit::IOERR }
            }
            Self::System { .. } => exit::SOFTWARE,
        }
    }
}

/// What reaches the loop from the tasks around it.
enum Note {
    /// A child said something.
    Said { host: HostId, pid: Pid, message: ToParent },
    /// A child's control channel has ended.
    ChannelEnded { host: HostId, pid: Pid },
    /// A requester waits at a host without a child.
    Wanted { host: HostId },
    /// The control socket is served no more, for now.
    ControlPaused(Desk),
    /// A rehearsal has said all that it says.
    Rehearsed { pid: Pid, text: String },
    /// Somebody asks at the control socket.
    Request { request: Request, reply: oneshot::Sender<Answer> },
}

/// Supervises until it is told to stop; gives the exit code. `heritage` is what an image before this one has left, and
/// `complaint` what is wrong with the configuration on disk if that image's configuration holds on.
#[must_use]
pub(crate) fn run(settings: Settings, heritage: Option<Heritage>, complaint: Option<String>) -> u8 {
    let logs_to_file = settings.log.file.is_some();
    start(settings, heritage, complaint).unwrap_or_else(|error| {
        tracing::error!("cannot start: {error}");
        if logs_to_file {
            tell_terminal(&error);
        }
        error.exit_code()
    })
}

#[expect(clippy::print_stderr, reason = "whoever typed the command does not see the log file")]
fn tell_terminal(error: &ParentError) {
    eprintln!("tieline: cannot start: {error}");
}

fn start(settings: Settings, heritage: Option<Heritage>, complaint: Option<String>) -> Result<u8, ParentError> {
    let system = |what| move |source: io::Error| ParentError::System { what, source };
    say_start(&settings, heritage.as_ref());
    if let Err(error) = raise_open_files() {
        tracing::warn!("the soft limit of open files stays as it is: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("start an event loop"))?;
    runtime.block_on(async {
        let signals = signals::Signals::catch().map_err(system("read signals"))?;
        let parent = Parent::new(estate::gather(settings, heritage, complaint)?);
        Ok(parent.run(signals).await)
    })
}

fn say_start(settings: &Settings, heritage: Option<&Heritage>) {
    let (version, pid, file) = (version(), std::process::id(), settings.file.display());
    let hosts = match settings.hosts.len() {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    };
    match heritage {
        None => tracing::info!("tieline {version} starts as process {pid} with {file} ({hosts})"),
        Some(before) => {
            let (old, generation) = (&before.build.version, before.generation + 1);
            tracing::info!("tieline {version} takes over from {old} with {file} ({hosts}), generation {generation}");
        }
    }
}
