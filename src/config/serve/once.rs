//! What a far end remembers of tagged transactions: `dedupe` and `keep` of the listener, `in_doubt` and `tagged` of a
//! handler.
//!
//! Enters: their entries. Leaves: settings, or complaints. Promised: none of them is silently without effect.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::{Action, HandlerSettings, InDoubt, keys};
use crate::config::toml_values::{Entry, Values};
use crate::dialect::Dialect;

/// The keys of a listener.
pub(super) const LISTENERS: [&str; 2] = ["dedupe", "keep"];

/// The keys of a handler.
pub(super) const HANDLERS: [&str; 2] = ["in_doubt", "tagged"];

const DAY: Duration = Duration::from_secs(86_400);
/// How long is remembered, if nothing is said.
const KEEP: Duration = Duration::from_secs(10 * 86_400);
const BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * DAY.as_secs());

/// There must be room for a greeting (bytes).
const GREETING: u64 = 128;

/// The largest reply that can be remembered: SQLite takes no value of a billion bytes.
const LARGEST: u64 = 512 << 20;

const NO_DEDUPE: &str = "add `dedupe = true` to the listener, or remove it";

/// What has been read of a listener.
#[derive(Default)]
pub(super) struct Memory {
    dedupe: Option<Range<usize>>,
    keep: Option<(Duration, Range<usize>)>,
}

impl Memory {
    pub(super) fn key(&mut self, values: &mut Values<'_>, entry: &Entry<'_, '_>) {
        if entry.key == "dedupe" {
            // One that could not be read need not be complained about at other places.
            self.dedupe = values.flag(entry).unwrap_or(true).then(|| entry.key_span.clone());
        } else if let Some(keep) = keys::time(values, entry, &BOUNDS) {
            self.keep = Some((keep, entry.key_span.clone()));
        }
    }

    /// Whether tagged transactions are remembered.
    pub(super) fn is_wanted(&self) -> bool {
        self.dedupe.is_some()
    }

    /// How long they are.
    pub(super) fn keep(&self) -> Option<Duration> {
        let keep = self.keep.as_ref().map_or(KEEP, |(keep, _)| *keep);
        self.is_wanted().then_some(keep)
    }

    /// What belongs together must be given together.
    pub(super) fn check(&self, values: &mut Values<'_>, dialect: Dialect) {
        match (&self.dedupe, &self.keep) {
            (Some(span), _) if dialect != Dialect::Line => {
                values.complain(
                    span.clone(),
                    "`dedupe` is for the dialect line",
                    "remove it: only a line can have a tag",
                );
            }
            (None, Some((_, span))) => {
                values.complain(span.clone(), "`keep` means nothing without `dedupe`", NO_DEDUPE);
            }
            _ => {}
        }
    }

    /// A greeting is a request, and a reply that is remembered is stored.
    pub(super) fn check_sizes(&self, values: &mut Values<'_>, max_request: u64, handlers: &[HandlerSettings]) {
        if let Some(span) = self.dedupe.as_ref().filter(|_| max_request < GREETING) {
            let what = "the greeting of `dedupe` would be too large a request";
            values.complain(span.clone(), what, format!("raise `max_request` to {GREETING} at least"));
        }
        let too_large = handlers.iter().any(|handler| handler.limits.max_reply > LARGEST);
        if let Some(span) = self.dedupe.as_ref().filter(|_| too_large) {
            let what = "a handler may give larger replies than can be remembered";
            values.complain(span.clone(), what, "lower `max_reply` to 512MiB at most");
        }
    }
}

/// What has been read of a handler.
#[derive(Default)]
pub(super) struct Manner {
    pub(super) in_doubt: InDoubt,
    pub(super) tagged: bool,
    tagged_at: Option<Range<usize>>,
}

impl Manner {
    /// `is_wanted`: whether the listener remembers tagged transactions.
    pub(super) fn key(&mut self, values: &mut Values<'_>, entry: &Entry<'_, '_>, is_wanted: bool) {
        if !is_wanted {
            let what = format!("`{}` means nothing without `dedupe`", entry.key);
            return values.complain(entry.key_span.clone(), what, NO_DEDUPE);
        }
        if entry.key == "in_doubt" {
            const WORDS: [(&str, InDoubt); 2] = [("hold", InDoubt::Hold), ("again", InDoubt::Again)];
            self.in_doubt = values.choice(entry, &WORDS).unwrap_or_default();
        } else {
            self.tagged = values.flag(entry).unwrap_or_default();
            self.tagged_at = self.tagged.then(|| entry.key_span.clone());
        }
    }

    /// Whether it fits to what the handler does.
    pub(super) fn check(&self, values: &mut Values<'_>, action: &Action) {
        let help = match action {
            Action::Worker(_) => return,
            Action::Exec(_) => "remove it: the program finds the tag in its environment, as TIELINE_TRANSACTION",
            Action::Forward(_) | Action::Echo => "remove it",
        };
        if let Some(span) = &self.tagged_at {
            values.complain(span.clone(), "only a `worker` can be told tags", help);
        }
    }
}
