//! The face for programs that wait.
//!
//! Enters: requests. Leaves: outcomes. Promised: each call returns within its deadline, somewhat later if a name server has
//! to be asked; nothing runs in the background.
//!
//! - `lane` — one socket of a host: the core and its connection
//! - `route` — a name → a connection
//! - `wire` — a connection, and waiting for it
//! - `registry`, `watch`, `registration` — what the registry offers
//! - `talk`, `ask` — a conversation with it, and what a client asks before it connects

mod ask;
mod lane;
mod registration;
mod registry;
mod route;
mod talk;
mod watch;
mod wire;

pub use self::registration::Registration;
pub use self::registry::Registry;
pub use self::watch::Watch;
pub(super) use self::wire::is_for_later;

use std::time::{Duration, Instant};

use self::lane::Lane;
use self::route::Route;
use super::core::Core;
use super::home::{Home, checked};
use super::request::framed;
use super::{Error, Options, Outcome, Request, Ticket};
use crate::dialect::Dialect;

/// A connection to one host of the daemon, or to whoever has registered a name.
///
/// Its requests have their replies in order. When the connection ends, the next request is sent on a new one; what may
/// have been sent is never sent again, but told as [`Failure::Unknown`](super::Failure::Unknown).
#[derive(Debug)]
pub struct Client {
    name: String,
    options: Options,
    home: Home,
    dialect: Dialect,
    plain: Lane,
    deferred: Option<Lane>,
}

impl Client {
    /// Finds `name` and connects.
    ///
    /// # Errors
    /// The name is none, leads nowhere, or nobody answers there.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::open_with(name, Options::default())
    }

    /// Choices, to be opened with.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    pub(super) fn open_with(name: &str, options: Options) -> Result<Self, Error> {
        let (name, home) = (checked(name)?.to_owned(), options.home()?);
        let dialect = match options.dialect {
            Some(dialect) => dialect,
            None => ask::dialect(&home, &name)?,
        };
        let plain = Lane::open(Route::new(home.clone(), &name, false), options.terms(dialect, false))?;
        Ok(Self { name, options, home, dialect, plain, deferred: None })
    }

    /// The name that was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the host speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How long requests may take from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.options.deadline = deadline;
    }

    /// Sends a request and waits for what becomes of it. What was sent with [`Client::send`] before stays owed.
    ///
    /// # Errors
    /// It is no request; then nothing is sent.
    pub fn request<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        let ticket = self.plain.submit(frame, self.due());
        Ok(self.plain.outcome(ticket))
    }

    /// Sends a request that must not be lost, and waits for what becomes of it: the host's reply; or an ID under which it is
    /// on disk, and will be sent when the host is back; or a failure.
    ///
    /// # Errors
    /// It is no request, the host has no socket for such ones, or that cannot be connected to. Nothing is sent then.
    pub fn request_deferred<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        let (due, terms) = (self.due(), self.options.terms(self.dialect, true));
        let lane = match &mut self.deferred {
            Some(lane) => lane,
            none => none.insert(Lane::open(Route::new(self.home.clone(), &self.name, true), terms)?),
        };
        let ticket = lane.submit(frame, due);
        Ok(lane.outcome(ticket))
    }

    /// Sends a request, and does not wait for its outcome: [`Client::receive`] gives it.
    ///
    /// # Errors
    /// It is no request; then nothing is sent.
    pub fn send<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Ticket, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        Ok(self.plain.submit(frame, self.due()))
    }

    /// Waits for the outcome of the first request that was sent and whose outcome was not received yet; `None` if there is
    /// none. So outcomes come in the order of their requests.
    pub fn receive(&mut self) -> Option<(Ticket, Outcome)> {
        if !self.plain.is_owed_anything() {
            return None;
        }
        Some(self.plain.wait(Core::take_next))
    }

    fn due(&self) -> Instant {
        Instant::now() + self.options.deadline
    }
}
