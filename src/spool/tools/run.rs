//! Carries commands out on a store.
//!
//! Enters: a store, open to be changed or only to be read, and a [`Command`]. Leaves: an [`Answer`].

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::readable::{Readable, Unopened};
use super::{Answer, Blame, CHUNK, Command, Done, Miss, Part, ROWS, Report, Row, Which, base64, numbers};
use crate::spool::store::{self, Entry, Id, ReadOnly, RowState, Store, StoreError};

/// Bytes of rows in one answer, as JSON, but for the first one.
const PAGE: usize = 512 << 10;

/// A row as JSON without what varies: names, numbers and punctuation.
const ROW: usize = 400;

/// A store up to this size, in bytes, is checked whole while a child waits for its store: that takes well under a second.
const CHECKED_AT_ONCE: u64 = 32 << 20;

/// Damaged rows that are named.
const MOST_DAMAGED: usize = 1000;

/// Stores set aside that are named.
const MOST_SET_ASIDE: usize = 100;

/// Carries `command` out on the store that this process has open. What went wrong with the store is told in the answer;
/// who has to act upon it asks [`Store`] itself, or calls [`try_run`].
pub fn run(store: &mut Store, command: &Command, now: SystemTime) -> Answer {
    try_run(store, command, now).unwrap_or_else(|error| Answer::from(&error))
}

/// As [`run`].
///
/// # Errors
/// Those of the store: parts that were done stay done.
pub fn try_run(store: &mut Store, command: &Command, now: SystemTime) -> Result<Answer, StoreError> {
    Ok(Answer::Done(match command {
        Command::Retry => Done { rows: store.numbers().depth, ..Done::default() },
        Command::Hold(which) => each(store, Some(RowState::Pending), which, &|store, _, these| store.hold(these))?,
        Command::Release(which) => each(store, Some(RowState::Held), which, &|store, _, these| store.release(these))?,
        Command::Drop { state, which } => {
            each(store, state.map(RowState::from), which, &|store, state, these| store.drop_rows(state, these))?
        }
        Command::Requeue(which) => {
            let requeued = std::cell::RefCell::new(Vec::new());
            let done = each(store, Some(RowState::Dead), which, &|store, _, these| {
                let pairs = store.requeue(these, now)?;
                requeued.borrow_mut().extend(pairs.iter().map(|(old, new)| (old.0, new.0)));
                Ok(pairs.len() as u64)
            })?;
            Done { requeued: requeued.into_inner(), ..done }
        }
        _ => return looked(store, command, now),
    }))
}

/// Carries out a `command` that changes nothing, on a store that no process has open. `expire`: as configured for the
/// host.
pub fn look(store: &ReadOnly, dir: &Path, expire: Duration, command: &Command) -> Answer {
    let answer = looked(&mut Unopened { store, dir, expire }, command, SystemTime::now());
    answer.unwrap_or_else(|error| Answer::from(&error))
}

fn looked(store: &mut impl Readable, command: &Command, now: SystemTime) -> Result<Answer, StoreError> {
    match command {
        Command::List { state, after, bodies } => list(store, (*state).into(), Id(*after), *bodies),
        Command::Get { ids } => get(store, ids),
        Command::Bytes { id, of, from } => bytes(store.get(Id(*id))?, *id, *of, *from),
        Command::Numbers => Ok(Answer::Numbers(numbers(&store.numbers(), now))),
        Command::Check => check(store).map(Answer::Report),
        _ => Ok(refused("only the child that has the spool open can do that")),
    }
}

fn list(store: &mut impl Readable, state: RowState, after: Id, bodies: bool) -> Result<Answer, StoreError> {
    // One more than fits, to know whether that was all; the store may give fewer if they are large.
    let entries = store.list(state, after, ROWS + 1)?;
    let all = match entries.last() {
        Some(last) => store.list(state, last.id, 1)?.is_empty(),
        None => true,
    };
    Ok(page(entries, all, bodies, store.expire()))
}

fn get(store: &mut impl Readable, ids: &[u64]) -> Result<Answer, StoreError> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut ids = in_order(ids).into_iter();
    for id in ids.by_ref() {
        let Some(entry) = store.get(Id(id))? else { continue };
        bytes += entry.body.len() + entry.reply.len();
        entries.push(entry);
        if bytes > PAGE {
            break;
        }
    }
    Ok(page(entries, ids.next().is_none(), true, store.expire()))
}

fn in_order(ids: &[u64]) -> Vec<u64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// As many rows as fit into one answer. `all`: whether there are none behind them.
fn page(entries: Vec<Entry>, mut all: bool, bodies: bool, expire: Duration) -> Answer {
    let (mut rows, mut size): (Vec<Row>, usize) = (Vec::new(), 0);
    for entry in entries {
        let row = row(&entry, bodies, expire);
        size += json_size(&row);
        if rows.len() == ROWS || (size > PAGE && !rows.is_empty()) {
            all = false;
            break;
        }
        rows.push(row);
    }
    let next = rows.last().map(|row| row.id).filter(|_| !all);
    Answer::Rows { rows, next }
}

/// At most this: a byte of text takes up to six in JSON.
fn json_size(row: &Row) -> usize {
    let text = row.last_error.as_ref().map_or(0, String::len) + row.tag.len();
    let bodies = [&row.body, &row.reply].into_iter().flatten().map(String::len).sum::<usize>();
    ROW + 6 * text + bodies
}

