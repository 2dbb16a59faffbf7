//! The keeper: the thread that owns a store, so that the child's event loop never waits for the disk.
//!
//! Enters: [`Question`]s. Leaves: an [`Answer`] to each, in a channel the event loop reads. Promised: nobody is answered
//! [`Outcome::Stored`] before the commit; every question is answered, also after the store has failed; nothing is kept
//! here per stored row; an idle keeper sleeps.
//!
//! Group commit without waiting: what arrived during the last commit is the next group, up to 256 rows or 1 MiB. Within a
//! group appends share one commit and settlements another; they keep their order among themselves. Tools and the end are
//! walls: nothing passes them.
//!
//! Who asks bounds what is under way: the channel to the thread has no end of its own.
//!
//! - `group` — what one commit is for
//! - `words` — what is said to a keeper, and what it says

mod group;
mod words;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;

use super::store::{Appended, Findings, Id, Limits, New, Numbers, Settled, Store, StoreError, Why};
use group::{Append, Group, collect};
pub use words::{Answer, Done, Outcome, Question, Shelf, Tool};

/// Pauses between attempts to lock a store that another process has.
const SHORTEST_RETRY: Duration = Duration::from_millis(5);
const LONGEST_RETRY: Duration = Duration::from_millis(50);

/// The handle of the thread. When it is dropped the store is closed cleanly, without waiting for that.
#[derive(Debug)]
pub struct Keeper {
    questions: Sender<Question>,
    thread: JoinHandle<()>,
    /// Whether waiting for a store that another process has is of no use any more.
    abandoned: Arc<AtomicBool>,
}

impl Keeper {
    /// Starts the thread; `open` is called in it, and should be tried again by itself if the store is locked for a while.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        open: impl FnOnce() -> Result<(Box<dyn Shelf>, Findings), StoreError> + Send + 'static,
        answers: UnboundedSender<Answer>,
    ) -> io::Result<Self> {
        let (questions, asked) = channel();
        let thread = std::thread::Builder::new().name("spool".to_owned()).spawn(move || run(open, &asked, &answers))?;
        Ok(Self { questions, thread, abandoned: Arc::default() })
    }

    /// A keeper of the store in `dir`, tried again for at most `patience` while its predecessor has it: at first after 5 ms,
    /// as a handover takes no longer, then every 50 ms.
    ///
    /// # Errors
    /// As [`Keeper::start`].
    pub fn of_store(
        dir: &Path,
        limits: Limits,
        patience: Duration,
        answers: UnboundedSender<Answer>,
    ) -> io::Result<Self> {
        let dir = dir.to_owned();
        let abandoned = Arc::new(AtomicBool::new(false));
        let is_abandoned = Arc::clone(&abandoned);
        let open = move || {
            let begun = std::time::Instant::now();
            let mut pause = SHORTEST_RETRY;
            loop {
                match Store::open(&dir, limits, SystemTime::now()) {
                    Err(StoreError::Locked { .. }) if begun.elapsed() < patience && !is_abandoned.load(Relaxed) => {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(LONGEST_RETRY);
                    }
                    other => return other.map(|(store, findings)| (Box::new(store) as Box<dyn Shelf>, findings)),
                }
            }
        };
        Ok(Self { abandoned, ..Self::start(open, answers)? })
    }

    /// Waits no longer for a store that another process has.
    pub fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Asks. Never waits. Says whether somebody is there to answer.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.send(question).is_ok()
    }

    /// Waits until the thread has ended, after [`Question::Stop`].
    pub fn join(self) {
        drop(self.questions);
        if self.thread.join().is_err() {
            tracing::error!("the spool's thread ended in a panic");
        }
    }
}

/// The thread.
struct Desk<'a> {
    shelf: Option<Box<dyn Shelf>>,
    /// Why there is no shelf.
    broken: Option<Arc<StoreError>>,
    answers: &'a UnboundedSender<Answer>,
}

fn run(
    open: impl FnOnce() -> Result<(Box<dyn Shelf>, Findings), StoreError>,
    asked: &Receiver<Question>,
    answers: &UnboundedSender<Answer>,
) {
    let mut desk = Desk { shelf: None, broken: None, answers };
    match open() {
        Ok((shelf, findings)) => {
            desk.say(Answer::Opened { findings, numbers: shelf.numbers() });
            desk.shelf = Some(shelf);
        }
        Err(error) => desk.give_up(error),
    }
    while let Some(first) = desk.wait(asked) {
        let group = collect(first, asked);
        if !desk.serve(group) {
            break;
        }
        desk.tidy(false);
    }
    desk.end();
}

