//! Why the registry has not done what it was asked for: what it said, or why it could not be heard.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::client::{Again, Fault};
pub use crate::registry::grammar::replies::Kind;

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// It refuses.
    #[error("the registry refuses ({kind}): {text}")]
    Refused {
        /// What kind of refusal.
        kind: Kind,
        /// Its words.
        text: String,
    },
    /// Nobody answers.
    #[error("the registry at {path} cannot be asked: {reason}; is the daemon running?")]
    Away {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Its socket is not for this user.
    #[error("no permission to use the registry at {path}; become a member of its group (`ls -l {path}` names it)")]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// What was to be said is nothing that it would understand.
    #[error("{0}")]
    Unfit(String),
    /// It answered what is no answer.
    #[error("the registry answered {line:?}, which is no answer to that; is it of another version?")]
    Garbled {
        /// Its words.
        line: String,
    },
}

impl RegistryError {
    /// Who could mend it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused { kind: Kind::Malformed | Kind::Unknown | Kind::Denied, .. } | Self::Unfit(_) => {
                Fault::Caller
            }
            _ => Fault::Daemon,
        }
    }

    /// Whether to try again. What is said to the registry does no harm when it is said twice.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Refused { kind: Kind::Malformed | Kind::Denied, .. } => Again::Never,
            Self::Unfit(_) | Self::Garbled { .. } | Self::Permission { .. } => Again::Never,
            Self::Refused { .. } | Self::Away { .. } => Again::Later,
        }
    }

    pub(in crate::client) fn garbled(line: &str) -> Self {
        Self::Garbled { line: line.to_owned() }
    }

    /// The conversation with the registry at `path` could not be had.
    pub(in crate::client) fn of_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            _ => Self::Away { path, reason: error.to_string() },
        }
    }

    /// Whether it said that there is no such name or lease.
    pub(in crate::client) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { kind: Kind::Unknown, .. })
    }
}
