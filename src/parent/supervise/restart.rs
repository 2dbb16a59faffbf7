//! A restart: rehearsed, prepared, and then the next image goes on in the same process.
//!
//! ```text
//! Idle ── asked for ──▶ Rehearsing ── fit ──▶ Pausing ── everybody is answered ─────▶ exec
//!   ▲                       │                    │                                        │
//!   └──── complaint ────────┴──── a stop ────────┘◀──────────── complaint ────────────────┘
//! ```
//!
//! Enters: requests for a restart, how the rehearsal ends, the time. Leaves: the next image, or a complaint in the log and
//! the status. Promised: until the exec nothing is given up that could not be had again; if it fails, all is as before.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use jiff::Timestamp;
use nix::unistd::Pid;

use super::{Parent, Wants};
use crate::parent::child::Child;
use crate::parent::control::Desk;
use crate::parent::heritage::{ChildEnds, Conversation, Heritage, Lock, Socket};
use crate::parent::rehearsal::{Complaint, Rehearsal};
use crate::parent::sockets::Listening;
use crate::parent::status::{RestartFault, RestartStatus};
use crate::parent::table::HostId;
use crate::system::binary::BinaryId;
use crate::system::reexec::{become_image, in_memory};

/// Children of one host that still hand over, at most: a further restart waits for them, lest a service that is restarted
/// without a pause collects processes.
const MOST_PREDECESSORS: usize = 8;

/// What is known of restarts.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// How many were asked for. One restart serves all that were asked for before it began.
    pub(super) asked: u64,
    /// How many of them have ended, one way or the other.
    pub(super) ended: u64,
    /// When the last one ended.
    pub(super) at: Option<Timestamp>,
    /// Why the last one failed.
    pub(super) complaint: Option<Complaint>,
    /// Why the next one does not begin yet.
    waiting: String,
    /// Rehearsals that were given up and killed, and are still to be waited for.
    killed: Vec<Rehearsal>,
    step: Step,
}

/// How far a restart is.
#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    Rehearsing {
        rehearsal: Rehearsal,
        binary: BinaryId,
        serves: u64,
    },
    Pausing {
        binary: BinaryId,
        serves: u64,
        desk: Option<Desk>,
    },
}

impl Restart {
    /// For an image that is itself the restart which was asked for.
    pub(super) fn after(asked: u64, serves: u64, complaint: Option<Complaint>) -> Self {
        let at = (serves > 0).then(Timestamp::now);
        Self { asked, ended: serves, at, complaint, ..Self::default() }
    }

    /// For the status, which knows the rest from the table.
    pub(super) fn status(&self) -> RestartStatus {
        RestartStatus {
            asked: self.asked,
            ended: self.ended,
            at: self.at,
            complaint: self.complaint.as_ref().map(|complaint| complaint.text.clone()).unwrap_or_default(),
            fault: self.complaint.as_ref().map_or(RestartFault::None, |complaint| complaint.fault),
            waiting: self.waiting.clone(),
            ..RestartStatus::default()
        }
    }

    /// When something is due.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        match &self.step {
            Step::Rehearsing { rehearsal, .. } => rehearsal.next_tick(),
            Step::Idle | Step::Pausing { .. } => None,
        }
    }

    pub(super) fn reap(&mut self) {
        if let Step::Rehearsing { rehearsal, .. } = &mut self.step {
            rehearsal.reap();
        }
        self.killed.retain_mut(|rehearsal| {
            rehearsal.reap();
            !rehearsal.is_gone()
        });
    }

    pub(super) fn rehearsed(&mut self, pid: Pid, text: String) {
        if let Step::Rehearsing { rehearsal, .. } = &mut self.step {
            rehearsal.said(pid, text);
        }
    }
}

impl Parent {
    /// Somebody wants a restart. Returns the number of his wish.
    pub(super) fn want_restart(&mut self) -> u64 {
        self.restart.asked += 1;
        self.restart.asked
    }

    /// The control socket is served no more, for now.
    pub(super) fn control_paused(&mut self, paused: Desk) {
        match &mut self.restart.step {
            Step::Pausing { desk, .. } => *desk = Some(paused),
            // The restart was given up meanwhile.
            _ => self.serve_control(paused),
        }
    }

