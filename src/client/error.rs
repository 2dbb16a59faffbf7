//! Why nothing was asked, or nobody could be: what happened, to whom, whose fault it is, whether to try again.
//!
//! What became of a request that was asked is no error but an [`Outcome`](super::Outcome); `?` makes a
//! [`Failed`](super::Failed) one of these for programs that want to know no more.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::outcome::{Again, Failed, Fault};
use super::registry::RegistryError;
use super::request::Unfit;
use crate::config::ConfigError;

/// See the head of this file.
#[derive(Debug, Error)]
pub enum Error {
    /// The name cannot be one.
    #[error(
        "{name:?} is no name: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit"
    )]
    NoName {
        /// What was given.
        name: String,
    },
    /// The registry has no such name.
    #[error("nobody is registered as {name} ({text})")]
    UnknownName {
        /// The name.
        name: String,
        /// The registry's words.
        text: String,
    },
    /// Nothing says how the host speaks.
    #[error("nothing says which dialect {name} speaks: no registry answers for it; name it in the options")]
    NoDialect {
        /// The name.
        name: String,
    },
    /// The name is not that of a host with a socket for deferred requests.
    #[error("{name} has no socket for deferred requests; give the host the option deferred in hosts.tab")]
    NotDeferred {
        /// The name.
        name: String,
    },
    /// What was to be sent is no request.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Nobody answers where the name leads.
    #[error("nobody can be reached as {name}: {tried}; is the daemon running?")]
    Unreachable {
        /// The name.
        name: String,
        /// Every address, and why it did not do.
        tried: String,
    },
    /// The socket is not for this user.
    #[error("no permission to use {path}; become a member of its group (`ls -l {path}` names it)")]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The configuration that the program named is not there or is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The registry has not done what it was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The system refuses a socket or a thread.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
    /// A request that was asked has no reply.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Error {
    /// Who could mend it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoName { .. } | Self::NoDialect { .. } | Self::NotDeferred { .. } | Self::Unfit(_) => Fault::Caller,
            Self::UnknownName { .. } => Fault::Host,
            Self::Unreachable { .. } | Self::Permission { .. } | Self::Config(_) | Self::System(_) => Fault::Daemon,
            Self::Registry(error) => error.fault(),
            Self::Failed(failed) => failed.fault(),
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::UnknownName { .. } | Self::Unreachable { .. } | Self::System(_) => Again::Later,
            Self::NoName { .. } | Self::NoDialect { .. } | Self::NotDeferred { .. } | Self::Unfit(_) => Again::Never,
            Self::Permission { .. } | Self::Config(_) => Again::Never,
            Self::Registry(error) => error.again(),
            Self::Failed(failed) => failed.again(),
        }
    }
}
