//! The parent: the process that holds the listeners and supervises one child per host.
//!
//! Enters: [`Settings`], signals, what children say, questions at the control socket. Leaves: children, a status, an
//! exit code. Promised: it parses no requester's byte; it never waits for a child; a host in trouble touches no other;
//! when it ends, every child is gone, and so are the sockets and the pid file (but for SIGKILL).
//!
//! - `table` — hosts and their children, events → what to do; pure
//! - `reconcile` — what becomes of each host at a restart; pure
//! - `supervise` — the loop: what happens → the table → what is done
//! - `child` — one living child: its process and its control channel
//! - `sockets` — what one host listens on, and the watch over it while it has no child
//! - `signals`, `control`, `systemd` — who speaks to the parent
//! - `questions`, `relays` — who waits for the children's snapshots, and for answers about a spool; pure
//! - `status`, `status_file` — what is told of it all

mod child;
pub(crate) mod control;
mod lines;
mod questions;
pub(crate) mod reconcile;
mod relays;
mod signals;
mod sockets;
pub(crate) mod status;
mod status_file;
mod supervise;
mod systemd;
pub(crate) mod table;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::cli::exit;
use crate::config::Settings;
use crate::heritage::ToParent;
use crate::system::binary::BinaryId;
use crate::system::limits::raise_open_files;
use crate::system::listen::{ListenError, Rights, SocketFile, listen_unix};
use crate::system::pid_file::{PidFile, PidFileError};
use crate::version::version;
use control::{Answer, Request};
use sockets::HostSockets;
use supervise::Parent;
use table::HostId;
use table::made::Build;

/// Why the parent could not start.
#[derive(Debug, Error)]
enum ParentError {
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
    /// Somebody asks at the control socket.
    Request { request: Request, reply: oneshot::Sender<Answer> },
}

/// Supervises until it is told to stop; gives the exit code.
#[must_use]
pub fn run(settings: Settings) -> u8 {
    let logs_to_file = settings.log.file.is_some();
    start(settings).unwrap_or_else(|error| {
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

fn start(settings: Settings) -> Result<u8, ParentError> {
    let system = |what| move |source: io::Error| ParentError::System { what, source };
    let (version, pid, hosts) = (version(), std::process::id(), settings.hosts.len());
    tracing::info!(
        "tieline {version} starts as process {pid} with {} ({hosts} host{})",
        settings.file.display(),
        if hosts == 1 { "" } else { "s" }
    );
    if let Err(error) = raise_open_files() {
        tracing::warn!("the soft limit of open files stays as it is: {error}");
    }
    // Dropped last: while it is held, nobody else makes sockets here.
    let _pid_file = PidFile::acquire(&settings.daemon.pid_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("start an event loop"))?;
    runtime.block_on(async {
        // Before the first socket is made: a TERM from here on removes them again.
        let signals = signals::Signals::catch().map_err(system("catch signals"))?;
        refuse_another(&settings.daemon.control_socket())?;
        let sockets = settings.hosts.iter().map(|host| HostSockets::open(&settings.daemon, host));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let (control, _control_file) = open_control(&settings.daemon.control_socket())?;
        let binary = BinaryId::own().map_err(system("look at its own binary"))?;
        let build = Build { version: version.to_owned(), binary };
        let parent = Parent::new(settings, sockets, build);
        Ok(parent.run(signals, control).await)
    })
}

/// Two parents with different pid files in one run directory would replace each other's sockets.
fn refuse_another(control_socket: &Path) -> Result<(), ParentError> {
    let Ok(stream) = UnixStream::connect(control_socket) else {
        return Ok(());
    };
    // The credentials are those of who called listen(2), see unix(7).
    let pid = getsockopt(&stream, sockopt::PeerCredentials).ok().map(|peer| peer.pid());
    Err(ParentError::Another { path: control_socket.to_owned(), pid })
}

fn open_control(path: &Path) -> Result<(UnixListener, SocketFile), ParentError> {
    let (fd, file) = listen_unix(path, Rights { mode: 0o660, owner: None, group: None })?;
    let listener = UnixListener::from_std(fd.into());
    let listener = listener.map_err(|source| ParentError::System { what: "watch the control socket", source })?;
    tracing::info!("control socket {}", path.display());
    Ok((listener, file))
}
