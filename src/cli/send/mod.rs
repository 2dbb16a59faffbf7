//! `tieline send`: a requester for the command line.
//!
//! Enters: a host's name, and requests as words or on standard input. Leaves: the host's replies on standard output,
//! failures on standard error, one exit code for all. Promised: exit code 0 means that the host itself has answered
//! every request.
//!
//! - [`requests`] — what the user gave → frames
//! - [`replies`] — frames → the host's replies and the daemon's failures; how they are shown
//! - [`exchange`] — both at once over the host's socket
//! - [`verdict`] — what became of all of them → an exit code

mod exchange;
mod replies;
mod requests;
#[cfg(test)]
mod tests;
mod verdict;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::exchange::{Exchange, Sinks, Source};
use self::requests::Intake;
use self::verdict::Verdict;
use super::daemon::AskError;
use super::{complain, exit};
use crate::client::Unfit;
use crate::config::{self, HostSettings, Settings};

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Without REQUEST, standard input is sent: for the dialects line and resp each line is a request, for memcache each line
with the value that it announces, for len32 all of it is the body of one. The words of REQUEST are one request: for resp a command (a single word with blanks in it is split as
redis-cli does), for the others they are joined by blanks.

Replies go to standard output: for line and memcache as they are; for len32 the body; for resp on a terminal as redis-cli shows them,
else bare values, one per line. Failures go to standard error.

Exit code:
   0  the host has answered every request, or (--deferred) it is stored
  64  a request is none, is too large or is not allowed; or no host has this name
  69  no daemon is there
  74  a request was sent and has no reply: it may have been executed
  75  a request was not sent: try again
  77  no permission to use the host's socket
  78  the configuration is wrong
The first of 74, 64, 75 that is true of any request is given.";

/// Why nothing was sent.
#[derive(Debug, Error)]
enum SendError {
    #[error(transparent)]
    Daemon(#[from] AskError),
    #[error("no host is called {name}; there are: {known}")]
    UnknownHost { name: String, known: String },
    #[error(
        "the daemon serves no host {name} ({path} is missing): it was started before {name} came into hosts.tab; \
         start it anew"
    )]
    NotServed { name: String, path: PathBuf },
    #[error("host {0} has no socket for deferred requests; give it the option deferred in hosts.tab")]
    NotDeferred(String),
    #[error("{0}")]
    Unfit(#[from] Unfit),
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error("cannot send to {name}: {source}")]
    Io { name: String, source: io::Error },
}

impl SendError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.exit_code(),
            Self::UnknownHost { .. } | Self::NotDeferred(_) | Self::Unfit(_) => exit::USAGE,
            Self::NotServed { .. } => exit::UNAVAILABLE,
            Self::Input(_) | Self::Io { .. } => exit::IOERR,
        }
    }
}

pub(super) fn run(config: Option<&Path>, host: &str, deferred: bool, words: &[OsString]) -> u8 {
    match send(config, host, deferred, words) {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => {
            complain(&error.to_string());
            error.exit_code()
        }
    }
}

fn send(config: Option<&Path>, name: &str, deferred: bool, words: &[OsString]) -> Result<Verdict, SendError> {
    let settings = config::load(config).map_err(AskError::from)?;
    let host = find(&settings, name)?;
    let source = source(host, words)?;
    if deferred && !host.deferred {
        return Err(SendError::NotDeferred(name.to_owned()));
    }
    let stream = connect(&settings, config, name, deferred)?;
    let (out, mut err) = (io::stdout(), io::stderr());
    let to_terminal = out.is_terminal();
    let sinks = Sinks { out: &mut out.lock(), err: &mut err, to_terminal };
    match Exchange::new(host, stream, source, sinks).and_then(Exchange::run) {
        Ok(verdict) => Ok(verdict),
        // Who reads only the first replies (`… | head -1`) has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Verdict::default()),
        Err(source) => Err(SendError::Io { name: name.to_owned(), source }),
    }
}

fn find<'a>(settings: &'a Settings, name: &str) -> Result<&'a HostSettings, SendError> {
    settings.hosts.iter().find(|host| host.name == name).ok_or_else(|| {
        let known: Vec<&str> = settings.hosts.iter().map(|host| host.name.as_str()).collect();
        SendError::UnknownHost { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Standard input is read past Rust's own buffer: poll(2) must know whether there is more.
fn source(host: &HostSettings, words: &[OsString]) -> Result<Source, SendError> {
    if words.is_empty() {
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(SendError::Input)?;
        return Ok(Source::Input(File::from(input), Intake::new(host.dialect, host.max_request)));
    }
    Ok(Source::Words(requests::from_words(host.dialect, words, host.max_request)?))
}

fn connect(settings: &Settings, config: Option<&Path>, name: &str, deferred: bool) -> Result<UnixStream, SendError> {
    let daemon = &settings.daemon;
    let path = if deferred { daemon.deferred_socket(name) } else { daemon.host_socket(name) };
    UnixStream::connect(&path).map_err(|source| {
        if source.kind() == ErrorKind::PermissionDenied {
            return AskError::Permission { path }.into();
        }
        if UnixStream::connect(settings.daemon.control_socket()).is_ok() {
            return SendError::NotServed { name: name.to_owned(), path };
        }
        let option = config.map(|file| format!(" --config {}", file.display())).unwrap_or_default();
        AskError::NotRunning { path, option, source }.into()
    })
}