fn row(entry: &Entry, bodies: bool, expire: Duration) -> Row {
    let expire = u64::try_from(expire.as_millis()).unwrap_or(u64::MAX);
    let waits = entry.state == RowState::Pending;
    // Both of a row fit beside each other.
    let text = |bytes: &[u8]| (bodies && bytes.len() <= CHUNK / 2).then(|| base64::encode(bytes));
    Row {
        id: entry.id.0,
        state: entry.state.into(),
        accepted_ms: entry.accepted_ms,
        since_ms: entry.since_ms,
        expires_ms: waits.then(|| entry.accepted_ms.saturating_add(expire)),
        attempts: entry.attempts,
        in_doubt: entry.in_doubt,
        last_error: entry.last_error.clone(),
        requeued_from: entry.requeued_from.map(|id| id.0),
        tag: entry.tag.clone(),
        bytes: entry.body.len() as u64,
        reply_bytes: entry.reply.len() as u64,
        body: text(&entry.body),
        reply: text(&entry.reply),
    }
}

fn bytes(entry: Option<Entry>, id: u64, of: Part, from: u64) -> Result<Answer, StoreError> {
    let Some(entry) = entry else {
        return Ok(refused(&format!("{id} is not stored any more")));
    };
    let all = match of {
        Part::Request => entry.body,
        Part::Reply => entry.reply,
    };
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
    let part = &all[from..all.len().min(from.saturating_add(CHUNK))];
    Ok(Answer::Bytes { base64: base64::encode(part), total: all.len() as u64 })
}

fn check(store: &mut impl Readable) -> Result<Report, StoreError> {
    let mut report = Report { set_aside: set_aside(store.dir()), ..Report::default() };
    if store.has_other_work() && store.numbers().bytes > CHECKED_AT_ONCE {
        return Ok(report);
    }
    let found = store.check()?;
    report.whole = true;
    report.rows = found.rows;
    report.damaged = found.damaged.len() as u64;
    report.damaged_ids = found.damaged.iter().map(|id| id.0).take(MOST_DAMAGED).collect();
    report.wrong = found.wrong;
    Ok(report)
}

/// The directories of damaged stores; none if they cannot be read.
fn set_aside(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join("corrupt")) else {
        return Vec::new();
    };
    let mut found: Vec<String> =
        entries.flatten().map(|entry| entry.path().display().to_string()).take(MOST_SET_ASIDE).collect();
    found.sort();
    found
}

/// Does something to the rows of `state`; of any, if there is none.
fn each(store: &mut Store, state: Option<RowState>, which: &Which, act: &Act<'_>) -> Result<Done, StoreError> {
    match which {
        Which::These(ids) => these(store, state, ids, act),
        Which::All { after, up_to } => {
            let up_to = up_to.unwrap_or(store.numbers().highest.0);
            match state {
                Some(state) => some_of(store, state, (*after, up_to), act),
                None => any(store, up_to, act),
            }
        }
    }
}

/// What is done to the rows of one state.
type Act<'a> = dyn Fn(&mut Store, RowState, &store::Which) -> Result<u64, StoreError> + 'a;

/// As many as one answer is for.
fn some_of(store: &mut Store, state: RowState, between: (u64, u64), act: &Act<'_>) -> Result<Done, StoreError> {
    let (after, up_to) = between;
    let mut ids: Vec<Id> = store.list(state, Id(after), ROWS)?.into_iter().map(|entry| entry.id).collect();
    ids.retain(|id| id.0 <= up_to);
    let Some(last) = ids.last().copied() else {
        return Ok(Done::default());
    };
    let rows = act(store, state, &store::Which::These(ids))?;
    Ok(Done { rows, rest: Some(Which::All { after: last.0, up_to: Some(up_to) }), ..Done::default() })
}

/// Of the first state that has any. What is done takes them away from there, so that the next question finds others.
fn any(store: &mut Store, up_to: u64, act: &Act<'_>) -> Result<Done, StoreError> {
    for state in RowState::ALL {
        let done = some_of(store, state, (0, up_to), act)?;
        if done.rows > 0 {
            return Ok(Done { rest: Some(Which::All { after: 0, up_to: Some(up_to) }), ..done });
        }
    }
    Ok(Done::default())
}

fn these(store: &mut Store, wanted: Option<RowState>, ids: &[u64], act: &Act<'_>) -> Result<Done, StoreError> {
    let mut done = Done::default();
    let mut by_state: [Vec<Id>; 4] = Default::default();
    for id in in_order(ids) {
        let found = store.get(Id(id))?;
        let is = found.as_ref().map(|entry| entry.state);
        match found.filter(|entry| wanted.is_none_or(|wanted| wanted == entry.state)) {
            Some(entry) => by_state[place(stands_among(&entry))].push(Id(id)),
            None => done.not.push(Miss { id, is: is.map(Into::into) }),
        }
    }
    for state in RowState::ALL {
        let ids = std::mem::take(&mut by_state[place(state)]);
        if !ids.is_empty() {
            done.rows += act(store, state, &store::Which::These(ids))?;
        }
    }
    Ok(done)
}

/// A damaged row that nobody has set aside yet still stands among those that wait.
fn stands_among(entry: &Entry) -> RowState {
    if entry.since_ms.is_none() { RowState::Pending } else { entry.state }
}

fn place(state: RowState) -> usize {
    RowState::ALL.iter().position(|each| *each == state).unwrap_or(0)
}

fn refused(text: &str) -> Answer {
    Answer::Error { text: text.to_owned(), fault: Blame::Request }
}
