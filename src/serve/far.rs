//! The far end itself: requests → their handlers → answers.
//!
//! Enters: whole requests. Leaves: one answer to each. Promised: a request that was begun is carried out to its end or
//! its deadline, whether or not who asked is still there; after [`Stage::Halted`] whatever runs is ended by force.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::choice::Choice;
use super::desk::{Admission, Desk, Place};
use super::job::{Answer, Job};
use super::process::Process;
use super::reaper::Reaper;
use super::wire::{Failure, first_word};
use super::{exec, forward, worker};
use crate::child::tally::Tally;
use crate::config::HostSettings;
use crate::config::serve::{Action, ServeSettings};
use crate::dialect::{Dialect, Wish};
use crate::pool::open::Opener;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requesters are accepted.
    Serving,
    /// What is owed is answered; nothing else is begun.
    Retiring,
    /// Whatever runs is ended.
    Halted,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Far {
    settings: ServeSettings,
    choice: Choice,
    pub(super) desks: Vec<Rc<Desk>>,
    /// Of each handler that forwards, what opens its connections.
    openers: Vec<Option<Rc<Opener>>>,
    reaper: Rc<Reaper>,
    stage: watch::Sender<Stage>,
    /// Whether another process serves in its place already.
    succeeded: Cell<bool>,
    pub(super) tally: RefCell<Tally>,
    requesters: watch::Sender<u32>,
    pub(super) under_way: Cell<u64>,
}

impl Far {
    /// Begins to serve: nothing is started before it is needed. `registry`: where names are looked up that requests are
    /// forwarded to. Needs a `LocalSet`.
    #[must_use]
    pub fn new(settings: ServeSettings, reaper: Rc<Reaper>, registry: Option<&Path>) -> Rc<Self> {
        let choice = Choice::new(settings.dialect, &settings.handlers);
        let desks: Vec<_> = settings.handlers.iter().map(|handler| Desk::new(handler.clone())).collect();
        let openers = settings.handlers.iter().map(|handler| opener(&settings, &handler.action, registry)).collect();
        for desk in &desks {
            spawn_local(Rc::clone(desk).serve());
        }
        let (stage, tally) = (watch::Sender::new(Stage::Serving), RefCell::default());
        let (succeeded, requesters, under_way) = (Cell::new(false), watch::Sender::new(0), Cell::new(0));
        Rc::new(Self { settings, choice, desks, openers, reaper, stage, succeeded, tally, requesters, under_way })
    }

    /// What it goes by.
    #[must_use]
    pub fn settings(&self) -> &ServeSettings {
        &self.settings
    }

