//! The ledger: which transactions a far end has begun, how they ended, and what they were answered.
//!
//! Enters: tags, and how the execution of each ended. Leaves: what is known of a tag. Promised: what was answered is on
//! the disk, and survives the end of every process and the loss of power; nobody in the event loop waits for the disk but
//! who asked; an idle ledger sleeps.
//!
//! It is a SQLite file, `executed.sqlite` in the far end's directory below `spool_dir`, and one process at a time has it,
//! by a lock (`executed.lock`). A thread of its own writes ([`writer`]): commits are grouped without waiting, so that what
//! arrived during the last commit is the next group.
//!
//! - [`mod@file`] — what is in the file, and what is done with one that is damaged
//! - [`mark`] — how far it had come, so that a loss is noticed
//! - [`rows`] — the statements
//! - [`writer`] — the thread

mod file;
mod mark;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::writer::Writer;

/// What nobody should ever be told.
const GONE: &str = "the ledger is closed";

/// What is told who has waited long enough.
const SILENT: &str = "the ledger has not answered in time: another process has it, or the disk is slow";

/// What is known of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing was. Now it is written that it was begun, if that was asked for.
    New,
    /// It was begun, and has no end.
    Begun {
        /// The print of its request.
        print: u32,
        /// When, in milliseconds since 1970.
        at: i64,
    },
    /// It has ended.
    Ended {
        /// The print of its request.
        print: u32,
        /// What it was answered, as a frame.
        reply: Vec<u8>,
    },
    /// It has ended, and what is on the disk of it is not what was written.
    Damaged,
}

/// How an execution has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// With this answer.
    Ended {
        /// The print of its request.
        print: u32,
        /// The answer, as a frame.
        reply: Vec<u8>,
    },
    /// It was not begun after all.
    Never,
}

/// What the thread is asked. Why it could not be done is said in words for people.
#[derive(Debug)]
enum Question {
    /// What is known of this tag? If nothing is and it `begins`, it is begun now.
    Claim { tag: String, print: u32, begins: bool, answer: oneshot::Sender<Result<Known, String>> },
    /// This is its end.
    Settle { tag: String, settled: Settled, answer: oneshot::Sender<Result<(), String>> },
}

impl Question {
    /// Whether somebody waits for the answer.
    fn is_awaited(&self) -> bool {
        match self {
            Self::Claim { answer, .. } => !answer.is_closed(),
            Self::Settle { .. } => true,
        }
    }
}

/// The handle of the thread. See the head of this file.
#[derive(Debug)]
pub(super) struct Ledger {
    questions: Sender<Question>,
    /// Why it is of no use now, for people; empty if it is.
    trouble: watch::Receiver<String>,
    ended: oneshot::Receiver<()>,
}

impl Ledger {
    /// Starts the thread. The ledger in `dir` of the far end `name` is opened there, as soon as no other process has it; what
    /// has ended is forgotten after `keep`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn open(dir: &Path, name: &str, keep: Duration) -> io::Result<Self> {
        let (questions, asked) = channel();
        let (tell, ended) = oneshot::channel();
        let (troubled, trouble) = watch::channel(String::new());
        let writer = Writer::new(dir, name, keep, troubled);
        let thread = std::thread::Builder::new().name("ledger".to_owned());
        thread.spawn(move || {
            writer.run(&asked);
            // Who has not waited for it does not care.
            tell.send(()).ok();
        })?;
        Ok(Self { questions, trouble, ended })
    }

    /// What is known of a tag; where nothing is and it `begins`, it is written that it was begun. Waits for the answer until
    /// it is `over`: after that nothing will have been written.
    ///
    /// # Errors
    /// Why it cannot be told; nothing was begun then.
    pub(super) async fn claim(
        &self,
        tag: &str,
        print: u32,
        begins: bool,
        over: impl Future<Output = ()>,
    ) -> Result<Known, String> {
        let (answer, mut answered) = oneshot::channel();
        // A thread that is gone drops it, which says so.
        drop(self.questions.send(Question::Claim { tag: tag.to_owned(), print, begins, answer }));
        tokio::select! {
            biased;
            told = &mut answered => return told.unwrap_or_else(|_| Err(GONE.to_owned())),
            () = over => {}
        }
        // What was answered in this moment counts: who answers knows that it was heard.
        answered.close();
        answered.try_recv().unwrap_or_else(|_| Err(SILENT.to_owned()))
    }

    /// Writes down how an execution has ended.
    ///
    /// # Errors
    /// Why that is not on the disk. It is not forgotten, and written before anything else when that is possible again.
    pub(super) async fn settle(&self, tag: &str, settled: Settled) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        drop(self.questions.send(Question::Settle { tag: tag.to_owned(), settled, answer }));
        answered.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    /// Why it is of no use now, in words for people; empty if it is of use.
    pub(super) fn trouble(&self) -> String {
        self.trouble.borrow().clone()
    }

    /// Waits until the file is closed and its lock is free.
    pub(super) async fn close(self) {
        drop(self.questions);
        // A thread that has ended otherwise has closed it, too.
        self.ended.await.ok();
    }
}
