//! What is asked of the parent: questions go to the children, answers to who asked.
//!
//! Enters: requests of the control socket, SIGUSR1, the beat of the watchdog. Leaves: answers, the status file.
//! Promised: every request is answered once, whatever the children do: within a second, about a spool within five.

use std::time::Instant;

use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Parent, Wants};
use crate::heritage::ToChild;
use crate::parent::control::{Answer, Request};
use crate::parent::relays::{ANSWER_WITHIN, Failure};
use crate::parent::status::{Moment, Status};
use crate::parent::status_file;
use crate::parent::table::entry::Entry;
use crate::parent::table::{Event, HostId};

impl Parent {
    pub(super) fn requested(&mut self, request: Request, reply: oneshot::Sender<Answer>) {
        let name = match &request {
            Request::Restart {} => None,
            Request::Status { host } => host.as_deref(),
            Request::Probe { host } | Request::Spool { host, .. } => Some(host.as_str()),
        };
        let only = name.and_then(|name| self.table.find(name));
        if let (Some(name), None) = (name, only) {
            let text = self.unknown(name);
            return answer(reply, Answer::Error(text));
        }
        match (only, request) {
            (_, Request::Restart {}) => answer(reply, self.asked_to_restart()),
            (Some(host), Request::Probe { host: name }) => answer(reply, self.probe(&name, host)),
            (Some(host), Request::Spool { host: name, start, command }) => {
                self.relay(&name, host, start, command, reply);
            }
            _ => self.ask(only, Wants::Requester { only, reply }),
        }
    }

    /// As by HUP. What comes of it stands in the status, whose number says when.
    fn asked_to_restart(&mut self) -> Answer {
        if self.table.is_stopping() {
            return Answer::Error("tieline is stopping".to_owned());
        }
        tracing::info!("restart: asked for at the control socket");
        Answer::Ok(json!({ "asked": self.want_restart() }))
    }

    /// Passes a question about the spool on to the child that has it open.
    fn relay(&mut self, name: &str, host: HostId, start: bool, command: Value, reply: oneshot::Sender<Answer>) {
        if !self.table.get(host).is_some_and(|entry| entry.host().is_some_and(|host| host.deferred)) {
            let text = format!("{name} has no spool: it was not `deferred` when this tieline was started");
            return answer(reply, Answer::Error(text));
        }
        let ask = self.relays.next_ask();
        let is_ready = self.table.get(host).is_some_and(Entry::is_ready);
        match self.child(host).filter(|_| is_ready).map(|child| child.say(&ToChild::Spool { ask, command })) {
            Some(true) => {
                let pid = self.table.get(host).and_then(Entry::serving).unwrap_or_default();
                self.relays.put(reply, host, Pid::from_raw(pid), ask, Instant::now());
            }
            Some(false) => answer(reply, Answer::Error(format!("the child of {name} does not read what it is told"))),
            None => {
                if start {
                    self.apply(host, Event::Wanted);
                }
                answer(reply, Answer::NoChild(format!("{name} has no child at the moment that could be asked")));
            }
        }
    }

    /// The child of `host` has answered.
    pub(super) fn relayed(&mut self, host: HostId, ask: u64, told: Value) {
        match self.relays.answered(host, ask) {
            Some(reply) => answer(reply, Answer::Ok(told)),
            None => tracing::warn!(host = self.name(host), "an answer about the spool came too late"),
        }
    }

    pub(super) fn no_answer(&self, reply: oneshot::Sender<Answer>, host: HostId, why: Failure) {
        let name = self.name(host);
        let why = match why {
            Failure::Gone => format!("the child of {name} died before it answered"),
            Failure::Hung => {
                let seconds = ANSWER_WITHIN.as_secs();
                format!("the child of {name} hangs, or waits for its disk: no answer within {seconds} s")
            }
        };
        answer(reply, Answer::Error(format!("{why}; whether it was done, `tieline spool list {name}` says later")));
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.table.hosts().map(|(_, entry)| entry.name()).collect();
        format!("no host is called {name}; there are: {}", names.join(", "))
    }

    fn probe(&mut self, name: &str, host: HostId) -> Answer {
        match self.child(host).map(|child| child.say(&ToChild::Probe)) {
            Some(true) => Answer::Ok(Value::Null),
            Some(false) => Answer::Error(format!("the child of {name} does not read what it is told")),
            None => Answer::Error(format!("{name} has no child at the moment that could be told to probe")),
        }
    }

    /// Asks every child, or that of `only`; `wants` is told when all have answered, or none may take longer.
    pub(super) fn ask(&mut self, only: Option<HostId>, wants: Wants) {
        let now = Instant::now();
        let hosts = (0..self.hands.len()).map(HostId).filter(|host| only.is_none_or(|only| only == *host));
        let owed = hosts.filter_map(|host| Some((host, self.ask_one(host)?))).collect();
        self.questions.put(wants, owed, now);
    }

    /// The number of the question whose answer is to be waited for. One who owes too many answers is not asked again;
    /// then it is the last one asked.
    fn ask_one(&mut self, host: HostId) -> Option<u64> {
        let ask = self.last_ask + 1;
        let can_be_asked = self.table.get(host)?.can_be_asked();
        if can_be_asked && self.child(host)?.say(&ToChild::Snapshot { ask }) {
            self.last_ask = ask;
            self.apply(host, Event::Asked { ask });
        }
        self.table.get(host)?.last_question()
    }

    pub(super) fn tell_status(&mut self, who: Wants) {
        let at = Moment::now();
        match who {
            Wants::Watchdog => {}
            Wants::Requester { only, reply } => {
                let status = Status::of(&self.table, only, self.started, self.restart.status(), at);
                let status = serde_json::to_value(status);
                answer(reply, status.map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok));
            }
            Wants::File => {
                let restart = self.restart.status();
                let status = Status::of(&self.table, None, self.started, restart, at);
                let path = &self.settings.daemon.status_file;
                match status_file::write(path, &status, at.wall) {
                    Ok(()) => tracing::info!("status written to {}", path.display()),
                    Err(error) => {
                        tracing::error!("cannot write the status file {}: {error}", path.display());
                    }
                }
            }
        }
    }
}

/// One who has gone away needs no answer.
fn answer(reply: oneshot::Sender<Answer>, answer: Answer) {
    reply.send(answer).ok();
}
