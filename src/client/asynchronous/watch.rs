//! Following the registry, for tokio.
//!
//! Enters: a prefix. Leaves: a snapshot, then every change in its order. Promised: as [`Watch`](crate::client::Watch); a future
//! that is dropped has taken nothing.

use std::path::PathBuf;
use std::time::Instant;

use super::talk::Talk;
use crate::client::link::pause;
use crate::client::registry::{Ear, News, PATIENCE, RegistryError, watch_command};

/// See the head of this file.
#[derive(Debug)]
pub struct AsyncWatch {
    socket: PathBuf,
    prefix: String,
    ear: Ear,
    talk: Option<Talk>,
    failures: u32,
    /// This conversation has told something.
    is_sound: bool,
}

impl AsyncWatch {
    pub(super) fn new(socket: PathBuf, prefix: &str) -> Result<Self, RegistryError> {
        watch_command(prefix, None)?;
        Ok(Self { socket, prefix: prefix.to_owned(), ear: Ear::default(), talk: None, failures: 0, is_sound: false })
    }

    /// Waits for the next news, for ever if there are none. The first is a snapshot.
    ///
    /// # Errors
    /// The registry cannot be asked, or refuses. The next call tries again, after a pause.
    pub async fn news(&mut self) -> Result<News, RegistryError> {
        loop {
            let heard = self.next_line().await.and_then(|line| self.ear.hear(&line));
            match heard {
                Ok(news) => {
                    (self.failures, self.is_sound) = (0, true);
                    if let Some(news) = news {
                        return Ok(news);
                    }
                }
                Err(error) => {
                    self.talk = None;
                    self.failures = self.failures.saturating_add(1);
                    // One that has told something may end: it is taken up again where it was.
                    if !std::mem::take(&mut self.is_sound) {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn next_line(&mut self) -> Result<String, RegistryError> {
        if let Some(talk) = &mut self.talk {
            return talk.hear(None).await;
        }
        if self.failures > 0 {
            tokio::time::sleep(pause(self.failures, fastrand::f64())).await;
        }
        let mut talk = Talk::connect(&self.socket).await?;
        self.ear.begin();
        let command = watch_command(&self.prefix, self.ear.revision())?;
        let line = talk.ask(&command, Instant::now() + PATIENCE).await?;
        self.talk = Some(talk);
        Ok(line)
    }
}
