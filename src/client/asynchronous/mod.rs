//! The face for tokio.
//!
//! Enters: requests. Leaves: futures of outcomes. Promised: as the blocking face; besides, every future may be dropped: what
//! it had sent stays sent, and its reply reaches nobody else. It runs on any runtime of tokio with I/O and time; nothing is
//! spawned but the task that keeps a registration.
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

pub use self::registration::AsyncRegistration;
pub use self::registry::AsyncRegistry;
pub use self::watch::AsyncWatch;

use std::time::{Duration, Instant};

use self::lane::Lane;
use self::route::Route;
use super::core::Core;
use super::home::{Home, checked};
use super::request::framed;
use super::{Error, Options, Outcome, Request, Ticket};
use crate::dialect::Dialect;

/// As [`Client`](super::Client), for tokio.
#[derive(Debug)]
pub struct AsyncClient {
    name: String,
    options: Options,
    home: Home,
    dialect: Dialect,
    plain: Lane,
    deferred: Option<Lane>,
}

impl AsyncClient {
    /// Finds `name` and connects.
    ///
    /// # Errors
    /// The name is none, leads nowhere, or nobody answers there.
    pub async fn open(name: &str) -> Result<Self, Error> {
        Self::open_with(name, Options::default()).await
    }

    pub(super) async fn open_with(name: &str, options: Options) -> Result<Self, Error> {
        let (name, home) = (checked(name)?.to_owned(), options.home()?);
        let dialect = match options.dialect {
            Some(dialect) => dialect,
            None => ask::dialect(&home, &name).await?,
        };
        let plain = Lane::open(Route::new(home.clone(), &name, false), options.terms(dialect, false)).await?;
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

    /// Sends a request and waits for what becomes of it.
    ///
    /// # Errors
    /// It is no request; then nothing is sent.
    pub async fn request<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        let due = self.due();
        Ok(self.plain.request(frame, due).await)
    }

    /// Sends a request that must not be lost, and waits for what becomes of it.
    ///
    /// # Errors
    /// It is no request, the host has no socket for such ones, or that cannot be connected to. Nothing is sent then.
    pub async fn request_deferred<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        let (due, terms) = (self.due(), self.options.terms(self.dialect, true));
        let lane = match &mut self.deferred {
            Some(lane) => lane,
            none => none.insert(Lane::open(Route::new(self.home.clone(), &self.name, true), terms).await?),
        };
        Ok(lane.request(frame, due).await)
    }

    /// Sends a request, and does not wait for its outcome: [`AsyncClient::receive`] gives it. It waits only while more than
    /// 1 MiB is unwritten; a future that is dropped while it waits has sent nothing.
    ///
    /// # Errors
    /// It is no request; then nothing is sent.
    pub async fn send<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Ticket, Error> {
        let frame = framed(&request.into(), self.dialect, self.options.max_request)?;
        let due = self.due();
        Ok(self.plain.submit(frame, due).await)
    }

    /// Waits for the outcome of the first request that was sent and whose outcome was not received yet; `None` if there is
    /// none. A future that is dropped takes nothing.
    pub async fn receive(&mut self) -> Option<(Ticket, Outcome)> {
        if !self.plain.is_owed_anything() {
            return None;
        }
        Some(self.plain.wait(Core::take_next).await)
    }

    fn due(&self) -> Instant {
        Instant::now() + self.options.deadline
    }
}