    /// Does what is due. Says whether the next image may take over.
    pub(super) fn advance_restart(&mut self, now: Instant) -> bool {
        match &mut self.restart.step {
            Step::Idle => {
                if self.restart.asked > self.restart.ended && !self.table.is_stopping() {
                    self.begin_restart(now);
                }
                false
            }
            Step::Rehearsing { rehearsal, binary, serves } => {
                rehearsal.tick(now);
                let (binary, serves) = (*binary, *serves);
                if let Some(verdict) = rehearsal.verdict() {
                    match verdict.and_then(|version| self.still_is(binary).map(|()| version)) {
                        Ok(version) => self.pause(&version, binary, serves),
                        Err(complaint) => self.restart_failed(serves, complaint),
                    }
                }
                false
            }
            // It comes back once every conversation has its answer.
            Step::Pausing { desk, .. } => desk.is_some(),
        }
    }

    fn begin_restart(&mut self, now: Instant) {
        if self.table.most_predecessors() >= MOST_PREDECESSORS {
            "children that were replaced before still end what they owe".clone_into(&mut self.restart.waiting);
            return;
        }
        if !self.restart.killed.is_empty() {
            // The next image would not know whom to wait for.
            return;
        }
        self.restart.waiting.clear();
        let serves = self.restart.asked;
        self.manager.reloading();
        match self.rehearse(now) {
            Ok((rehearsal, binary)) => self.restart.step = Step::Rehearsing { rehearsal, binary, serves },
            Err(error) => {
                let path = self.binary.display();
                self.restart_failed(serves, Complaint::about_binary(format!("{path} cannot be run: {error}")));
            }
        }
    }

    fn rehearse(&mut self, now: Instant) -> io::Result<(Rehearsal, BinaryId)> {
        let binary = BinaryId::of(&self.binary)?;
        let heritage = serde_json::to_vec(&self.heritage(None, 0, now))?;
        let file = &self.settings.file;
        let rehearsal = Rehearsal::start(&self.binary, file, in_memory(&heritage)?, &self.notes.0, now)?;
        Ok((rehearsal, binary))
    }

    /// What was rehearsed must be what takes over.
    fn still_is(&self, rehearsed: BinaryId) -> Result<(), Complaint> {
        if BinaryId::of(&self.binary).is_ok_and(|now| now == rehearsed) {
            return Ok(());
        }
        let text = format!("{} was changed while it was tried; restart again", self.binary.display());
        Err(Complaint::about_binary(text))
    }

    fn pause(&mut self, version: &str, binary: BinaryId, serves: u64) {
        tracing::info!("tieline {version} and the configuration are fit to take over");
        // Nobody listens: the control socket is served no more already.
        self.pause_control.send(true).ok();
        self.restart.step = Step::Pausing { binary, serves, desk: None };
    }

    fn restart_failed(&mut self, serves: u64, complaint: Complaint) {
        tracing::error!("no restart, everything stays as it is: {}", complaint.text);
        self.restart.ended = serves;
        self.restart.at = Some(Timestamp::now());
        self.restart.complaint = Some(complaint);
        self.give_restart_up();
        // Whoever has heard RELOADING waits for this.
        self.manager.ready();
    }

    /// Nothing comes of the restart that is under way.
    pub(super) fn give_restart_up(&mut self) {
        match std::mem::take(&mut self.restart.step) {
            Step::Rehearsing { rehearsal, .. } if !rehearsal.is_gone() => {
                rehearsal.kill();
                self.restart.killed.push(rehearsal);
            }
            Step::Pausing { desk: Some(desk), .. } => self.serve_control(desk),
            Step::Idle | Step::Rehearsing { .. } | Step::Pausing { .. } => {}
        }
    }

    /// Becomes the next image. Returns only if that cannot be done.
    pub(super) async fn take_over(&mut self) {
        let Step::Pausing { binary, serves, desk: Some(desk) } = std::mem::take(&mut self.restart.step) else {
            return;
        };
        self.take_channels().await;
        let complaint = self.still_is(binary).err().unwrap_or_else(|| {
            let error = self.exec(&desk, serves);
            Complaint::about_binary(format!("{} cannot be run: {error}", self.binary.display()))
        });
        self.serve_channels();
        self.serve_control(desk);
        self.restart_failed(serves, complaint);
    }

