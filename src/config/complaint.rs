//! Complaints: what is wrong in a file, where, and what would be right.
//!
//! Enters: a file's text and the places of its mistakes. Leaves: text for people, in the shape compilers use:
//!
//! ```text
//! hosts.tab:3:27: `timout` is no option
//!   cache 127.0.0.1:6379 resp timout=5s
//!                             ^~~~~~
//!   = help: did you mean `timeout`?
//! ```
//!
//! Promised: lines, columns and carets are those of the file; nothing from the file reaches a terminal as a control
//! character; a long line is shown around its mistake only.

use std::fmt;
use std::path::Path;

/// Most characters of a line that are shown.
const EXCERPT: usize = 120;
/// Most characters of a word that are repeated in a message.
const WORD: usize = 60;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    file: String,
    spot: Option<Spot>,
    what: String,
    help: String,
}

/// A place in a file. Line and column count from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    line: usize,
    column: usize,
    /// Characters under which the caret stands; 0 at a place where something is missing.
    width: usize,
    text: String,
}

impl Complaint {
    /// About a file or directory as a whole.
    pub(crate) fn about(file: &Path, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: printable(&file.to_string_lossy()), spot: None, what: what.into(), help: help.into() }
    }

    /// About the part of a line that starts after `before` characters and has `width` of them.
    pub(super) fn placed(file: &str, line: usize, before: usize, width: usize, text: &str) -> Self {
        let spot = Spot { line, column: before + 1, width, text: text.to_owned() };
        Self { file: file.to_owned(), spot: Some(spot), what: String::new(), help: String::new() }
    }

    /// Says what is wrong, and what would be right.
    pub(super) fn saying(self, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into(), ..self }
    }

    /// All of it in one line, without the text of the file's line.
    pub(crate) fn in_one_line(&self) -> String {
        let place = self.spot.as_ref().map_or_else(String::new, |spot| format!("{}:{}:", spot.line, spot.column));
        format!("{}:{place} {}; {}", self.file, self.what, self.help)
    }

    /// What the complaints of one file are sorted by.
    pub(super) fn place(&self) -> (usize, usize) {
        self.spot.as_ref().map_or((0, 0), |spot| (spot.line, spot.column))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        match &self.spot {
            None => write!(f, " {}", self.what)?,
            Some(spot) => write!(f, "{}:{}: {}\n{spot}", spot.line, spot.column, self.what)?,
        }
        write!(f, "\n  = help: {}", self.help)
    }
}

impl fmt::Display for Spot {
    /// The line, and the caret below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, before) = excerpt(&self.text, self.column - 1);
        let pad: String = shown.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = shown.chars().count().saturating_sub(before);
        let tail = self.width.min(room).saturating_sub(1);
        write!(f, "  {}\n  {pad}^{}", printable(&shown), "~".repeat(tail))
    }
}

/// The part of a line that is shown, and how many characters of it stand before the mistake.
fn excerpt(line: &str, before: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= EXCERPT {
        return (line.to_owned(), before);
    }
    let start = before.saturating_sub(EXCERPT / 3);
    let middle: String = line.chars().skip(start).take(EXCERPT).collect();
    let head = if start > 0 { "…" } else { "" };
    let tail = if start + EXCERPT < length { "…" } else { "" };
    (format!("{head}{middle}{tail}"), before - start + head.chars().count())
}

/// A text in which no control character is left but the tab: each is shown as one character, so that columns hold.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { c } else { picture(c) }).collect()
}

/// A visible stand-in for a character that would move the cursor or turn the direction of writing.
fn picture(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A word of the file as messages repeat it: in backticks, printable, not endless.
pub(crate) fn quoted(word: &str) -> String {
    let shown: String = word.chars().take(WORD).map(picture).collect();
    let tail = if word.chars().count() > WORD { "…" } else { "" };
    format!("`{shown}{tail}`")
}

/// What is wrong with a word, and what would be right: a complaint that has no place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// Every complaint about a configuration, the files' in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    complaints: Vec<Complaint>,
}

impl ConfigError {
    /// An error, if there is a complaint.
    pub(super) fn unless_empty(complaints: Vec<Complaint>) -> Result<(), Self> {
        if complaints.is_empty() { Ok(()) } else { Err(Self { complaints }) }
    }

    /// The complaints, each to be printed by its `Display`.
    #[must_use]
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }
}

impl From<Complaint> for ConfigError {
    fn from(complaint: Complaint) -> Self {
        Self { complaints: vec![complaint] }
    }
}

impl fmt::Display for ConfigError {
    /// All complaints, an empty line between two, no line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, complaint) in self.complaints.iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{complaint}")?;
        }
        Ok(())
    }
}
