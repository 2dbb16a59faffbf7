//! The desk of one handler: admits requests to places, and knows the workers that rest.
//!
//! Enters: requests with deadlines, and what becomes of places. Leaves: an [`Admission`] for each request whose turn has
//! come, or why it is not admitted. Promised: a place that was given comes back when its [`Place`] is dropped, a worker
//! that nobody took rests again, whatever becomes of who was admitted; the rules are those of [`Gate`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tracing::warn;

use super::gate::{Asked, Gate, Given};
use super::job::Job;
use super::wire::{Failure, Time};
use crate::config::serve::HandlerSettings;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) handler: HandlerSettings,
    gate: RefCell<Gate>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Result<Admission, Failure>>>>,
    workers: RefCell<HashMap<u64, UnboundedSender<Job>>>,
    /// The last ticket, and the last worker.
    last: Cell<u64>,
    /// Why the last start failed.
    trouble: RefCell<String>,
    bell: Notify,
    closed: Cell<bool>,
}

/// What a request may begin with.
#[derive(Debug)]
pub(super) enum Admission {
    /// A place in which something is to be started.
    Start(Place),
    /// A worker that waits for a request.
    Worker(Rested),
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Rc<Desk>);

/// A worker at rest; it goes on resting when this is dropped.
#[derive(Debug)]
pub(super) struct Rested(Rc<Desk>, Option<u64>);

impl Desk {
    pub(super) fn new(handler: HandlerSettings) -> Rc<Self> {
        let gate = RefCell::new(Gate::new(handler.limits.processes, handler.limits.queue));
        let (waiting, workers, trouble) = (RefCell::default(), RefCell::default(), RefCell::default());
        let (last, bell, closed) = (Cell::new(0), Notify::new(), Cell::new(false));
        Rc::new(Self { handler, gate, waiting, workers, last, trouble, bell, closed })
    }

    /// Waits for the request's turn, at most until its deadline.
    pub(super) async fn admit(self: &Rc<Self>, deadline: Instant) -> Result<Admission, Failure> {
        let ticket = self.number();
        let asked = self.gate.borrow_mut().ask(ticket, Instant::now());
        match asked {
            Asked::Given(given) => Ok(self.admission(given)),
            Asked::Full => Err(self.full()),
            Asked::Hopeless(pause) => Err(self.hopeless(pause)),
            Asked::Waits => self.wait(ticket, deadline).await,
        }
    }

    async fn wait(self: &Rc<Self>, ticket: u64, deadline: Instant) -> Result<Admission, Failure> {
        let (admit, admitted) = oneshot::channel();
        self.waiting.borrow_mut().insert(ticket, admit);
        self.bell.notify_one();
        let mut waits = Waits { desk: self, ticket: Some(ticket) };
        match tokio::time::timeout_at(deadline.into(), admitted).await {
            Ok(Ok(admission)) => {
                waits.ticket = None;
                admission
            }
            Ok(Err(_)) => Err(Failure::Busy("this service is stopping".to_owned())),
            Err(_) => Err(Failure::Busy(format!("no process was free within {}", Time(self.handler.limits.timeout)))),
        }
    }

    fn hopeless(&self, pause: Duration) -> Failure {
        Failure::NotBegun(format!("{}; next attempt in {}", self.trouble.borrow(), Time(pause)))
    }

    fn full(&self) -> Failure {
        Failure::Busy(format!("{} requests wait", self.gate.borrow().waiting()))
    }

    fn number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn admission(self: &Rc<Self>, given: Given) -> Admission {
        match given {
            Given::Start => Admission::Start(Place(Rc::clone(self))),
            Given::Worker(worker) => Admission::Worker(Rested(Rc::clone(self), Some(worker))),
        }
    }

