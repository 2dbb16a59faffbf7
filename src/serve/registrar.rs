//! The registrar: has the registry know the far end's name, for as long as it serves.
//!
//! Enters: the registry's socket. Leaves: a registration that is renewed at a third of its time, and taken back at the
//! end. Promised: a registry that is away, or refuses, keeps nobody from serving: it is asked again and again.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tracing::{info, warn};

use super::far::{Far, Stage};
use crate::pool::pause;

/// How long one answer of the registry is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest pause between two attempts to reach it.
const LONGEST: Duration = Duration::from_secs(10);

/// How often, and at what intervals, it is looked whether a successor has taken a registration over.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no registration.
#[derive(Debug, thiserror::Error)]
enum Unregistered {
    #[error("the registry is away ({0})")]
    Away(#[from] io::Error),
    #[error("the registry refuses: {0}")]
    Refused(String),
    #[error("the registry does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// Keeps the far end registered until it retires. `socket` is the registry's.
pub(super) async fn keep(far: Rc<Far>, socket: PathBuf) {
    let Some(address) = far.settings().register.clone() else { return };
    let (mut failures, mut told) = (0, String::new());
    while far.stage() == Stage::Serving {
        let why = match register(&far, &socket, &address).await {
            Ok(mut registered) => {
                (failures, told) = (0, String::new());
                info!("registered as {} at {address}", far.settings().name);
                match registered.renew(&far).await {
                    Ok(()) if far.is_succeeded() => return registered.leave().await,
                    Ok(()) => return registered.end().await,
                    Err(why) => why.to_string(),
                }
            }
            Err(why) => why.to_string(),
        };
        failures += 1;
        if told != why {
            warn!("not registered: {why}; serving goes on, and it is tried again");
            told = why;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(failures, fastrand::f64()).min(LONGEST)) => {}
            () = far.reached(Stage::Retiring) => {}
        }
    }
}

struct Registered {
    stream: BufReader<UnixStream>,
    lease: String,
}

async fn register(far: &Far, socket: &PathBuf, address: &str) -> Result<Registered, Unregistered> {
    let settings = far.settings();
    let (name, ttl, dialect) = (&settings.name, settings.ttl.as_millis(), settings.dialect.name());
    let command = format!("REGISTER {name} {address} ttl={ttl}ms dialect={dialect}");
    let stream = tokio::time::timeout(PATIENCE, UnixStream::connect(socket)).await??;
    let mut registered = Registered { stream: BufReader::new(stream), lease: String::new() };
    registered.lease = registered.ask(&command).await?;
    Ok(registered)
}

impl Registered {
    /// One command; what follows the `ok`.
    async fn ask(&mut self, command: &str) -> Result<String, Unregistered> {
        let mut answer = String::new();
        let asked = async {
            self.stream.write_all(format!("{command}\n").as_bytes()).await?;
            match self.stream.read_line(&mut answer).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok::<_, io::Error>(()),
            }
        };
        tokio::time::timeout(PATIENCE, asked).await??;
        let refused = || Unregistered::Refused(answer.trim_end().chars().take(200).collect());
        let mut words = answer.trim_end().split(' ');
        match words.next() {
            Some("ok") => Ok(words.next().unwrap_or_default().to_owned()),
            _ => Err(refused()),
        }
    }

    /// Renews the lease until the far end retires.
    async fn renew(&mut self, far: &Far) -> Result<(), Unregistered> {
        let command = format!("RENEW {}", self.lease);
        loop {
            tokio::select! {
                () = tokio::time::sleep(far.settings().ttl / 3) => drop(self.ask(&command).await?),
                () = far.reached(Stage::Retiring) => return Ok(()),
                // A registry that goes, or is started anew, may have forgotten.
                gone = self.stream.fill_buf() => return Err(match gone {
                    Ok([]) => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                    Ok(_) => Unregistered::Refused("it speaks unasked".to_owned()),
                    Err(error) => error.into(),
                }),
            }
        }
    }

    /// Leaves the name to a successor: one at the same address takes the registration over, and nobody finds the name
    /// without an instance meanwhile. Else it is taken back.
    async fn leave(mut self) {
        let command = format!("RENEW {}", self.lease);
        for _ in 0..LOOKS {
            if self.ask(&command).await.is_err() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.end().await;
    }

    /// Takes the registration back, so that nobody is sent here in vain.
    async fn end(mut self) {
        let command = format!("UNREGISTER {}", self.lease);
        if let Err(why) = self.ask(&command).await {
            info!("the registration ends with its lease: {why}");
        }
    }
}
