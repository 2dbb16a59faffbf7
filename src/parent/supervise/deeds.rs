//! What the table wants done is done here.
//!
//! Enters: [`Action`]s, ended processes. Leaves: children, watches, signals, and the [`Event`]s of how that went.

use std::io;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::Parent;
use crate::heritage::{Heritage, ToChild};
use crate::parent::child::Child;
use crate::parent::rows;
use crate::parent::table::restart::Exit;
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
            Todo::HandOver { pid } => self.hand_over(host, pid),
            Todo::Retire { pid } => self.signal(host, pid, Signal::SIGTERM),
            Todo::Kill { pid } => {
                tracing::warn!(host = self.name(host), "child {pid} is killed");
                self.signal(host, pid, Signal::SIGKILL);
            }
        }
    }

    /// One that cannot be told retires, which costs its requesters their connection but no reply.
    fn hand_over(&mut self, host: HostId, pid: i32) {
        tracing::info!(host = self.name(host), "child {pid} hands over to its successor");
        let was_told = self.child_of(host, Pid::from_raw(pid)).is_some_and(|child| child.say(&ToChild::HandOver));
        if !was_told {
            tracing::warn!(host = self.name(host), "child {pid} does not read what it is told; it retires instead");
            self.signal(host, pid, Signal::SIGTERM);
        }
    }

    fn spawn(&mut self, host: HostId) {
        let event = match self.start_child(host) {
            Ok(child) => {
                let pid = child.pid().as_raw();
                tracing::info!(host = self.name(host), "child {pid} started");
                if let Some(hands) = self.hands.get_mut(host.0) {
                    hands.watch = None;
                    hands.children.push(child);
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

    fn start_child(&mut self, host: HostId) -> io::Result<Child> {
        let gone = || io::Error::other("the host is gone");
        let plan = self.table.get(host).ok_or_else(gone)?.plan.clone();
        if let Some(sockets) = self.hands.get_mut(host.0).and_then(|hands| hands.sockets.as_mut()) {
            sockets.mend(&plan.role, &self.manager);
        }
        let sockets = self.hands.get(host.0).and_then(|hands| hands.sockets.as_ref()).ok_or_else(gone)?;
        let hands = self.hands.get(host.0).map(|hands| hands.children.as_slice()).unwrap_or_default();
        let inlets: Vec<_> = hands.iter().map(Child::inlet).collect();
        let heritage = Heritage { debug: self.debug, inlets: inlets.len(), ..plan };
        Child::start(host, &heritage, &sockets.descriptors(), &inlets, &self.notes.0)
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
            let is_deferred = entry.host().is_some_and(|host| host.deferred);
            is_deferred && !entry.knows_backlog() && may_have_backlog(&self.settings.daemon.spool_of(entry.name()))
        })
    }

    /// Lets the registry know how the hosts are, if it does not.
    pub(super) fn tell_registry(&mut self, now: Instant) {
        let registry = self.table.registry().and_then(|(host, entry)| Some((host, entry.serving()?)));
        let states = rows::states(&self.table, now);
        if !self.rows.are_due(registry.map(|(_, pid)| pid), &states, now) {
            return;
        }
        let told = ToChild::Hosts(rows::rows(&self.table, &self.settings.daemon, &states));
        let child = registry.and_then(|(host, pid)| self.child_of(host, Pid::from_raw(pid)));
        let was_read = child.is_some_and(|child| child.say(&told));
        self.rows.told(was_read.then_some(states), now);
    }

    pub(super) fn reap(&mut self) {
        for host in (0..self.hands.len()).map(HostId) {
            if let Some(hands) = self.hands.get_mut(host.0) {
                hands.children.iter_mut().for_each(Child::reap);
                self.end(host);
            }
        }
    }

    /// Lets the table know of the children of `host` that have ended completely.
    pub(super) fn end(&mut self, host: HostId) {
        let Some(hands) = self.hands.get_mut(host.0) else {
            return;
        };
        let ended = hands.children.extract_if(.., |child| child.ended().is_some());
        let ended: Vec<_> = ended.filter_map(|child| Some((child.pid(), child.ended()?))).collect();
        for (pid, exit) in ended {
            self.is_gone(host, pid, exit);
        }
    }

    fn is_gone(&mut self, host: HostId, pid: Pid, exit: Exit) {
        self.questions.gone(host);
        self.relays.gone(host, pid);
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

    fn signal(&mut self, host: HostId, pid: i32, signal: Signal) {
        if let Some(child) = self.child_of(host, Pid::from_raw(pid)) {
            child.signal(signal);
        }
    }
}