    /// Admits whoever can be; tells all who wait if nobody will be soon.
    fn admit_next(self: &Rc<Self>) {
        let hopeless = self.gate.borrow().hopeless(Instant::now());
        if let Some(pause) = hopeless {
            for (ticket, waits) in std::mem::take(&mut *self.waiting.borrow_mut()) {
                self.gate.borrow_mut().give_up(ticket);
                drop(waits.send(Err(self.hopeless(pause))));
            }
        }
        loop {
            let next = self.gate.borrow_mut().next(Instant::now());
            let Some((ticket, given)) = next else { break };
            let waiting = self.waiting.borrow_mut().remove(&ticket);
            let admission = self.admission(given);
            // Who is gone drops it, and the next one is admitted from there.
            drop(waiting.map(|admit| admit.send(Ok(admission))));
        }
        self.bell.notify_one();
    }

    /// Admits whoever waits for the end of a pause. Never ends.
    pub(super) async fn serve(self: Rc<Self>) {
        loop {
            let alarm = self.gate.borrow().alarm();
            match alarm {
                None => self.bell.notified().await,
                Some(at) => {
                    if tokio::time::timeout_at(at.into(), self.bell.notified()).await.is_err() {
                        self.admit_next();
                    }
                }
            }
        }
    }

    /// A worker takes up its service: its number, and where its requests come.
    pub(super) fn hire(&self) -> (u64, UnboundedReceiver<Job>) {
        let (sender, jobs) = unbounded_channel();
        let worker = self.number();
        if !self.closed.get() {
            self.workers.borrow_mut().insert(worker, sender);
        }
        (worker, jobs)
    }

    /// A worker has replied, and will rest or be dismissed in a moment.
    pub(super) fn is_nearly_done(&self) {
        self.gate.borrow_mut().is_nearly_done();
    }

    /// The moment is over.
    pub(super) fn is_done(self: &Rc<Self>) {
        self.gate.borrow_mut().is_done();
        self.admit_next();
    }

    /// A worker has nothing to do.
    pub(super) fn rests(self: &Rc<Self>, worker: u64) {
        self.gate.borrow_mut().rests(worker);
        self.admit_next();
    }

    /// A worker is given no request any more.
    pub(super) fn dismiss(&self, worker: u64) {
        self.workers.borrow_mut().remove(&worker);
        self.gate.borrow_mut().rises(worker);
    }

    /// Sends all workers home as soon as they rest, and admits nobody who waits.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.workers.borrow_mut().clear();
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        drop(waiting);
    }

    /// What was started at `began` was of no use; nothing is started for a while.
    pub(super) fn failed(&self, why: &str, began: Instant) {
        why.clone_into(&mut self.trouble.borrow_mut());
        let pause = self.gate.borrow_mut().failed(began, Instant::now(), fastrand::f64());
        warn!("handler {}: {why}; the next one starts in {}", self.handler.matches, Time(round(pause)));
        self.bell.notify_one();
    }

    /// What was started was of use.
    pub(super) fn proven(&self) {
        self.gate.borrow_mut().proven();
    }

    /// Places taken, workers at rest, requests that wait.
    pub(super) fn numbers(&self) -> (u64, u64, u64) {
        let gate = self.gate.borrow();
        (u64::from(gate.taken()), gate.resting() as u64, gate.waiting() as u64)
    }
}

fn round(pause: Duration) -> Duration {
    Duration::from_millis(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
}

impl Rested {
    /// Gives it a request; gives that back if the worker is gone.
    pub(super) fn take(mut self, job: Job) -> Result<(), Job> {
        let Some(worker) = self.1.take() else { return Err(job) };
        let sender = self.0.workers.borrow().get(&worker).cloned();
        match sender {
            Some(sender) => sender.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }
}

impl Drop for Rested {
    fn drop(&mut self) {
        let is_there = |worker: &u64| self.0.workers.borrow().contains_key(worker);
        if let Some(worker) = self.1.take().filter(is_there) {
            self.0.rests(worker);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.gate.borrow_mut().leaves();
        self.0.admit_next();
    }
}

/// Somebody who waits; forgotten when this is dropped.
struct Waits<'a> {
    desk: &'a Rc<Desk>,
    ticket: Option<u64>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.desk.waiting.borrow_mut().remove(&ticket);
            self.desk.gate.borrow_mut().give_up(ticket);
        }
    }
}
