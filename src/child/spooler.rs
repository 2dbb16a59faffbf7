//! The spooler: carries the dispatch's errands to the store's thread, and its answers back.
//!
//! Enters: [`Errand`]s, answers of the [`Keeper`]. Leaves: questions to the keeper, [`StoreAnswer`]s to the dispatch.
//! Promised: the event loop never waits for the disk; a store that cannot be used any more is opened again, by itself and
//! at most once a minute, while undeferred requests are served on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::bells::Bell;
use super::dispatch::{Errand, StoreAnswer};
use super::worker::Worker;
use crate::config::HostSettings;
use crate::snapshot::SpoolNumbers;
use crate::spool::keeper::{Answer, Done, Keeper, Outcome, Question, Tool};
use crate::spool::replay::{Ask, FETCH_BYTES, FETCH_ROWS, Record, Row};
use crate::spool::store::{Findings, How, Id, Limits, Numbers, Pending, Settled, StoreError};
use crate::work::{Tagged, TransactionId};

/// Pauses between attempts to open a store that could not be used.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How often the log says that the spool is full: at the edge it may be so many times in a second.
const FULL_AGAIN: Duration = Duration::from_secs(60);

/// Starts the thread that owns the store. Answers to the channel; called again when the store could not be used.
pub(super) type Start = Box<dyn Fn(UnboundedSender<Answer>) -> io::Result<Keeper>>;

/// What came of a tool.
pub(super) type ToolResult = Result<Done, String>;

/// See the head of this file.
pub struct Spooler {
    start: Start,
    /// How long a request may wait.
    expire_after: Duration,
    keeper: RefCell<Option<Keeper>>,
    numbers: RefCell<Numbers>,
    /// Who waits for what came of a tool, and whether that changes the store.
    tools: RefCell<BTreeMap<u64, (oneshot::Sender<ToolResult>, bool)>>,
    next_ticket: Cell<u64>,
    /// Rung at every answer.
    pub(super) answered: Bell,
    stopping: Cell<bool>,
    said_backlog: Cell<Option<bool>>,
    /// Why the last request found no room.
    full: RefCell<Option<String>>,
    said_full: Cell<Option<Instant>>,
}

impl Spooler {
    /// For the store of `host` in `dir`. A predecessor has it for no longer than it may take to retire (`drain`).
    #[must_use]
    pub fn new(dir: PathBuf, host: &HostSettings, drain: Duration) -> Self {
        let (max_bytes, expire, hold_in_doubt) = (host.spool_max, host.expire, host.hold_in_doubt);
        let limits = Limits { max_bytes, expire, hold_in_doubt, ..Limits::default() };
        // Whoever waits for the store ends at its own deadline before this.
        let patience = drain + host.timeout;
        Self::with_keeper(Box::new(move |answers| Keeper::of_store(&dir, limits, patience, answers)), expire)
    }

    /// With whatever keeper `start` starts; requests wait for `expire_after` at most.
    pub(super) fn with_keeper(start: Start, expire_after: Duration) -> Self {
        Self {
            start,
            expire_after,
            keeper: RefCell::default(),
            numbers: RefCell::default(),
            tools: RefCell::default(),
            next_ticket: Cell::new(0),
            answered: Bell::default(),
            stopping: Cell::new(false),
            said_backlog: Cell::new(None),
            full: RefCell::default(),
            said_full: Cell::new(None),
        }
    }

    /// Asks the store what the dispatch wants asked. Returns the answer to what cannot be asked now.
    pub(super) fn ask(&self, errand: Errand) -> Option<StoreAnswer> {
        let question = match errand {
            Errand::Append { ticket, request: Tagged { tag, body }, in_doubt } => {
                let (ticket, body, tag) = (u64::from(ticket.0), body.into_vec(), tag.into_string());
                Question::Append { ticket, body, tag, accepted_ms: now_ms(), in_doubt }
            }
            Errand::Replay(Ask::Fetch(after)) => {
                Question::Next { after: Id(after), rows: FETCH_ROWS, bytes: FETCH_BYTES }
            }
            Errand::Replay(Ask::Record(ends, mark)) => {
                let settled = ends.into_iter().map(|(id, end)| Settled { id: Id(id), how: how(end) }).collect();
                Question::Settle { ticket: 0, settled, sent_up_to: Id(mark) }
            }
        };
        match &*self.keeper.borrow() {
            // A keeper that was told to stop answers nothing that it is asked after that.
            Some(keeper) if !self.stopping.get() => {
                keeper.ask(question);
                None
            }
            _ => Some(match question {
                Question::Append { ticket, .. } => {
                    StoreAnswer::Failed(transaction(ticket), "the spool cannot be used now".to_owned())
                }
                Question::Next { .. } => StoreAnswer::NotFetched,
                _ => StoreAnswer::NotRecorded,
            }),
        }
    }

