//! The thread of a ledger.
//!
//! Enters: [`Question`]s. Leaves: an answer to each, after the commit. Promised: what could not be written is not
//! forgotten, and written before anything else when that is possible again; a claim that nobody waits for any more leaves
//! no trace; while another process has the ledger claims wait, at any other trouble they are answered at once; what is
//! old is forgotten in small pieces, between the questions.
//!
//! ```text
//!            lock free                 opened                           a commit failed
//!  waiting ─────────────▶ (leftovers) ────────▶ open ──────────────────────────────▶ troubled
//!  claims wait             are cleared          questions are answered                claims are refused
//!                                                ▲ ◀────────── a pause ────────────────┘
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::Flock;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::super::leftovers;
use super::file::{self, Opened};
use super::mark;
use super::rows::{self, Done};
use super::{Known, Question, Settled};
use crate::database::DatabaseError;

/// How often the mark is written, at most.
const MARK: Duration = Duration::from_secs(1);

/// Questions of one commit.
const GROUP: usize = 256;

/// Pauses between attempts to lock a ledger that another process has: at first a handover may take no longer.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How long another process may have it before that is said.
const SUCCESSION: Duration = Duration::from_secs(10);

/// Pauses after other troubles.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the programs of a far end that was killed may take to vanish.
const LEFTOVERS: Duration = Duration::from_secs(5);

/// The thread. See the head of this file.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    name: String,
    keep: Duration,
    /// Once it is held it is held until the end.
    lock: Option<Flock<File>>,
    db: Option<Opened>,
    /// How many commits the mark tells of, and when it was written.
    marked: (u64, Instant),
    /// Ends that are not on the disk, by their tags.
    unwritten: HashMap<String, Settled>,
    /// Claims that wait for the lock.
    held: Vec<Question>,
    /// What was wrong, until something has been written again.
    trouble: String,
    /// Where that is told, and that another process has had it for long.
    told: watch::Sender<String>,
    /// What is wrong with the file that is there.
    damage: Option<String>,
    /// When to try again to have one, and how long the next pause will be.
    retry: Instant,
    pause: Duration,
    /// When something may be old enough to be forgotten; none if there is nothing.
    forget: Option<Instant>,
    begun: Instant,
    said: bool,
}

