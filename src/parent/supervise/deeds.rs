//! What the table wants done is done here.
//!
//! Enters: [`Action`]s, ended processes. Leaves: children, watches, signals, and the [`Event`]s of how that went.

use std::io;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::Parent;
use crate::heritage::Heritage;
use crate::parent::child::Child;
use crate::parent::table::{Action, Event, HostId, Todo};
use crate::spool::sign::may_have_backlog;

impl Parent {
    pub(super) fn apply(&mut self, host: HostId, event: Event) {
        for action in self.table.apply(host, event, Instant::now()) {
            self.act(action);
        }
    }

    pub(super) fn act(&mut self, Action { host, todo }: Action) {
        match todo {
            Todo::Spawn => self.spawn(host),
            Todo::Watch => self.watch(host),
            // A table that inherits nothing has no predecessors.
            Todo::HandOver { .. } => {}
            Todo::Retire { .. } => self.signal(host, Signal::SIGTERM),
            Todo::Kill { .. } => {
                tracing::warn!(host = self.name(host), "the child is killed");
                self.signal(host, Signal::SIGKILL);
            }
        }
    }

    fn spawn(&mut self, host: HostId) {
        let event = match self.start_child(host) {
            Ok(child) => {
                let pid = child.pid().as_raw();
                tracing::info!(host = self.name(host), "child {pid} started");
                if let Some(hands) = self.hands.get_mut(host.0) {
                    hands.watch = None;
                    hands.child = Some(child);
                }
                Event::Started { pid }
            }
            Err(error) => {
                tracing::error!(host = self.name(host), "cannot start a child: {error}");
                Event::NotStarted { reason: format!("cannot start a child: {error}") }
            }
        };
        self.apply(host, event);
    }

    fn start_child(&self, host: HostId) -> io::Result<Child> {
        let gone = || io::Error::other("the host is gone");
        let plan = self.table.get(host).ok_or_else(gone)?.plan.clone();
        let sockets = self.hands.get(host.0).and_then(|hands| hands.sockets.as_ref()).ok_or_else(gone)?;
        let heritage = Heritage { debug: self.debug, ..plan };
        Child::start(host, &heritage, &sockets.descriptors(), &self.notes.0)
    }

    /// Starts the child as soon as a requester comes; at once, if it may have a backlog that nobody has told of.
    fn watch(&mut self, host: HostId) {
        if self.may_have_backlog(host) {
            tracing::info!(host = self.name(host), "requests may be stored; its child starts now");
            return self.apply(host, Event::Wanted);
        }
        let Some(hands) = self.hands.get_mut(host.0) else {
            return;
        };
        let Some(sockets) = &hands.sockets else {
            return;
        };
        match sockets.watch(host, &self.notes.0) {
            Ok(watch) => hands.watch = Some(watch),
            Err(error) => {
                // A child that nobody wants yet is better than a host that nobody serves.
                tracing::error!(host = self.name(host), "cannot watch its sockets: {error}; its child starts now");
                self.apply(host, Event::Wanted);
            }
        }
    }

    fn may_have_backlog(&self, host: HostId) -> bool {
        self.table.get(host).is_some_and(|entry| {
            let settings = entry.settings();
            settings.deferred && !entry.knows_backlog() && may_have_backlog(&self.daemon.spool_of(&settings.name))
        })
    }

    pub(super) fn reap(&mut self) {
        for host in (0..self.hands.len()).map(HostId) {
            if let Some(child) = self.child(host) {
                child.reap();
                self.end(host);
            }
        }
    }

    /// If the child of `host` has ended completely, lets the table know.
    pub(super) fn end(&mut self, host: HostId) {
        let Some(hands) = self.hands.get_mut(host.0) else {
            return;
        };
        let Some((pid, exit)) = hands.child.as_ref().and_then(|child| Some((child.pid(), child.ended()?))) else {
            return;
        };
        hands.child = None;
        self.questions.gone(host);
        self.relays.gone(host);
        let now = Instant::now();
        let actions = self.table.apply(host, Event::Exited { pid: pid.as_raw(), exit }, now);
        let rest = self.table.get(host).and_then(|entry| entry.resting(now));
        let name = self.name(host);
        match rest {
            Some(rest) => tracing::warn!(host = name, "child {pid} is gone: {exit}; the next one starts in {rest:.1?}"),
            None => tracing::info!(host = name, "child {pid} is gone: {exit}"),
        }
        for action in actions {
            self.act(action);
        }
    }

    fn signal(&mut self, host: HostId, signal: Signal) {
        if let Some(child) = self.child(host) {
            child.signal(signal);
        }
    }
}