    /// Asks the store for something on an operator's behalf.
    pub(super) fn tool(&self, tool: Tool, answer: oneshot::Sender<ToolResult>) {
        if let Some(keeper) = &*self.keeper.borrow() {
            let ticket = self.next_ticket.get();
            self.next_ticket.set(ticket + 1);
            let changes = !matches!(&tool, Tool::Command(command) if !command.changes());
            self.tools.borrow_mut().insert(ticket, (answer, changes));
            keeper.ask(Question::Tool { ticket, tool });
        } else {
            drop(answer.send(Err("the spool cannot be used now; see last_error in the status".to_owned())));
        }
    }

    /// Numbers for the status.
    pub(super) fn numbers(&self) -> SpoolNumbers {
        let numbers = self.numbers.borrow();
        SpoolNumbers {
            depth: numbers.depth,
            bytes: numbers.bytes,
            oldest_s: numbers.oldest_ms.map_or(0, |oldest| now_ms().saturating_sub(oldest) / 1000),
            in_doubt: numbers.in_doubt,
            held: numbers.held,
            dead: numbers.dead,
            damaged: numbers.damaged,
            last_error: self.full.borrow().clone().or_else(|| numbers.last_error.clone()).unwrap_or_default(),
        }
    }

    /// How long until the oldest request has waited too long; none if none waits.
    fn expiry(&self) -> Option<Duration> {
        let oldest = Duration::from_millis(self.numbers.borrow().oldest_ms?);
        Some((oldest + self.expire_after).saturating_sub(Duration::from_millis(now_ms())))
    }

    /// Asks the store to bury what has waited too long. Nobody waits for what comes of it.
    fn expire(&self) {
        if let Some(keeper) = &*self.keeper.borrow() {
            keeper.ask(Question::Tool { ticket: u64::MAX, tool: Tool::Expire });
        }
    }

    /// Notes whether there was room for the last of these.
    fn note_room(&self, outcomes: &[(u64, Outcome)]) {
        let full = match outcomes.last() {
            Some((_, Outcome::Full(why))) => Some(format!("no request can be stored: {why}")),
            _ => None,
        };
        let is_due = self.said_full.get().is_none_or(|said| said.elapsed() >= FULL_AGAIN);
        if let Some(why) = full.as_ref().filter(|_| is_due) {
            warn!("{why}; deferred requests are answered as busy until there is room");
            self.said_full.set(Some(Instant::now()));
        }
        *self.full.borrow_mut() = full;
    }

    /// Closes the store cleanly. The next answers are the last.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        if let Some(keeper) = &*self.keeper.borrow() {
            keeper.abandon();
            keeper.ask(Question::Stop);
        }
    }

    /// Whether the store was closed.
    pub(super) fn has_stopped(&self) -> bool {
        self.keeper.borrow().is_none()
    }

    fn forget_tools(&self) {
        // Whoever waits for one hears that it was dropped.
        self.tools.borrow_mut().clear();
    }
}

