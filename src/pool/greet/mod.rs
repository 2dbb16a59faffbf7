//! Greetings: what a connection says before it serves.
//!
//! Enters: a connection that was just opened, and a plan. Leaves: the same connection, ready for requests, or why it
//! is not. Promised: each step waits for its reply; a host that says more than it was asked is not served from; what the
//! host says is told in one line, at most 200 characters of it, without our secrets.
//!
//! A `resp` connection says `AUTH` and `SELECT` as its options want, in `commands`; one of `line` or `len32` follows a
//! file, in `script`, or agrees with a far end that remembers what it has executed, in `dedupe`.

mod commands;
mod dedupe;
mod script;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

use self::commands::Command;
use self::dedupe::Agreement;
use self::wire::Wire;
use super::watched::Watched;
use crate::config::greeting::Script;
use crate::config::secrets::{Password, Secrets, password};
use crate::config::{Complaint, HostSettings, greeting, printable};
use crate::dialect::Dialect;
use crate::spool::once::Word;

/// Most characters of the host's own words that are told.
const SHOWN: usize = 200;

/// Why a greeting failed.
#[derive(Debug, thiserror::Error)]
pub enum GreetFailure {
    /// The host answered a command with an error.
    #[error("it answered {command} with: {said}; {help}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// Its own words.
        said: String,
        /// What to check.
        help: &'static str,
    },
    /// The host said something else than was expected.
    #[error("line {line} of {} expects {pattern}, it said: {said}", file.display())]
    Unexpected {
        /// The file.
        file: PathBuf,
        /// The line in it.
        line: usize,
        /// The expression there.
        pattern: String,
        /// The host's own words.
        said: String,
    },
    /// The host closed the connection.
    #[error("it closed the connection when it was to answer {step}")]
    Closed {
        /// What it was to answer.
        step: String,
    },
    /// What the host said is not of its dialect, or is too long.
    #[error("it answered {step} with something that is no reply: {what}")]
    Malformed {
        /// What it was to answer.
        step: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The host said more than was asked.
    #[error("it said more than was asked: {said}")]
    TooMuch {
        /// Its own words.
        said: String,
    },
    /// The far end does not remember what it has executed, or not long enough.
    #[error(
        "it was asked to remember what it executes (dedupe), and said: {said}; set dedupe = true in its [serve.NAME], or \
         remove dedupe from this host"
    )]
    NoDedupe {
        /// Its own words.
        said: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
}

/// What a connection is to say.
pub(super) enum Plan {
    /// Nothing.
    Nothing,
    /// Commands of `resp`.
    Commands {
        /// In this order.
        commands: Vec<Command>,
        /// If one of them has it.
        password: Option<Rc<Password>>,
    },
    /// What a file says.
    Script {
        /// How it is framed.
        dialect: Dialect,
        /// The file.
        file: PathBuf,
        /// What it says, and the values of its variables.
        script: Rc<(Script, Secrets)>,
    },
    /// That the far end is to remember what it executes.
    Dedupe(Agreement),
}

/// What is known of greetings for one host.
#[derive(Debug, Default)]
pub(super) struct GreetRoom {
    password: Watched<Password>,
    script: Watched<(Script, Secrets)>,
}

impl GreetRoom {
    /// What the next connection is to say; what has changed in the files is read. `word`: the one to agree on, if the host
    /// is to remember what it executes.
    ///
    /// # Errors
    /// What is wrong with the files, if they have never been in order.
    pub(super) fn plan(&mut self, host: &HostSettings, word: Option<&Word>) -> Result<Plan, String> {
        if let Some(word) = word {
            return Ok(Plan::Dedupe(Agreement::of(host, word)));
        }
        if let Some(file) = &host.greeting {
            return self.script(host, file);
        }
        let password = host.password_file.as_deref().map(|file| self.password(file)).transpose()?;
        let commands = commands::of(host, password.as_deref());
        Ok(if commands.is_empty() { Plan::Nothing } else { Plan::Commands { commands, password } })
    }

    fn password(&mut self, file: &Path) -> Result<Rc<Password>, String> {
        self.password.get(&[file], || password(file).map_err(|complaint| complaint.in_one_line()))
    }

    fn script(&mut self, host: &HostSettings, file: &Path) -> Result<Plan, String> {
        let secrets = host.secrets.as_deref();
        let files: Vec<&Path> = std::iter::once(file).chain(secrets).collect();
        let script = self.script.get(&files, || greeting::load(file, secrets).map_err(|all| in_one_line(&all)))?;
        Ok(Plan::Script { dialect: host.dialect, file: file.to_owned(), script })
    }
}

fn in_one_line(complaints: &[Complaint]) -> String {
    complaints.iter().map(Complaint::in_one_line).collect::<Vec<_>>().join(" - ")
}

/// Says what is planned, and hears the answers.
///
/// # Errors
/// Why the connection cannot serve.
pub(super) async fn greet(plan: &Plan, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), GreetFailure> {
    match plan {
        Plan::Nothing => Ok(()),
        Plan::Commands { commands, password } => {
            let mut wire = Wire::new(stream, Dialect::Resp);
            let secrets: Vec<&[u8]> = password.iter().map(|password| password.0.as_slice()).collect();
            commands::say(commands, &secrets, &mut wire).await?;
            wire.must_be_empty(&secrets)
        }
        Plan::Script { dialect, file, script } => {
            let mut wire = Wire::new(stream, *dialect);
            let secrets: Vec<&[u8]> = script.1.0.values().map(String::as_bytes).collect();
            script::follow(file, &script.0, &script.1, &secrets, &mut wire).await?;
            wire.must_be_empty(&secrets)
        }
        Plan::Dedupe(agreement) => {
            let mut wire = Wire::new(stream, Dialect::Line);
            agreement.reach(&mut wire).await?;
            wire.must_be_empty(&[])
        }
    }
}

/// The host's own words for people: one line, not endless, without our secrets.
fn words(said: &[u8], secrets: &[&[u8]]) -> String {
    let mut said = said.to_vec();
    let mut secrets: Vec<&&[u8]> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    // One may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        said = replaced(&said, secret);
    }
    let text = String::from_utf8_lossy(&said);
    let text = text.trim();
    let tail = if text.chars().count() > SHOWN { "…" } else { "" };
    let shown: String = text.chars().take(SHOWN - tail.len().min(1)).collect();
    match shown.is_empty() {
        true => "an empty reply".to_owned(),
        false => printable(&shown).replace('\t', " ") + tail,
    }
}

fn replaced(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let (mut clean, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = memchr::memmem::find(rest, secret) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(b"***");
        rest = &rest[at + secret.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}
