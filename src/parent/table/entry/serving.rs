//! Who serves a host, and what it tells. Pure.
//!
//! Enters: what children say of themselves and their host. Leaves: the host's numbers. Promised: how the host is, is
//! told by the child that serves it alone; what children counted is counted once, whoever tells it and when.

use std::time::Instant;

use super::{Entry, Life};
use crate::parent::table::Event;
use crate::parent::table::child::{Child, add};
use crate::parent::table::made::Made;
use crate::snapshot::{Reach, Snapshot};

impl Entry {
    pub(super) fn newest(&self) -> Option<&Child> {
        match &self.life {
            Life::Living(child) => Some(child),
            _ => None,
        }
    }

    /// Children before the newest one that still live, oldest first.
    pub(crate) fn predecessors(&self) -> &[Child] {
        &self.predecessors
    }

    /// All children that live, the newest one last.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Child> {
        self.predecessors.iter().chain(self.newest())
    }

    pub(super) fn child_mut(&mut self, pid: i32) -> Option<&mut Child> {
        let newest = match &mut self.life {
            Life::Living(child) => Some(child),
            _ => None,
        };
        self.predecessors.iter_mut().chain(newest).find(|child| child.pid == pid)
    }

    /// The child that serves.
    pub(super) fn server(&self) -> Option<&Child> {
        self.newest().filter(|child| child.serves()).or_else(|| self.predecessors.iter().rfind(|child| child.serves()))
    }

    /// The process ID of the child that serves: who is asked, and whose numbers are shown. The newest one if it is
    /// ready, else one that waits for its successor.
    pub(crate) fn serving(&self) -> Option<i32> {
        self.server().map(|child| child.pid)
    }

    /// The process ID for the status: that of the child that serves, else of the newest one that lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.serving().or_else(|| self.newest().map(|child| child.pid))
    }

    /// What the child that the status is about was started with.
    pub(crate) fn made(&self) -> Option<&Made> {
        self.server().or_else(|| self.newest()).map(|child| &*child.made)
    }

    /// Whether its child is being replaced and serves on meanwhile.
    pub(crate) fn has_serving_predecessor(&self) -> bool {
        self.predecessors.iter().any(Child::is_serving)
    }

    /// Takes in what a child says; whatever it may not say is dropped.
    pub(super) fn hear(&mut self, told: Event, now: Instant) {
        let server = self.serving();
        match told {
            Event::Asked { ask } if server.is_some() => self.questions.push_back((ask, now)),
            Event::Reach { pid, up, reason } if server == Some(pid) => {
                self.reach = if up { Reach::Up } else { Reach::Down };
                self.reason = reason;
            }
            Event::Backlog { pid, waiting } if server == Some(pid) => self.told_backlog(pid, waiting),
            Event::Answered { pid, ask, snapshot } => {
                if server == Some(pid) {
                    self.questions.retain(|(asked, _)| *asked > ask);
                }
                self.told(pid, *snapshot, now);
            }
            Event::Farewell { pid, snapshot } => self.told(pid, *snapshot, now),
            Event::LastWords { pid, text } if self.newest().is_some_and(|child| child.pid == pid) => {
                self.words = Some(text);
            }
            _ => {}
        }
    }

    fn told_backlog(&mut self, pid: i32, waiting: bool) {
        self.backlog = Some(waiting);
        if let Some(child) = self.child_mut(pid) {
            child.tells_backlog = true;
        }
    }

    fn told(&mut self, pid: i32, snapshot: Snapshot, now: Instant) {
        let serves = self.serving() == Some(pid);
        let Some(child) = self.child_mut(pid) else {
            return;
        };
        let (more, tells_backlog) = (child.count(&snapshot.outcomes), child.tells_backlog);
        add(&mut self.total, &more);
        if !serves {
            return;
        }
        if tells_backlog {
            // What was told at a change may be older than this.
            self.backlog = Some(snapshot.spool.depth > 0);
        }
        self.reach = snapshot.reach;
        self.reason.clone_from(&snapshot.reason);
        self.last = snapshot;
        self.answered_at = Some(now);
    }

    /// What was counted and what is stored stays; how the host was ends with who told it.
    pub(in crate::parent::table) fn forget_who_served(&mut self) {
        let last_log = std::mem::take(&mut self.last.last_log);
        let spool = std::mem::take(&mut self.last.spool);
        self.last = Snapshot { last_log, spool, ..Snapshot::default() };
        self.questions.clear();
        self.reach = Reach::Idle;
        self.reason.clear();
    }
}