    fn exec(&self, desk: &Desk, serves: u64) -> io::Error {
        let heritage = self.heritage(Some(desk), serves, Instant::now());
        let words = [self.binary.clone().into(), "run".into(), "--config".into(), self.settings.file.clone().into()];
        let exec = |heritage: &[u8]| become_image(&self.binary, &words as &[OsString], heritage, &self.kept(desk));
        match serde_json::to_vec(&heritage).map_err(io::Error::from).and_then(|heritage| exec(&heritage)) {
            Err(error) => error,
        }
    }

    /// Takes all control channels back, and what came through them until then.
    async fn take_channels(&mut self) {
        loop {
            let mut taken = Vec::new();
            for (at, hands) in self.hands.iter_mut().enumerate() {
                for child in &mut hands.children {
                    taken.extend(child.take_channel().map(|task| (HostId(at), child.pid(), task)));
                }
            }
            if taken.is_empty() {
                return;
            }
            // A task that has something to say may wait for room.
            let mut notes = Vec::new();
            for (host, pid, mut task) in taken {
                let idle = loop {
                    tokio::select! {
                        idle = &mut task => break idle.ok().flatten(),
                        Some(note) = self.notes.1.recv() => notes.push(note),
                    }
                };
                if let (Some(child), Some(idle)) = (self.child_of(host, pid), idle) {
                    child.taken(idle);
                }
            }
            while let Ok(note) = self.notes.1.try_recv() {
                notes.push(note);
            }
            // What they lead to may be a child more, whose channel must be taken, too.
            for note in notes {
                self.note(note);
            }
        }
    }

    fn serve_channels(&mut self) {
        for (at, hands) in self.hands.iter_mut().enumerate() {
            for child in &mut hands.children {
                if let Err(error) = child.serve_again(HostId(at), &self.notes.0) {
                    // The child sees the end of its channel, and retires.
                    tracing::error!("process {} cannot be listened to any more: {error}", child.pid());
                }
            }
        }
    }

    /// All that the next image needs. Without a desk it is for a rehearsal.
    fn heritage(&self, desk: Option<&Desk>, serves: u64, now: Instant) -> Heritage {
        Heritage {
            build: self.build.clone(),
            binary: self.binary.clone(),
            generation: self.table.generation(),
            started: self.started,
            debug: self.debug,
            last_ask: self.last_ask,
            status_owed: self.questions.any(|who| matches!(who, Wants::File)),
            asked: self.restart.asked,
            serves,
            settings: self.settings.clone(),
            hosts: self.table.bequeath(now),
            sockets: self.listening().map(Socket::of).collect(),
            control: Some(Socket::of(&self.control)),
            pid_file: Some(Lock { path: self.pid_file.path().to_owned(), fd: self.pid_file.as_fd().as_raw_fd() }),
            children: self.children().map(ends).collect(),
            conversations: desk.into_iter().flat_map(|desk| &desk.conversations).map(paused).collect(),
        }
    }

    /// The descriptors of all that [`Parent::heritage`] names.
    fn kept<'a>(&'a self, desk: &'a Desk) -> Vec<BorrowedFd<'a>> {
        let sockets = self.listening().map(|each| each.fd.as_fd());
        let channels = self.children().filter_map(|child| Some(child.idle()?.socket.as_fd()));
        let inlets = self.children().map(Child::inlet);
        let conversations = desk.conversations.iter().map(|each| each.socket.as_fd());
        let own = [self.control.fd.as_fd(), self.pid_file.as_fd()];
        sockets.chain(channels).chain(inlets).chain(conversations).chain(own).collect()
    }

    fn listening(&self) -> impl Iterator<Item = &Listening> {
        self.hands.iter().filter_map(|hands| hands.sockets.as_ref()).flat_map(|sockets| sockets.all())
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        self.hands.iter().flat_map(|hands| &hands.children)
    }
}

fn ends(child: &Child) -> ChildEnds {
    let idle = child.idle();
    ChildEnds {
        pid: child.pid().as_raw(),
        inlet: child.inlet().as_raw_fd(),
        channel: idle.map(|idle| idle.socket.as_raw_fd()),
        unread: idle.map(|idle| idle.unread.clone()).unwrap_or_default(),
        unsent: idle.map(|idle| idle.unsent.clone()).unwrap_or_default(),
    }
}

fn paused(pause: &crate::parent::control::Pause) -> Conversation {
    Conversation { fd: pause.socket.as_raw_fd(), unread: pause.unread.clone() }
}
