//! Where answers about a spool come from.
//!
//! Enters: the configuration, a host's name, [`Command`]s. Leaves: [`Answer`]s, from the child that has the spool open, or
//! straight from the file when no child has. Promised: the file is never changed from here.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::{exit, unexpected};
use crate::cli::daemon::{AskError, Daemon};
use crate::config::{self, ConfigError, HostSettings, Settings};
use crate::parent::control::Request;
use crate::snapshot::SpoolNumbers;
use crate::spool::store::{Fault, ReadOnly, Store, StoreError};
use crate::spool::tools::{self, Answer, Blame, Command, Done, Report, Row};

/// How long to wait for a child that is being started, or for the file while one has it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to try.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no answer, or a bad one.
#[derive(Debug, Error)]
pub(super) enum SpoolError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Ask(AskError),
    #[error(transparent)]
    Store(StoreError),
    #[error("no host is called {name}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("{name} has no spool: it is not `deferred` in hosts.tab")]
    NotDeferred { name: String },
    #[error(
        "nothing is replayed or changed for {name}, as {why}; add `deferred` to its line in hosts.tab again. What is \
         stored in {dir} can be read by list, show, dead, export and check"
    )]
    OnlyRead { name: String, why: &'static str, dir: PathBuf },
    #[error("{ask}. Nothing was changed: only the daemon does that. list, show, dead, export and check read the file")]
    NeedsDaemon { ask: AskError },
    #[error("{what}; say --yes to do it, or name IDs")]
    NotConfirmed { what: String },
    #[error("{text}")]
    Refused { text: String, fault: Blame },
    #[error("an answer that nobody understands ({0}); do daemon and command have the same version?")]
    Strange(String),
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

impl SpoolError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::CONFIG,
            Self::Ask(ask) | Self::NeedsDaemon { ask } => ask.exit_code(),
            Self::Unknown { .. } | Self::NotDeferred { .. } | Self::NotConfirmed { .. } => exit::USAGE,
            Self::OnlyRead { .. } => exit::UNAVAILABLE,
            Self::Store(error) if is_denied(error) => exit::NOPERM,
            Self::Store(error) => match error.fault() {
                Fault::Disk | Fault::Data => exit::IOERR,
                Fault::InUse => exit::TEMPFAIL,
                Fault::Setup => exit::UNAVAILABLE,
            },
            Self::Refused { fault, .. } => match fault {
                Blame::Request | Blame::Setup => exit::UNAVAILABLE,
                Blame::Disk | Blame::Data => exit::IOERR,
                Blame::InUse => exit::TEMPFAIL,
            },
            Self::Strange(_) => exit::SOFTWARE,
            // Who reads only the first lines has seen enough.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::OK,
            Self::Output(_) => exit::IOERR,
        }
    }

    /// Whether there is anything to complain about.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

fn is_denied(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { reason, .. } if reason.contains("ermission denied"))
}

/// See the head of this file.
pub(super) struct Source {
    name: String,
    dir: PathBuf,
    expire: Duration,
    /// Why no child can ever have it open, if so.
    orphan: Option<&'static str>,
    config: Option<PathBuf>,
    daemon: Option<Daemon>,
    file: Option<ReadOnly>,
}

impl Source {
    /// Finds the spool of the host `name`.
    pub(super) fn open(config: Option<&Path>, name: &str) -> Result<Self, SpoolError> {
        let settings = config::load(config)?;
        let host = settings.hosts.iter().find(|host| host.name == name);
        // What is no host's name is nothing to look for on the disk either.
        let dir = settings.daemon.spool_of(name);
        let is_left = !name.contains('/') && !name.starts_with('.') && dir.join("spool.sqlite").exists();
        let orphan = match host {
            Some(HostSettings { deferred: true, .. }) => None,
            Some(_) if is_left => Some("it is not `deferred` any more"),
            None if is_left => Some("it is not in hosts.tab any more"),
            Some(_) => return Err(SpoolError::NotDeferred { name: name.to_owned() }),
            None => return Err(unknown(&settings, name)),
        };
        let expire = host.map_or(Duration::MAX, |host| host.expire);
        let (name, config) = (name.to_owned(), config.map(Path::to_owned));
        Ok(Self { name, dir, expire, orphan, config, daemon: None, file: None })
    }

