//! The spooler: carries the dispatch's errands to the store's thread, and its answers back.
//!
//! Enters: [`Errand`]s, answers of the [`Keeper`]. Leaves: questions to the keeper, [`StoreAnswer`]s to the dispatch.
//! Promised: the event loop never waits for the disk; a store that cannot be used any more is opened again, by itself and
//! at most every [`LONGEST`], while undeferred requests are served on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::dispatch::{Errand, StoreAnswer};
use super::worker::{Bell, Worker};
use crate::config::HostSettings;
use crate::snapshot::SpoolNumbers;
use crate::spool::keeper::{Answer, Done, Keeper, Outcome, Question, Tool};
use crate::spool::replay::{Ask, FETCH_BYTES, FETCH_ROWS, Record, Row};
use crate::spool::store::{Findings, How, Id, Limits, Numbers, Pending, Settled, StoreError};
use crate::work::TransactionId;

/// Pauses between attempts to open a store that could not be used.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// What came of a tool.
pub(super) type ToolResult = Result<Done, String>;

/// See the head of this file.
#[derive(Debug)]
pub struct Spooler {
    dir: PathBuf,
    limits: Limits,
    /// How long to wait for a predecessor's lock.
    patience: Duration,
    keeper: RefCell<Option<Keeper>>,
    numbers: RefCell<Numbers>,
    tools: RefCell<BTreeMap<u64, oneshot::Sender<ToolResult>>>,
    next_ticket: Cell<u64>,
    /// Rung at every answer.
    pub(super) answered: Bell,
    stopping: Cell<bool>,
    said_backlog: Cell<Option<bool>>,
}

impl Spooler {
    /// For the store of `host` in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, host: &HostSettings) -> Self {
        let (max_bytes, expire, hold_in_doubt) = (host.spool_max, host.expire, host.hold_in_doubt);
        Self {
            dir,
            limits: Limits { max_bytes, expire, hold_in_doubt, ..Limits::default() },
            patience: host.timeout,
            keeper: RefCell::default(),
            numbers: RefCell::default(),
            tools: RefCell::default(),
            next_ticket: Cell::new(0),
            answered: Bell::default(),
            stopping: Cell::new(false),
            said_backlog: Cell::new(None),
        }
    }

    /// Asks the store what the dispatch wants asked. Returns the answer to what cannot be asked now.
    pub(super) fn ask(&self, errand: Errand) -> Option<StoreAnswer> {
        let question = match errand {
            Errand::Append { ticket, body, in_doubt } => {
                Question::Append { ticket: u64::from(ticket.0), body: body.into_vec(), accepted_ms: now_ms(), in_doubt }
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
            Some(keeper) => {
                keeper.ask(question);
                None
            }
            None => Some(match question {
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
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        if let Some(keeper) = &*self.keeper.borrow() {
            self.tools.borrow_mut().insert(ticket, answer);
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
            last_error: numbers.last_error.clone().unwrap_or_default(),
        }
    }

    /// Closes the store cleanly. The next answers are the last.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        if let Some(keeper) = &*self.keeper.borrow() {
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

/// Keeps the store open, and carries its answers to the dispatch, until it was stopped.
pub(super) async fn serve(worker: Rc<Worker>, spooler: Rc<Spooler>) {
    let mut pause = SHORTEST;
    while !spooler.stopping.get() {
        let (answers, receiver) = unbounded_channel();
        let started = Keeper::of_store(&spooler.dir, spooler.limits, spooler.patience, answers);
        match started {
            Ok(keeper) => {
                *spooler.keeper.borrow_mut() = Some(keeper);
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
    while let Some(answer) = answers.recv().await {
        was_open |= matches!(answer, Answer::Opened { .. });
        match answer {
            Answer::Stopped => break,
            Answer::Broken(error) => {
                error!("{error}");
                spooler.numbers.borrow_mut().last_error = Some(error.to_string());
                break;
            }
            answer => answered(worker, spooler, answer),
        }
        spooler.answered.ring();
    }
    was_open
}

fn answered(worker: &Worker, spooler: &Spooler, answer: Answer) {
    let now = Instant::now();
    let tell = |answer| worker.with(|dispatch| dispatch.store_answered(answer, now));
    match answer {
        Answer::Opened { findings, numbers } => {
            say(&findings);
            let waiting = numbers.depth;
            if waiting > 0 {
                info!("{waiting} deferred requests wait to be replayed");
            }
            note(worker, spooler, numbers);
            tell(StoreAnswer::Open(waiting));
        }
        Answer::Appended { outcomes, numbers } => {
            note(worker, spooler, numbers);
            // All answers of one commit, then each requester is written to once.
            worker.with(|dispatch| {
                for (ticket, outcome) in outcomes {
                    dispatch.store_answered(appended(transaction(ticket), outcome), now);
                }
            });
        }
        Answer::Settled { sent_up_to, numbers, .. } => {
            note(worker, spooler, numbers);
            tell(StoreAnswer::Recorded(sent_up_to.0));
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
            tell(StoreAnswer::Changed(waiting));
            if let Some(asker) = spooler.tools.borrow_mut().remove(&ticket) {
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
    let waiting = numbers.depth > 0;
    if spooler.said_backlog.replace(Some(waiting)) != Some(waiting) {
        worker.report_backlog(waiting);
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
    Row { id: pending.id.0, body: pending.body.into() }
}

/// Tickets are made of transactions' numbers.
fn transaction(ticket: u64) -> TransactionId {
    TransactionId(u32::try_from(ticket).unwrap_or(u32::MAX))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
