//! What became of a request: the host's reply, an ID under which it is stored, or a failure. Pure.
//!
//! Enters: one whole reply of the daemon's, or what the client itself knows. Leaves: an [`Outcome`]. Promised: a failure
//! says truly whether the host can have seen the request, whose fault it is, and whether to try again.

use std::fmt;

use thiserror::Error;

use super::reply::Reply;
use crate::dialect::{Dialect, Failure};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The host's own reply, its error replies included.
    Reply(Reply),
    /// It is on disk under this ID, and will be sent when the host is back. To deferred requests alone.
    Delayed(u64),
    /// There is no reply.
    Failure(Failed),
}

/// Why there is no reply, in words for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {detail}", kind.word())]
pub struct Failed {
    /// The outcome's kind: what the dialects have words for.
    pub kind: Failure,
    /// For people.
    pub detail: String,
}

/// Whose fault something is: who could mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The program that asked.
    Caller,
    /// The remote host, or the way to it.
    Host,
    /// The daemon on this machine, or who runs it.
    Daemon,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Again {
    /// Nothing was sent: at will, though after a pause.
    Later,
    /// It may have been executed: only if twice does no harm.
    Doubtful,
    /// It would end the same.
    Never,
}

impl Outcome {
    /// What `frame`, one reply at a host's socket, says; `deferred` if it is the one for deferred requests.
    pub(super) fn told(dialect: Dialect, deferred: bool, frame: Vec<u8>) -> Self {
        if let Some(id) = dialect.delayed_in(&frame).filter(|_| deferred) {
            return Self::Delayed(id);
        }
        match dialect.failure_in(&frame) {
            Some((kind, detail)) if detail.is_empty() => Self::Failure(Failed::new(kind, usual(kind))),
            Some((kind, detail)) => Self::Failure(Failed { kind, detail }),
            None => Self::Reply(Reply::new(dialect, frame)),
        }
    }

    /// The host's reply.
    ///
    /// # Errors
    /// There is none. A stored request counts as one that has none yet: [`Failure::Unknown`] is not quite it, so ask
    /// for [`Outcome::Delayed`] before.
    pub fn reply(self) -> Result<Reply, Failed> {
        match self {
            Self::Reply(reply) => Ok(reply),
            Self::Failure(failed) => Err(failed),
            Self::Delayed(id) => {
                Err(Failed::new(Failure::Unknown, &format!("it is stored under {id}, and will be executed later")))
            }
        }
    }

    /// One word for what it is: `reply`, `delayed`, or that of the failure without its `con_`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Reply(_) => "reply",
            Self::Delayed(_) => "delayed",
            Self::Failure(failed) => failed.kind.word().trim_start_matches("con_"),
        }
    }
}

impl Failed {
    pub(super) fn new(kind: Failure, detail: &str) -> Self {
        Self { kind, detail: detail.to_owned() }
    }

    /// Whether it is certain that the host has seen nothing of the request.
    #[must_use]
    pub fn was_never_sent(&self) -> bool {
        !matches!(self.kind, Failure::Unknown | Failure::Failed)
    }

    /// Who could mend it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.kind {
            Failure::Lost | Failure::Timeout | Failure::Unknown | Failure::Busy => Fault::Host,
            Failure::Refused => Fault::Caller,
            Failure::Failed => Fault::Daemon,
        }
    }

    /// Whether the request may be sent again.
    #[must_use]
    pub fn again(&self) -> Again {
        match self.kind {
            Failure::Lost | Failure::Timeout | Failure::Busy => Again::Later,
            // After some failures of a disk nobody can say whether it is stored, and will be sent.
            Failure::Unknown | Failure::Failed => Again::Doubtful,
            Failure::Refused => Again::Never,
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Later => "nothing was sent: try again later",
            Self::Doubtful => "it may have been executed",
            Self::Never => "trying again would not help",
        })
    }
}

/// What a word that stands alone means.
fn usual(kind: Failure) -> &'static str {
    match kind {
        Failure::Lost => "no connection to the host could be had; nothing was sent",
        Failure::Timeout => "the deadline passed before a connection to the host was free; nothing was sent",
        Failure::Unknown => "it was sent to the host, and no reply came; it may have been executed",
        Failure::Busy => "too many requests wait for the host; nothing was sent",
        Failure::Refused => "the request is malformed or too large, or you may not use this host; nothing was sent",
        Failure::Failed => "it could not be stored; the daemon's log says why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_every_dialect_is_told_apart_from_the_hosts_replies() {
        for dialect in Dialect::ALL {
            for kind in Failure::ALL {
                let mut frame = Vec::new();
                dialect.failure(kind, "why", &mut frame);
                let Outcome::Failure(failed) = Outcome::told(dialect, false, frame) else { panic!("{dialect:?}") };
                assert_eq!(failed.kind, kind);
                assert!(!failed.detail.is_empty());
            }
        }
        let error = Outcome::told(Dialect::Resp, false, b"-ERR no\r\n".to_vec());
        assert_eq!(error.reply().unwrap().error().as_deref(), Some("ERR no"));
    }

    #[test]
    fn only_a_deferred_request_is_delayed() {
        let frame = b"con_delayed:7\n".to_vec();
        assert_eq!(Outcome::told(Dialect::Line, true, frame.clone()), Outcome::Delayed(7));
        assert_eq!(Outcome::told(Dialect::Line, false, frame).word(), "reply");
    }

    #[test]
    fn a_failure_says_whether_the_host_can_have_seen_it() {
        let told = Failure::ALL.map(|kind| Failed::new(kind, ""));
        let never: Vec<_> = told.iter().filter(|failed| failed.was_never_sent()).map(|failed| failed.kind).collect();
        assert_eq!(never, [Failure::Lost, Failure::Timeout, Failure::Busy, Failure::Refused]);
        assert!(told.iter().all(|failed| failed.was_never_sent() == (failed.again() != Again::Doubtful)));
        assert_eq!(Failed::new(Failure::Lost, "why").to_string(), "con_lost: why");
    }
}
