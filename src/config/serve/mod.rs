//! `[serve]` and `[serve.NAME]`: the far ends of this machine, as written → validated [`ServeSettings`].
//!
//! Enters: tables of `tieline.toml`. Leaves: plain data, serializable because a child receives it over its control
//! channel; or complaints at their places. Promised: what is in [`ServeSettings`] needs no further check by anybody; a
//! limit that is not given is the listener's, else that of `[serve]`, else the default.
//!
//! - `read` — the tables; `handler` — the handlers and tasks of one of them; `values` — the kinds of values they are made of
//! - `keys` — the limits: their names, forms and bounds, the same at all three places
//! - `once` — what is remembered of tagged transactions, by the listener and by its handlers
//! - `files` — mistakes that only the file system shows

mod files;
mod handler;
mod keys;
mod once;
mod read;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rights;
use super::settings::{Address, millis};
use crate::dialect::Dialect;
use crate::system::listen::Rights;

pub(super) use files::{complaints, missing_programs};
pub(super) use read::{KEYS, read};
pub(crate) use values::compiled;

/// One far end: a listener, and what answers its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeSettings {
    /// The name it registers; as a host's name, and it may equal one.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// How it speaks: `line`, `len32` or `resp`.
    pub dialect: Dialect,
    /// Who may connect to its UNIX socket.
    pub rights: Rights,
    /// The certificate that requesters are shown, a PEM file; without one they are not spoken to in TLS.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The private key of `cert`, a PEM file.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The CAs one of which must have signed the requester's own certificate, a PEM file; none: anybody may come.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Most requesters at once; a further one is told `busy` and closed (1024).
    pub requesters: u32,
    /// Largest request in bytes, framing included (16 MiB).
    pub max_request: u64,
    /// How long a requester may take over sending a request or taking its reply (the `timeout` of the listener).
    #[serde(with = "millis")]
    pub patience: Duration,
    /// The address to register under its name; none: it is not registered.
    #[serde(default)]
    pub register: Option<String>,
    /// How long its registration holds without being renewed (30 s).
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// How long it remembers which tagged transactions it has executed (`keep`, 10 d); none: there are none (no `dedupe`).
    #[serde(default)]
    pub dedupe: Option<Duration>,
    /// Where its programs run: the directory of `tieline.toml`.
    pub dir: PathBuf,
    /// What answers, in the file's order.
    pub handlers: Vec<HandlerSettings>,
    /// What is run from time to time.
    #[serde(default)]
    pub tasks: Vec<TaskSettings>,
}

/// Where a far end listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// `tcp:host:port`; the host is an IP address of this machine.
    Tcp(SocketAddr),
    /// `unix:/path`, an absolute path.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    /// As it is written in `tieline.toml` and in the registry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What answers some of the requests of a far end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerSettings {
    /// Which ones.
    pub matches: Match,
    /// How.
    pub action: Action,
    /// Within which bounds.
    pub limits: Limits,
    /// What becomes of a tagged transaction that it was given, and that has no end.
    #[serde(default)]
    pub in_doubt: InDoubt,
    /// Whether its workers are told the tag of each request.
    #[serde(default)]
    pub tagged: bool,
}

/// What becomes of a tagged transaction that was begun and has no end, as it or the far end was killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Whoever repeats it is told that nobody knows.
    #[default]
    Hold,
    /// The handler is given it again: it knows what it has done, or may do it twice.
    Again,
}

/// Which requests a handler answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Those that no other handler answers.
    Default,
    /// Those whose first word is this one.
    Word(String),
    /// Those in which this regular expression is found.
    Regex(String),
}

impl fmt::Display for Match {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Word(word) => f.write_str(word),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// How a handler answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A process for each request: the program and its arguments.
    Exec(Vec<String>),
    /// Processes that live on, and speak the dialect on standard input and output.
    Worker(Vec<String>),
    /// Another service.
    Forward(Address),
    /// The request itself is the reply.
    Echo,
}

/// The bounds of a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest time of a request, waiting included (60 s).
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// How long a process that must end may take after TERM, before it is killed (5 s).
    #[serde(with = "millis")]
    pub grace: Duration,
    /// Most processes at once, or connections of a forwarder (8).
    pub processes: u32,
    /// Most requests that wait for one of them; a further one is answered `busy` (1000).
    pub queue: u32,
    /// A worker is replaced after so many requests (1000).
    pub requests: u32,
    /// Largest request in bytes, framing included (that of the listener).
    pub max_request: u64,
    /// Largest reply in bytes, framing included (16 MiB).
    pub max_reply: u64,
}

/// Something that is run from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSettings {
    /// The time from one start to the next.
    #[serde(with = "millis")]
    pub every: Duration,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// Longest time of one run (1 h).
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// How long it may take after TERM, before it is killed.
    #[serde(with = "millis")]
    pub grace: Duration,
}

impl Default for Limits {
    /// What holds where nobody says anything.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            processes: 8,
            queue: 1000,
            requests: 1000,
            max_request: 16 << 20,
            max_reply: 16 << 20,
        }
    }
}

impl HandlerSettings {
    /// One that says nothing of tagged transactions.
    #[must_use]
    pub fn new(matches: Match, action: Action, limits: Limits) -> Self {
        Self { matches, action, limits, in_doubt: InDoubt::Hold, tagged: false }
    }
}

impl ServeSettings {
    /// What listens there under this name, echoes, and has the defaults for all else.
    #[must_use]
    pub fn with_defaults(name: &str, listen: Listen) -> Self {
        let limits = Limits::default();
        Self {
            name: name.to_owned(),
            register: Some(listen.to_string()),
            listen,
            dialect: Dialect::Line,
            rights: rights::DEFAULT,
            cert: None,
            key: None,
            ca: None,
            requesters: keys::REQUESTERS,
            max_request: limits.max_request,
            patience: limits.timeout,
            ttl: keys::TTL,
            dedupe: None,
            dir: PathBuf::from("/"),
            handlers: vec![HandlerSettings::new(Match::Default, Action::Echo, limits)],
            tasks: Vec::new(),
        }
    }

    /// Whether requesters are spoken to in TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.cert.is_some()
    }
}
