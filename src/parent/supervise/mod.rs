//! The loop of the parent: what happens → [`Table`] → what is done about it.
//!
//! Enters: signals, [`Note`]s, the passing of time. Leaves: an exit code. Promised: nothing in here waits but the loop
//! itself, so a signal is heard whatever the children do.
//!
//! - [`deeds`] — what the table wants done: children are started, watched for, signalled, waited for
//! - [`asked`] — what is asked at the control socket or by USR1: questions to the children, the status

mod asked;
mod deeds;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::unistd::Pid;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::Note;
use super::child::Child;
use super::control::{self, Answer};
use super::questions::Questions;
use super::relays::Relays;
use super::signals::{Caught, Signals};
use super::sockets::{HostSockets, Watch};
use super::systemd::Manager;
use super::table::child::GRACE;
use super::table::made::Build;
use super::table::{Event, HostId, Table};
use crate::cli::exit;
use crate::config::{DaemonSettings, Settings};
use crate::heritage::{Heritage, ToChild, ToParent};
use crate::logging;

/// Notes that wait for the loop; who sends more waits.
const NOTES: usize = 256;

/// READY=1 is said after this time even if a child has not said that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the parent holds for one host.
struct Hands {
    /// None once a stop has begun: newcomers are refused then, rather than left waiting for nobody.
    sockets: Option<HostSockets>,
    child: Option<Child>,
    /// While there is no child and a requester would start one.
    watch: Option<Watch>,
}

/// Who waits for a status.
enum Wants {
    File,
    Requester {
        only: Option<HostId>,
        reply: oneshot::Sender<Answer>,
    },
    /// Nobody: the question alone shows whether the children live.
    Watchdog,
}

/// The parent itself.
pub(super) struct Parent {
    table: Table,
    hands: Vec<Hands>,
    questions: Questions<Wants>,
    relays: Relays<oneshot::Sender<Answer>>,
    last_ask: u64,
    manager: Manager,
    /// How often to tell the manager that the parent lives, and when next.
    beat: Option<(Duration, Instant)>,
    daemon: DaemonSettings,
    drain: Duration,
    debug: bool,
    started: Timestamp,
    ready_by: Instant,
    code: u8,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
}

impl Parent {
    pub(super) fn new(settings: Settings, sockets: Vec<HostSockets>, build: Build) -> Self {
        let now = Instant::now();
        // Without a watchdog nobody is killed for silence: under a debugger a child may well be silent. With one, a
        // child that hangs is killed and started again by the parent, so that the manager, which can only kill all of
        // us, never has to: the parent goes on feeding the watchdog whatever its children do.
        let patience = Manager::watchdog();
        let plans = settings.hosts.iter().zip(&sockets).map(|(host, sockets)| Heritage {
            host: host.clone(),
            listeners: sockets.kinds(),
            spool: host.deferred.then(|| settings.daemon.spool_of(&host.name)),
            log: settings.log.clone(),
            debug: false,
            drain: settings.drain,
            inlets: 0,
        });
        Self {
            table: Table::new(plans.collect(), build, 1, patience, now),
            hands: sockets
                .into_iter()
                .map(|sockets| Hands { sockets: Some(sockets), child: None, watch: None })
                .collect(),
            questions: Questions::new(),
            relays: Relays::new(),
            last_ask: 0,
            manager: Manager::from_environment(),
            beat: patience.map(|interval| (interval / 2, now)),
            daemon: settings.daemon,
            drain: settings.drain,
            debug: false,
            // Whole seconds are enough for people.
            started: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
            ready_by: now + READY_WITHIN,
            code: exit::OK,
            notes: mpsc::channel(NOTES),
        }
    }

    /// Until a stop is complete.
    pub(super) async fn run(mut self, mut signals: Signals, control: UnixListener) -> u8 {
        let control = tokio::spawn(control::serve(control, self.notes.0.clone()));
        for host in (0..self.hands.len()).map(HostId) {
            self.apply(host, Event::Boot);
        }
        while !self.table.is_over() {
            let wake = self.next_wake();
            tokio::select! {
                Some(note) = self.notes.1.recv() => self.note(note),
                caught = signals.next() => self.caught(caught),
                () = sleep_until(wake.into()) => {}
            }
            self.after_each();
        }
        control.abort();
        tracing::info!("all children are gone; exit code {}", self.code);
        self.code
    }