impl Desk<'_> {
    /// The next question; none when there will be no more. Meanwhile the store is looked after, when it wants to be.
    fn wait(&mut self, asked: &Receiver<Question>) -> Option<Question> {
        loop {
            let due = self.shelf.as_ref().and_then(|shelf| shelf.due(SystemTime::now()));
            let Some(due) = due else { return asked.recv().ok() };
            // At least a moment: what is due again at once must not keep the thread awake.
            match asked.recv_timeout(due.max(Duration::from_millis(10))) {
                Ok(question) => return Some(question),
                Err(RecvTimeoutError::Timeout) => self.tidy(true),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Answers a group. Says whether there is more to come.
    fn serve(&mut self, group: Group) -> bool {
        if !group.appends.is_empty() {
            self.append(&group.appends);
        }
        if !group.settles.is_empty() {
            self.settle(group.settles);
        }
        for (after, rows, bytes) in group.nexts {
            match self.with(|shelf| shelf.next(after, rows, bytes)) {
                Ok(rows) => self.say(Answer::Next { after, rows }),
                Err(error) => self.say(Answer::NotNext { after, error }),
            }
        }
        match group.wall {
            Some(Question::Stop) => return false,
            Some(Question::Tool { ticket, tool }) => {
                let result = self.with(|shelf| shelf.tool(&tool, SystemTime::now()));
                self.say(Answer::Tool { ticket, result, numbers: self.numbers() });
            }
            Some(_) => self.say(Answer::Numbers(self.numbers())),
            None => {}
        }
        true
    }

    fn append(&mut self, appends: &[Append]) {
        let new: Vec<New<'_>> = appends.iter().map(Append::for_store).collect();
        let told = self.with(|shelf| shelf.append(&new));
        let outcome = |place: usize| match &told {
            Ok(appended) => match appended.get(place) {
                Some(Appended::Stored(id)) => Outcome::Stored(*id),
                Some(Appended::Full(why)) => Outcome::Full(*why),
                None => Outcome::Full(Why::Disk),
            },
            Err(error) if matches!(**error, StoreError::InDoubt { .. }) => Outcome::InDoubt(Arc::clone(error)),
            Err(error) => Outcome::Failed(Arc::clone(error)),
        };
        let outcomes = appends.iter().enumerate().map(|(place, append)| (append.ticket, outcome(place))).collect();
        self.say(Answer::Appended { outcomes, numbers: self.numbers() });
    }

    /// All of a group in one commit; the last mark holds.
    fn settle(&mut self, settles: Vec<(u64, Vec<Settled>, Id)>) {
        let tickets = settles.iter().map(|(ticket, ..)| *ticket).collect();
        let mark = settles.last().map_or(Id(0), |(.., mark)| *mark);
        let all: Vec<Settled> = settles.into_iter().flat_map(|(_, settled, _)| settled).collect();
        match self.with(|shelf| shelf.settle(&all, mark)) {
            Ok(sent_up_to) => self.say(Answer::Settled { tickets, sent_up_to, numbers: self.numbers() }),
            Err(error) => self.say(Answer::NotSettled { tickets, error }),
        }
    }

    /// Looks after the store.
    fn tidy(&mut self, idle: bool) {
        if self.shelf.is_some()
            && let Err(error) = self.with(|shelf| shelf.maintain(SystemTime::now(), idle))
        {
            tracing::warn!("{error}");
        }
        let findings = self.shelf.as_mut().map(|shelf| shelf.take_findings()).unwrap_or_default();
        if !findings.is_empty() {
            self.say(Answer::Found(findings));
        }
        if let Some(error) = self.broken.as_ref().filter(|_| self.shelf.is_some()) {
            self.say(Answer::Broken(Arc::clone(error)));
            self.shelf = None;
        }
    }

    /// Does something with the store, if it can be used. Its end is told after the answer to this ([`Desk::tidy`]).
    fn with<T>(&mut self, work: impl FnOnce(&mut dyn Shelf) -> Result<T, StoreError>) -> Result<T, Arc<StoreError>> {
        if let Some(broken) = &self.broken {
            return Err(Arc::new(StoreError::Closed { dir: broken.dir().to_owned() }));
        }
        let Some(shelf) = &mut self.shelf else { return Err(Arc::new(StoreError::Closed { dir: PathBuf::new() })) };
        work(shelf.as_mut()).map_err(|error| {
            let error = Arc::new(error);
            if error.closes() {
                self.broken = Some(Arc::clone(&error));
            }
            error
        })
    }

    fn numbers(&self) -> Numbers {
        self.shelf.as_ref().map(|shelf| shelf.numbers()).unwrap_or_default()
    }

    fn give_up(&mut self, error: StoreError) {
        let error = Arc::new(error);
        self.broken = Some(Arc::clone(&error));
        self.say(Answer::Broken(error));
    }

    fn end(&mut self) {
        if let Some(Err(error)) = self.shelf.take().map(Shelf::close) {
            tracing::warn!("{error}");
        }
        self.say(Answer::Stopped);
    }

    /// That nobody listens any more is no error: the question's end then comes by itself.
    fn say(&self, answer: Answer) {
        drop(self.answers.send(answer));
    }
}

#[cfg(test)]
mod tests;