    /// The answer to `command`; never [`Answer::Error`].
    pub(super) fn ask(&mut self, command: &Command) -> Result<Answer, SpoolError> {
        let answer = match (self.orphan, command.needs_child()) {
            (Some(why), true) => {
                let (name, dir) = (self.name.clone(), self.dir.clone());
                return Err(SpoolError::OnlyRead { name, why, dir });
            }
            (Some(_), false) => self.read(command)?,
            (None, true) => self.order(command)?,
            (None, false) => self.look(command)?,
        };
        match answer {
            Answer::Error { text, fault } => Err(SpoolError::Refused { text, fault }),
            answer => Ok(answer),
        }
    }

    /// Has the child do something; one that must first be started is.
    fn order(&mut self, command: &Command) -> Result<Answer, SpoolError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.child(command) {
                Err(AskError::NoChild(_)) if Instant::now() < until => sleep(PAUSE),
                Err(ask @ AskError::NotRunning { .. }) => return Err(SpoolError::NeedsDaemon { ask }),
                result => return result.map_err(SpoolError::Ask),
            }
        }
    }

    /// Asks the child, or reads the file if no child has it open. A child may come or go between.
    fn look(&mut self, command: &Command) -> Result<Answer, SpoolError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.file.is_none() {
                match self.child(command) {
                    Err(AskError::NoChild(_) | AskError::NotRunning { .. }) => {}
                    result => return result.map_err(SpoolError::Ask),
                }
            }
            match self.read(command) {
                Err(SpoolError::Store(StoreError::Locked { .. })) if Instant::now() < until => sleep(PAUSE),
                result => return result,
            }
        }
    }

    fn read(&mut self, command: &Command) -> Result<Answer, SpoolError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => match Store::read_only(&self.dir) {
                Ok(file) => file,
                Err(StoreError::Absent { .. }) => return Ok(nothing(command)),
                Err(error) => return Err(SpoolError::Store(error)),
            },
        };
        let answer = tools::look(&file, &self.dir, self.expire, command);
        self.file = Some(file);
        Ok(answer)
    }

    fn child(&mut self, command: &Command) -> Result<Answer, AskError> {
        let daemon = match &mut self.daemon {
            Some(daemon) => daemon,
            None => self.daemon.insert(Daemon::find(self.config.as_deref())?),
        };
        let command_json = serde_json::to_value(command).map_err(|error| AskError::Refused(error.to_string()))?;
        let (host, start) = (self.name.clone(), command.needs_child());
        let answer = daemon.ask(&Request::Spool { host, start, command: command_json })?;
        serde_json::from_value(answer)
            .map_err(|error| AskError::Refused(format!("the child's answer cannot be understood: {error}")))
    }

    pub(super) fn rows(&mut self, command: &Command) -> Result<(Vec<Row>, Option<u64>), SpoolError> {
        match self.ask(command)? {
            Answer::Rows { rows, next } => Ok((rows, next)),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn done(&mut self, command: &Command) -> Result<Done, SpoolError> {
        match self.ask(command)? {
            Answer::Done(done) => Ok(done),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn numbers(&mut self) -> Result<SpoolNumbers, SpoolError> {
        match self.ask(&Command::Numbers)? {
            Answer::Numbers(numbers) => Ok(numbers),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn report(&mut self) -> Result<Report, SpoolError> {
        match self.ask(&Command::Check)? {
            Answer::Report(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }
}

/// What a spool that was never used answers.
fn nothing(command: &Command) -> Answer {
    match command {
        Command::Numbers => Answer::Numbers(SpoolNumbers::default()),
        Command::Check => Answer::Report(Report { whole: true, ..Report::default() }),
        _ => Answer::Rows { rows: Vec::new(), next: None },
    }
}

fn unknown(settings: &Settings, name: &str) -> SpoolError {
    let known: Vec<&str> = settings.hosts.iter().filter(|host| host.deferred).map(|host| host.name.as_str()).collect();
    let known = if known.is_empty() { "none that is `deferred`".to_owned() } else { known.join(", ") };
    SpoolError::Unknown { name: name.to_owned(), known }
}
