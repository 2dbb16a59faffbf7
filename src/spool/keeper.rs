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

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;

use super::store::{
    Appended, Entry, Findings, Id, Limits, New, Numbers, Pending, Report, RowState, Settled, Store, StoreError, Which,
    Why,
};
use super::tools;

/// Rows of one commit.
const GROUP_ROWS: usize = 256;
/// Bytes of bodies of one commit, but for the last row.
const GROUP_BYTES: usize = 1 << 20;

/// Pauses between attempts to lock a store that another process has.
const SHORTEST_RETRY: Duration = Duration::from_millis(5);
const LONGEST_RETRY: Duration = Duration::from_millis(50);

/// What a keeper asks of a store: the seam at which tests put one that stalls, fails or is full.
pub trait Shelf: Send {
    /// See [`Store::append`].
    ///
    /// # Errors
    /// As there.
    fn append(&mut self, new: &[New<'_>]) -> Result<Vec<Appended>, StoreError>;
    /// See [`Store::settle`].
    ///
    /// # Errors
    /// As there.
    fn settle(&mut self, settled: &[Settled], sent_up_to: Id) -> Result<Id, StoreError>;
    /// See [`Store::next`].
    ///
    /// # Errors
    /// As there.
    fn next(&mut self, after: Id, rows: usize, bytes: usize) -> Result<Vec<Pending>, StoreError>;
    /// Does what an operator asks.
    ///
    /// # Errors
    /// As the store's own.
    fn tool(&mut self, tool: &Tool, now: SystemTime) -> Result<Done, StoreError>;
    /// See [`Store::numbers`].
    fn numbers(&self) -> Numbers;
    /// See [`Store::take_findings`].
    fn take_findings(&mut self) -> Findings;
    /// See [`Store::due`].
    fn due(&self, now: SystemTime) -> Option<Duration>;
    /// See [`Store::maintain`].
    ///
    /// # Errors
    /// As there.
    fn maintain(&mut self, now: SystemTime, idle: bool) -> Result<(), StoreError>;
    /// See [`Store::close`].
    ///
    /// # Errors
    /// As there.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// What is asked of a keeper.
#[derive(Debug)]
pub enum Question {
    /// Store a request. Answered in [`Answer::Appended`].
    Append {
        /// Names it in the answer.
        ticket: u64,
        /// The request.
        body: Vec<u8>,
        /// When it was accepted, in milliseconds since 1970.
        accepted_ms: u64,
        /// Whether the first try had sent it.
        in_doubt: bool,
    },
    /// Write what became of rows, and up to which ID rows may be sent. Answered by [`Answer::Settled`].
    Settle {
        /// Names it in the answer.
        ticket: u64,
        /// What became of rows.
        settled: Vec<Settled>,
        /// See [`Store::settle`].
        sent_up_to: Id,
    },
    /// The rows that wait. Answered by [`Answer::Next`].
    Next {
        /// Behind this one; 0 for the head.
        after: Id,
        /// At most so many.
        rows: usize,
        /// About so many bytes.
        bytes: usize,
    },
    /// What an operator wants. Answered by [`Answer::Tool`].
    Tool {
        /// Names it in the answer.
        ticket: u64,
        /// The deed.
        tool: Tool,
    },
    /// Answered by [`Answer::Numbers`].
    Numbers,
    /// The end: close the store cleanly. Answered by [`Answer::Stopped`], the last one.
    Stop,
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// Rows of a state behind an ID, at most so many. → [`Done::Entries`]
    List(RowState, Id, usize),
    /// One row. → [`Done::Entries`], empty if it is not there
    Get(Id),
    /// Hold rows that wait. → [`Done::Count`]
    Hold(Which),
    /// Let held rows wait again. → [`Done::Count`]
    Release(Which),
    /// Drop rows of a state. → [`Done::Count`]
    Drop(RowState, Which),
    /// Dead rows to the tail. → [`Done::Requeued`]
    Requeue(Which),
    /// What waited too long to the dead. → [`Done::Count`]
    Expire,
    /// Read everything. → [`Done::Checked`]
    Check,
    /// A command of `tieline spool`. → [`Done::Told`]
    Command(tools::Command),
}

/// What came of a [`Tool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Rows.
    Entries(Vec<Entry>),
    /// How many.
    Count(u64),
    /// Old and new IDs.
    Requeued(Vec<(Id, Id)>),
    /// What the check found.
    Checked(Report),
    /// What the operator is told.
    Told(tools::Answer),
}

/// What a keeper says.
#[derive(Debug)]
pub enum Answer {
    /// The store is open: the first answer, unless it is [`Answer::Broken`].
    Opened {
        /// What was found.
        findings: Findings,
        /// Its numbers.
        numbers: Numbers,
    },
    /// One commit of requests.
    Appended {
        /// Ticket and outcome of each, in the order in which they were asked.
        outcomes: Vec<(u64, Outcome)>,
        /// The numbers afterwards.
        numbers: Numbers,
    },
    /// It is written.
    Settled {
        /// The ticket of each question that this commit covers, in their order.
        tickets: Vec<u64>,
        /// The mark that holds now: nothing beyond it may be sent.
        sent_up_to: Id,
        /// The numbers afterwards.
        numbers: Numbers,
    },
    /// It is not written. Unless [`Answer::Broken`] follows, asking again may help.
    NotSettled {
        /// The ticket of each question.
        tickets: Vec<u64>,
        /// The reason.
        error: Arc<StoreError>,
    },
    /// Rows that wait.
    Next {
        /// As asked.
        after: Id,
        /// The rows; none if nothing waits there.
        rows: Vec<Pending>,
    },
    /// They cannot be read now.
    NotNext {
        /// As asked.
        after: Id,
        /// The reason.
        error: Arc<StoreError>,
    },
    /// What came of a tool.
    Tool {
        /// As asked.
        ticket: u64,
        /// What came of it.
        result: Result<Done, Arc<StoreError>>,
        /// The numbers afterwards.
        numbers: Numbers,
    },
    /// The numbers.
    Numbers(Numbers),
    /// Damage was found, and dealt with.
    Found(Findings),
    /// The store cannot be used any more: everything from now on is answered with this. The child should end and begin
    /// anew.
    Broken(Arc<StoreError>),
    /// The end.
    Stopped,
}

/// What became of a request that was to be stored.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is on disk.
    Stored(Id),
    /// It is not: there is no room now.
    Full(Why),
    /// It is not.
    Failed(Arc<StoreError>),
    /// Nobody knows.
    InDoubt(Arc<StoreError>),
}

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

/// Appends and settlements that are done together.
#[derive(Default)]
struct Group {
    appends: Vec<(u64, Vec<u8>, u64, bool)>,
    bytes: usize,
    settles: Vec<(u64, Vec<Settled>, Id)>,
    nexts: Vec<(Id, usize, usize)>,
    /// What ended the group.
    wall: Option<Question>,
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

/// Everything that is there already, within bounds.
fn collect(first: Question, asked: &Receiver<Question>) -> Group {
    let mut group = Group::default();
    let mut next = Some(first);
    while let Some(question) = next {
        match question {
            Question::Append { ticket, body, accepted_ms, in_doubt } => {
                group.bytes += body.len();
                group.appends.push((ticket, body, accepted_ms, in_doubt));
            }
            Question::Settle { ticket, settled, sent_up_to } => group.settles.push((ticket, settled, sent_up_to)),
            Question::Next { after, rows, bytes } => group.nexts.push((after, rows, bytes)),
            wall => {
                group.wall = Some(wall);
                break;
            }
        }
        let full = group.appends.len() >= GROUP_ROWS || group.bytes >= GROUP_BYTES || group.settles.len() >= GROUP_ROWS;
        next = if full { None } else { asked.try_recv().ok() };
    }
    group
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

    fn append(&mut self, appends: &[(u64, Vec<u8>, u64, bool)]) {
        let new: Vec<New<'_>> = appends
            .iter()
            .map(|(_, body, accepted_ms, in_doubt)| New { body, accepted_ms: *accepted_ms, in_doubt: *in_doubt })
            .collect();
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
        let outcomes = appends.iter().enumerate().map(|(place, append)| (append.0, outcome(place))).collect();
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

impl Shelf for Store {
    fn append(&mut self, new: &[New<'_>]) -> Result<Vec<Appended>, StoreError> {
        self.append(new)
    }

    fn settle(&mut self, settled: &[Settled], sent_up_to: Id) -> Result<Id, StoreError> {
        self.settle(settled, sent_up_to)
    }

    fn next(&mut self, after: Id, rows: usize, bytes: usize) -> Result<Vec<Pending>, StoreError> {
        self.next(after, rows, bytes)
    }

    fn tool(&mut self, tool: &Tool, now: SystemTime) -> Result<Done, StoreError> {
        Ok(match tool {
            Tool::List(state, after, rows) => Done::Entries(self.list(*state, *after, *rows)?),
            Tool::Get(id) => Done::Entries(self.get(*id)?.into_iter().collect()),
            Tool::Hold(which) => Done::Count(self.hold(which)?),
            Tool::Release(which) => Done::Count(self.release(which)?),
            Tool::Drop(state, which) => Done::Count(self.drop_rows(*state, which)?),
            Tool::Requeue(which) => Done::Requeued(self.requeue(which, now)?),
            Tool::Expire => Done::Count(self.expire(now)?),
            Tool::Check => Done::Checked(self.check()?),
            Tool::Command(command) => Done::Told(tools::try_run(self, command, now)?),
        })
    }

    fn numbers(&self) -> Numbers {
        self.numbers()
    }

    fn take_findings(&mut self) -> Findings {
        self.take_findings()
    }

    fn due(&self, now: SystemTime) -> Option<Duration> {
        self.due(now)
    }

    fn maintain(&mut self, now: SystemTime, idle: bool) -> Result<(), StoreError> {
        self.maintain(now, idle)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        (*self).close()
    }
}

#[cfg(test)]
mod tests;
