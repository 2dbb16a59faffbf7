//! The limits of a far end: their names, forms and bounds.
//!
//! Enters: a key and a value of `[serve]`, `[serve.NAME]` or a handler. Leaves: a changed [`Common`], or a complaint.
//! Promised: a value that is taken is within its bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::Limits;
use crate::config::complaint::Wrong;
use crate::config::options::{cannot_be, count_within, time_help, time_within, within};
use crate::config::toml_values::{Entry, Values, decimal, wrong_type};
use crate::config::units::{self, Reason, SIZE_FORM};

/// What is inherited: from `[serve]` by each listener, and from a listener by its handlers.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) limits: Limits,
    pub(super) requesters: u32,
    pub(super) ttl: Duration,
}

impl Default for Common {
    fn default() -> Self {
        Self { limits: Limits::default(), requesters: REQUESTERS, ttl: TTL }
    }
}

/// One limit.
pub(super) struct Rule {
    pub(super) key: &'static str,
    /// Whether a handler may have its own.
    pub(super) is_handlers: bool,
    form: Form,
}

enum Form {
    Count(RangeInclusive<u32>, fn(&mut Common) -> &mut u32),
    Time(RangeInclusive<Duration>, fn(&mut Common) -> &mut Duration),
    Size(RangeInclusive<u64>, fn(&mut Common) -> &mut u64),
}

/// Most requesters at once, if nothing is said.
pub(super) const REQUESTERS: u32 = 1024;
/// How long a registration holds, if nothing is said.
pub(super) const TTL: Duration = Duration::from_secs(30);

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The bounds of every time that something may take.
pub(super) const TIMES: RangeInclusive<Duration> = MS..=Duration::from_secs(86_400);

/// The upper bounds are far above any sensible value: they catch slips.
static RULES: [Rule; 9] = [
    rule("timeout", true, Form::Time(TIMES, |all| &mut all.limits.timeout)),
    rule("grace", true, Form::Time(MS..=HOUR, |all| &mut all.limits.grace)),
    rule("processes", true, Form::Count(1..=10_000, |all| &mut all.limits.processes)),
    rule("queue", true, Form::Count(0..=1_000_000, |all| &mut all.limits.queue)),
    rule("requests", true, Form::Count(1..=u32::MAX, |all| &mut all.limits.requests)),
    rule("max_request", true, Form::Size(1..=1 << 30, |all| &mut all.limits.max_request)),
    rule("max_reply", true, Form::Size(1..=1 << 30, |all| &mut all.limits.max_reply)),
    rule("requesters", false, Form::Count(1..=1_000_000, |all| &mut all.requesters)),
    rule("ttl", false, Form::Time(SECOND..=Duration::from_secs(86_400), |all| &mut all.ttl)),
];

const fn rule(key: &'static str, is_handlers: bool, form: Form) -> Rule {
    Rule { key, is_handlers, form }
}

/// The limit of that name.
pub(super) fn find(key: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.key == key)
}

/// The names of the limits that a handler may have, or of all.
pub(super) fn names(of_handlers: bool) -> Vec<&'static str> {
    RULES.iter().filter(|rule| rule.is_handlers || !of_handlers).map(|rule| rule.key).collect()
}

impl Rule {
    /// Reads the value of an entry into `common`.
    pub(super) fn apply(&self, values: &mut Values<'_>, entry: &Entry<'_, '_>, common: &mut Common) {
        match &self.form {
            Form::Count(bounds, field) => {
                let read = count(entry, bounds);
                let value = values.take(entry.span.clone(), read);
                *field(common) = value.unwrap_or(*field(common));
            }
            Form::Time(bounds, field) => {
                let value = time(values, entry, bounds);
                *field(common) = value.unwrap_or(*field(common));
            }
            Form::Size(bounds, field) => {
                let read = size(entry, bounds);
                let value = values.take(entry.span.clone(), read);
                *field(common) = value.unwrap_or(*field(common));
            }
        }
    }
}

/// Reads a duration.
pub(super) fn time(
    values: &mut Values<'_>,
    entry: &Entry<'_, '_>,
    bounds: &RangeInclusive<Duration>,
) -> Option<Duration> {
    let help = time_help(bounds);
    let word = values.string(entry, &help)?;
    let read = time_within(&word, bounds).map_err(|Reason(why)| cannot_be(entry.key, &word, why, help));
    values.take(entry.span.clone(), read)
}

fn count(entry: &Entry<'_, '_>, bounds: &RangeInclusive<u32>) -> Result<u32, Wrong> {
    let help = format!("a whole number from {} to {}", bounds.start(), bounds.end());
    let DeValue::Integer(number) = entry.value else {
        return Err(wrong_type(entry.key, entry.value, "an integer, without quotes", &help));
    };
    let word = decimal(number);
    count_within(&word, bounds).map_err(|Reason(why)| cannot_be(entry.key, &word, why, help))
}

fn size(entry: &Entry<'_, '_>, bounds: &RangeInclusive<u64>) -> Result<u64, Wrong> {
    let (least, most) = (units::show_size(*bounds.start()), units::show_size(*bounds.end()));
    let help = format!("a size from {least} to {most}: {SIZE_FORM}");
    let word = match entry.value {
        DeValue::Integer(number) => decimal(number),
        DeValue::String(text) => text.to_string(),
        other => return Err(wrong_type(entry.key, other, "an integer or a string", &help)),
    };
    let read = units::size(&word).and_then(|size| within(size, bounds));
    read.map_err(|Reason(why)| cannot_be(entry.key, &word, why, help))
}