    /// What depends on the time, or on anything that may have happened.
    fn after_each(&mut self) {
        let now = Instant::now();
        for action in self.table.tick(now) {
            self.act(action);
        }
        self.keep_alive(now);
        for who in self.questions.complete(now) {
            self.tell_status(who);
        }
        for (reply, host, why) in self.relays.failed(now) {
            self.no_answer(reply, host, why);
        }
        if !self.manager.is_ready() && !self.table.is_stopping() && (self.table.is_settled() || now >= self.ready_by) {
            self.manager.ready();
        }
        self.manager.counts(self.table.counts(now));
    }

    fn next_wake(&self) -> Instant {
        let is_due = !self.manager.is_ready() && !self.table.is_stopping();
        let ready_by = Some(self.ready_by).filter(|_| is_due);
        let beat = self.beat.map(|(_, next)| next);
        let wakes = [self.table.next_tick(), self.questions.next(), self.relays.next(), ready_by, beat];
        // With nothing to wait for, any time far enough away will do.
        wakes.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn keep_alive(&mut self, now: Instant) {
        if let Some((interval, next)) = &mut self.beat
            && *next <= now
        {
            *next = now + *interval;
            self.manager.alive();
            self.ask(None, Wants::Watchdog);
        }
    }

    fn caught(&mut self, caught: Caught) {
        match caught {
            Caught::Stop if self.table.is_stopping() => self.stop_now(),
            Caught::Stop => self.stop(),
            Caught::StopNow => self.stop_now(),
            Caught::Restart => {
                tracing::warn!("restart by HUP is not in this version; stop and start instead");
            }
            Caught::WriteStatus => self.ask(None, Wants::File),
            Caught::ToggleDebug => self.toggle_debug(),
            Caught::ChildEnded => self.reap(),
        }
    }

    fn stop(&mut self) {
        let drain = self.drain.as_secs_f32();
        tracing::info!("stopping: children have {drain} s to answer what they owe; a second signal stops at once");
        self.refuse_newcomers();
        for action in self.table.stop(Instant::now() + self.drain + GRACE) {
            self.act(action);
        }
    }

    fn stop_now(&mut self) {
        tracing::warn!("stopping at once");
        self.code = 1;
        self.refuse_newcomers();
        for action in self.table.stop_now(Instant::now()) {
            self.act(action);
        }
    }

    fn refuse_newcomers(&mut self) {
        self.manager.stopping();
        for hands in &mut self.hands {
            hands.watch = None;
            hands.sockets = None;
        }
    }

    fn toggle_debug(&mut self) {
        self.debug = !self.debug;
        logging::set_debug(self.debug);
        tracing::info!("debug logging is {}", if self.debug { "on" } else { "off" });
        for child in self.hands.iter().filter_map(|hands| hands.child.as_ref()) {
            if !child.say(&ToChild::Debug { on: self.debug }) {
                tracing::warn!("process {} does not read what it is told", child.pid());
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Said { host, pid, message } if self.is_current(host, pid) => {
                self.said(host, pid.as_raw(), message);
            }
            Note::ChannelEnded { host, pid } if self.is_current(host, pid) => {
                if let Some(child) = self.child(host) {
                    child.channel_ended();
                    child.reap();
                }
                self.end(host);
            }
            Note::Said { .. } | Note::ChannelEnded { .. } => {}
            Note::Wanted { host } => self.apply(host, Event::Wanted),
            Note::Request { request, reply } => self.requested(request, reply),
        }
    }

    fn is_current(&self, host: HostId, pid: Pid) -> bool {
        let child = self.hands.get(host.0).and_then(|hands| hands.child.as_ref());
        child.is_some_and(|child| child.pid() == pid)
    }

    fn child(&mut self, host: HostId) -> Option<&mut Child> {
        self.hands.get_mut(host.0)?.child.as_mut()
    }

    fn said(&mut self, host: HostId, pid: i32, message: ToParent) {
        let event = match message {
            ToParent::Ready => {
                tracing::debug!(host = self.name(host), "ready");
                Event::Ready { pid }
            }
            ToParent::Reach { up, reason } => Event::Reach { pid, up, reason },
            ToParent::Backlog { waiting } => Event::Backlog { pid, waiting },
            ToParent::Spool { ask, answer } => return self.relayed(host, ask, answer),
            ToParent::Farewell { snapshot } => Event::Farewell { pid, snapshot },
            ToParent::LastWords { text } => Event::LastWords { pid, text },
            ToParent::Snapshot { ask, snapshot } => {
                self.questions.answered(host, ask);
                Event::Answered { pid, ask, snapshot }
            }
        };
        self.apply(host, event);
    }

    fn name(&self, host: HostId) -> &str {
        self.table.get(host).map_or("?", |entry| &entry.settings().name)
    }
}
