//! The way to a name, for a program that waits: the registry is asked, and the addresses are tried in turn.
//!
//! Enters: a name. Leaves: a connection, or why there is none. Promised: the registry is asked anew for each connection, so
//! that a name may move; while it is away the last known address counts.

use std::time::Instant;

use super::ask;
use super::wire::Wire;
use crate::client::Error;
use crate::client::home::{Home, wanted};
use crate::client::mishaps::Mishaps;
use crate::config::Address;

/// See the head of this file.
#[derive(Debug, Clone)]
pub(super) struct Route {
    home: Home,
    name: String,
    deferred: bool,
    last: Vec<Address>,
}

impl Route {
    pub(super) fn new(home: Home, name: &str, deferred: bool) -> Self {
        Self { home, name: name.to_owned(), deferred, last: Vec::new() }
    }

    /// Connects to the first address that answers.
    pub(super) fn connect(&mut self, until: Instant) -> Result<Wire, Error> {
        let asked = ask::resolve(&self.home.registry(), &self.name, until);
        self.last = self.home.places(&self.name, asked, &self.last)?;
        let mut mishaps = Mishaps::of(&self.name);
        for address in wanted(&self.last, self.deferred) {
            match Wire::connect(&address, until) {
                Ok(wire) => return Ok(wire),
                Err(error) => mishaps.note(address, error),
            }
        }
        Err(mishaps.told(self.deferred, &self.last))
    }
}
