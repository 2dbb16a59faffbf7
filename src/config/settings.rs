//! What the rest of the house knows of the configuration: validated values, with defaults filled in.
//!
//! Enters: what the readers of the two files have understood. Leaves: plain data, serializable because a child
//! receives its host's settings over the control channel.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::registry::RegistrySettings;
use super::serve::ServeSettings;
use crate::dialect::Dialect;

/// The whole configuration of one daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The file that all this was read from, absolute.
    pub file: PathBuf,
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// How long retiring children may take to answer what they owe.
    #[serde(with = "millis")]
    pub drain: Duration,
    /// The entries of `hosts.tab`, in the file's order.
    pub hosts: Vec<HostSettings>,
    /// `[registry]`; none if there is to be no registry.
    #[serde(default)]
    pub registry: Option<RegistrySettings>,
    /// Each `[serve.NAME]`, by name.
    #[serde(default)]
    pub serves: Vec<ServeSettings>,
}

/// `[daemon]`: where things are. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSettings {
    /// Where the sockets are.
    pub run_dir: PathBuf,
    /// Where deferred transactions are stored.
    pub spool_dir: PathBuf,
    /// The table of hosts.
    pub hosts_tab: PathBuf,
    /// Holds the parent's process ID and its lock.
    pub pid_file: PathBuf,
    /// Written at SIGUSR1.
    pub status_file: PathBuf,
}

impl DaemonSettings {
    /// The socket on which the parent answers `tieline status` and its kin.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The socket of the registry.
    #[must_use]
    pub fn registry_socket(&self) -> PathBuf {
        self.run_dir.join("registry.sock")
    }

    /// Where the registry keeps its names, unless another file is configured. No host can have this name.
    #[must_use]
    pub fn registry_dir(&self) -> PathBuf {
        self.spool_dir.join(".registry")
    }

    /// The socket of the host `name`.
    #[must_use]
    pub fn host_socket(&self, name: &str) -> PathBuf {
        self.run_dir.join(format!("{name}.sock"))
    }

    /// The socket of the host `name` for deferred requests.
    #[must_use]
    pub fn deferred_socket(&self, name: &str) -> PathBuf {
        self.run_dir.join(format!("{name}.deferred.sock"))
    }

    /// Where the deferred transactions of the host `name` are stored.
    #[must_use]
    pub fn spool_of(&self, name: &str) -> PathBuf {
        self.spool_dir.join(name)
    }
}

/// `[log]`: where and how much to log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The least important level that is written.
    pub level: LogLevel,
    /// A file that is rotated daily; standard error if there is none.
    pub file: Option<PathBuf>,
    /// How a line looks.
    pub format: LogFormat,
}

