//! The kinds of values that a far end is made of: where it listens, programs, expressions, switches.
//!
//! Enters: an entry of a table. Leaves: a value, or a complaint at its place. Promised: a program that is taken has a
//! name; a regular expression that is taken can be compiled.

use toml::de::DeValue;

use super::{Listen, Match};
use crate::config::complaint::{Wrong, quoted};
use crate::config::fields;
use crate::config::options::cannot_be;
use crate::config::settings::Address;
use crate::config::toml_values::{Entry, Values, wrong_type};
use crate::dialect::Dialect;

const LISTEN_HELP: &str = "write tcp:IP:port, tcp:[IPv6]:port or unix:/path";
const COMMAND_HELP: &str = "the program and its arguments, each in quotes: [\"/usr/bin/program\", \"argument\"]";
/// A compiled expression may take so many bytes: a few lines of text never do.
const REGEX_SIZE: usize = 1 << 20;

/// Where to listen.
pub(super) fn listen(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Listen> {
    let word = values.string(entry, LISTEN_HELP)?;
    let read = listen_word(&word).map_err(|why| cannot_be(entry.key, &word, &why, LISTEN_HELP));
    values.take(entry.span.clone(), read)
}

fn listen_word(word: &str) -> Result<Listen, String> {
    match word.strip_prefix("unix:") {
        Some(path) => fields::socket_path(path).map(Listen::Unix),
        None => fields::socket_address(word.strip_prefix("tcp:").unwrap_or(word)).map(Listen::Tcp),
    }
}

/// The address that others find it at.
pub(super) fn advertised(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<String> {
    let word = values.string(entry, "tcp:host:port or unix:/path")?;
    let read = match word.strip_prefix("tcp:") {
        Some(address) => fields::address(address).map(|_| word.clone()),
        None if word.starts_with("unix:") => fields::address(&word).map(|_| word.clone()),
        None => Err(cannot_be(entry.key, &word, "it begins with neither `tcp:` nor `unix:`", "write tcp:host:port")),
    };
    values.take(entry.span.clone(), read)
}

/// Where a forwarder forwards to.
pub(super) fn forward(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Address> {
    let word = values.string(entry, "an address as in hosts.tab: host:port, unix:/path or @name")?;
    // As in the registry, for those who copy it from there.
    let read = fields::address(word.strip_prefix("tcp:").unwrap_or(&word));
    values.take(entry.span.clone(), read)
}

/// How it speaks.
pub(super) fn dialect(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Dialect> {
    const SPOKEN: [(&str, Dialect); 3] = [("line", Dialect::Line), ("len32", Dialect::Len32), ("resp", Dialect::Resp)];
    values.choice(entry, &SPOKEN)
}

/// A program with its arguments. One that is named by a relative path lies relative to the file's directory.
pub(super) fn command(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Vec<String>> {
    let read = words(entry).and_then(|words| match words.first() {
        None => Err(Wrong::new(format!("`{}` is empty", entry.key), COMMAND_HELP)),
        Some(program) if program.is_empty() => Err(Wrong::new("the program has no name", COMMAND_HELP)),
        Some(_) if words.iter().any(|word| word.contains('\0')) => {
            Err(Wrong::new("a NUL character stands in an argument", COMMAND_HELP))
        }
        Some(_) => Ok(words),
    });
    let mut words = values.take(entry.span.clone(), read)?;
    if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
        *program = values.base.join(&program).to_string_lossy().into_owned();
    }
    Some(words)
}

fn words(entry: &Entry<'_, '_>) -> Result<Vec<String>, Wrong> {
    let wrong = |value: &DeValue<'_>| wrong_type(entry.key, value, "an array of strings", COMMAND_HELP);
    let DeValue::Array(array) = entry.value else { return Err(wrong(entry.value)) };
    let word = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(Wrong::new(format!("an argument of `{}` is no string", entry.key), wrong(other).help)),
    };
    array.iter().map(|value| word(value.get_ref())).collect()
}

/// Which requests a handler answers.
pub(super) fn matches(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Match> {
    let help = "the first word of a request, or a regular expression between slashes: \"/^GET .*/\"";
    let word = values.string(entry, help)?;
    let read = match word.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(regex) => compiled(regex)
            .map(|_| Match::Regex(regex.to_owned()))
            .map_err(|why| Wrong::new(format!("{} is no regular expression: {why}", quoted(&word)), help)),
        None if word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err(cannot_be(entry.key, &word, "it is not one word", help))
        }
        None => Ok(Match::Word(word)),
    };
    values.take(entry.span.clone(), read)
}

/// A regular expression over bytes: a request need not be UTF-8. In one line, what is wrong with it.
pub(crate) fn compiled(regex: &str) -> Result<regex::bytes::Regex, String> {
    let built = regex::bytes::RegexBuilder::new(regex).size_limit(REGEX_SIZE).build();
    built.map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
