//! One socket of a host, for tokio: a core and a connection.
//!
//! Enters: framed requests. Leaves: outcomes. Promised: as the lane of the blocking face; besides, a future may be dropped at
//! any time: all that is known is in the core, and what was abandoned so is dropped when it comes.

use std::time::{Duration, Instant};

use super::route::Route;
use super::wire::{Wire, passed};
use crate::client::blocking::is_for_later;
use crate::client::core::{Core, Terms, Ticket};
use crate::client::{Error, Outcome};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Bytes that may wait for the daemon before who sends has to wait as well.
const BACKLOG: usize = 1 << 20;

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Lane {
    core: Core,
    route: Route,
    wire: Option<Wire>,
}

impl Lane {
    /// Connects.
    pub(super) async fn open(route: Route, terms: Terms) -> Result<Self, Error> {
        let mut lane = Self { core: Core::new(terms), route, wire: None };
        lane.wire = Some(lane.route.connect(Instant::now() + ATTEMPT).await?);
        lane.core.connected(Instant::now());
        Ok(lane)
    }

    /// Sends a request, and waits only while too much is unwritten.
    pub(super) async fn submit(&mut self, frame: Vec<u8>, deadline: Instant) -> Ticket {
        self.wait(|core| (core.backlog() <= BACKLOG).then_some(())).await;
        let ticket = self.core.submit(frame, deadline);
        self.write();
        ticket
    }

    /// Sends a request and waits for its outcome. If the future is dropped, nobody will be given that.
    pub(super) async fn request(&mut self, frame: Vec<u8>, deadline: Instant) -> Outcome {
        let asking = Asking { ticket: self.submit(frame, deadline).await, lane: self };
        let ticket = asking.ticket;
        asking.lane.wait(|core| core.take(ticket)).await
    }

    /// Waits for what `done` wants of the core.
    pub(super) async fn wait<T>(&mut self, mut done: impl FnMut(&mut Core) -> Option<T>) -> T {
        loop {
            if let Some(found) = done(&mut self.core) {
                return found;
            }
            self.pause().await;
            self.move_bytes().await;
        }
    }

    pub(super) fn is_owed_anything(&self) -> bool {
        self.core.is_owed_anything()
    }

    /// Reads what is there, ends what is due, writes what can be written.
    async fn move_bytes(&mut self) {
        self.read();
        self.core.tick(Instant::now(), fastrand::f64());
        self.connect_if_due().await;
        self.write();
        if !self.core.is_up() {
            self.wire = None;
        }
    }

    fn read(&mut self) {
        let mut chunk = vec![0; CHUNK];
        while let Some(wire) = self.wire.as_ref().filter(|_| self.core.is_up()) {
            match wire.read(&mut chunk) {
                Ok(0) => self.ended("the daemon closed the connection"),
                Ok(count) => self.core.received(&chunk[..count], Instant::now(), fastrand::f64()),
                Err(error) if is_for_later(&error) => return,
                Err(error) => self.ended(&format!("the connection to the daemon broke ({error})")),
            }
        }
    }

    fn write(&mut self) {
        while let Some(wire) = &self.wire {
            let slices = self.core.unwritten();
            if slices.is_empty() {
                return;
            }
            match wire.write(&slices) {
                Ok(count) => self.core.wrote(count),
                // What the daemon said before it closed is still to be read; then the end will be noticed.
                Err(_) => return,
            }
        }
    }

    fn ended(&mut self, reason: &str) {
        self.core.ended(reason, Instant::now(), fastrand::f64());
        self.wire = None;
    }

    async fn connect_if_due(&mut self) {
        let now = Instant::now();
        if self.core.connect_at(now).is_none_or(|at| at > now) {
            return;
        }
        let until = self.core.wake_at().map_or(now + ATTEMPT, |wake| wake.min(now + ATTEMPT));
        match self.route.connect(until).await {
            Ok(wire) => {
                self.wire = Some(wire);
                self.core.connected(Instant::now());
            }
            Err(error) => self.core.connect_failed(&error.to_string(), Instant::now(), fastrand::f64()),
        }
    }

    /// Waits for the next thing that can happen.
    async fn pause(&mut self) {
        let (wake, connect) = (self.core.wake_at(), self.core.connect_at(Instant::now()));
        match &self.wire {
            Some(wire) => wire.wait(!self.core.unwritten().is_empty(), wake).await,
            None => passed(wake.into_iter().chain(connect).min()).await,
        }
    }
}

/// Somebody waits for an outcome; if that one goes away, nobody does.
struct Asking<'a> {
    lane: &'a mut Lane,
    ticket: Ticket,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // What was given already is not there any more to be abandoned.
        self.lane.core.abandon(self.ticket);
    }
}
