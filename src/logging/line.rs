//! How a log line looks.
//!
//! Enters: an event's level and fields. Leaves: one line of at most [`super::LONGEST`] bytes, its line feed included.
//! Promised: one event is one line, whatever its message holds: control characters are escaped.

use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use super::LONGEST;

/// Where a line is going decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For people.
    Text {
        /// Whether the level is coloured.
        colour: bool,
    },
    /// For the journal: the priority in front, no time.
    Journal,
    /// One JSON object.
    Json,
}

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The message itself.
    pub(super) message: String,
    /// The field `host`.
    pub(super) host: Option<String>,
    /// The other fields.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "host" => self.host = Some(value.to_owned()),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The whole line.
pub(super) fn format(style: &Style, level: Level, name: &str, words: &Words) -> String {
    let mut line = match style {
        Style::Json => json(level, name, words),
        Style::Journal => format!("<{}>{}", priority(level), text(name, words)),
        Style::Text { colour } => format!("{} {} {}", now(), level_word(level, *colour), text(name, words)),
    };
    line.truncate(cut(&line, LONGEST - 1).len());
    line.push('\n');
    line
}

/// As much of `text` as fits into `most` bytes without cutting a character.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn text(name: &str, words: &Words) -> String {
    let name = if name.is_empty() { "tieline" } else { name };
    let mut line = format!("{name}: ");
    push_escaped(&mut line, &words.message);
    for (key, value) in &words.fields {
        line.push(' ');
        line.push_str(key);
        line.push('=');
        push_escaped(&mut line, value);
    }
    line
}

/// Cut before it is wrapped, for half an object is no JSON; and more where escapes make six bytes of one.
fn json(level: Level, name: &str, words: &Words) -> String {
    let mut most = LONGEST / 2;
    loop {
        let line = json_cut(level, name, words, most);
        if line.len() < LONGEST || most < 16 {
            return line;
        }
        most /= 2;
    }
}

fn json_cut(level: Level, name: &str, words: &Words, most: usize) -> String {
    let mut object = Map::new();
    object.insert("time".to_owned(), now().into());
    object.insert("level".to_owned(), level.as_str().into());
    object.insert("pid".to_owned(), std::process::id().into());
    if !name.is_empty() {
        object.insert("host".to_owned(), name.into());
    }
    object.insert("message".to_owned(), cut(&words.message, most).into());
    for (key, value) in words.fields.iter().take(8) {
        object.insert((*key).to_owned(), cut(value, most / 2).into());
    }
    Value::Object(object).to_string()
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn level_word(level: Level, colour: bool) -> String {
    let code = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    if colour { format!("\x1b[{code}m{level:>5}\x1b[0m") } else { format!("{level:>5}") }
}

/// As sd-daemon(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn push_escaped(line: &mut String, text: &str) {
    for each in text.chars() {
        if each.is_control() {
            // Writing to a String does not fail.
            write!(line, "{}", each.escape_default()).ok();
        } else {
            line.push(each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(message: &str) -> Words {
        Words { message: message.to_owned(), host: None, fields: vec![("pid", "7".to_owned())] }
    }

    #[test]
    fn one_event_is_one_line_whatever_it_holds() {
        let line = format(&Style::Journal, Level::WARN, "cache", &words("a\nb\x1b[31m\0"));
        assert_eq!(line, "<4>cache: a\\nb\\u{1b}[31m\\u{0} pid=7\n");
    }

    #[test]
    fn a_line_names_its_host_or_the_parent() {
        let line = format(&Style::Text { colour: false }, Level::INFO, "", &words("up"));
        assert!(line.ends_with("Z  INFO tieline: up pid=7\n"), "{line}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = format(&Style::Journal, Level::INFO, "x", &words(&"ä".repeat(LONGEST)));
        assert!(line.len() <= LONGEST && line.ends_with("ä\n"), "{}", line.len());
    }

    #[test]
    fn a_long_line_of_json_is_still_an_object() {
        let line = format(&Style::Json, Level::INFO, "cache", &words(&"\u{1}".repeat(LONGEST)));
        assert!(line.len() <= LONGEST);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["host"], &object["level"], &object["pid"]), (&"cache".into(), &"INFO".into(), &"7".into()));
    }
}
