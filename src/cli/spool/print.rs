//! Stored requests as text and as JSON.
//!
//! Enters: rows. Leaves: lines on standard output. A request is written out only where it was asked for: in `show`, and in
//! JSON. Control characters never reach a terminal from here.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::source::{Source, SpoolError};
use super::unexpected;
use crate::spool::tools::{Answer, Command, Part, Row, State, base64};

/// Longest remark in characters; `show` has all of it.
const LONGEST_REMARK: usize = 100;

/// Writes rows of one host.
pub(super) struct Printer {
    host: String,
    out: io::Stdout,
}

impl Printer {
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), out: io::stdout() }
    }

    /// The line above those of [`Printer::line`].
    pub(super) fn head(&mut self) -> Result<(), SpoolError> {
        self.write(&line(["ID", "STATE", "ACCEPTED", "EXPIRES", "TRIES", "BYTES", "REMARK"]))
    }

    /// A row in one line.
    pub(super) fn line(&mut self, row: &Row) -> Result<(), SpoolError> {
        self.write(&listed(row))
    }

    /// All of a row, for people.
    pub(super) fn full(&mut self, source: &mut Source, row: &Row) -> Result<(), SpoolError> {
        let body = whole(source, row, Part::Request)?;
        let reply = if row.state == State::Dead { whole(source, row, Part::Reply)? } else { Vec::new() };
        self.write(&described(row))?;
        self.shown("request", &body)?;
        if reply.is_empty() { Ok(()) } else { self.shown("reply", &reply) }
    }

    fn shown(&mut self, what: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let Some(text) = text(bytes) else {
            return self.write(&format!("{what} (base64):\n{}\n", base64::encode(bytes)));
        };
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let text = if self.out.is_terminal() { text.replace('\r', "") } else { text.to_owned() };
        self.write(&format!("{what}:\n{text}{end}"))
    }

    /// A row as one JSON object, request and reply included.
    pub(super) fn json(&mut self, source: &mut Source, row: &Row) -> Result<(), SpoolError> {
        let body = whole(source, row, Part::Request)?;
        let reply = if row.state == State::Dead { whole(source, row, Part::Reply)? } else { Vec::new() };
        self.write(&format!("{}\n", object(&self.host, row, &body, &reply)))
    }

    fn write(&mut self, text: &str) -> Result<(), SpoolError> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(SpoolError::Output)
    }
}

/// All of a request or reply, in parts if need be. A row that goes away meanwhile is an error.
fn whole(source: &mut Source, row: &Row, of: Part) -> Result<Vec<u8>, SpoolError> {
    let (here, length) = match of {
        Part::Request => (&row.body, row.bytes),
        Part::Reply => (&row.reply, row.reply_bytes),
    };
    if let Some(bytes) = here.as_deref().and_then(base64::decode) {
        return Ok(bytes);
    }
    let mut bytes: Vec<u8> = Vec::new();
    while (bytes.len() as u64) < length {
        let answer = source.ask(&Command::Bytes { id: row.id, of, from: bytes.len() as u64 })?;
        match &answer {
            Answer::Bytes { base64, .. } => match base64::decode(base64) {
                Some(part) if !part.is_empty() => bytes.extend(part),
                _ => return Err(unexpected(&answer)),
            },
            other => return Err(unexpected(other)),
        }
    }
    Ok(bytes)
}

/// One line per row, names left and numbers right. The widths are fixed: a page is printed before the next is known.
pub(super) fn line(cells: [&str; 7]) -> String {
    let [id, state, accepted, expires, tries, bytes, remark] = cells;
    let text = format!("{id:>10}  {state:<7}  {accepted:<20}  {expires:<20}  {tries:>5}  {bytes:>10}  {remark}");
    format!("{}\n", text.trim_end())
}

pub(super) fn listed(row: &Row) -> String {
    let remark = plain(&remark(row));
    let mut short: String = remark.chars().take(LONGEST_REMARK).collect();
    if remark.chars().nth(LONGEST_REMARK).is_some() {
        short.push('…');
    }
    line([
        &row.id.to_string(),
        row.state.word(),
        &time(row.accepted_ms),
        &row.expires_ms.map_or_else(|| "-".to_owned(), time),
        &row.attempts.to_string(),
        &row.bytes.to_string(),
        &short,
    ])
}

fn remark(row: &Row) -> String {
    let doubt = row.in_doubt.then(|| "in doubt".to_owned());
    let origin = row.requeued_from.map(|id| format!("requeued from {id}"));
    [doubt, origin, row.last_error.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

pub(super) fn described(row: &Row) -> String {
    let mut text = format!("{}: {}\n", row.id, row.state.word());
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<13} {}\n", plain(&value)));
        }
    };
    add("accepted", Some(time(row.accepted_ms)));
    add("since", row.since_ms.map(time));
    add("expires", row.expires_ms.map(time));
    add("tries", Some(row.attempts.to_string()));
    add("in doubt", row.in_doubt.then(|| "yes: it may have reached the host already".to_owned()));
    add("requeued from", row.requeued_from.map(|id| id.to_string()));
    add("tag", (!row.tag.is_empty()).then(|| row.tag.clone()));
    add("last error", row.last_error.clone());
    add("bytes", Some(row.bytes.to_string()));
    text
}

/// The object that `--json` prints, one per line.
pub(super) fn object(host: &str, row: &Row, body: &[u8], reply: &[u8]) -> Value {
    let mut object = Map::new();
    let mut add = |key: &str, value: Value| object.insert(key.to_owned(), value);
    add("id", json!(row.id));
    add("host", json!(host));
    add("state", json!(row.state));
    add("accepted", json!(time(row.accepted_ms)));
    add("expires", json!(row.expires_ms.map(time)));
    add("since", json!(row.since_ms.map(time)));
    add("attempts", json!(row.attempts));
    add("in_doubt", json!(row.in_doubt));
    add("requeued_from", json!(row.requeued_from));
    if !row.tag.is_empty() {
        add("tag", json!(row.tag));
    }
    add("last_error", json!(row.last_error));
    add("bytes", json!(row.bytes));
    let mut bytes = |key: &str, bytes: &[u8]| match text(bytes) {
        Some(text) => add(key, json!(text)),
        None => add(&format!("{key}_base64"), json!(base64::encode(bytes))),
    };
    bytes("body", body);
    if row.state == State::Dead {
        bytes("reply", reply);
    }
    Value::Object(object)
}

/// The bytes as text, if they are some: UTF-8 without control characters but line ends and tabs.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fits = |each: char| !each.is_control() || matches!(each, '\n' | '\r' | '\t');
    text.chars().all(fits).then_some(text)
}

/// Text from elsewhere, safe for a terminal and for one line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).collect()
}

/// RFC 3339, to the second.
fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"))
}
