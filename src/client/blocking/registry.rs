//! The registry, for a program that waits.
//!
//! Enters: names and offers. Leaves: addresses, instances, registrations. Promised: each call but [`Watch::news`] returns within
//! five seconds; a conversation that has ended meanwhile is begun anew, once.

use std::path::PathBuf;
use std::time::Instant;

use super::registration::Registration;
use super::talk::Talk;
use super::watch::Watch;
use crate::client::home::{Home, checked};
use crate::client::registry::{Ear, Instance, News, Offer, PATIENCE, RegistryError, addresses, rest};
use crate::client::{Error, Options};
use crate::config::Address;

/// Asks the registry of this machine.
#[derive(Debug)]
pub struct Registry {
    socket: PathBuf,
    talk: Option<Talk>,
}

impl Registry {
    /// Finds the registry of this machine's daemon; it is connected to when it is asked.
    ///
    /// # Errors
    /// A configuration that the options name is not there or is wrong.
    pub fn open(options: &Options) -> Result<Self, Error> {
        options.home().map(|home| Self::at(&home))
    }

    pub(super) fn at(home: &Home) -> Self {
        Self { socket: home.registry(), talk: None }
    }

    /// The addresses of `name`; the one that was handed out first longest ago is the first.
    ///
    /// # Errors
    /// There is no such name, or the registry cannot be asked.
    pub fn resolve(&mut self, name: &str) -> Result<Vec<Address>, RegistryError> {
        let name = checked(name).map_err(|error| RegistryError::Unfit(error.to_string()))?;
        let (line, talk) = self.ask(&format!("RESOLVE {name}"))?;
        self.talk = Some(talk);
        addresses(&line)
    }

    /// All instances whose names start with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked.
    pub fn list(&mut self, prefix: &str) -> Result<Vec<Instance>, RegistryError> {
        let prefix =
            if prefix.is_empty() { "" } else { checked(prefix).map_err(|e| RegistryError::Unfit(e.to_string()))? };
        let (first, mut talk) = self.ask(format!("LIST {prefix}").trim_end())?;
        let (mut ear, until) = (Ear::default(), Instant::now() + PATIENCE);
        ear.hear(&first)?;
        loop {
            if let Some(News::Snapshot { instances, .. }) = ear.hear(&talk.hear(Some(until))?)? {
                self.talk = Some(talk);
                return Ok(instances);
            }
        }
    }

    /// Follows what happens to names that start with `prefix`.
    ///
    /// # Errors
    /// The prefix cannot be one.
    pub fn watch(&self, prefix: &str) -> Result<Watch, RegistryError> {
        Watch::new(self.socket.clone(), prefix)
    }

    /// Registers, and keeps the lease in a thread until the registration is dropped.
    ///
    /// # Errors
    /// The offer is none, the registry refuses, or cannot be asked.
    pub fn register(&self, offer: &Offer) -> Result<Registration, RegistryError> {
        Registration::begin(&self.socket, offer)
    }

    /// Registers and leaves it at that: the lease ends by itself. Gives the lease.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register_once(&mut self, offer: &Offer) -> Result<String, RegistryError> {
        let (line, talk) = self.ask(&offer.command()?)?;
        self.talk = Some(talk);
        rest(&line).map(str::to_owned)
    }

    /// One line for one line. Saying it twice does no harm, so it is said again if the conversation had ended.
    fn ask(&mut self, command: &str) -> Result<(String, Talk), RegistryError> {
        let until = Instant::now() + PATIENCE;
        if let Some(mut talk) = self.talk.take()
            && let Ok(line) = talk.ask(command, until)
        {
            return Ok((line, talk));
        }
        let mut talk = Talk::connect(&self.socket)?;
        let line = talk.ask(command, until)?;
        Ok((line, talk))
    }
}
