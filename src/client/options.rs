//! How a client behaves. Plain data, with a method for each choice.
//!
//! Enters: choices. Leaves: [`Options`] that open clients of either face. Promised: the defaults suit a host with the
//! defaults of `hosts.tab`.

use std::path::PathBuf;
use std::time::Duration;

use super::core::Terms;
use super::home::Home;
use super::{AsyncClient, Client, Error};
use crate::dialect::Dialect;

/// The daemon answers within a host's `timeout`, 30 s; its child may have to be started again before it can.
const DEADLINE: Duration = Duration::from_secs(40);
/// A daemon that is stopped and started again is back by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest request in bytes.
const MAX_REQUEST: u64 = 16 << 20;
/// Largest reply in bytes: as much as the daemon passes on in any dialect.
const MAX_REPLY: u64 = 1 << 30;

/// See the head of this file.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) dialect: Option<Dialect>,
    pub(super) deadline: Duration,
    pub(super) patience: Duration,
    pub(super) max_request: u64,
    pub(super) max_reply: u64,
    run_dir: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let (deadline, patience) = (DEADLINE, PATIENCE);
        let (max_request, max_reply) = (MAX_REQUEST, MAX_REPLY);
        Self { dialect: None, deadline, patience, max_request, max_reply, run_dir: None, config: None }
    }
}

impl Options {
    /// How the host speaks. Else the registry is asked, then `hosts.tab`.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// How long a request may take, waiting for the daemon included (40 s). Give it somewhat more than the `timeout` of the
    /// host, so that the daemon's own answer, which knows more, comes first.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a request waits for a daemon that is away (5 s); then it is lost. While it stays away, further requests are
    /// lost after one more attempt to connect.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Largest request in bytes, framing included (16 MiB).
    #[must_use]
    pub fn max_request(mut self, bytes: u64) -> Self {
        self.max_request = bytes;
        self
    }

    /// Largest reply in bytes, framing included (1 GiB).
    #[must_use]
    pub fn max_reply(mut self, bytes: u64) -> Self {
        self.max_reply = bytes;
        self
    }

    /// Where the daemon has its sockets.
    #[must_use]
    pub fn run_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.run_dir = Some(dir.into());
        self
    }

    /// The daemon's configuration, which says where its sockets are.
    #[must_use]
    pub fn config(mut self, file: impl Into<PathBuf>) -> Self {
        self.config = Some(file.into());
        self
    }

    /// Opens a client that blocks.
    ///
    /// # Errors
    /// The name is none, leads nowhere, or nobody answers there.
    pub fn open(self, name: &str) -> Result<Client, Error> {
        Client::open_with(name, self)
    }

    /// Opens a client for tokio.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub async fn open_async(self, name: &str) -> Result<AsyncClient, Error> {
        AsyncClient::open_with(name, self).await
    }

    pub(super) fn home(&self) -> Result<Home, Error> {
        Home::find(self.run_dir.as_deref(), self.config.as_deref())
    }

    pub(super) fn terms(&self, dialect: Dialect, deferred: bool) -> Terms {
        let Self { max_reply, patience, deadline, .. } = *self;
        Terms { dialect, deferred, max_reply, patience, overdue: deadline }
    }
}
