//! What a far end tells of itself, in the words of a host's child.
//!
//! Enters: a [`Far`]. Leaves: its numbers. What are connections to a host are processes here. It is down while its ledger
//! is of no use: what has a tag is not begun then.

use super::far::{Far, Stage};
use super::tagged::Once;
use crate::config::serve::Action;
use crate::snapshot::{Connections, Reach, Snapshot};

impl Far {
    /// What it tells of itself.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let numbers: Vec<_> = self.desks.iter().map(|desk| desk.numbers()).collect();
        let sum = |of: fn(&(u64, u64, u64)) -> u64| numbers.iter().map(of).sum::<u64>();
        let (taken, idle, queued) = (sum(|each| each.0), sum(|each| each.1), sum(|each| each.2));
        let bounded = self.desks.iter().filter(|desk| desk.handler.action != Action::Echo);
        let max = bounded.map(|desk| u64::from(desk.handler.limits.processes)).sum();
        let tally = self.tally.borrow();
        let reason = self.once.as_ref().map(Once::trouble).unwrap_or_default();
        Snapshot {
            reach: if reason.is_empty() { Reach::Up } else { Reach::Down },
            reason,
            connections: Connections { busy: taken.saturating_sub(idle), idle, max },
            requesters: u64::from(self.requesters()),
            queued,
            in_flight: self.under_way.get().saturating_sub(queued),
            outcomes: tally.outcomes(),
            latency_us: tally.latency(),
            retiring: self.stage() != Stage::Serving,
            last_log: crate::logging::last_line(),
            ..Snapshot::default()
        }
    }
}
