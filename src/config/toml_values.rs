//! The values of a TOML document: types, places and paths. Pure.
//!
//! Enters: a parsed value. Leaves: a word, a path or a choice, or a complaint at the value's place.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use toml::de::{DeInteger, DeTable, DeValue};

use super::complaint::{Complaint, Wrong, quoted};
use super::nearest::suggest;
use super::options::{Form, NO_SUCH_WORD, Rule, cannot_be};
use super::source::Source;
use super::tieline_toml::belongs;

/// A key and its value, with their places.
pub(super) struct Entry<'t, 'i> {
    pub(super) key: &'t str,
    pub(super) key_span: Range<usize>,
    pub(super) value: &'t DeValue<'i>,
    /// The value's place; the key's where the value has none, because it is implied or could not be understood.
    pub(super) span: Range<usize>,
}

/// The document, and what has been found wrong with it so far.
pub(super) struct Values<'a> {
    pub(super) source: &'a Source,
    /// What relative paths are relative to.
    pub(super) base: &'a Path,
    pub(super) complaints: Vec<Complaint>,
}

impl<'a> Values<'a> {
    pub(super) fn new(source: &'a Source, base: &'a Path) -> Self {
        let complaints = source.not_utf8().into_iter().map(|(_, complaint)| complaint).collect();
        Self { source, base, complaints }
    }

    pub(super) fn path(&mut self, entry: &Entry<'_, '_>) -> Option<PathBuf> {
        let help = "a path, relative to the directory of this file or from the root";
        let word = self.string(entry, help)?;
        let why = match word.as_str() {
            "" => "it is empty",
            word if word.chars().any(char::is_control) => "it has a control character",
            word => return Some(normalized(&self.base.join(word))),
        };
        self.take(entry.span.clone(), Err(cannot_be(entry.key, &word, why, help)))
    }

    pub(super) fn choice<T: Copy>(&mut self, entry: &Entry<'_, '_>, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let word = self.string(entry, &format!("one of {}", words.join(", ")))?;
        let found = choices.iter().find(|(known, _)| *known == word);
        let wrong = || cannot_be(entry.key, &word, NO_SUCH_WORD, suggest(&word, &words, "one of"));
        self.take(entry.span.clone(), found.map(|(_, choice)| *choice).ok_or_else(wrong))
    }

    pub(super) fn flag(&mut self, entry: &Entry<'_, '_>) -> Option<bool> {
        let read = match entry.value {
            DeValue::Boolean(flag) => Ok(*flag),
            other => Err(wrong_type(entry.key, other, "a boolean, without quotes", "true or false")),
        };
        self.take(entry.span.clone(), read)
    }

    /// A key that `table` does not have; those that it has are `keys`.
    pub(super) fn unknown(&mut self, table: &str, keys: &[&str], entry: &Entry<'_, '_>) {
        let lead = format!("the keys of [{table}] are");
        let help = belongs(entry.key).unwrap_or_else(|| suggest(entry.key, keys, &lead));
        let what = format!("there is no key {} in [{table}]", quoted(entry.key));
        self.complain(entry.key_span.clone(), what, help);
    }

    pub(super) fn string(&mut self, entry: &Entry<'_, '_>, help: &str) -> Option<String> {
        let read = match entry.value {
            DeValue::String(text) => Ok(text.to_string()),
            other => Err(wrong_type(entry.key, other, "a string, in quotes", help)),
        };
        self.take(entry.span.clone(), read)
    }

    pub(super) fn take<T>(&mut self, span: Range<usize>, result: Result<T, Wrong>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(span, wrong.what, wrong.help);
                None
            }
        }
    }

    pub(super) fn complain(&mut self, span: Range<usize>, what: impl Into<String>, help: impl Into<String>) {
        self.complaints.push(self.source.at(span, what, help));
    }
}

/// The entries of a table.
pub(super) fn entries<'t, 'i>(table: &'t DeTable<'i>) -> impl Iterator<Item = Entry<'t, 'i>> {
    table.iter().map(|(key, value)| {
        let (key_span, span) = (key.span(), value.span());
        let span = if span.is_empty() { key_span.clone() } else { span };
        Entry { key: key.get_ref(), key_span, value: value.get_ref(), span }
    })
}

/// The word that the rule is to read.
pub(super) fn word(rule: &Rule, value: &DeValue<'_>) -> Result<String, Wrong> {
    let wanted = match rule.form {
        Form::Count(..) => "an integer, without quotes",
        Form::Size(..) | Form::Owner | Form::Group => "an integer or a string",
        Form::Flag(_) => "a boolean, without quotes",
        _ => "a string, in quotes",
    };
    match (value, &rule.form) {
        (DeValue::Boolean(flag), Form::Flag(_)) => Ok(flag.to_string()),
        (DeValue::String(_), Form::Count(..) | Form::Flag(_)) => {
            Err(wrong_type(rule.key, value, wanted, &rule.form.help("")))
        }
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Integer(number), Form::Count(..) | Form::Size(..) | Form::Owner | Form::Group) => Ok(decimal(number)),
        (DeValue::Integer(number), Form::Mode) if number.radix() == 8 => Ok(number.as_str().to_owned()),
        _ => Err(wrong_type(rule.key, value, wanted, &rule.form.help(""))),
    }
}

/// An integer in the form in which `hosts.tab` has it; one that is negative or too large as it stands.
pub(super) fn decimal(number: &DeInteger<'_>) -> String {
    let value = u64::from_str_radix(number.as_str(), number.radix());
    value.map_or_else(|_| number.to_string(), |value| value.to_string())
}

/// The complaint about a value's type.
pub(super) fn wrong_type(key: &str, value: &DeValue<'_>, wanted: &str, help: &str) -> Wrong {
    let is = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Wrong::new(format!("`{key}` is {is}"), format!("write {wanted}: {help}"))
}

/// An absolute path without `.` and `..`, found without looking at the file system.
pub(super) fn normalized(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // The root has no parent: `/..` is `/`, and `pop` leaves it so.
            Component::ParentDir => _ = clean.pop(),
            part => clean.push(part),
        }
    }
    clean
}
