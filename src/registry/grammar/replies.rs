//! What the registry answers. Pure.
//!
//! Enters: how a command ended. Leaves: one line, its line feed included. Promised: an answer is one line, whatever words
//! are in it; its first word is `ok` or `error`, and behind `error` stands one of six kinds.

use std::fmt;

use super::super::directory::Refusal;
use super::super::store::StoreError;
use super::Malformed;
use crate::config::printable;

/// What kind of error it is, for programs; the text behind it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The line is no command.
    Malformed,
    /// There is no such name, or no such lease.
    Unknown,
    /// It is somebody else's.
    Denied,
    /// A bound is reached.
    Busy,
    /// The store cannot be reached.
    Unavailable,
    /// The store could not do it.
    Failed,
}

const KINDS: [(&str, Kind); 6] = [
    ("malformed", Kind::Malformed),
    ("unknown", Kind::Unknown),
    ("denied", Kind::Denied),
    ("busy", Kind::Busy),
    ("unavailable", Kind::Unavailable),
    ("failed", Kind::Failed),
];

impl Kind {
    /// The kind that a word of an answer names.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        KINDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(word, _)| word))
    }
}

/// An answer that is an error.
#[must_use]
pub fn error(kind: Kind, text: &str) -> String {
    format!("error {kind} {}\n", printable(text))
}

impl From<&Refusal> for Kind {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Taken { .. } | Refusal::NotYours { .. } | Refusal::Host { .. } => Self::Denied,
            Refusal::NoLease { .. } => Self::Unknown,
            Refusal::Full { .. } | Refusal::OwnerFull { .. } => Self::Busy,
        }
    }
}

impl From<&StoreError> for Kind {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Denied { .. } => Self::Denied,
            StoreError::Unknown => Self::Unknown,
            StoreError::Unavailable { .. } => Self::Unavailable,
            StoreError::Failed { .. } => Self::Failed,
        }
    }
}

/// The answer to a line that is no command.
#[must_use]
pub fn malformed(what: &Malformed) -> String {
    error(Kind::Malformed, &what.to_string())
}

/// The answer to what the directory refuses.
#[must_use]
pub fn refused(refusal: &Refusal) -> String {
    error(refusal.into(), &refusal.to_string())
}

/// The answer to what the store has not done.
#[must_use]
pub fn not_stored(failure: &StoreError) -> String {
    error(failure.into(), &failure.to_string())
}
