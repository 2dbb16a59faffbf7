//! What the registry is told of the hosts, and when. Pure.
//!
//! Enters: the table, who is the registry's child, the time. Leaves: rows for [`ToChild::Hosts`], and whether they are due.
//! Promised: a child is told at once when it is ready and at a first change; of changes that follow one another within
//! [`PAUSE`] the last one is told at its end; what a child did not read is told again.
//!
//! [`ToChild::Hosts`]: crate::heritage::ToChild::Hosts

use std::path::Path;
use std::time::{Duration, Instant};

use super::table::Table;
use crate::config::DaemonSettings;
use crate::heritage::HostRow;
use crate::snapshot::State;

/// Shortest time between two messages to one child.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// What was told, and to whom. What can change while a parent lives is the states alone.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The process that was told last.
    to: Option<i32>,
    /// The states that it knows; none if it did not read them.
    told: Option<Vec<State>>,
    /// Before this it is told nothing.
    rest: Option<Instant>,
    /// Whether something waits for that.
    owed: bool,
}

impl Rows {
    /// Whether `states` are to be told to the process `to` now.
    pub(super) fn are_due(&mut self, to: Option<i32>, states: &[State], now: Instant) -> bool {
        if self.to != to {
            *self = Self { to, ..Self::default() };
        }
        self.owed = to.is_some() && self.told.as_deref() != Some(states);
        self.owed && self.rest.is_none_or(|rest| rest <= now)
    }

    /// They were told; none: they were not read.
    pub(super) fn told(&mut self, states: Option<Vec<State>>, now: Instant) {
        self.owed = states.is_none();
        self.told = states;
        self.rest = Some(now + PAUSE);
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.rest.filter(|_| self.owed)
    }
}

/// The states of all configured hosts.
pub(super) fn states(table: &Table, now: Instant) -> Vec<State> {
    table.hosts().map(|(_, entry)| entry.state(now)).collect()
}

/// The rows of all configured hosts, whose states are these.
pub(super) fn rows(table: &Table, daemon: &DaemonSettings, states: &[State]) -> Vec<HostRow> {
    let hosts = table.hosts().filter_map(|(_, entry)| entry.host()).zip(states);
    let unix = |path: &Path| format!("unix:{}", path.display());
    let row = hosts.map(|(host, state)| HostRow {
        name: host.name.clone(),
        socket: unix(&daemon.host_socket(&host.name)),
        deferred: host.deferred.then(|| unix(&daemon.deferred_socket(&host.name))),
        dialect: host.dialect,
        state: *state,
    });
    row.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Tells what is due; whether anything was.
    fn tell(rows: &mut Rows, to: i32, states: &[State], now: Instant) -> bool {
        let due = rows.are_due(Some(to), states, now);
        if due {
            rows.told(Some(states.to_vec()), now);
        }
        due
    }

    #[test]
    fn a_child_is_told_once_and_at_each_change_and_its_successor_anew() {
        let (mut rows, now) = (Rows::default(), Instant::now());
        assert!(!rows.are_due(None, &[State::Up], now), "there is nobody");
        assert!(tell(&mut rows, 7, &[State::Up], now));
        assert!(!tell(&mut rows, 7, &[State::Up], now + PAUSE));
        assert!(tell(&mut rows, 7, &[State::Down], now + PAUSE));
        assert!(tell(&mut rows, 8, &[State::Down], now + PAUSE), "another one knows nothing");
        assert!(!rows.are_due(None, &[State::Up], now + PAUSE));
        assert!(tell(&mut rows, 8, &[State::Down], now + PAUSE), "who was gone in between was told of nothing");
    }

    #[test]
    fn a_storm_of_changes_is_none_of_messages_and_ends_with_the_last_one() {
        let (mut rows, begin) = (Rows::default(), Instant::now());
        let state = |at: u32| [if at.is_multiple_of(2) { State::Up } else { State::Down }];
        let told = (0..1000).filter(|at| tell(&mut rows, 7, &state(*at), begin + MS * *at)).count();
        assert_eq!(told, 5, "one at once, and one for each pause");
        let rest = rows.next().expect("the last change is still to be told");
        assert!(rest > begin + MS * 999 && rest <= begin + MS * 999 + PAUSE);
        assert!(tell(&mut rows, 7, &state(999), rest));
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn what_was_not_read_is_told_again_after_a_pause() {
        let (mut rows, now) = (Rows::default(), Instant::now());
        assert!(rows.are_due(Some(7), &[State::Up], now));
        rows.told(None, now);
        assert_eq!(rows.next(), Some(now + PAUSE));
        assert!(!rows.are_due(Some(7), &[State::Up], now + PAUSE - MS));
        assert!(tell(&mut rows, 7, &[State::Up], now + PAUSE));
    }
}
