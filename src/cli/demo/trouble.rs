//! Why the demo ended before its end.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::cli::exit;

/// See the head of this file.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// This machine refuses something.
    #[error("cannot {what}: {source}")]
    System { what: String, source: io::Error },
    /// A step has run out of its time.
    #[error("waited {} s in vain: {what}", .bound.as_secs())]
    Late { what: String, bound: Duration },
    /// Something that the demo says of tieline is not true here.
    #[error("{0}")]
    Untrue(String),
    /// A signal came.
    #[error("ended by {name}")]
    Interrupted { name: &'static str, number: u8 },
    /// Nobody reads the story any more.
    #[error("nobody reads this")]
    Unread,
}

impl Trouble {
    /// The machine refuses to do `what`.
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what: what.into(), source }
    }

    /// `Untrue` unless `holds`.
    pub(super) fn unless(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Untrue(otherwise())) }
    }

    /// 128 and the signal's number, as shells tell it; the others as in sysexits(3).
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::System { .. } => exit::IOERR,
            Self::Late { .. } | Self::Untrue(_) => exit::SOFTWARE,
            Self::Interrupted { number, .. } => 128 + number,
            Self::Unread => exit::OK,
        }
    }
}
