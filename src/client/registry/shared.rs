//! A [`Keeper`] that its program looks at while something in the background works with it.
//!
//! Promised: nobody waits while it is locked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::error::RegistryError;
use super::lease::{Keeper, Step};
use super::offer::Offer;

/// See the head of this file.
#[derive(Debug, Clone)]
pub(in crate::client) struct Shared(Arc<Mutex<Keeper>>);

impl Shared {
    /// Nothing is registered yet.
    pub(in crate::client) fn new(offer: &Offer) -> Result<Self, RegistryError> {
        let keeper = Keeper::new(offer.command()?, offer.time_to_live(), Instant::now());
        Ok(Self(Arc::new(Mutex::new(keeper))))
    }

    pub(in crate::client) fn step(&self) -> Step {
        self.locked(|keeper| keeper.step(Instant::now()))
    }

    /// The registry's line in answer to the last step.
    pub(in crate::client) fn heard(&self, line: &Result<String, RegistryError>) {
        self.locked(|keeper| keeper.heard(line, Instant::now(), fastrand::f64()));
    }

    pub(in crate::client) fn lease(&self) -> Option<String> {
        self.locked(|keeper| keeper.lease().map(str::to_owned))
    }

    pub(in crate::client) fn trouble(&self) -> Option<RegistryError> {
        self.locked(|keeper| keeper.trouble().cloned())
    }

    pub(in crate::client) fn farewell(&self) -> Option<String> {
        self.locked(|keeper| keeper.farewell())
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Keeper) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
