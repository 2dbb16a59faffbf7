//! A conversation with the registry, for tokio.
//!
//! Enters: lines for the registry. Leaves: its lines. Promised: as the conversation of the blocking face; a future of
//! [`Talk::hear`] that is dropped has taken nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::wire::Wire;
use crate::client::blocking::is_for_later;
use crate::client::registry::{Lines, RegistryError};
use crate::config::Address;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Talk {
    path: PathBuf,
    wire: Wire,
    lines: Lines,
}

impl Talk {
    pub(super) async fn connect(path: &Path) -> Result<Self, RegistryError> {
        let address = Address::Unix { path: path.to_owned() };
        match Wire::connect(&address, Instant::now()).await {
            Ok(wire) => Ok(Self { path: path.to_owned(), wire, lines: Lines::default() }),
            Err(error) => Err(RegistryError::of_io(path, &error)),
        }
    }

    /// Says something and hears one line.
    pub(super) async fn ask(&mut self, command: &str, until: Instant) -> Result<String, RegistryError> {
        self.say(command, until).await?;
        self.hear(Some(until)).await
    }

    async fn say(&mut self, command: &str, until: Instant) -> Result<(), RegistryError> {
        let line = format!("{command}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match self.wire.write(&[IoSlice::new(rest)]) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_for_later(&error) => self.wait(true, Some(until)).await?,
                Err(error) => return Err(self.broke(&error)),
            }
        }
        Ok(())
    }

    /// The next line; without a time it is waited for for ever.
    pub(super) async fn hear(&mut self, until: Option<Instant>) -> Result<String, RegistryError> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            match self.lines.next() {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(what) => return Err(self.broke(&io::Error::other(what))),
            }
            match self.wire.read(&mut chunk) {
                Ok(0) => return Err(self.broke(&io::Error::other("it closed the connection"))),
                Ok(count) => self.lines.feed(&chunk[..count]),
                Err(error) if is_for_later(&error) => self.wait(false, until).await?,
                Err(error) => return Err(self.broke(&error)),
            }
        }
    }

    async fn wait(&self, wants_room: bool, until: Option<Instant>) -> Result<(), RegistryError> {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(self.broke(&ErrorKind::TimedOut.into()));
        }
        self.wire.wait(wants_room, until).await;
        Ok(())
    }

    fn broke(&self, error: &io::Error) -> RegistryError {
        RegistryError::of_io(&self.path, error)
    }
}
