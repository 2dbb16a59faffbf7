//! Heritage: what a child is started with, and what parent and child say to each other afterwards.
//!
//! Enters: nothing. Leaves: the types of the control channel, a socketpair that carries one JSON object per line.
//!
//! A child finds its descriptors at agreed numbers: its end of the control channel at [`CONTROL_FD`], its outlet at
//! [`OUTLET_FD`], its listeners from [`FIRST_LISTENER_FD`] on in the order of [`Heritage::listeners`], and behind them
//! [`Heritage::inlets`] inlets. The first line it reads is the [`Heritage`]; after that the parent sends [`ToChild`] and
//! the child sends [`ToParent`]. The end of the channel means that the other side is gone: a child then retires.
//!
//! Outlet and inlet are the two ends of a way from a child to its successor (see [`crate::system::handover`]). The parent
//! makes it when it starts a child, gives the outlet to that child, and keeps the inlet for the child that will replace
//! it. What a child puts into its outlet before its successor lives waits there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Address, HostSettings, LogSettings, RegistrySettings, ServeSettings, Settings};
use crate::dialect::Dialect;
use crate::snapshot::{Snapshot, State};

/// The descriptor at which a child finds its end of the control channel.
pub const CONTROL_FD: i32 = 3;

/// The descriptor at which a child finds its end of the way to its successor.
pub const OUTLET_FD: i32 = 4;

/// The descriptor of a child's first listener; the others follow without a gap, then the inlets.
pub const FIRST_LISTENER_FD: i32 = 5;

/// What a child is started with; the first line on its control channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heritage {
    /// What this child is for. Its key is the role's name, so that builds before there were roles read hosts' as ever.
    #[serde(flatten)]
    pub role: Role,
    /// The inherited listeners, in the order of their descriptors.
    pub listeners: Vec<ListenerKind>,
    /// Where its deferred transactions are stored, or what it has executed is remembered; none for a host that is not
    /// deferred, and for what is served without `dedupe`.
    pub spool: Option<PathBuf>,
    /// The socket of the registry, for children that look names up or register one.
    #[serde(default, rename = "registry_socket")]
    pub registry: Option<PathBuf>,
    /// Where and how much to log.
    pub log: LogSettings,
    /// Whether debug logging has been toggled on by a signal to the parent.
    pub debug: bool,
    /// How long a retiring child may take to answer what it owes (milliseconds on the wire).
    #[serde(with = "crate::config::millis")]
    pub drain: Duration,
    /// How many children before this one may have something to hand over.
    #[serde(default)]
    pub inlets: usize,
}

/// What a child is for, with the settings that it goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To carry requests to a host.
    Host(Box<HostSettings>),
    /// To be the registry of names.
    Registry(Box<RegistrySettings>),
    /// To serve a name.
    Serve(Box<ServeSettings>),
}

/// A role without its settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Role::Host`].
    #[default]
    Host,
    /// [`Role::Registry`].
    Registry,
    /// [`Role::Serve`].
    Serve,
}

impl Settings {
    /// What there is to be a child for: the hosts in the order of `hosts.tab`, the registry, what is served by name.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        let hosts = self.hosts.iter().cloned().map(Box::new).map(Role::Host);
        let registry = self.registry.iter().cloned().map(Box::new).map(Role::Registry);
        hosts.chain(registry).chain(self.serves.iter().cloned().map(Box::new).map(Role::Serve)).collect()
    }

    /// From now on there are these to be a child for, and no others.
    pub(crate) fn run(&mut self, roles: impl IntoIterator<Item = Role>) {
        self.hosts.clear();
        self.registry = None;
        self.serves.clear();
        for role in roles {
            match role {
                Role::Host(host) => self.hosts.push(*host),
                Role::Registry(registry) => self.registry = Some(*registry),
                Role::Serve(serve) => self.serves.push(*serve),
            }
        }
    }
}

impl Role {
    /// Which it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Host(_) => Kind::Host,
            Self::Registry(_) => Kind::Registry,
            Self::Serve(_) => Kind::Serve,
        }
    }

    /// The name that is unique among those of its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Host(host) => &host.name,
            Self::Registry(_) => "registry",
            Self::Serve(serve) => &serve.name,
        }
    }

    /// The host, if it is for one.
    #[must_use]
    pub fn host(&self) -> Option<&HostSettings> {
        match self {
            Self::Host(host) => Some(host),
            Self::Registry(_) | Self::Serve(_) => None,
        }
    }

    /// Whether its child has to do with the registry: it looks a name up, or registers one.
    #[must_use]
    pub fn asks_registry(&self) -> bool {
        match self {
            Self::Host(host) => match host.address {
                Address::Tcp { .. } | Address::Unix { .. } => false,
                Address::Name { .. } => true,
            },
            Self::Registry(_) => false,
            Self::Serve(_) => true,
        }
    }

    /// What people call it: a name that no other child has.
    #[must_use]
    pub fn title(&self) -> String {
        self.kind().title(self.name())
    }
}

