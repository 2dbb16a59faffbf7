//! The file of a greeting: what a `line` or `len32` connection says and hears before it serves. Pure but for `load`.
//!
//! Enters: the file's text, and the names of the secrets. Leaves: a [`Script`], or every complaint, each with its place.
//! Promised: every variable of a script has a value when its step comes; every `expect` can be carried out.
//!
//! ```text
//! file      lines, each ended by LF or CR LF, the last one perhaps by nothing; UTF-8
//! line      nothing, a comment, or a step; blanks at its start and its end mean nothing
//! comment   begins with `#`
//! step      send TEXT     TEXT is sent as one request of the dialect; may be empty
//!           expect REGEX  one reply of the dialect must match, anywhere unless `^` and `$` say otherwise; of a `line` the
//!                         line end (LF or CR LF) is not part of what is matched
//! variable  ${name} in TEXT or REGEX: a secret, or what the group `(?<name>…)` of an `expect` before has matched. In a
//!           REGEX it stands for just these characters. `$${` is a `${` that begins no variable
//! name      letters, digits and `_`, not beginning with a digit
//! REGEX     in the syntax of the crate regex, which takes linear time: no look-around, no back-reference
//! ```

use std::ops::Range;
use std::path::Path;

use regex::bytes::Regex;

use super::complaint::{Complaint, quoted};
use super::nearest::suggest;
use super::secrets::{self, Secrets, is_name};
use super::source::Source;

/// What is said and heard, in order.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send this.
    Send(Vec<Part>),
    /// Read a reply that must match.
    Expect(Pattern),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The value of this variable.
    Variable(String),
}

/// What a reply must match.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written, for people.
    pub written: String,
    /// The line of the file, from 1.
    pub line: usize,
    parts: Vec<Part>,
    /// If it has no variable.
    ready: Option<Regex>,
}

impl Pattern {
    /// The expression with these values of its variables; `None` if there is no such expression, which the reader has
    /// ruled out as far as it could.
    pub fn compile<'v>(&self, value: impl Fn(&str) -> Option<&'v [u8]>) -> Option<Regex> {
        if self.ready.is_some() {
            return self.ready.clone();
        }
        let mut expression = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => expression.push_str(text),
                Part::Variable(name) => expression.push_str(&literally(value(name)?)),
            }
        }
        Regex::new(&expression).ok()
    }
}

/// An expression that matches just these bytes.
fn literally(bytes: &[u8]) -> String {
    let each: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("(?-u:{each})")
}

/// Reads the greeting of a host, and its secrets.
///
/// # Errors
/// Every complaint about the greeting; or the one about the secrets.
pub(crate) fn load(greeting: &Path, secrets: Option<&Path>) -> Result<(Script, Secrets), Vec<Complaint>> {
    let secrets = secrets.map(secrets::secrets).transpose().map_err(|complaint| vec![complaint])?.unwrap_or_default();
    let bytes = secrets::public(greeting).map_err(|complaint| vec![complaint])?;
    let names: Vec<&str> = secrets.0.keys().map(String::as_str).collect();
    parse(greeting, &bytes, &names).map(|script| (script, secrets))
}

/// Reads the text of a greeting. `file` is what complaints call it; `secrets` are the names that it may use.
///
/// # Errors
/// Every complaint.
pub fn parse(file: &Path, bytes: &[u8], secrets: &[&str]) -> Result<Script, Vec<Complaint>> {
    let source = Source::new(file, bytes);
    let known = secrets.iter().map(|name| (*name).to_owned()).collect();
    let complaints = source.not_utf8().into_iter().map(|(_, complaint)| complaint).collect();
    let mut reader = Reader { source: &source, secrets, known, script: Script::default(), complaints };
    for (start, line) in source.lines() {
        reader.line(start, line);
    }
    if reader.script.steps.is_empty() && reader.complaints.is_empty() {
        reader.complaints.push(Complaint::about(file, "says nothing", "write lines `send TEXT` and `expect REGEX`"));
    }
    if reader.complaints.is_empty() { Ok(reader.script) } else { Err(reader.complaints) }
}

struct Reader<'a> {
    source: &'a Source,
    secrets: &'a [&'a str],
    /// The variables that have a value so far.
    known: Vec<String>,
    script: Script,
    complaints: Vec<Complaint>,
}

