//! A registration whose lease a task keeps.
//!
//! Enters: an offer. Leaves: a registered instance for as long as the value lives. Promised: when
//! [`AsyncRegistration::unregister`] is over the instance is gone, unless the registry could not be asked within two seconds. A
//! drop has the task do the same, but waits for nothing: if the runtime ends before, the lease ends by itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::oneshot::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::talk::Talk;
use super::wire::passed;
use crate::client::registry::{Offer, PATIENCE, RegistryError, SHORT, Shared, Step};

/// See the head of this file.
#[derive(Debug)]
pub struct AsyncRegistration {
    shared: Shared,
    /// Its end tells the task to end.
    stop: Sender<()>,
    task: JoinHandle<()>,
}

impl AsyncRegistration {
    pub(super) async fn begin(socket: PathBuf, offer: &Offer) -> Result<Self, RegistryError> {
        let shared = Shared::new(offer)?;
        keep(&socket, &shared).await;
        if let Some(trouble) = shared.trouble() {
            return Err(trouble);
        }
        let (stop, stopped) = channel();
        let task = tokio::spawn(run(socket, shared.clone(), stopped));
        Ok(Self { shared, stop, task })
    }

    /// The lease, as far as is known: it is another one when the registry had forgotten the first.
    #[must_use]
    pub fn lease(&self) -> Option<String> {
        self.shared.lease()
    }

    /// Why the last attempt to renew failed; nothing if it did not.
    #[must_use]
    pub fn trouble(&self) -> Option<RegistryError> {
        self.shared.trouble()
    }

    /// Ends the lease.
    pub async fn unregister(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // A task that was ended with its runtime has nothing to end.
        task.await.ok();
    }
}

/// Keeps the lease until it is told to end.
async fn run(socket: PathBuf, shared: Shared, mut stopped: Receiver<()>) {
    loop {
        let until = keep(&socket, &shared).await.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = passed(Some(until)) => {}
        }
    }
    if let Some(farewell) = shared.farewell() {
        // If it cannot be said the lease ends by itself.
        ask(&socket, &farewell, Instant::now() + SHORT).await.ok();
    }
}

/// Does one step, or says until when there is none.
async fn keep(socket: &Path, shared: &Shared) -> Option<Instant> {
    match shared.step() {
        Step::Wait(until) => Some(until),
        Step::Say(command) => {
            shared.heard(&ask(socket, &command, Instant::now() + PATIENCE).await);
            None
        }
    }
}

async fn ask(socket: &Path, command: &str, until: Instant) -> Result<String, RegistryError> {
    Talk::connect(socket).await?.ask(command, until).await
}
