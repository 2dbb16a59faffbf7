//! One socket of a host, for a program that waits: a core and a connection.
//!
//! Enters: framed requests. Leaves: outcomes. Promised: whoever waits for an outcome gets one, for the core has deadlines;
//! what has come is read before the time is looked at, so that a reply that was there in time counts.

use std::io::IoSlice;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::route::Route;
use super::wire::{Wire, is_for_later};
use crate::client::core::{Core, Terms, Ticket};
use crate::client::{Error, Outcome};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

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
    pub(super) fn open(route: Route, terms: Terms) -> Result<Self, Error> {
        let mut lane = Self { core: Core::new(terms), route, wire: None };
        lane.wire = Some(lane.route.connect(Instant::now() + ATTEMPT)?);
        lane.core.connected(Instant::now());
        Ok(lane)
    }

    /// Sends a request, and waits only while too much is unwritten.
    pub(super) fn submit(&mut self, frame: Vec<u8>, deadline: Instant) -> Ticket {
        self.wait(|core| (core.backlog() <= BACKLOG).then_some(()));
        let ticket = self.core.submit(frame, deadline);
        self.write();
        ticket
    }

    /// Waits for the outcome of one request, or for what else `done` wants of the core.
    pub(super) fn wait<T>(&mut self, mut done: impl FnMut(&mut Core) -> Option<T>) -> T {
        loop {
            if let Some(found) = done(&mut self.core) {
                return found;
            }
            self.pause();
            self.move_bytes();
        }
    }

    /// Waits for the outcome of one request.
    pub(super) fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.wait(|core| core.take(ticket))
    }

    pub(super) fn is_owed_anything(&self) -> bool {
        self.core.is_owed_anything()
    }

    /// Reads what is there, ends what is due, writes what can be written.
    fn move_bytes(&mut self) {
        self.read();
        self.core.tick(Instant::now(), fastrand::f64());
        self.connect_if_due();
        self.write();
        if !self.core.is_up() {
            self.wire = None;
        }
    }

    fn read(&mut self) {
        let mut chunk = [0; CHUNK];
        while let Some(wire) = self.wire.as_mut().filter(|_| self.core.is_up()) {
            match wire.read(&mut chunk) {
                Ok(0) => self.ended("the daemon closed the connection"),
                Ok(count) => self.core.received(&chunk[..count], Instant::now(), fastrand::f64()),
                Err(error) if is_for_later(&error) => return,
                Err(error) => self.ended(&format!("the connection to the daemon broke ({error})")),
            }
        }
    }

    fn write(&mut self) {
        while let Some(wire) = self.wire.as_mut() {
            let slices: Vec<IoSlice<'_>> = self.core.unwritten();
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

    fn connect_if_due(&mut self) {
        let now = Instant::now();
        if self.core.connect_at(now).is_none_or(|at| at > now) {
            return;
        }
        let until = self.core.wake_at().map_or(now + ATTEMPT, |wake| wake.min(now + ATTEMPT));
        match self.route.connect(until) {
            Ok(wire) => {
                self.wire = Some(wire);
                self.core.connected(Instant::now());
            }
            Err(error) => self.core.connect_failed(&error.to_string(), Instant::now(), fastrand::f64()),
        }
    }

    /// Waits for the next thing that can happen.
    fn pause(&mut self) {
        let now = Instant::now();
        let (wake, connect) = (self.core.wake_at(), self.core.connect_at(now));
        match &self.wire {
            Some(wire) => {
                let wants_room = !self.core.unwritten().is_empty();
                if let Err(error) = wire.wait(wants_room, wake) {
                    self.ended(&format!("the connection to the daemon cannot be waited for ({error})"));
                }
            }
            None => {
                let until = wake.into_iter().chain(connect).min();
                sleep(until.map_or(ATTEMPT, |until| until.saturating_duration_since(now)));
            }
        }
    }
}
