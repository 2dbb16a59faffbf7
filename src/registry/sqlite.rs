//! The local store: leased rows in one SQLite file, so that they survive a restart of the registry.
//!
//! Enters: [`Wish`]es. Leaves: [`Written`] after the commit, and once the table of the earlier life. Promised: what is
//! answered [`Written`] is there after SIGKILL of every process; a file that is damaged is moved aside, and said, and the
//! store goes on with what it knows; nobody waits for the disk but those who wrote.
//!
//! A thread of its own has the file. Commits are grouped without waiting: what arrived during the last commit is the next
//! group. `synchronous=NORMAL`: a commit survives the end of the process, not the loss of power; after that the programs
//! that registered themselves are gone as well.
//!
//! The thread keeps what it has written (its shadow), as the directory does, by the same shared rows. When the file had to
//! be opened anew, it is written from there: so a disk that was full or a file that was damaged costs nothing but the
//! registrations that were refused meanwhile. Renewals are not refused then: a full disk must not end the leases of
//! programs that are alive. They are written down with the rest when that is possible again.

mod file;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::info;

use self::file::Opened;
use super::row::{Lease, Row};
use super::store::{News, Pending, Store, StoreError, Stored, Sweeper, Version, Wish, Written};
use crate::database::DatabaseError;

/// Wishes of one commit.
const GROUP: usize = 256;
/// Pauses between attempts to open the file.
const SHORTEST_RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long an earlier registry may take to go, before it is said that the file cannot be had.
const SUCCESSION: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<Written, StoreError>>;

/// What is written, or should be: rows by their leases, with the end of each in milliseconds since 1970.
type Shadow = HashMap<Lease, (Arc<Row>, i64)>;

/// The store's handle. See the head of this file.
#[derive(Debug)]
pub struct Sqlite {
    file: PathBuf,
    wishes: Sender<(Wish, Reply)>,
    thread: JoinHandle<()>,
}

impl Sqlite {
    /// Starts the store in `file`, which is made if it is missing, and its directory with it. It is opened in the background:
    /// [`News::Table`] says that it is, [`News::Away`] that it could not be and is tried again.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(file: &Path, news: UnboundedSender<News>) -> io::Result<Self> {
        let (wishes, wished) = channel();
        let file = file.to_owned();
        let desk = Desk {
            file: file.clone(),
            db: None,
            known: None,
            news,
            pause: SHORTEST_RETRY,
            said: None,
            begun: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("registry-store".to_owned()).spawn(move || desk.run(&wished))?;
        Ok(Self { file, wishes, thread })
    }
}

impl Store for Sqlite {
    fn ask(&self, wish: Wish) -> Pending {
        let (reply, pending) = oneshot::channel();
        // A thread that is gone drops the reply, which says so.
        drop(self.wishes.send((wish, reply)));
        pending
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper::Directory
    }

    fn describe(&self) -> String {
        self.file.display().to_string()
    }

    fn close(self: Box<Self>) {
        drop(self.wishes);
        if self.thread.join().is_err() {
            tracing::error!("the registry's store ended in a panic");
        }
    }
}

/// The thread.
struct Desk {
    file: PathBuf,
    db: Option<Opened>,
    /// Known from the first opening on.
    known: Option<Shadow>,
    news: UnboundedSender<News>,
    pause: Duration,
    /// The trouble that was said last.
    said: Option<String>,
    begun: Instant,
}

impl Desk {
    fn run(mut self, wished: &Receiver<(Wish, Reply)>) {
        let mut retry = self.open();
        loop {
            let next = match retry {
                None => wished.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => wished.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(first) => self.serve(first, wished),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            retry = match (&self.db, retry) {
                (Some(_), _) => None,
                (None, Some(at)) if at > Instant::now() => Some(at),
                (None, _) => self.open(),
            };
        }
    }

    /// Opens the file. Returns when to try again, if it cannot be.
    fn open(&mut self) -> Option<Instant> {
        match file::open(&self.file, SystemTime::now()).and_then(|opened| self.begin(opened)) {
            Ok(()) => None,
            Err(error) => {
                if matches!(error, DatabaseError::Locked { .. }) && self.begun.elapsed() < SUCCESSION {
                    return Some(Instant::now() + SHORTEST_RETRY);
                }
                self.trouble(&error.to_string());
                let at = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_RETRY);
                Some(at)
            }
        }
    }

    /// Reads an opened file, or, if that was done before, writes it anew. One in which damage is found is moved aside.
    fn begin(&mut self, mut opened: Opened) -> Result<(), DatabaseError> {
        if let Err(error) = self.take_over(&mut opened) {
            let Opened { db, lock, .. } = opened;
            // Closed before it is moved, and moved before another registry may have it.
            drop(db);
            file::put_aside_if_damaged(&self.file, &error);
            drop(lock);
            return Err(error);
        }
        if self.said.take().is_some() {
            self.tell(News::Back);
        }
        (self.db, self.pause) = (Some(opened), SHORTEST_RETRY);
        Ok(())
    }

