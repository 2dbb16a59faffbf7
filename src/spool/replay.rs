//! The replay: which stored transaction is sent next, and what becomes of it. Pure.
//!
//! Enters: rows of the store in the order of their IDs, how each attempt ended, and the time. Leaves: the row to send
//! now; what is to be asked of the store. Promised: rows are sent in the order of their IDs; a row is sent only after the
//! store's mark says on disk that it may have been; how it ended is recorded at most [`GROUP`] rows or 50 ms
//! later; after a failure that another attempt may mend, nothing is begun until the pause is over, and then the row that
//! failed goes first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::work::Tagged;

/// Rows whose end is recorded in one commit; and so far ahead, but for a window, the mark is set.
pub const GROUP: usize = 64;

/// Rows that are asked for at once.
pub const FETCH_ROWS: usize = 256;

/// How long an end may wait for others to be recorded with.
const PATIENCE: Duration = Duration::from_millis(50);

/// Bytes of rows that are held in memory, at most (but for one row).
pub const FETCH_BYTES: usize = 1 << 20;

/// The first pause after a failure, before jitter.
const SHORTEST: Duration = Duration::from_secs(1);

/// Names a stored transaction: greater than all before it, and never given twice.
pub type Id = u64;

/// A stored transaction on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub id: Id,
    /// The request.
    pub request: Tagged,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The host has taken it.
    Delivered,
    /// The host refused it for good: the reply, and why for people.
    Rejected(Vec<u8>, String),
    /// The host refused it for now.
    Transient(String),
    /// It was sent, and no reply came.
    Unknown(String),
    /// It was never sent.
    NeverSent(String),
}

/// What is to be recorded of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// It leaves the store.
    Delivered,
    /// It goes to the dead, with the host's reply and why.
    Dead(Vec<u8>, String),
    /// It stays at its place, one attempt more.
    Failed(String),
    /// It was sent, and no reply came: it stays at its place in doubt, or is parked for the operator.
    Unknown(String),
}

/// What is to be asked of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Rows behind this one.
    Fetch(Id),
    /// To record these ends, and the mark up to which rows may have been sent.
    Record(Vec<(Id, Record)>, Id),
}

/// See the head of this file.
#[derive(Debug)]
pub struct Replay {
    window: usize,
    hold: bool,
    longest: Duration,
    ready: VecDeque<Row>,
    under_way: Vec<Row>,
    ends: Vec<(Id, Record)>,
    oldest_end: Option<Instant>,
    /// On disk: rows up to here may have been sent.
    mark: Id,
    /// The mark that was asked for last. The store sets none beyond its last row.
    asked: Id,
    /// What is being recorded now, and the mark.
    recording: Option<(Vec<(Id, Record)>, Id)>,
    fetching: bool,
    /// The answer to the open question is of no use: it was asked before the store was changed by hand.
    stale: bool,
    fetched: Id,
    more: bool,
    failures: u32,
    not_before: Option<Instant>,
    /// The store had an error: it is not asked before this.
    ask_again: Option<Instant>,
    /// Rows that wait to be delivered, those under way included.
    waiting: u64,
    /// Rows of which nobody knows whether they wait: they, or their ends, were under way when the store was changed by
    /// hand. The store knows.
    unsure: Vec<Id>,
    /// Nothing is begun any more, and what has ended is recorded at once.
    closing: bool,
}

impl Replay {
    /// A replay of a store with `waiting` rows: `window` at a time, what is in doubt resent or (`hold`) parked, pauses up
    /// to `longest`.
    #[must_use]
    pub fn new(window: usize, hold: bool, longest: Duration, waiting: u64) -> Self {
        Self {
            window: window.clamp(1, GROUP),
            hold,
            longest,
            ready: VecDeque::new(),
            under_way: Vec::new(),
            ends: Vec::new(),
            oldest_end: None,
            mark: 0,
            asked: 0,
            recording: None,
            fetching: false,
            stale: false,
            fetched: 0,
            more: waiting > 0,
            failures: 0,
            not_before: None,
            ask_again: None,
            waiting,
            unsure: Vec::new(),
            closing: false,
        }
    }

    /// How many rows wait to be delivered: while there is one, newcomers join the tail.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// How many rows are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// A row was stored.
    pub fn stored(&mut self) {
        self.waiting += 1;
        self.more = true;
    }

    /// The store is open, perhaps again: nothing of it is marked as sent any more.
    pub fn opened(&mut self, waiting: u64) {
        (self.mark, self.asked) = (0, 0);
        self.begin_again(waiting);
    }

