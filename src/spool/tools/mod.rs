//! What an operator asks of a spool and is answered: the words of `tieline spool`.
//!
//! Enters: a [`Command`], with a store. Leaves: an [`Answer`]. The same words go from `cli` through the control socket and
//! the parent to the child that has the store open, and are carried out by `cli` itself on a store that nobody has open.
//! Promised: an answer as JSON stays below 1 MiB, whatever is stored, and a command is over soon: what concerns many rows
//! is done in parts, and the answer says how to go on.
//!
//! - `run`, `readable` — carry a command out
//! - [`base64`] — bytes as text

pub mod base64;
mod readable;
mod run;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::store::{Fault, Numbers, RowState, StoreError};
use crate::snapshot::SpoolNumbers;

pub use run::{look, run, try_run};

/// Most rows of one answer, and of one command that changes them.
pub const ROWS: usize = 100;

/// Most bytes of a request or a reply in one answer; the rest is had by [`Command::Bytes`].
pub const CHUNK: usize = 256 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Rows of a state behind `after`, in the order of their IDs: [`Answer::Rows`].
    List {
        /// Of which state.
        state: State,
        /// Behind which ID.
        after: u64,
        /// Whether requests and replies are wanted as well.
        bodies: bool,
    },
    /// These rows, whatever their state, as far as they are there: [`Answer::Rows`]. If `next` is set, go on with those
    /// behind it.
    Get {
        /// Which ones.
        ids: Vec<u64>,
    },
    /// Part of a request or reply: [`Answer::Bytes`].
    Bytes {
        /// Of which row.
        id: u64,
        /// Which of the two.
        of: Part,
        /// From which byte on.
        from: u64,
    },
    /// How much there is: [`Answer::Numbers`].
    Numbers,
    /// Is all of it whole? [`Answer::Report`].
    Check,
    /// Try the first one now, whatever the replay's pause says: [`Answer::Done`] with how many wait.
    Retry,
    /// Park rows that wait: [`Answer::Done`].
    Hold(Which),
    /// Let held rows wait again, at their old places: [`Answer::Done`].
    Release(Which),
    /// Remove rows for good: [`Answer::Done`].
    Drop {
        /// Of this state; of any, if there is none.
        state: Option<State>,
        /// Which ones.
        which: Which,
    },
    /// Append dead rows at the tail under new IDs: [`Answer::Done`].
    Requeue(Which),
}

/// Rows to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All of their state behind `after`, up to `up_to`: as many as one answer is for. Whoever begins says nothing.
    All {
        /// Behind which ID.
        after: u64,
        /// Up to which ID; none: up to the highest there is now.
        up_to: Option<u64>,
    },
    /// These; at most [`ROWS`].
    These(Vec<u64>),
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits to be sent.
    Waiting,
    /// Parked for the operator.
    Held,
    /// Refused by the host, or expired.
    Dead,
    /// Its checksum is wrong: set aside, never sent.
    Damaged,
}

/// One of the two things a row can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The request, framed as it goes to the host.
    Request,
    /// The host's reply to a dead one.
    Reply,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Rows in the order of their IDs.
    Rows {
        /// As many as fit.
        rows: Vec<Row>,
        /// Behind which ID to go on; none: that was all.
        next: Option<u64>,
    },
    /// Part of a request or reply.
    Bytes {
        /// At most [`CHUNK`] bytes, in base64.
        base64: String,
        /// How long the whole is, in bytes.
        total: u64,
    },
    /// How much there is.
    Numbers(SpoolNumbers),
    /// What a check found.
    Report(Report),
    /// Something was done.
    Done(Done),
    /// Something could not be done.
    Error {
        /// Why, for people.
        text: String,
        /// Whose fault it is.
        fault: Blame,
    },
}