impl Reader<'_> {
    fn line(&mut self, start: usize, line: &str) {
        let step = line.trim();
        let start = start + (line.len() - line.trim_start().len());
        if step.is_empty() || step.starts_with('#') {
            return;
        }
        if let Some((at, control)) = step.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
            let what = format!("a control character (U+{:04X}) stands here", u32::from(control));
            return self.complain(start + at..start + at + control.len_utf8(), &what, "remove it");
        }
        let word = step.split([' ', '\t']).next().unwrap_or(step);
        let rest = step[word.len()..].trim_start();
        let at = start + step.len() - rest.len();
        match word {
            "send" => {
                let parts = self.parts(at, rest);
                self.script.steps.push(Step::Send(parts));
            }
            "expect" if rest.is_empty() => {
                self.complain(start..start + word.len(), "`expect` has no expression", "`expect .*` takes any reply");
            }
            "expect" => self.expect(at, rest),
            _ => {
                let help = suggest(word, &["send", "expect"], "a step is one of");
                self.complain(start..start + word.len(), &format!("there is no step {}", quoted(word)), &help);
            }
        }
    }

    fn expect(&mut self, at: usize, written: &str) {
        let count = self.complaints.len();
        let parts = self.parts(at, written);
        if self.complaints.len() > count {
            return;
        }
        let has_variable = parts.iter().any(|part| matches!(part, Part::Variable(_)));
        let line = self.source.line_number(at);
        let pattern = Pattern { written: written.to_owned(), line, parts, ready: None };
        match Regex::new(&pattern.trial()) {
            Ok(regex) => {
                self.groups(at..at + written.len(), &regex);
                let ready = (!has_variable).then_some(regex);
                self.script.steps.push(Step::Expect(Pattern { ready, ..pattern }));
            }
            Err(error) => {
                let what = format!("this is no regular expression: {}", said_last(&error.to_string()));
                self.complain(
                    at..at + written.len(),
                    &what,
                    "see https://docs.rs/regex/#syntax; `\\` before a sign takes it literally",
                );
            }
        }
    }

    /// The groups of an expression are variables from here on.
    fn groups(&mut self, span: Range<usize>, regex: &Regex) {
        for name in regex.capture_names().flatten() {
            match () {
                () if self.secrets.contains(&name) => {
                    let what = format!("{} is already the name of a secret", quoted(name));
                    self.complain(span.clone(), &what, "give the group another name");
                }
                () if !is_name(name) => {
                    let what = format!("{} is no name for a group", quoted(name));
                    self.complain(span.clone(), &what, "a name has letters, digits and `_` only");
                }
                () => self.known.push(name.to_owned()),
            }
        }
    }

    /// Takes a text apart. `at` is where it stands.
    fn parts(&mut self, at: usize, text: &str) -> Vec<Part> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(open) = rest.find("${") {
            let (before, behind) = rest.split_at(open);
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = &behind[2..];
                continue;
            }
            let from = at + text.len() - behind.len();
            let Some(close) = behind.find('}') else {
                self.complain(
                    from..from + behind.len(),
                    "the `}` of this variable is missing",
                    "write ${name}, or `$${` for the signs themselves",
                );
                return parts;
            };
            let name = &behind[2..close];
            self.variable(from..from + close + 1, name);
            plain.push_str(before);
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = &behind[close + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        parts
    }

    fn variable(&mut self, span: Range<usize>, name: &str) {
        if self.known.iter().any(|known| known == name) {
            return;
        }
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let help = match known.is_empty() {
            true => "name a file of secrets with `secrets=`, or an `expect` before with a group (?<name>…)".to_owned(),
            false => suggest(name, &known, "known here are"),
        };
        self.complain(span, &format!("nothing gives {} a value", quoted(name)), &help);
    }

    fn complain(&mut self, span: Range<usize>, what: &str, help: &str) {
        self.complaints.push(self.source.at(span, what, help));
    }
}

impl Pattern {
    /// The expression with some value for each variable.
    fn trial(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(_) => literally(b"x"),
        };
        self.parts.iter().map(part).collect()
    }
}

/// The last line of what the parser of expressions says: the ones before show the expression.
fn said_last(text: &str) -> &str {
    let last = text.lines().last().unwrap_or(text);
    last.strip_prefix("error: ").unwrap_or(last)
}

#[cfg(test)]
mod tests;