    /// The store was changed by hand: begin again at its head, with so many rows waiting. What is under way is not
    /// fetched again before it has ended.
    pub fn begin_again(&mut self, waiting: u64) {
        self.unsure = self.under_way.iter().map(|row| row.id).chain(self.leaving()).collect();
        // Too many, perhaps, until the next commit says how many; never too few, or newcomers would overtake them.
        self.waiting = waiting;
        self.not_before = None;
        self.fetch_anew();
    }

    /// What is next is for the store to say.
    fn fetch_anew(&mut self) {
        self.ready.clear();
        (self.fetched, self.more, self.stale) = (0, true, self.fetching);
    }

    /// The store's answer to [`Ask::Fetch`], in the order of the IDs.
    pub fn fetched(&mut self, rows: Vec<Row>) {
        self.fetching = false;
        if std::mem::take(&mut self.stale) {
            return;
        }
        self.more &= !rows.is_empty();
        if rows.is_empty() && self.ready.is_empty() && self.under_way.is_empty() && !self.more {
            // The store is the truth: rows that it could not read wait no longer.
            self.waiting = 0;
        }
        for row in rows {
            self.fetched = self.fetched.max(row.id);
            if self.under_way.iter().any(|other| other.id == row.id) {
                self.unsure.retain(|id| *id != row.id);
            }
            let known = self.under_way.iter().chain(&self.ready).any(|other| other.id == row.id)
                || self.leaving().any(|id| id == row.id);
            if !known {
                self.put(row);
            }
        }
    }

    /// The store has recorded what [`Ask::Record`] said; rows up to `mark` may be sent, and so many wait now.
    pub fn recorded(&mut self, mark: Id, waiting: u64) {
        let (ends, _) = self.recording.take().unwrap_or_default();
        // One that has only failed may be under way again.
        let left: Vec<Id> = ends.iter().filter(|(_, end)| self.leaves_by(end)).map(|(id, _)| *id).collect();
        self.unsure.retain(|id| !left.contains(id));
        self.mark = if self.closing { mark } else { self.mark.max(mark) };
        let counted = self.leaving().filter(|id| !self.unsure.contains(id)).count();
        self.waiting = waiting.saturating_sub(counted as u64);
    }

    /// The store could not record it: it is asked again, after a while.
    pub fn not_recorded(&mut self, now: Instant) {
        let Some((mut ends, _)) = self.recording.take() else { return };
        ends.append(&mut self.ends);
        self.ends = ends;
        if self.closing && self.ends.is_empty() {
            // Rows are doubted in vain then; a disk that is full must not keep the child from its end.
            self.mark = self.mark.min(self.farthest());
            return;
        }
        self.pause_asking(now);
    }

    /// The store could not be read: it is asked again, after a while.
    pub fn not_fetched(&mut self, now: Instant) {
        (self.fetching, self.stale) = (false, false);
        self.pause_asking(now);
    }