    /// How it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.settings.dialect
    }

    /// The reaper of its processes.
    #[must_use]
    pub fn reaper(&self) -> &Rc<Reaper> {
        &self.reaper
    }

    /// The answer to a whole request that came at `arrived`, as a frame; none if the dialect has none to it.
    pub async fn answer(self: &Rc<Self>, frame: Vec<u8>, arrived: Instant) -> Option<Vec<u8>> {
        let frame = match self.dialect().wish(&frame) {
            Wish::Nothing => return None,
            Wish::ForwardAs(frame) => frame,
            _ => frame,
        };
        self.under_way.set(self.under_way.get() + 1);
        let answer = self.handle(frame, arrived).await;
        self.under_way.set(self.under_way.get() - 1);
        Some(self.worded(answer, arrived))
    }

    /// The frame of an answer; it is counted.
    fn worded(&self, answer: Answer, arrived: Instant) -> Vec<u8> {
        match answer {
            Ok(reply) => {
                self.tally.borrow_mut().replied(arrived.elapsed());
                reply
            }
            Err(failure) => self.refusal(&failure),
        }
    }

    /// The frame of a failure; it is counted.
    pub fn refusal(&self, failure: &Failure) -> Vec<u8> {
        use crate::dialect::Failure as Counted;
        self.tally.borrow_mut().failed(match failure {
            Failure::Timeout(_) => Counted::Timeout,
            Failure::Busy(_) => Counted::Busy,
            Failure::Handler(_) => Counted::Failed,
            Failure::Refused(_) | Failure::Unknown(_) => Counted::Refused,
        });
        failure.encode(self.dialect())
    }

    async fn handle(self: &Rc<Self>, frame: Vec<u8>, arrived: Instant) -> Answer {
        let Some(number) = self.choice.pick(&frame) else { return Err(self.unknown(&frame)) };
        let Some(desk) = self.desks.get(number) else { return Err(self.unknown(&frame)) };
        let limits = &desk.handler.limits;
        if frame.len() as u64 > limits.max_request {
            return Err(Failure::Refused(format!("the request is larger than {} bytes", limits.max_request)));
        }
        match &desk.handler.action {
            Action::Echo => return Ok(frame),
            Action::Forward(_) => self.may_be_forwarded(&frame)?,
            Action::Exec(_) | Action::Worker(_) => {}
        }
        let (job, answer) = Job::new(frame, arrived + limits.timeout);
        Rc::clone(self).pass_on(Rc::clone(desk), number, job).await;
        answer.await.unwrap_or_else(|_| Err(Failure::Handler("it was lost; this is a fault of tieline".to_owned())))
    }

    fn unknown(&self, frame: &[u8]) -> Failure {
        let word = first_word(self.dialect(), frame);
        let word: String = String::from_utf8_lossy(&word).chars().take(40).collect();
        Failure::Unknown(format!("no handler for \"{word}\""))
    }

    /// What binds something to its connection cannot be sent on one that others share.
    fn may_be_forwarded(&self, frame: &[u8]) -> Result<(), Failure> {
        let command = match self.dialect().wish(frame) {
            Wish::Session { command, .. } => command.into_owned(),
            Wish::Hello(_) => "HELLO".to_owned(),
            Wish::Quit => "QUIT".to_owned(),
            _ => return Ok(()),
        };
        Err(Failure::Refused(format!("{command} needs a connection of its own, which is not offered here")))
    }

    /// Waits until the request's turn has come, and has it begun.
    async fn pass_on(self: Rc<Self>, desk: Rc<Desk>, number: usize, mut job: Job) {
        loop {
            let admission = match desk.admit(job.deadline).await {
                Ok(admission) => admission,
                Err(failure) => return job.answer(Err(failure)),
            };
            match admission {
                Admission::Start(place) => return self.begin(desk, number, place, job),
                Admission::Worker(rested) => match rested.take(job) {
                    Ok(()) => return,
                    // It has ended meanwhile.
                    Err(given_back) => job = given_back,
                },
            }
        }
    }

    /// Starts what answers the request.
    fn begin(self: Rc<Self>, desk: Rc<Desk>, number: usize, place: Place, job: Job) {
        match (desk.handler.action.clone(), self.openers.get(number).cloned().flatten()) {
            (Action::Exec(command), _) => drop(spawn_local(exec::run(self, desk, place, command, job))),
            (Action::Worker(command), _) => drop(spawn_local(worker::run(self, desk, place, command, job))),
            (Action::Forward(_), Some(opener)) => drop(spawn_local(forward::run(self, desk, place, opener, job))),
            (Action::Forward(_) | Action::Echo, _) => {
                job.answer(Err(Failure::Handler("nothing is to be started; this is a fault of tieline".to_owned())));
            }
        }
    }

    /// Has a request answered by another one than who was given it.
    pub(super) fn again(self: &Rc<Self>, desk: &Rc<Desk>, job: Job) {
        let number = self.desks.iter().position(|each| Rc::ptr_eq(each, desk)).unwrap_or(usize::MAX);
        spawn_local(Rc::clone(self).pass_on(Rc::clone(desk), number, job));
    }

    /// Starts a process. Why it could not be, for people.
    pub(super) fn start(&self, command: &[String]) -> Result<Process, String> {
        let started = Process::start(&self.reaper, command, &self.settings.dir, &self.settings.name);
        let plain = |error: io::Error| error.to_string().split(" (os error").next().unwrap_or_default().to_owned();
        started.map_err(|error| format!("cannot start {}: {}", command.first().map_or("", |name| name), plain(error)))
    }

    /// Changes the stage; it never goes back.
    pub fn enter(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let later = stage > *now;
            *now = (*now).max(stage);
            later
        });
    }

    /// Another process serves in its place from now on.
    pub(super) fn succeed(&self) {
        self.succeeded.set(true);
        self.enter(Stage::Retiring);
    }

    /// Whether another process serves in its place.
    pub(super) fn is_succeeded(&self) -> bool {
        self.succeeded.get()
    }

    /// The stage of now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Waits until a stage is reached.
    pub async fn reached(&self, stage: Stage) {
        // The sender lives as long as this does.
        self.stage.subscribe().wait_for(|now| *now >= stage).await.ok();
    }

    /// Waits until whatever runs must be ended.
    pub(super) async fn halted(&self) {
        self.reached(Stage::Halted).await;
    }

    /// Sends home the workers that rest. Nothing waits any more when this is called at the end.
    pub fn dismiss_workers(&self) {
        self.desks.iter().for_each(|desk| desk.close());
    }

    /// A requester has come; false if there are too many.
    pub(super) fn comes(&self) -> bool {
        let is_room = self.requesters() < self.settings.requesters;
        if is_room {
            self.requesters.send_modify(|count| *count += 1);
        }
        is_room
    }

    /// A requester has gone.
    pub(super) fn goes(&self) {
        self.requesters.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Requesters that are connected.
    #[must_use]
    pub fn requesters(&self) -> u32 {
        *self.requesters.borrow()
    }

    /// Tells how many requesters are connected, whenever that has changed.
    pub(crate) fn watch_requesters(&self) -> watch::Receiver<u32> {
        self.requesters.subscribe()
    }

    /// How long a requester may take over sending a request, or taking its reply.
    pub(super) fn patience(&self) -> Duration {
        self.settings.patience
    }
}

fn opener(settings: &ServeSettings, action: &Action, registry: Option<&Path>) -> Option<Rc<Opener>> {
    let Action::Forward(address) = action else { return None };
    let host = HostSettings::with_defaults(&settings.name, address.clone(), settings.dialect);
    Some(Rc::new(Opener::new(&host, registry.map(Path::to_owned))))
}
