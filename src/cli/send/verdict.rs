//! What became of all requests together: an exit code, and words for people. Pure.
//!
//! Enters: what became of each. Leaves: one exit code: the most serious of them, where "it may have been executed"
//! counts more than "it is wrong", and that more than "try again".

use crate::cli::exit;
use crate::config::HostSettings;
use crate::dialect::Failure;

/// See the head of this file; ordered from harmless to serious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Verdict {
    /// The host has answered everything.
    #[default]
    Answered,
    /// Something was not sent, and may be later.
    TryAgain,
    /// Something was not sent, and never will be as it is.
    Refused,
    /// Something may have been executed, and there is no reply.
    Unknown,
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost | Failure::Timeout | Failure::Busy => Self::TryAgain,
            Failure::Refused => Self::Refused,
            // It may be on disk after all, and be sent.
            Failure::Unknown | Failure::Failed => Self::Unknown,
        }
    }
}

impl Verdict {
    /// Takes what became of one more.
    pub(super) fn note(&mut self, other: impl Into<Self>) {
        *self = (*self).max(other.into());
    }

    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Answered => exit::OK,
            Self::TryAgain => exit::TEMPFAIL,
            Self::Refused => exit::USAGE,
            Self::Unknown => exit::IOERR,
        }
    }
}

/// A failure in words for people. Where the daemon gives a `detail`, it says it all.
pub(super) fn explain(failure: Failure, detail: &str, host: &HostSettings) -> String {
    let word = failure.word();
    if !detail.is_empty() {
        return format!("{word}: {detail}");
    }
    let (name, address, max) = (&host.name, &host.address, host.max_request);
    let why = match failure {
        Failure::Lost => format!("no connection to host \"{name}\" ({address}) could be had"),
        Failure::Timeout => format!("the deadline passed before a connection to host \"{name}\" was free"),
        Failure::Busy => format!("too many requests wait for host \"{name}\""),
        Failure::Unknown => format!("the request was sent, and no reply came from host \"{name}\" ({address})"),
        Failure::Failed => format!("the request for host \"{name}\" could not be stored"),
        Failure::Refused => format!("the request has more than {max} bytes, or was not complete in time"),
    };
    let remedy = match failure {
        Failure::Lost | Failure::Timeout => "nothing was sent, repeat at will",
        Failure::Busy => "nothing was sent, try again later",
        Failure::Failed => "see the daemon's log",
        Failure::Unknown => "it may have been executed",
        Failure::Refused => "nothing was sent",
    };
    format!("{word}: {why}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::dialect::Dialect;

    #[test]
    fn every_failure_has_its_exit_code() {
        let codes = Failure::ALL.map(|failure| (failure.word(), Verdict::from(failure).exit_code()));
        let expected = [
            ("con_lost", 75),
            ("con_timeout", 75),
            ("con_unknown", 74),
            ("con_busy", 75),
            ("con_refused", 64),
            ("con_failed", 74),
        ];
        assert_eq!(codes, expected);
        assert_eq!(Verdict::default().exit_code(), 0);
    }

    #[test]
    fn the_most_serious_outcome_decides() {
        let mut verdict = Verdict::default();
        for (failure, code) in
            [(Failure::Lost, 75), (Failure::Refused, 64), (Failure::Unknown, 74), (Failure::Busy, 74)]
        {
            verdict.note(failure);
            assert_eq!(verdict.exit_code(), code, "{failure:?}");
        }
    }

    #[test]
    fn a_bare_word_is_explained_and_a_detail_is_repeated() {
        let address = Address::Tcp { host: "h".into(), port: 1 };
        let host = HostSettings::with_defaults("x", address, Dialect::Line);
        assert_eq!(
            explain(Failure::Lost, "", &host),
            "con_lost: no connection to host \"x\" (h:1) could be had; nothing was sent, repeat at will"
        );
        assert_eq!(explain(Failure::Busy, "as the daemon says", &host), "con_busy: as the daemon says");
    }
}
