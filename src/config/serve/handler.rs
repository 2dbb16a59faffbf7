//! The handlers and tasks of one far end.
//!
//! Enters: the tables `[[serve.NAME.handler]]` and `[[serve.NAME.task]]`. Leaves: settings, or complaints. Promised: a
//! handler does exactly one thing.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::keys::{self, Common};
use super::once::{self, Manner};
use super::{Action, HandlerSettings, Limits, Match, TaskSettings, values as read};
use crate::config::complaint::{Wrong, quoted};
use crate::config::nearest::suggest;
use crate::config::toml_values::{Entry, Values, entries, wrong_type};

const ACTIONS: [&str; 4] = ["exec", "worker", "forward", "echo"];
const TASK_KEYS: [&str; 4] = ["every", "run", "timeout", "grace"];
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The tables of an array of tables, each with its place.
pub(super) fn tables<'t, 'i>(
    values: &mut Values<'_>,
    entry: &Entry<'t, 'i>,
    name: &str,
) -> Vec<(&'t DeTable<'i>, Range<usize>)> {
    let help = format!("open each with a line `[[serve.{name}.{}]]`", entry.key);
    let mut found = Vec::new();
    let DeValue::Array(array) = entry.value else {
        let wrong = wrong_type(entry.key, entry.value, "an array of tables", &help);
        values.take(entry.span.clone(), Err::<(), _>(wrong));
        return found;
    };
    for each in array.iter() {
        match each.get_ref() {
            DeValue::Table(table) => found.push((table, place(table, each.span()))),
            other => _ = values.take(each.span(), Err::<(), _>(wrong_type(entry.key, other, "tables", &help))),
        }
    }
    found
}

/// Where a table is complained about as a whole: at its first key, as the header of an array's table has no place.
fn place(table: &DeTable<'_>, whole: Range<usize>) -> Range<usize> {
    let first = entries(table).map(|entry| entry.key_span).min_by_key(|span| span.start);
    first.unwrap_or(whole)
}

/// Reads a handler. `has_tags`: whether its listener remembers tagged transactions.
pub(super) fn handler(
    values: &mut Values<'_>,
    table: &DeTable<'_>,
    span: Range<usize>,
    listener: &Common,
    has_tags: bool,
) -> Option<HandlerSettings> {
    let (mut common, mut matches, mut actions, mut named) = (listener.clone(), Match::Default, Vec::new(), 0);
    let mut manner = Manner::default();
    for entry in entries(table) {
        named += usize::from(ACTIONS.contains(&entry.key));
        match entry.key {
            "match" => matches = read::matches(values, &entry)?,
            key if ACTIONS.contains(&key) => actions.extend(action(values, &entry)),
            key if once::HANDLERS.contains(&key) => manner.key(values, &entry, has_tags),
            key => match keys::find(key).filter(|rule| rule.is_handlers) {
                Some(rule) => rule.apply(values, &entry, &mut common),
                None => unknown(values, &entry),
            },
        }
        if entry.key == "max_request" && common.limits.max_request > listener.limits.max_request {
            let help = "raise max_request of the listener, or lower this one";
            values.complain(entry.span, "the listener takes no request of this size", help);
        }
    }
    let limits = Limits { max_request: common.limits.max_request.min(listener.limits.max_request), ..common.limits };
    match (named, actions.pop()) {
        (1, Some(action)) => {
            manner.check(values, &action);
            let Manner { in_doubt, tagged, .. } = manner;
            Some(HandlerSettings { in_doubt, tagged, ..HandlerSettings::new(matches, action, limits) })
        }
        (1, None) => None,
        (0, _) => complain(values, span, "this handler does nothing", "give it one of exec, worker, forward and echo"),
        _ => complain(values, span, "this handler has more than one thing to do", "make a handler of each"),
    }
}

fn complain<T>(values: &mut Values<'_>, span: Range<usize>, what: &str, help: &str) -> Option<T> {
    values.complain(span, what, help);
    None
}

fn action(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Action> {
    match entry.key {
        "exec" => read::command(values, entry).map(Action::Exec),
        "worker" => read::command(values, entry).map(Action::Worker),
        "forward" => read::forward(values, entry).map(Action::Forward),
        _ => match values.flag(entry)? {
            true => Some(Action::Echo),
            false => complain(values, entry.span.clone(), "`echo` can only be true", "remove it"),
        },
    }
}

fn unknown(values: &mut Values<'_>, entry: &Entry<'_, '_>) {
    let keys = [&["match"], &ACTIONS[..], &once::HANDLERS[..], &keys::names(true)].concat();
    let help = match keys::find(entry.key) {
        Some(_) => format!("`{}` belongs to the listener, or to [serve]", entry.key),
        None if once::LISTENERS.contains(&entry.key) => format!("`{}` belongs to the listener", entry.key),
        None => suggest(entry.key, &keys, "the keys of a handler are"),
    };
    let wrong = Wrong::new(format!("there is no key {} in a handler", quoted(entry.key)), help);
    values.take(entry.key_span.clone(), Err::<(), _>(wrong));
}

/// Reads a task.
pub(super) fn task(
    values: &mut Values<'_>,
    table: &DeTable<'_>,
    span: Range<usize>,
    listener: &Common,
) -> Option<TaskSettings> {
    let (mut every, mut run, mut timeout, mut grace) = (None, None, Some(HOUR), Some(listener.limits.grace));
    for entry in entries(table) {
        match entry.key {
            // Shorter than a second it would be no maintenance.
            "every" => every = read_time(values, &entry, Duration::from_secs(1), YEAR),
            "run" => run = read::command(values, &entry),
            "timeout" => timeout = read_time(values, &entry, Duration::from_millis(1), YEAR),
            "grace" => grace = read_time(values, &entry, Duration::from_millis(1), HOUR),
            key => {
                let help = suggest(key, &TASK_KEYS, "the keys of a task are");
                values.complain(entry.key_span, format!("there is no key {} in a task", quoted(key)), help);
            }
        }
    }
    for missing in [("every", every.is_none()), ("run", run.is_none())] {
        if missing.1 && !entries(table).any(|entry| entry.key == missing.0) {
            let help = "a task has both: every = \"30m\" and run = [\"/usr/bin/program\"]";
            values.complain(span.clone(), format!("this task has no `{}`", missing.0), help);
        }
    }
    Some(TaskSettings { every: every?, run: run?, timeout: timeout?, grace: grace? })
}

fn read_time(values: &mut Values<'_>, entry: &Entry<'_, '_>, least: Duration, most: Duration) -> Option<Duration> {
    keys::time(values, entry, &(least..=most))
}
