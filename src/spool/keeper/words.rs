//! What is said to a keeper, what it says, and what it asks of a store.
//!
//! Enters: nothing. Leaves: [`Question`], [`Answer`], and [`Shelf`], the seam at which tests put a store that stalls, fails
//! or is full.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::spool::store::{
    Appended, Entry, Findings, Id, New, Numbers, Pending, Report, RowState, Settled, Store, StoreError, Which, Why,
};
use crate::spool::tools;

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
        /// Its tag; empty: none.
        tag: String,
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
