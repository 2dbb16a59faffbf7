//! The loop of the parent: what happens → [`Table`] → what is done about it.
//!
//! Enters: signals, [`Note`]s, the passing of time. Leaves: an exit code. Promised: nothing in here waits but the loop
//! itself, so a signal is heard whatever the children do.
//!
//! - [`deeds`] — what the table wants done: children are started, watched for, signalled, waited for
//! - [`asked`] — what is asked at the control socket or by USR1: questions to the children, the status
//! - [`restart`] — what leads to the next image, and back if it cannot be had

mod asked;
mod deeds;
mod restart;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::Note;
use super::child::Child;
use super::control::{self, Answer, Desk};
use super::heritage::ChildEnds;
use super::questions::Questions;
use super::reconcile::Fate;
use super::rehearsal::Complaint;
use super::relays::Relays;
use super::rows::Rows;
use super::signals::{Caught, Signals};
use super::sockets::{HostSockets, Listening, Watch};
use super::systemd::Manager;
use super::table::child::GRACE;
use super::table::entry::Entry;
use super::table::made::Build;
use super::table::{Action, Event, HostId, Table};
use crate::cli::exit;
use crate::config::Settings;
use crate::heritage::{ToChild, ToParent};
use crate::logging;
use crate::system::pid_file::PidFile;
use restart::Restart;

/// Notes that wait for the loop; who sends more waits.
const NOTES: usize = 256;

/// READY=1 is said after this time even if a child has not said that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the parent holds for one entry.
struct Hands {
    /// None once a stop has begun: newcomers are refused then, rather than left waiting for nobody.
    sockets: Option<HostSockets>,
    /// All that live, the newest last.
    children: Vec<Child>,
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

/// What a parent begins with, whether it is the first image or not.
pub(super) struct Estate {
    pub(super) settings: Settings,
    pub(super) build: Build,
    /// Where the binary is looked for at a restart.
    pub(super) binary: PathBuf,
    pub(super) manager: Manager,
    pub(super) pid_file: PidFile,
    pub(super) control: Listening,
    pub(super) desk: Desk,
    /// One for each fate; none for hosts that leave.
    pub(super) sockets: Vec<Option<HostSockets>>,
    pub(super) fates: Vec<Fate>,
    pub(super) before: Before,
}

/// What an image before this one has left that needs no deciding.
pub(super) struct Before {
    pub(super) generation: u64,
    pub(super) started: Timestamp,
    pub(super) debug: bool,
    pub(super) last_ask: u64,
    pub(super) status_owed: bool,
    /// How many restarts were asked for, and how many of these this image is for.
    pub(super) asked: u64,
    pub(super) serves: u64,
    /// What is wrong although this image goes on.
    pub(super) complaint: Option<Complaint>,
    pub(super) children: Vec<ChildEnds>,
}

/// The parent itself.
pub(super) struct Parent {
    table: Table,
    hands: Vec<Hands>,
    /// What is to be done first.
    first: Vec<Action>,
    questions: Questions<Wants>,
    relays: Relays<oneshot::Sender<Answer>>,
    /// What the registry knows of the hosts.
    rows: Rows,
    last_ask: u64,
    manager: Manager,
    /// How often to tell the manager that the parent lives, and when next.
    beat: Option<(Duration, Instant)>,
    restart: Restart,
    build: Build,
    binary: PathBuf,
    settings: Settings,
    control: Listening,
    /// Says when the control socket is to be served no more.
    pause_control: watch::Sender<bool>,
    serving_control: Option<AbortHandle>,
    debug: bool,
    started: Timestamp,
    ready_by: Instant,
    code: u8,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    /// Dropped last: while it is held, nobody else makes sockets here.
    pid_file: PidFile,
}

impl Parent {
    pub(super) fn new(estate: Estate) -> Self {
        let now = Instant::now();
        // Without a watchdog nobody is killed for silence: under a debugger a child may well be silent. With one, a
        // child that hangs is killed and started again by the parent, so that the manager, which can only kill all of
        // us, never has to: the parent goes on feeding the watchdog whatever its children do.
        let patience = Manager::watchdog();
        let Estate { settings, build, binary, manager, pid_file, control, desk, sockets, fates, before } = estate;
        let (table, first) = Table::inherit(fates, build.clone(), before.generation, patience, now);
        let hands = sockets.into_iter().map(|sockets| Hands { sockets, children: Vec::new(), watch: None });
        let restart = Restart::after(before.asked, before.serves, before.complaint);
        let mut parent = Self {
            table,
            hands: hands.collect(),
            first,
            questions: Questions::new(),
            relays: Relays::new(),
            rows: Rows::default(),
            last_ask: before.last_ask,
            manager,
            beat: patience.map(|interval| (interval / 2, now)),
            restart,
            build,
            binary,
            settings,
            pid_file,
            control,
            pause_control: watch::channel(false).0,
            serving_control: None,
            debug: before.debug,
            started: before.started,
            ready_by: now + READY_WITHIN,
            code: exit::OK,
            notes: mpsc::channel(NOTES),
        };
        logging::set_debug(parent.debug);
        parent.adopt(before.children);
        parent.serve_control(desk);
        if before.status_owed {
            parent.ask(None, Wants::File);
        }
        parent
    }

