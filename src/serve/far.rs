//! The far end itself: requests → their handlers → answers.
//!
//! Enters: whole requests. Leaves: one answer to each. Promised: a request that was begun is carried out to its end or
//! its deadline, whether or not who asked is still there; after [`Stage::Halted`] whatever runs is ended by force.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::choice::Choice;
use super::chosen::Chosen;
use super::desk::{Admission, Desk, Place};
use super::job::{Answer, Job};
use super::process::{Process, Unstarted};
use super::reaper::Reaper;
use super::tagged::Once;
use super::wire::Failure;
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
    pub(super) choice: Choice,
    pub(super) desks: Vec<Rc<Desk>>,
    /// Of each handler that forwards, what opens its connections.
    openers: Vec<Option<Rc<Opener>>>,
    reaper: Rc<Reaper>,
    stage: watch::Sender<Stage>,
    /// Whether another process serves in its place already.
    succeeded: Cell<bool>,
    /// What is known of tagged requests, where there are any.
    pub(super) once: Option<Once>,
    pub(super) tally: RefCell<Tally>,
    requesters: watch::Sender<u32>,
    /// Those whose TLS handshake is under way, who are no requesters yet.
    pub(super) handshakes: Cell<u32>,
    pub(super) under_way: Cell<u64>,
}

impl Far {
    /// Begins to serve: nothing is started before it is needed. `registry`: where names are looked up that requests are
    /// forwarded to. Needs a `LocalSet`.
    pub(super) fn new(
        settings: ServeSettings,
        reaper: Rc<Reaper>,
        registry: Option<&Path>,
        once: Option<Once>,
    ) -> Rc<Self> {
        let choice = Choice::new(settings.dialect, &settings.handlers);
        let desks: Vec<_> = settings.handlers.iter().map(|handler| Desk::new(handler.clone())).collect();
        let openers = settings.handlers.iter().map(|handler| opener(&settings, &handler.action, registry)).collect();
        for desk in &desks {
            spawn_local(Rc::clone(desk).serve());
        }
        let (stage, tally) = (watch::Sender::new(Stage::Serving), RefCell::default());
        let (succeeded, requesters, under_way) = (Cell::new(false), watch::Sender::new(0), Cell::new(0));
        let handshakes = Cell::default();
        Rc::new(Self {
            settings,
            choice,
            desks,
            openers,
            reaper,
            stage,
            succeeded,
            once,
            tally,
            requesters,
            handshakes,
            under_way,
        })
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
    pub(super) fn worded(&self, answer: Answer, arrived: Instant) -> Vec<u8> {
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
            Failure::Handler(_) | Failure::NotBegun(_) | Failure::InDoubt(_) => Counted::Failed,
            Failure::Refused(_) | Failure::Unknown(_) => Counted::Refused,
        });
        failure.encode(self.dialect())
    }

    async fn handle(self: &Rc<Self>, frame: Vec<u8>, arrived: Instant) -> Answer {
        let chosen = self.chosen(&frame)?;
        let deadline = arrived + chosen.desk.handler.limits.timeout;
        self.carry_out(chosen, frame, None, deadline).await
    }

    /// Has a request answered, under its tag if it has one.
    pub(super) async fn carry_out(
        self: &Rc<Self>,
        Chosen { number, desk }: Chosen,
        frame: Vec<u8>,
        tag: Option<String>,
        deadline: Instant,
    ) -> Answer {
        if desk.handler.action == Action::Echo {
            return Ok(frame);
        }
        let (job, answer) = Job::new(frame, tag, deadline);
        Rc::clone(self).pass_on(desk, number, job).await;
        answer.await.unwrap_or_else(|_| Err(Failure::InDoubt("it was lost; this is a fault of tieline".to_owned())))
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
                job.answer(Err(Failure::NotBegun("nothing is to be started; this is a fault of tieline".to_owned())));
            }
        }
    }

    /// Has a request answered by another one than who was given it.
    pub(super) fn again(self: &Rc<Self>, desk: &Rc<Desk>, job: Job) {
        let number = self.desks.iter().position(|each| Rc::ptr_eq(each, desk)).unwrap_or(usize::MAX);
        spawn_local(Rc::clone(self).pass_on(Rc::clone(desk), number, job));
    }

    /// Starts a process, for the one request of this tag or for any.
    pub(super) fn start(&self, command: &[String], tag: Option<&str>) -> Result<Process, Unstarted> {
        Process::start(&self.reaper, command, &self.settings.dir, &self.settings.name, tag)
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
