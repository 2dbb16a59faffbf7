//! A registration whose lease a thread keeps.
//!
//! Enters: an offer. Leaves: a registered instance for as long as the value lives. Promised: when [`Registration::unregister`] or
//! the drop returns, the instance is gone, unless the registry could not be asked within two seconds: then the lease ends by
//! itself.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::talk::Talk;
use crate::client::registry::{Offer, PATIENCE, RegistryError, SHORT, Shared, Step};

/// See the head of this file.
#[derive(Debug)]
pub struct Registration {
    shared: Shared,
    /// Its end tells the thread to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Registration {
    pub(super) fn begin(socket: &Path, offer: &Offer) -> Result<Self, RegistryError> {
        let shared = Shared::new(offer)?;
        keep(socket, &shared);
        if let Some(trouble) = shared.trouble() {
            return Err(trouble);
        }
        let ((stop, stopped), kept, socket) = (channel(), shared.clone(), socket.to_owned());
        let thread = Builder::new().name("tieline lease".to_owned()).spawn(move || run(&socket, &kept, &stopped));
        let thread = thread.map_err(|error| RegistryError::Unfit(format!("no thread for the lease: {error}")))?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
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
    pub fn unregister(self) {
        drop(self);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has nothing to end.
            thread.join().ok();
        }
    }
}

/// Keeps the lease until it is told to end.
fn run(socket: &Path, shared: &Shared, stopped: &Receiver<()>) {
    loop {
        let until = keep(socket, shared).unwrap_or_else(Instant::now);
        let left = until.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    if let Some(farewell) = shared.farewell() {
        // If it cannot be said the lease ends by itself.
        ask(socket, &farewell, Instant::now() + SHORT).ok();
    }
}

/// Does one step, or says until when there is none.
fn keep(socket: &Path, shared: &Shared) -> Option<Instant> {
    match shared.step() {
        Step::Wait(until) => Some(until),
        Step::Say(command) => {
            shared.heard(&ask(socket, &command, Instant::now() + PATIENCE));
            None
        }
    }
}

fn ask(socket: &Path, command: &str, until: Instant) -> Result<String, RegistryError> {
    Talk::connect(socket)?.ask(command, until)
}
