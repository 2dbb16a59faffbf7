//! What a worker reports to the child's own task.
//!
//! Enters: nothing. Leaves: [`Report`] and [`Told`], plain data.

use std::time::Duration;

use super::dispatch::Numbers;
use super::tally::Tally;
use crate::pool;
use crate::snapshot::SpoolNumbers;

/// What a worker reports to the child's own task.
#[derive(Debug, Clone)]
pub enum Report {
    /// How the host stands for a worker.
    Reach {
        /// Which worker.
        worker: usize,
        /// How.
        standing: pool::Standing,
        /// Why.
        reason: String,
    },
    /// Whether stored requests wait to be replayed.
    Backlog(bool),
    /// A worker has done all that it had to do, and these are its last numbers.
    Ended(Box<Told>),
}

/// A worker's numbers.
#[derive(Debug, Clone)]
pub struct Told {
    /// Which worker.
    pub worker: usize,
    /// Its numbers of the moment.
    pub numbers: Numbers,
    /// What it has counted.
    pub tally: Tally,
    /// How the host stands for it.
    pub standing: pool::Standing,
    /// Why.
    pub reason: String,
    /// How long until it tries the host again.
    pub next_attempt: Option<Duration>,
    /// How often it has tried.
    pub attempts: u64,
    /// The store's numbers, if this worker has it.
    pub spool: Option<SpoolNumbers>,
}
