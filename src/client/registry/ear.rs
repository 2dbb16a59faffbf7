//! The registry's answer to `LIST` and `WATCH`, line by line. Pure.
//!
//! Enters: lines. Leaves: [`News`]. Promised: a snapshot is given whole or not at all; after each news
//! [`Ear::revision`] is where to go on after a break, so that nothing is missed and nothing is told twice.

use std::time::Duration;

use super::answers::rest;
use super::error::RegistryError;
use crate::registry::grammar::rows::{Told, read_change, read_row};
use crate::registry::grammar::{self, Command};
use crate::registry::row::{Lease, Revision, Row};

/// One registered instance of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What is registered.
    pub row: Row,
    /// How long its lease lived when that was said; a host's has no end.
    pub left: Option<Duration>,
}

/// What a watcher learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// All there is; what was known before is of no account.
    Snapshot {
        /// The change after which this was true.
        revision: Revision,
        /// In the order of their names.
        instances: Vec<Instance>,
    },
    /// An instance is there from now on, in the place of one with the same name and address.
    Put {
        /// The change.
        revision: Revision,
        /// It.
        instance: Instance,
    },
    /// An instance is there no more.
    Gone {
        /// The change.
        revision: Revision,
        /// Its name.
        name: String,
        /// Its address.
        address: String,
        /// Its lease.
        lease: Lease,
    },
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(in crate::client) struct Ear {
    /// Up to where all is known.
    known: Option<Revision>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// `ok REVISION` is next.
    #[default]
    Answer,
    /// Rows, up to an empty line.
    Rows {
        revision: Revision,
        instances: Vec<Instance>,
    },
    Changes,
}

impl Ear {
    /// Up to where all is known; none before the first snapshot.
    pub(in crate::client) fn revision(&self) -> Option<Revision> {
        self.known
    }

    /// The conversation begins anew.
    pub(in crate::client) fn begin(&mut self) {
        self.state = State::Answer;
    }

    /// Takes a line.
    ///
    /// # Errors
    /// The registry refuses, or this is no line that could stand here.
    pub(in crate::client) fn hear(&mut self, line: &str) -> Result<Option<News>, RegistryError> {
        match &mut self.state {
            State::Answer => self.answer(line).map(|()| None),
            State::Rows { .. } if line.is_empty() => Ok(self.snapshot()),
            State::Rows { instances, .. } => {
                let (row, left) = read_row(line).ok_or_else(|| RegistryError::garbled(line))?;
                instances.push(Instance { row, left });
                Ok(None)
            }
            // It tells so before it closes.
            State::Changes if line.starts_with("error ") => rest(line).map(|_| None),
            State::Changes => self.change(line).map(Some),
        }
    }

    fn answer(&mut self, line: &str) -> Result<(), RegistryError> {
        let mut words = rest(line)?.split(' ');
        let revision = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| RegistryError::garbled(line))?;
        let goes_on = words.next() == Some("changes") && self.known.is_some();
        self.state =
            if goes_on { State::Changes } else { State::Rows { revision: Revision(revision), instances: Vec::new() } };
        Ok(())
    }

    fn snapshot(&mut self) -> Option<News> {
        let State::Rows { revision, instances } = std::mem::replace(&mut self.state, State::Changes) else {
            return None;
        };
        self.known = Some(revision);
        Some(News::Snapshot { revision, instances })
    }

    fn change(&mut self, line: &str) -> Result<News, RegistryError> {
        let (revision, told) = read_change(line).ok_or_else(|| RegistryError::garbled(line))?;
        self.known = Some(revision);
        Ok(match told {
            Told::Put(row, left) => News::Put { revision, instance: Instance { row, left } },
            Told::Gone { name, address, lease } => News::Gone { revision, name, address, lease },
        })
    }
}

/// What begins a watch, or goes on with one.
///
/// # Errors
/// The prefix cannot be one.
pub(in crate::client) fn watch_command(prefix: &str, after: Option<Revision>) -> Result<String, RegistryError> {
    let mut line = "WATCH".to_owned();
    if !prefix.is_empty() {
        line += &format!(" {prefix}");
    }
    if let Some(revision) = after {
        line += &format!(" after={revision}");
    }
    let wanted = Command::Watch { prefix: prefix.to_owned(), after };
    match grammar::command(line.as_bytes()) {
        Ok(command) if command == wanted => Ok(line),
        Ok(_) => Err(RegistryError::Unfit(format!("{prefix:?} would be taken for something else"))),
        Err(malformed) => Err(RegistryError::Unfit(malformed.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "a tcp:h:7 lease=l1 ttl=30s left=29999ms owner=0 dialect=line";

    /// What the lines tell.
    fn heard(ear: &mut Ear, lines: &[&str]) -> Vec<News> {
        lines.iter().filter_map(|line| ear.hear(line).unwrap()).collect()
    }

    fn revisions(news: &[News]) -> Vec<u64> {
        let revision = |news: &News| match news {
            News::Snapshot { revision, .. } | News::Put { revision, .. } | News::Gone { revision, .. } => revision.0,
        };
        news.iter().map(revision).collect()
    }

    #[test]
    fn a_snapshot_is_given_whole_and_then_every_change() {
        let mut ear = Ear::default();
        let (put, gone) = (format!("8 + {ROW}"), "9 - a tcp:h:7 lease=l1");
        let news = heard(&mut ear, &["ok 7", ROW, ROW, "", &put, gone]);
        assert_eq!(revisions(&news), [7, 8, 9]);
        let News::Snapshot { instances, .. } = &news[0] else { panic!("{news:?}") };
        assert_eq!((instances.len(), instances[0].left), (2, Some(Duration::from_millis(29_999))));
        assert_eq!(ear.revision(), Some(Revision(9)));
    }

    #[test]
    fn after_a_break_it_goes_on_or_begins_anew_as_the_registry_says() {
        let mut ear = Ear::default();
        heard(&mut ear, &["ok 7", ""]);
        ear.begin();
        let put = format!("8 + {ROW}");
        assert_eq!(revisions(&heard(&mut ear, &["ok 8 changes", &put])), [8]);
        ear.begin();
        assert_eq!(revisions(&heard(&mut ear, &["ok 20 snapshot", ""])), [20]);
    }

    #[test]
    fn a_break_within_a_snapshot_leaves_what_was_known() {
        let mut ear = Ear::default();
        heard(&mut ear, &["ok 7", ROW]);
        assert_eq!(ear.revision(), None);
        ear.begin();
        assert_eq!(revisions(&heard(&mut ear, &["ok 9", ""])), [9]);
    }

    #[test]
    fn a_prefix_that_means_something_else_is_refused() {
        assert_eq!(watch_command("", None).unwrap(), "WATCH");
        assert_eq!(watch_command("a.b", Some(Revision(7))).unwrap(), "WATCH a.b after=7");
        for odd in ["after=3", "a b", "a after=3", "\n", "A"] {
            assert!(watch_command(odd, None).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_answer_row_or_change_is_an_error() {
        for lines in [
            &["ok x"][..],
            &["ok 7", "nonsense"],
            &["ok 7", "", "nonsense"],
            &["ok 7", "", "error busy slow"],
            &["error busy full"],
        ] {
            let mut ear = Ear::default();
            assert!(lines.iter().any(|line| ear.hear(line).is_err()), "{lines:?}");
        }
    }
}