    fn take_over(&mut self, opened: &mut Opened) -> Result<(), DatabaseError> {
        let at = |error| file::trouble(&self.file, "read", &error);
        match &self.known {
            Some(shadow) => tables::rewrite(&mut opened.db, shadow).map_err(at)?,
            None => {
                let (shadow, rows) = tables::load(&opened.db, millis(SystemTime::now())).map_err(at)?;
                info!("{} leases are kept from before", rows.len());
                self.known = Some(shadow);
                let (version, revision) = (Version(0), opened.first);
                self.tell(News::Table { rows, version, revision });
            }
        }
        opened.unwritable.take().map_or(Ok(()), Err)
    }

    fn trouble(&mut self, reason: &str) {
        if self.said.as_deref() != Some(reason) {
            self.said = Some(reason.to_owned());
            self.tell(News::Away { reason: reason.to_owned() });
        }
    }

    /// Does everything that is there already in one commit, and answers.
    fn serve(&mut self, first: (Wish, Reply), wished: &Receiver<(Wish, Reply)>) {
        let group: Vec<(Wish, Reply)> = std::iter::once(first).chain(wished.try_iter()).take(GROUP).collect();
        let now = millis(SystemTime::now());
        let failure = match &mut self.db {
            None => Some(StoreError::Unavailable { reason: self.said.clone().unwrap_or_default() }),
            Some(opened) => commit(&mut opened.db, &group, now).err().map(|error| self.broken(&error)),
        };
        for (wish, reply) in group {
            let result = self.outcome(&wish, failure.as_ref(), now);
            // Whoever asked may be gone.
            drop(reply.send(result));
        }
    }

    /// The file is not to be trusted any more, or cannot be written: it is opened anew.
    fn broken(&mut self, error: &rusqlite::Error) -> StoreError {
        let error = file::trouble(&self.file, "write", error);
        if let Some(Opened { lock, db, .. }) = self.db.take() {
            // Closed before it is moved.
            drop(db);
            file::put_aside_if_damaged(&self.file, &error);
            drop(lock);
        }
        self.trouble(&error.to_string());
        StoreError::Failed { reason: error.to_string() }
    }

    /// How a wish has ended; what is known afterwards.
    fn outcome(&mut self, wish: &Wish, failure: Option<&StoreError>, now: i64) -> Result<Written, StoreError> {
        let written = Ok(Written { version: Version(0) });
        let Some(known) = &mut self.known else { return failure.map_or(written, |error| Err(error.clone())) };
        match (wish, failure) {
            (Wish::Put { .. }, Some(error)) => return Err(error.clone()),
            (Wish::Put { row, replaces }, None) => {
                replaces.iter().for_each(|(before, _)| drop(known.remove(&before.lease)));
                known.insert(row.lease.clone(), (Arc::clone(row), end_of(row, now)));
            }
            (Wish::Renew { row, .. }, _) => {
                known.entry(row.lease.clone()).and_modify(|(_, end)| *end = end_of(row, now));
            }
            (Wish::Remove { row, .. }, _) => drop(known.remove(&row.lease)),
            (Wish::Swept { leases }, _) => leases.iter().for_each(|lease| drop(known.remove(lease))),
        }
        written
    }

    fn tell(&self, news: News) {
        // Without a listener the end of the wishes follows at once.
        drop(self.news.send(news));
    }

    /// What could not be written is tried once more.
    fn end(mut self) {
        if self.db.is_none() && self.known.is_some() {
            self.open();
        }
    }
}

fn commit(db: &mut Connection, group: &[(Wish, Reply)], now: i64) -> Result<(), rusqlite::Error> {
    let work = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for (wish, _) in group {
        match wish {
            Wish::Put { row, .. } => tables::put(&work, row, end_of(row, now))?,
            Wish::Renew { row, .. } => tables::renew(&work, &row.lease, end_of(row, now))?,
            Wish::Remove { row, .. } => tables::remove(&work, &row.lease)?,
            Wish::Swept { leases } => leases.iter().try_for_each(|lease| tables::remove(&work, lease))?,
        }
    }
    work.commit()
}

/// When the lease of a row ends that begins or is renewed now.
fn end_of(row: &Row, now: i64) -> i64 {
    let ttl = row.ttl.unwrap_or_default().as_millis();
    now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX))
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A row as it was read, with what is left of its lease; none if that is over. A clock that was set back does not make
/// leases longer.
fn stored(row: Arc<Row>, end: i64, now: i64) -> Option<Stored> {
    let left = Duration::from_millis(u64::try_from(end.saturating_sub(now)).ok().filter(|left| *left > 0)?);
    let left = left.min(row.ttl.unwrap_or_default());
    Some(Stored { row, left, version: Version(0) })
}
