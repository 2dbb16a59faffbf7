//! Asking the daemon that the configuration names.
//!
//! Enters: the path of the configuration, a request. Leaves: the answer, or an [`AskError`] with its exit code.
//! Promised: an answer or an error within [`PATIENCE`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::exit;
use crate::config::{self, ConfigError};
use crate::parent::control::{Answer, Request};
use crate::parent::status::Status;

/// How long to wait for an answer; the parent promises one within a second, and about a spool within five.
const PATIENCE: Duration = Duration::from_secs(8);

/// Longest answer in bytes: far more than a table of hosts can fill.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no daemon answers at {path} ({source}); start it with `tieline run{option}`")]
    NotRunning { path: PathBuf, option: String, source: io::Error },
    #[error(
        "no permission to talk to the daemon at {path}; become its user, or a member of the socket's group \
         (`ls -l {path}` names them)"
    )]
    Permission { path: PathBuf },
    #[error("the daemon at {path} does not answer: {source}")]
    Silent { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("{0}; try again in a moment")]
    NoChild(String),
}

impl AskError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::CONFIG,
            Self::NotRunning { .. } | Self::Refused(_) => exit::UNAVAILABLE,
            Self::Permission { .. } => exit::NOPERM,
            Self::Silent { .. } | Self::NoChild(_) => exit::TEMPFAIL,
        }
    }
}

/// A conversation with the daemon.
pub(super) struct Daemon {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Daemon {
    /// Finds the daemon by its configuration.
    pub(super) fn find(config: Option<&Path>) -> Result<Self, AskError> {
        let (places, complaints) = config::load_places(config)?;
        let path = places.control_socket();
        match connect(&path) {
            Ok(stream) => Ok(Self { path, stream: BufReader::new(stream) }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(AskError::Permission { path }),
            Err(source) => {
                if let Some(complaints) = complaints {
                    return Err(AskError::Config(complaints));
                }
                let option = config.map(|file| format!(" --config {}", file.display())).unwrap_or_default();
                Err(AskError::NotRunning { path, option, source })
            }
        }
    }

    /// The status of all hosts, or of one.
    pub(super) fn status(&mut self, host: Option<String>) -> Result<Status, AskError> {
        let value = self.ask(&Request::Status { host })?;
        serde_json::from_value(value).map_err(|error| self.silent(io::Error::other(error)))
    }

    /// What the daemon answers to `request`.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Value, AskError> {
        let line = self.exchange(request).map_err(|error| self.silent(error))?;
        match serde_json::from_slice(&line) {
            Ok(Answer::Ok(value)) => Ok(value),
            Ok(Answer::Error(text)) => Err(AskError::Refused(text)),
            Ok(Answer::NoChild(text)) => Err(AskError::NoChild(text)),
            Err(error) => Err(self.silent(io::Error::other(error))),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        line.clear();
        self.stream.by_ref().take(LONGEST_ANSWER).read_until(b'\n', &mut line)?;
        if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
    }

    fn silent(&self, source: io::Error) -> AskError {
        AskError::Silent { path: self.path.clone(), source }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
