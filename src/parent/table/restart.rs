//! When a child that died is started again. Pure.
//!
//! Enters: how it ended and how long it had served. Leaves: how long to wait.
//!
//! After [`FIRST`], doubling to [`LONGEST`] while it keeps dying young; from the beginning again once one has served for
//! [`HEALTHY`]. One that was ended from outside after it was ready is not to blame and is started at once.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// The rest after a first death.
pub(crate) const FIRST: Duration = Duration::from_millis(100);

/// The longest rest.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Who has served for so long does not die young.
pub(crate) const HEALTHY: Duration = Duration::from_secs(60);

/// Who is ended from outside sooner than this after it was ready rests for [`FIRST`], lest a host whose child is ended
/// again and again (by the kernel for want of memory, say) keeps the machine busy with starting it.
pub(crate) const CALM: Duration = Duration::from_secs(1);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
}

impl Exit {
    /// Whether somebody outside wanted it: KILL or TERM, or the orderly exit that a TERM leads to once a child is ready.
    fn is_from_outside(self) -> bool {
        matches!(self, Self::Code(0) | Self::Signal(Signal::SIGKILL | Signal::SIGTERM))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => {
                let name = signal.as_str();
                write!(f, "ended by signal {}", name.strip_prefix("SIG").unwrap_or(name))
            }
        }
    }
}

/// Remembers how often a host's child died young in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Restarts {
    /// How long the next rest is.
    #[serde(with = "crate::config::millis")]
    next: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Restarts {
    /// How long to wait after a death. `served`: for how long it had been ready, none if it never was. `ours`: whether
    /// the parent itself killed it.
    pub(crate) fn after(&mut self, exit: Exit, served: Option<Duration>, ours: bool) -> Duration {
        if served.is_some_and(|served| served >= HEALTHY) {
            self.next = FIRST;
        }
        match served {
            Some(served) if exit.is_from_outside() && !ours => {
                if served >= CALM {
                    Duration::ZERO
                } else {
                    FIRST
                }
            }
            _ => self.longer(),
        }
    }

    /// How long to wait when it could not even be started.
    pub(crate) fn longer(&mut self) -> Duration {
        let rest = self.next;
        self.next = (rest * 2).min(LONGEST);
        rest
    }
}