    /// Goes on with children that live already.
    fn adopt(&mut self, children: Vec<ChildEnds>) {
        for ends in children {
            let pid = Pid::from_raw(ends.pid);
            let of = |entry: &Entry| entry.children().any(|child| child.pid == ends.pid);
            let host = self.table.all().find(|(_, entry)| of(entry)).map(|(host, _)| host);
            match (host, ends.into_child(host, &self.notes.0)) {
                (Some(host), Some(child)) => {
                    if let Some(hands) = self.hands.get_mut(host.0) {
                        hands.children.push(child);
                    }
                }
                // The end of its channel makes it retire, if the table has forgotten it; nobody waits for it then.
                _ => tracing::error!("process {pid} is left to itself: what it was started for is not known"),
            }
        }
    }

    /// Serves the control socket, until there is a pause.
    fn serve_control(&mut self, desk: Desk) {
        self.pause_control = watch::channel(false).0;
        let serving = tokio::spawn(control::serve(desk, self.notes.0.clone(), self.pause_control.subscribe()));
        self.serving_control = Some(serving.abort_handle());
    }

    /// Until a stop is complete, or until the next image takes over.
    pub(super) async fn run(mut self, mut signals: Signals) -> u8 {
        for action in std::mem::take(&mut self.first) {
            self.act(action);
        }
        // What happened while there was no loop: the signal for it may have been spent on the image before this one.
        self.reap();
        self.after_each();
        while !self.table.is_over() {
            let wake = self.next_wake();
            tokio::select! {
                Some(note) = self.notes.1.recv() => self.note(note),
                caught = signals.next() => self.caught(caught),
                () = sleep_until(wake.into()) => {}
            }
            self.after_each();
            if self.advance_restart(Instant::now()) {
                self.take_over().await;
            }
        }
        if let Some(control) = &self.serving_control {
            control.abort();
        }
        tracing::info!("all children are gone; exit code {}", self.code);
        self.control.leave();
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
        if self.manager.owes_ready() && !self.table.is_stopping() && (self.table.is_settled() || now >= self.ready_by) {
            self.manager.ready();
        }
        self.manager.counts(self.table.counts(now));
        self.tell_registry(now);
    }

    fn next_wake(&self) -> Instant {
        let is_due = self.manager.owes_ready() && !self.table.is_stopping();
        let ready_by = Some(self.ready_by).filter(|_| is_due);
        let beat = self.beat.map(|(_, next)| next);
        let restart = self.restart.next_tick();
        let asked = [self.questions.next(), self.relays.next(), self.rows.next()];
        let wakes = [self.table.next_tick(), ready_by, beat, restart].into_iter().chain(asked);
        // With nothing to wait for, any time far enough away will do.
        wakes.flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
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
            Caught::Restart => drop(self.want_restart()),
            Caught::WriteStatus => self.ask(None, Wants::File),
            Caught::ToggleDebug => self.toggle_debug(),
            Caught::ChildEnded => {
                self.restart.reap();
                self.reap();
            }
        }
    }

    fn stop(&mut self) {
        self.give_restart_up();
        let drain = self.settings.drain.as_secs_f32();
        tracing::info!("stopping: children have {drain} s to answer what they owe; a second signal stops at once");
        self.refuse_newcomers();
        for action in self.table.stop(Instant::now() + self.settings.drain + GRACE) {
            self.act(action);
        }
    }

    fn stop_now(&mut self) {
        tracing::warn!("stopping at once");
        self.code = 1;
        self.give_restart_up();
        self.refuse_newcomers();
        for action in self.table.stop_now(Instant::now()) {
            self.act(action);
        }
    }

    fn refuse_newcomers(&mut self) {
        self.manager.stopping();
        for hands in &mut self.hands {
            hands.watch = None;
            if let Some(sockets) = hands.sockets.take() {
                sockets.leave();
            }
        }
    }

    fn toggle_debug(&mut self) {
        self.debug = !self.debug;
        logging::set_debug(self.debug);
        tracing::info!("debug logging is {}", if self.debug { "on" } else { "off" });
        for child in self.hands.iter_mut().flat_map(|hands| &mut hands.children) {
            if !child.say(&ToChild::Debug { on: self.debug }) {
                tracing::warn!("process {} does not read what it is told", child.pid());
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Said { host, pid, message } => self.said(host, pid, message),
            Note::ChannelEnded { host, pid } => {
                if let Some(child) = self.child_of(host, pid) {
                    child.channel_ended();
                    child.reap();
                }
                self.end(host);
            }
            Note::Wanted { host } => self.apply(host, Event::Wanted),
            Note::Request { request, reply } => self.requested(request, reply),
            Note::ControlPaused(desk) => self.control_paused(desk),
            Note::Rehearsed { pid, text } => self.restart.rehearsed(pid, text),
        }
    }

    fn child_of(&mut self, host: HostId, pid: Pid) -> Option<&mut Child> {
        self.hands.get_mut(host.0)?.children.iter_mut().find(|child| child.pid() == pid)
    }

    /// The child that serves `host`.
    fn child(&mut self, host: HostId) -> Option<&mut Child> {
        let pid = self.table.get(host)?.serving()?;
        self.child_of(host, Pid::from_raw(pid))
    }

    fn said(&mut self, host: HostId, from: Pid, message: ToParent) {
        let pid = from.as_raw();
        let event = match message {
            ToParent::Ready => {
                tracing::debug!(host = self.name(host), "child {pid} is ready");
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

    fn name(&self, host: HostId) -> String {
        self.table.get(host).map_or_else(|| "?".to_owned(), |entry| entry.role().title())
    }
}