impl Kind {
    /// What people call one of this kind that has the name `name`.
    #[must_use]
    pub fn title(self, name: &str) -> String {
        match self {
            Self::Host | Self::Registry => name.to_owned(),
            Self::Serve => format!("serve {name}"),
        }
    }
}

impl fmt::Display for Kind {
    /// The word that the JSON has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Registry => "registry",
            Self::Serve => "serve",
        })
    }
}

/// What is accepted on an inherited listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    /// `NAME.sock`, `registry.sock`, or where a `[serve.NAME]` listens.
    Unix,
    /// `NAME.deferred.sock`.
    Deferred,
    /// The loopback listener of the option `listen=`, or where a `[serve.NAME]` listens.
    Tcp,
}

/// What the parent says to a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToChild {
    /// Answer with a [`ToParent::Snapshot`] that carries the same number.
    Snapshot {
        /// Names the question, so that a late answer is not taken for a fresh one.
        ask: u64,
    },
    /// Try to reach the host now, whatever the backoff says.
    Probe,
    /// Do something with the spool; answer with a [`ToParent::Spool`] that carries the same number.
    Spool {
        /// Names the question. The numbers are not those of [`ToChild::Snapshot`].
        ask: u64,
        /// A [`crate::spool::tools::Command`], which the parent does not look into.
        command: Value,
    },
    /// A successor is ready: accept and read no more, end what is owed, and hand every requester over as soon as it is
    /// owed nothing, and the idle connections last; then exit. What only one process can have (a spool, the registry's
    /// database) is given up as early as possible: the successor, which has said [`ToParent::Ready`] without it, waits
    /// for its lock.
    HandOver,
    /// How the hosts are: said to the registry alone, when it is ready and at each change of a host's state. The rows
    /// are those of all configured hosts, in the order of `hosts.tab`, and stand in place of all that were told before.
    /// Changes that follow one another within a fifth of a second come as one message, so that a storm of changes is
    /// none of messages.
    Hosts(Vec<HostRow>),
    /// Turn debug logging on or off.
    Debug {
        /// The wanted state.
        on: bool,
    },
}

/// One host, as the registry is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// Its socket, as `unix:/path`.
    pub socket: String,
    /// Its socket for deferred requests, as `unix:/path`, if it has one. It is no second instance of the same.
    #[serde(default)]
    pub deferred: Option<String>,
    /// How it speaks.
    pub dialect: Dialect,
    /// How it is: as in the status.
    pub state: State,
}

/// What a child says to its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToParent {
    /// The child accepts requesters from now on. Nothing that its predecessor still holds may be waited for before this.
    Ready,
    /// The answer to [`ToChild::Snapshot`].
    Snapshot {
        /// The number of the question.
        ask: u64,
        /// What the child tells of itself. Boxed: it is far larger than the other messages.
        snapshot: Box<Snapshot>,
    },
    /// The host could be reached, or no longer: said at each change, so that the parent's `STATUS=` is true. A child of
    /// another role says with it that it is in order, or what it lacks.
    Reach {
        /// Whether the host is up.
        up: bool,
        /// Why it is down, for people; empty when it is up.
        reason: String,
    },
    /// The answer to [`ToChild::Spool`].
    Spool {
        /// The number of the question.
        ask: u64,
        /// A [`crate::spool::tools::Answer`], which the parent does not look into.
        answer: Value,
    },
    /// Whether deferred transactions wait to be sent: said at each change, and once when the spool has been opened. The
    /// parent must know, as it starts a child for a backlog that no requester asks for.
    Backlog {
        /// Whether there are any.
        waiting: bool,
    },
    /// The last numbers of a child that has retired and exits now: what it counted must not be forgotten.
    Farewell {
        /// As [`ToParent::Snapshot`].
        snapshot: Box<Snapshot>,
    },
    /// The child is about to die of this (a panic's message, or the error it ends with).
    LastWords {
        /// One line for people.
        text: String,
    },
}