impl Writer {
    pub(super) fn new(dir: &Path, name: &str, keep: Duration, told: watch::Sender<String>) -> Self {
        let now = Instant::now();
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            keep,
            lock: None,
            db: None,
            marked: (0, now),
            unwritten: HashMap::new(),
            held: Vec::new(),
            trouble: String::new(),
            told,
            damage: None,
            retry: now,
            pause: SHORTEST_WAIT,
            forget: None,
            begun: now,
            said: false,
        }
    }

    /// Answers until nobody is left to ask.
    pub(super) fn run(mut self, asked: &Receiver<Question>) {
        self.look_after();
        loop {
            let next = match self.due() {
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => asked.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(first) => self.serve(std::iter::once(first).chain(asked.try_iter()).take(GROUP).collect()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            self.look_after();
        }
    }

    /// When there is something to do that nobody asks for.
    fn due(&self) -> Option<Instant> {
        match &self.db {
            None => Some(self.retry),
            Some(_) if !self.unwritten.is_empty() => Some(Instant::now()),
            Some(opened) if opened.commits > self.marked.0 => {
                Some(self.forget.map_or(self.mark_due(), |forget| forget.min(self.mark_due())))
            }
            Some(_) => self.forget,
        }
    }

    fn mark_due(&self) -> Instant {
        self.marked.1 + MARK
    }

    fn look_after(&mut self) {
        if self.db.is_none() && self.retry <= Instant::now() {
            self.open();
        }
        if self.db.is_some() && !self.unwritten.is_empty() {
            self.write(Vec::new());
        }
        if !self.trouble.is_empty() {
            self.prove();
        }
        if self.forget.is_some_and(|at| at <= Instant::now()) {
            self.forget_some();
        }
        if self.mark_due() <= Instant::now() {
            self.mark();
        }
    }

    /// Notes how far the ledger has come, if it has come further.
    fn mark(&mut self) {
        let Some(commits) = self.db.as_ref().map(|opened| opened.commits).filter(|commits| *commits > self.marked.0)
        else {
            return;
        };
        match mark::write(&self.dir, commits) {
            Ok(()) => self.marked = (commits, Instant::now()),
            Err(error) => {
                debug!("the mark of the ledger in {} cannot be written: {error}", self.dir.display());
                self.marked.1 = Instant::now();
            }
        }
    }

    /// What is not on the disk is tried once more.
    fn end(mut self) {
        if self.db.is_none() && self.lock.is_some() && !self.unwritten.is_empty() {
            self.open();
        }
        if self.db.is_some() && !self.unwritten.is_empty() {
            self.write(Vec::new());
        }
        self.mark();
        // Closed before the lock is free.
        self.db = None;
    }

    fn serve(&mut self, group: Vec<Question>) {
        match (&self.db, &self.lock) {
            (Some(_), _) => self.write(group),
            // Nothing is known to be wrong: another process has it.
            (None, None) if self.trouble.is_empty() => self.hold(group),
            _ => group.into_iter().for_each(|question| self.refuse(question)),
        }
    }

    fn hold(&mut self, group: Vec<Question>) {
        self.held.extend(group);
        self.held.retain(Question::is_awaited);
    }

    /// Does all of a group in one commit, and answers; before it, what could not be written earlier.
    fn write(&mut self, group: Vec<Question>) {
        let Some(opened) = &mut self.db else { return };
        if !opened.is_in_place(&self.dir) {
            self.broken(&file::removed(&self.dir));
            return group.into_iter().for_each(|question| self.refuse(question));
        }
        let (now, mut done) = (millis(SystemTime::now()), Vec::with_capacity(group.len()));
        match rows::commit(&mut opened.db, &self.unwritten, &group, now, &mut done) {
            Ok(commits) => {
                opened.commits = commits;
                self.unwritten.clear();
                self.works();
                self.forget = self.forget.or_else(|| Instant::now().checked_add(self.keep));
                group.into_iter().zip(done).for_each(|(question, done)| self.answer(question, done));
            }
            Err(error) => {
                self.broken(&file::trouble(&self.dir, "write", &error));
                // Whether or not it is there now: nobody will have begun it.
                done.resize_with(group.len(), || Done::Known(Known::New));
                for (question, done) in group.into_iter().zip(done) {
                    self.take_back(&question, &done);
                    self.refuse(question);
                }
            }
        }
    }

    fn answer(&mut self, question: Question, done: Done) {
        match (question, done) {
            (Question::Settle { answer, .. }, _) => drop(answer.send(Ok(()))),
            (Question::Claim { tag, answer, .. }, Done::Begun) => {
                // Who asked was gone before it could be answered.
                if answer.send(Ok(Known::New)).is_err() {
                    self.unwritten.insert(tag, Settled::Never);
                }
            }
            (Question::Claim { answer, .. }, Done::Known(known)) => drop(answer.send(Ok(known))),
        }
    }

    /// What may have been begun on the disk, and will not be carried out.
    fn take_back(&mut self, question: &Question, done: &Done) {
        if let (Question::Claim { tag, .. }, Done::Begun) = (question, done) {
            self.unwritten.insert(tag.clone(), Settled::Never);
        }
    }

    /// Says that it cannot be done now. An end is not forgotten.
    fn refuse(&mut self, question: Question) {
        let why = self.trouble.clone();
        match question {
            Question::Claim { answer, .. } => drop(answer.send(Err(why))),
            Question::Settle { tag, settled, answer } => {
                self.unwritten.insert(tag, settled);
                drop(answer.send(Err(why)));
            }
        }
    }

    fn open(&mut self) {
        match self.opened() {
            Ok(opened) => {
                self.marked = (opened.commits, Instant::now());
                (self.db, self.forget) = (Some(opened), Some(Instant::now()));
                self.told.send_replace(self.trouble.clone());
                let mut held = std::mem::take(&mut self.held);
                while !held.is_empty() {
                    let rest = held.split_off(held.len().min(GROUP));
                    self.serve(std::mem::replace(&mut held, rest));
                }
            }
            Err(error @ DatabaseError::Locked { .. }) => self.wait(&error),
            Err(error) => self.broken(&error),
        }
    }

    fn opened(&mut self) -> Result<Opened, DatabaseError> {
        if self.lock.is_none() {
            self.lock = Some(file::lock(&self.dir)?);
            self.pause = SHORTEST_PAUSE;
            // Who had the lock may have been killed, and what it had started may still be at work.
            if !leftovers::clear(&self.name, LEFTOVERS) {
                warn!("a process that a far end has left behind which was killed does not end, and is not waited for");
            }
        }
        let now = SystemTime::now();
        if let Some(reason) = &self.damage {
            file::replace(&self.dir, reason, now)?;
            self.damage = None;
        }
        file::open(&self.dir, now)
    }

    /// Another process has it.
    fn wait(&mut self, error: &DatabaseError) {
        if !self.said && self.begun.elapsed() > SUCCESSION {
            warn!("{error}, and what has a tag waits as well");
            self.told.send_replace(error.to_string());
            self.said = true;
        }
        self.trouble.clear();
        self.held.retain(Question::is_awaited);
        self.retry = Instant::now() + self.pause.min(LONGEST_WAIT);
        self.pause = (self.pause * 2).min(LONGEST_WAIT);
    }

    /// It can be written.
    fn works(&mut self) {
        self.pause = SHORTEST_PAUSE;
        if !std::mem::take(&mut self.trouble).is_empty() {
            self.told.send_replace(String::new());
            info!("the ledger in {} can be used again", self.dir.display());
        }
    }

    /// It cannot be used, or not as it is: it is opened anew after a pause.
    fn broken(&mut self, error: &DatabaseError) {
        self.db = None;
        if let DatabaseError::Damaged { reason, .. } = error {
            self.damage = Some(reason.clone());
        }
        let trouble = error.to_string();
        if self.trouble != trouble {
            warn!("{trouble}; what has a tag is not begun meanwhile");
            self.told.send_replace(trouble.clone());
            self.trouble = trouble;
        }
        self.pause = self.pause.max(SHORTEST_PAUSE);
        self.retry = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        std::mem::take(&mut self.held).into_iter().for_each(|question| self.refuse(question));
    }

    /// A file that could be opened may still be one that cannot be written: on a full disk.
    fn prove(&mut self) {
        let Some(opened) = &mut self.db else { return };
        match rows::prove(&mut opened.db) {
            Ok(()) => self.works(),
            Err(error) => self.broken(&file::trouble(&self.dir, "write", &error)),
        }
    }

    /// Forgets a few rows, and finds out when there will be more.
    fn forget_some(&mut self) {
        let Some(opened) = &self.db else { return };
        match rows::forget(&opened.db, millis(SystemTime::now()), self.keep) {
            Ok(next) => self.forget = next.and_then(|next| Instant::now().checked_add(next)),
            Err(error) => self.broken(&file::trouble(&self.dir, "write", &error)),
        }
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
