//! Findings: what somebody must be told about a store.

use std::fmt;
use std::path::PathBuf;

use super::Id;

/// What was found, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

/// One thing that was found; its text is fit for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The store was not closed: these may have reached the host already.
    InDoubt {
        /// How many rows.
        rows: u64,
        /// Whether they are held, else they are sent again.
        held: bool,
    },
    /// The store was damaged; a fresh one took its place.
    Corrupt {
        /// What was wrong.
        why: String,
        /// Where the damaged one is kept; none if there was none.
        kept: Option<PathBuf>,
        /// Rows that were saved.
        saved: u64,
        /// Rows that were not.
        missing: Missing,
    },
    /// The checksum of one row is wrong: it was set aside and is not sent.
    DamagedRow {
        /// Its ID, as far as that can be believed.
        id: Id,
    },
    /// The watermark says nothing: losses at the end of the store cannot be seen this time.
    Watermark {
        /// What is wrong with it.
        why: String,
    },
}

/// What is missing from a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many rows; none if that is not known.
    pub rows: Option<u64>,
    /// Ranges of IDs (both ends included) that hold the missing ones; those that had left the store before are among
    /// them if there are more IDs than `rows`. At most 1000 ranges.
    pub among: Vec<(u64, u64)>,
    /// What had become of the last ones was lost with the store: they may be sent a second time.
    pub behind: bool,
}

impl Missing {
    /// Whether it is certain that nothing is.
    #[must_use]
    pub fn nothing(&self) -> bool {
        self.rows == Some(0)
    }

    /// Whether `id` may be missing.
    #[must_use]
    pub fn may_be(&self, id: Id) -> bool {
        self.among.iter().any(|(first, last)| (*first..=*last).contains(&id.0))
    }
}

impl Findings {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is or may be lost or damaged.
    #[must_use]
    pub fn damage(&self) -> bool {
        self.0.iter().any(|finding| !matches!(finding, Finding::InDoubt { .. }))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InDoubt { rows, held: true } => {
                write!(f, "{rows} deferred transactions may have reached the host already and are held")
            }
            Self::InDoubt { rows, held: false } => {
                write!(f, "{rows} deferred transactions may have reached the host already and will be sent again")
            }
            Self::Corrupt { why, kept, saved, missing } => {
                write!(f, "the spool was damaged ({why}); {saved} deferred transactions were saved, {missing}")?;
                kept.as_ref().map_or(Ok(()), |kept| write!(f, "; the damaged one is kept in {}", kept.display()))
            }
            Self::DamagedRow { id } => write!(f, "deferred transaction {id} is damaged: set aside, not sent"),
            Self::Watermark { why } => {
                write!(
                    f,
                    "the spool's watermark says nothing ({why}): whether the last transactions are there is unknown"
                )
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            Some(rows) => write!(f, "{rows} are missing")?,
            None => f.write_str("how many are missing is unknown")?,
        }
        for (index, (first, last)) in self.among.iter().take(20).enumerate() {
            f.write_str(if index == 0 { ", among the IDs " } else { ", " })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        if self.among.len() > 20 {
            write!(f, " and {} ranges more", self.among.len() - 20)?;
        }
        if self.behind { f.write_str("; some may be sent a second time") } else { Ok(()) }
    }
}