impl fmt::Debug for Spooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooler").field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// Keeps the store open, and carries its answers to the dispatch, until it was stopped.
pub(super) async fn serve(worker: Rc<Worker>, spooler: Rc<Spooler>) {
    let mut pause = SHORTEST;
    while !spooler.stopping.get() {
        let (answers, receiver) = unbounded_channel();
        let started = (spooler.start)(answers);
        match started {
            Ok(keeper) => {
                *spooler.keeper.borrow_mut() = Some(keeper);
                worker.with(|dispatch| dispatch.store_answered(StoreAnswer::Opening, Instant::now()));
                let was_open = carry(&worker, &spooler, receiver).await;
                if was_open {
                    pause = SHORTEST;
                }
            }
            Err(error) => error!("the spool's thread cannot be started: {error}"),
        }
        *spooler.keeper.borrow_mut() = None;
        spooler.forget_tools();
        worker.with(|dispatch| dispatch.store_answered(StoreAnswer::Closed, Instant::now()));
        spooler.answered.ring();
        if spooler.stopping.get() {
            return;
        }
        warn!("the spool is opened again in {} s; until then deferred requests fail", pause.as_secs());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Carries answers until the last one. Returns whether the store was open at all.
async fn carry(worker: &Worker, spooler: &Spooler, mut answers: UnboundedReceiver<Answer>) -> bool {
    let mut was_open = false;
    while let Some(answer) = next_answer(spooler, &mut answers).await {
        was_open |= matches!(answer, Answer::Opened { .. });
        match answer {
            Answer::Stopped => break,
            Answer::Broken(error) => {
                if !spooler.stopping.get() {
                    error!("{error}");
                }
                spooler.numbers.borrow_mut().last_error = Some(error.to_string());
                // Nothing more is asked, but what was asked before is still answered: somebody waits for it.
                *spooler.keeper.borrow_mut() = None;
            }
            answer => answered(worker, spooler, answer),
        }
        spooler.answered.ring();
    }
    was_open
}

/// The next answer. Meanwhile the store is asked to bury what has waited too long, when the oldest has.
async fn next_answer(spooler: &Spooler, answers: &mut UnboundedReceiver<Answer>) -> Option<Answer> {
    loop {
        let Some(due) = spooler.expiry() else { return answers.recv().await };
        match tokio::time::timeout(due.max(SHORTEST), answers.recv()).await {
            Ok(answer) => return answer,
            Err(_) => spooler.expire(),
        }
    }
}

fn answered(worker: &Worker, spooler: &Spooler, answer: Answer) {
    let now = Instant::now();
    let tell = |answer| worker.with(|dispatch| dispatch.store_answered(answer, now));
    match answer {
        Answer::Opened { findings, numbers } => {
            say(&findings);
            let waiting = numbers.depth;
            note(worker, spooler, numbers);
            tell(StoreAnswer::Open(waiting));
        }
        Answer::Appended { outcomes, numbers } => {
            note(worker, spooler, numbers);
            spooler.note_room(&outcomes);
            // All answers of one commit, then each requester is written to once.
            worker.with(|dispatch| {
                for (ticket, outcome) in outcomes {
                    dispatch.store_answered(appended(transaction(ticket), outcome), now);
                }
            });
        }
        Answer::Settled { sent_up_to, numbers, .. } => {
            let waiting = numbers.depth;
            note(worker, spooler, numbers);
            tell(StoreAnswer::Recorded(sent_up_to.0, waiting));
        }
        Answer::NotSettled { error, .. } => {
            complain(&error);
            tell(StoreAnswer::NotRecorded);
        }
        Answer::Next { rows, .. } => tell(StoreAnswer::Fetched(rows.into_iter().map(row).collect())),
        Answer::NotNext { error, .. } => {
            complain(&error);
            tell(StoreAnswer::NotFetched);
        }
        Answer::Tool { ticket, result, numbers } => {
            let waiting = numbers.depth;
            note(worker, spooler, numbers);
            let asker = spooler.tools.borrow_mut().remove(&ticket);
            if asker.as_ref().is_none_or(|(_, changes)| *changes) {
                tell(StoreAnswer::Changed(waiting));
            }
            if let Some((asker, _)) = asker {
                drop(asker.send(result.map_err(|error| error.to_string())));
            }
        }
        Answer::Numbers(numbers) => note(worker, spooler, numbers),
        Answer::Found(findings) => say(&findings),
        Answer::Broken(_) | Answer::Stopped => {}
    }
}

/// Keeps the numbers for the status, and tells the parent when a backlog begins or ends.
fn note(worker: &Worker, spooler: &Spooler, numbers: Numbers) {
    if spooler.has_stopped() {
        // A store that cannot be used any more has no numbers: the last ones are kept, and why it is so.
        return;
    }
    let waiting = numbers.depth > 0;
    let said = spooler.said_backlog.replace(Some(waiting));
    if said != Some(waiting) {
        worker.report_backlog(waiting);
        match (said, waiting) {
            (_, true) => info!("deferred requests wait in the spool"),
            (Some(true), false) => info!("no deferred request waits in the spool any more"),
            _ => {}
        }
    }
    if !waiting {
        *spooler.full.borrow_mut() = None;
    }
    *spooler.numbers.borrow_mut() = numbers;
}

fn say(findings: &Findings) {
    for finding in &findings.0 {
        warn!("{finding}");
    }
}

fn complain(error: &StoreError) {
    warn!("{error}; trying again");
}

fn appended(ticket: TransactionId, outcome: Outcome) -> StoreAnswer {
    match outcome {
        Outcome::Stored(id) => StoreAnswer::Stored(ticket, id.0),
        Outcome::Full(why) => StoreAnswer::Full(ticket, why.to_string()),
        Outcome::Failed(error) => StoreAnswer::Failed(ticket, error.to_string()),
        Outcome::InDoubt(error) => StoreAnswer::InDoubt(ticket, error.to_string()),
    }
}

fn how(end: Record) -> How {
    match end {
        Record::Delivered => How::Delivered,
        Record::Dead(reply, why) => How::Dead { reply, why },
        Record::Failed(why) => How::Failed { why },
        Record::Unknown(why) => How::Unknown { why },
    }
}

fn row(pending: Pending) -> Row {
    Row { id: pending.id.0, request: Tagged { tag: pending.tag.into(), body: pending.body.into() } }
}

/// Tickets are made of transactions' numbers.
fn transaction(ticket: u64) -> TransactionId {
    TransactionId(u32::try_from(ticket).unwrap_or(u32::MAX))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