/// A stored transaction. Times are milliseconds since 1970, sizes bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub id: u64,
    /// What it is.
    pub state: State,
    /// When it was accepted.
    pub accepted_ms: u64,
    /// Since when it is held, dead or damaged.
    pub since_ms: Option<u64>,
    /// When it goes to the dead, if it waits until then.
    pub expires_ms: Option<u64>,
    /// How often it was tried from the store.
    pub attempts: u64,
    /// Whether it may have reached the host already.
    pub in_doubt: bool,
    /// What happened last.
    pub last_error: Option<String>,
    /// The dead one it was made from.
    pub requeued_from: Option<u64>,
    /// By which the far end knows it again; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// How long the request is, framing included.
    pub bytes: u64,
    /// How long the host's reply to a dead one is.
    pub reply_bytes: u64,
    /// The request in base64, if it was asked for and fits.
    pub body: Option<String>,
    /// The reply in base64, if it was asked for and fits.
    pub reply: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// To how many rows.
    pub rows: u64,
    /// Named ones to which it was not, as they are something else.
    pub not: Vec<Miss>,
    /// Old and new IDs of what was requeued.
    pub requeued: Vec<(u64, u64)>,
    /// With what to go on; none: that was all.
    pub rest: Option<Which>,
}

/// A row that is not what the command is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// Its name.
    pub id: u64,
    /// What it is; none: it is not there.
    pub is: Option<State>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether everything was looked at. A large store whose child has other work is not read at once: list its rows,
    /// each is checked as it is read.
    pub whole: bool,
    /// Rows that were read.
    pub rows: u64,
    /// How many of them are damaged.
    pub damaged: u64,
    /// The first of those, at most a thousand.
    pub damaged_ids: Vec<u64>,
    /// What else is wrong, for people.
    pub wrong: Option<String>,
    /// Damaged stores that were set aside: their directories, at most a hundred.
    pub set_aside: Vec<String>,
}

/// Whose fault it is that something could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Who asked.
    Request,
    /// The disk.
    Disk,
    /// What is on the disk.
    Data,
    /// Another process, that has the store open.
    InUse,
    /// The installation.
    Setup,
}

impl Command {
    /// Whether it changes what is stored: after it a replay must look at the store anew.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(self, Self::Hold(_) | Self::Release(_) | Self::Drop { .. } | Self::Requeue(_))
    }

    /// Whether only a child that replays can do it.
    #[must_use]
    pub fn needs_child(&self) -> bool {
        self.changes() || *self == Self::Retry
    }
}

impl Which {
    /// All there are now.
    #[must_use]
    pub fn all() -> Self {
        Self::All { after: 0, up_to: None }
    }
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Held, Self::Dead, Self::Damaged];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        RowState::from(self).word()
    }
}

impl From<State> for RowState {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Pending,
            State::Held => Self::Held,
            State::Dead => Self::Dead,
            State::Damaged => Self::Damaged,
        }
    }
}

impl From<RowState> for State {
    fn from(state: RowState) -> Self {
        match state {
            RowState::Pending => Self::Waiting,
            RowState::Held => Self::Held,
            RowState::Dead => Self::Dead,
            RowState::Damaged => Self::Damaged,
        }
    }
}

impl From<&StoreError> for Answer {
    fn from(error: &StoreError) -> Self {
        let fault = match error.fault() {
            Fault::Disk => Blame::Disk,
            Fault::Data => Blame::Data,
            Fault::InUse => Blame::InUse,
            Fault::Setup => Blame::Setup,
        };
        Self::Error { text: error.to_string(), fault }
    }
}

/// The numbers of a store as the status tells them.
#[must_use]
pub fn numbers(of: &Numbers, now: SystemTime) -> SpoolNumbers {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let oldest = of.oldest_ms.map_or(0, |oldest| now.as_secs().saturating_sub(oldest / 1000));
    SpoolNumbers {
        depth: of.depth,
        bytes: of.bytes,
        oldest_s: oldest,
        in_doubt: of.in_doubt,
        held: of.held,
        dead: of.dead,
        damaged: of.damaged,
        last_error: of.last_error.clone().unwrap_or_default(),
    }
}