/// How important a log line must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the levels of `tracing`")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// One entry of `hosts.tab`, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSettings {
    /// The short name; `[a-z0-9][a-z0-9_.-]{0,62}`, not ending in `.deferred`.
    pub name: String,
    /// Where the host is.
    pub address: Address,
    /// How it speaks.
    pub dialect: Dialect,
    /// Most connections to the host at once (10).
    pub connections: u32,
    /// Most connections for sessions besides those, one requester each (32).
    #[serde(default = "default_sessions")]
    pub sessions: u32,
    /// Most transactions in flight on one connection (1024 for `resp`, else 1).
    pub pipeline: u32,
    /// Most outstanding transactions of one requester (1024).
    pub window: u32,
    /// Most transactions that wait for a connection (10 000).
    pub queue: u32,
    /// Most requesters at once; then accepting pauses (4096).
    pub requesters: u32,
    /// Deadline of a transaction, queue and flight together (30 s).
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// Longest time of one attempt to connect (5 s).
    #[serde(with = "millis")]
    pub connect_timeout: Duration,
    /// Failed attempts to connect in a row after which the host counts as dead (5).
    pub retries: u32,
    /// A connection unused for so long is closed (1 h).
    #[serde(with = "millis")]
    pub idle: Duration,
    /// Largest request in bytes, framing included (16 MiB).
    pub max_request: u64,
    /// Largest reply in bytes, framing included (16 MiB; `resp` 1 GiB).
    pub max_reply: u64,
    /// Bytes of replies that a requester may leave unread before it is read no further (1 MiB).
    pub unread: u64,
    /// When the child is started.
    pub start: Start,
    /// A loopback address that is listened on besides the socket.
    pub listen: Option<SocketAddr>,
    /// Event loops, each with its share of the pool (1).
    pub workers: u32,
    /// Whether there is a second socket for deferred requests.
    pub deferred: bool,
    /// With what a `line` or `len32` reply begins that refuses a deferred request for good.
    pub rejects: Vec<String>,
    /// Whether deferred requests in doubt are parked for the operator instead of being sent again.
    pub hold_in_doubt: bool,
    /// Replays in flight at once (1).
    pub replay_window: u32,
    /// Longest pause between attempts to replay (60 s).
    #[serde(with = "millis")]
    pub replay_backoff: Duration,
    /// Whether the host, a far end of tieline, remembers which deferred requests it has executed.
    #[serde(default)]
    pub dedupe: bool,
    /// Bytes of stored requests, at most (1 GiB).
    pub spool_max: u64,
    /// A stored request older than this goes to the dead (5 d).
    #[serde(with = "millis")]
    pub expire: Duration,
    /// Owner of the socket file, a user ID.
    pub owner: Option<u32>,
    /// Group of the socket file, a group ID.
    pub group: Option<u32>,
    /// Permission bits of the socket file (0660).
    pub mode: u32,
    /// Who else may be a requester of this host, checked at accept; nobody named: whoever may connect to the socket.
    #[serde(default)]
    pub allow: Vec<Allowed>,
    /// Whether connections are TLS.
    #[serde(default)]
    pub tls: bool,
    /// The name that the host's certificate must have; the one in the address if there is none.
    #[serde(default)]
    pub sni: Option<String>,
    /// The CAs that may have signed the host's certificate, a PEM file; this machine's own if there is none.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The certificate that the host is shown if it asks for one, a PEM file.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The private key of `cert`, a PEM file.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The user that a `resp` connection authenticates as.
    #[serde(default)]
    pub user: Option<String>,
    /// Where the password of a `resp` connection is.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The database that a `resp` connection selects (0).
    #[serde(default)]
    pub db: u32,
    /// What a `line` or `len32` connection says before it serves: a file of [`crate::config::greeting`].
    #[serde(default)]
    pub greeting: Option<PathBuf>,
    /// Where the secrets of the greeting are.
    #[serde(default)]
    pub secrets: Option<PathBuf>,
}

/// Somebody who may be a requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// A user ID.
    User(u32),
    /// A group ID: the requester's own group or one of its further ones.
    Group(u32),
}

impl fmt::Display for Allowed {
    /// As it is written in `hosts.tab`, in numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "{id}"),
            Self::Group(id) => write!(f, "@{id}"),
        }
    }
}

/// For settings that an older version has written down.
fn default_sessions() -> u32 {
    32
}

impl HostSettings {
    /// A host with no options: here the defaults live.
    #[must_use]
    pub fn with_defaults(name: impl Into<String>, address: Address, dialect: Dialect) -> Self {
        let (pipeline, max_reply) = match dialect {
            Dialect::Resp | Dialect::Memcache => (1024, 1 << 30),
            Dialect::Line | Dialect::Len32 => (1, 16 << 20),
        };
        Self {
            name: name.into(),
            address,
            dialect,
            connections: 10,
            sessions: default_sessions(),
            pipeline,
            window: 1024,
            queue: 10_000,
            requesters: 4096,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 5,
            idle: Duration::from_secs(3600),
            max_request: 16 << 20,
            max_reply,
            unread: 1 << 20,
            start: Start::Boot,
            listen: None,
            workers: 1,
            deferred: false,
            rejects: Vec::new(),
            hold_in_doubt: false,
            replay_window: 1,
            replay_backoff: Duration::from_secs(60),
            dedupe: false,
            spool_max: 1 << 30,
            expire: Duration::from_secs(5 * 86_400),
            owner: None,
            group: None,
            mode: 0o660,
            allow: Vec::new(),
            tls: false,
            sni: None,
            ca: None,
            cert: None,
            key: None,
            user: None,
            password_file: None,
            db: 0,
            greeting: None,
            secrets: None,
        }
    }
}

/// When a host's child is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the parent.
    Boot,
    /// When the first requester connects; the child exits when it is idle.
    Demand,
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// `host:port` or `[v6]:port`; the name is resolved at each connect.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// `unix:/path`.
    Unix {
        /// An absolute path.
        path: PathBuf,
    },
    /// `@NAME`: wherever the registry knows instances of this name at the moment of connecting.
    Name {
        /// The name, without the `@`.
        name: String,
    },
}

impl fmt::Display for Address {
    /// As it is written in `hosts.tab`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
            Self::Name { name } => write!(f, "@{name}"),
        }
    }
}

/// Durations as whole milliseconds, for serde.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a duration as whole milliseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads a duration from whole milliseconds.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