    /// Begins nothing any more.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Whether nothing is under way and every end is recorded; when closing also, that nothing is in doubt that need not be.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.under_way.is_empty() && self.ends.is_empty() && self.recording.is_none() && !self.is_marked_too_far()
    }

    /// Whether the store would have to take rows for sent at its next opening that were not.
    fn is_marked_too_far(&self) -> bool {
        self.closing && self.mark > self.farthest()
    }

    /// The last row that is under way; 0 if none is.
    fn farthest(&self) -> Id {
        self.under_way.iter().map(|row| row.id).max().unwrap_or(0)
    }

    fn pause_asking(&mut self, now: Instant) {
        self.ask_again = Some(now + SHORTEST);
    }

    /// The row to send now. The caller sends it and says how that ended with [`Replay::ended`].
    pub fn next(&mut self, now: Instant) -> Option<&Row> {
        let first = self.ready.front()?;
        let paused = self.not_before.is_some_and(|at| now < at);
        if paused || self.closing || self.under_way.len() >= self.window || first.id > self.mark {
            return None;
        }
        self.not_before = None;
        let row = self.ready.pop_front()?;
        self.under_way.push(row);
        self.under_way.last()
    }

    /// An attempt has ended. `jitter` is from 0.0 to 1.0 and shortens the pause by up to a half.
    pub fn ended(&mut self, id: Id, end: End, now: Instant, jitter: f64) {
        let Some(index) = self.under_way.iter().position(|row| row.id == id) else { return };
        let row = self.under_way.remove(index);
        match end {
            End::Delivered => self.leaves(id, Record::Delivered, now),
            End::Rejected(reply, why) => self.leaves(id, Record::Dead(reply, why), now),
            End::Unknown(why) if self.hold => self.leaves(id, Record::Unknown(why), now),
            End::Unknown(why) => {
                self.record(id, Record::Unknown(why), now);
                self.again(row, now, jitter);
            }
            End::Transient(why) => {
                self.record(id, Record::Failed(why), now);
                self.again(row, now, jitter);
            }
            // Nothing is recorded: a host that is away for days must not keep the disk busy.
            End::NeverSent(_) => self.again(row, now, jitter),
        }
    }

    /// A row was not sent, and will not be before its turn comes again: one before it has failed.
    pub fn taken_back(&mut self, id: Id) {
        if let Some(index) = self.under_way.iter().position(|row| row.id == id) {
            let row = self.under_way.remove(index);
            self.put_back(row);
        }
    }

    /// The host is back, or somebody is impatient: the pause is over.
    pub fn hurry(&mut self) {
        self.not_before = None;
        self.failures = 0;
    }

    /// What is to be asked of the store now. At most one question of each kind is open.
    pub fn ask(&mut self, now: Instant) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.ask_again.is_some_and(|at| now < at) {
            return asks;
        }
        self.ask_again = None;
        if self.more && !self.closing && !self.fetching && self.ready.len() < self.window {
            self.fetching = true;
            asks.push(Ask::Fetch(self.fetched));
        }
        let due = (self.closing && !self.ends.is_empty())
            || self.ends.len() >= GROUP
            || self.oldest_end.is_some_and(|at| now >= at + PATIENCE);
        let drained = !self.ends.is_empty() && self.waiting == 0;
        // A window before the mark is reached, so that sending goes on while the next one is written.
        let ahead = self.window as u64 - 1;
        let needed = |row: &Row| row.id > self.mark || row.id + ahead > self.mark.max(self.asked);
        let unmarked = !self.closing && self.ready.front().is_some_and(needed);
        if self.recording.is_none() && (due || drained || unmarked || self.is_marked_too_far()) {
            // IDs are given in a row, so this is what the next GROUP rows and a window can have.
            let far = |row: &Row| row.id + ahead + GROUP as u64 - 1;
            let mark = match self.ready.front() {
                _ if self.closing => self.farthest(),
                Some(row) => far(row).max(self.mark),
                None => self.mark,
            };
            let ends = std::mem::take(&mut self.ends);
            self.recording = Some((ends.clone(), mark));
            self.asked = mark;
            self.oldest_end = None;
            asks.push(Ask::Record(ends, mark));
        }
        asks
    }

    /// When to look again although nothing has happened. `up`: whether a row could be sent then.
    #[must_use]
    pub fn alarm(&self, up: bool) -> Option<Instant> {
        let free = self.recording.is_none() && self.ask_again.is_none();
        let record = self.oldest_end.filter(|_| free).map(|at| at + PATIENCE);
        let ask = self.ask_again;
        let send = self.not_before.filter(|_| up && !self.ready.is_empty());
        [record, send, ask].into_iter().flatten().min()
    }

    /// Rows that have ended for good, but are perhaps still in the store.
    fn leaving(&self) -> impl Iterator<Item = Id> + '_ {
        let recording = self.recording.iter().flat_map(|(ends, _)| ends);
        self.ends.iter().chain(recording).filter(|(_, end)| self.leaves_by(end)).map(|(id, _)| *id)
    }

    /// Whether a row is no longer pending after this.
    fn leaves_by(&self, record: &Record) -> bool {
        match record {
            Record::Delivered | Record::Dead(..) => true,
            Record::Failed(_) => false,
            Record::Unknown(_) => self.hold,
        }
    }

    fn leaves(&mut self, id: Id, record: Record, now: Instant) {
        self.failures = 0;
        if !self.unsure.contains(&id) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.record(id, record, now);
    }

    fn record(&mut self, id: Id, record: Record, now: Instant) {
        self.ends.push((id, record));
        self.oldest_end.get_or_insert(now);
    }

    /// Puts a row to its place: nearly always the end, or the head.
    fn put(&mut self, row: Row) {
        let place = self.ready.partition_point(|other| other.id < row.id);
        self.ready.insert(place, row);
    }

    /// Puts a row back to its place, if it still has one: it may have been held, dropped or buried while it was under way.
    fn put_back(&mut self, row: Row) {
        match self.unsure.iter().position(|id| *id == row.id) {
            None => self.put(row),
            Some(at) => {
                self.unsure.swap_remove(at);
                self.fetch_anew();
            }
        }
    }

    /// Puts a row back to its place and lets the pause begin.
    fn again(&mut self, row: Row, now: Instant, jitter: f64) {
        self.put_back(row);
        self.failures = self.failures.saturating_add(1);
        let full = SHORTEST.saturating_mul(1 << (self.failures - 1).min(16)).min(self.longest);
        self.not_before = Some(now + full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0));
    }
}

#[cfg(test)]
mod tests;
