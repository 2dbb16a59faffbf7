//! Where the story is told: standard output.
//!
//! Enters: headings, sentences, commands, figures. Leaves: plain text; on a terminal that wants it, headings are bold
//! and commands dim.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::trouble::Trouble;

/// Standard output.
pub(super) struct Stage {
    is_coloured: bool,
    act: u32,
}

impl Stage {
    pub(super) fn new() -> Self {
        let is_wanted = |name, no: fn(&str) -> bool| std::env::var(name).map_or(true, |value| !no(&value));
        let wants = is_wanted("NO_COLOR", |value| !value.is_empty()) && is_wanted("TERM", |value| value == "dumb");
        Self { is_coloured: wants && io::stdout().is_terminal(), act: 0 }
    }

    /// The heading of the next act.
    pub(super) fn act(&mut self, title: &str) -> Result<(), Trouble> {
        self.act += 1;
        self.styled("1", &format!("\n{}. {title}", self.act))
    }

    /// A heading without a number.
    pub(super) fn heading(&self, title: &str) -> Result<(), Trouble> {
        self.styled("1", title)
    }

    /// A command that a user would type.
    pub(super) fn command(&self, words: &str) -> Result<(), Trouble> {
        self.styled("2", &format!("   $ {words}"))
    }

    /// A sentence, or what a command has printed.
    pub(super) fn say(&self, text: &str) -> Result<(), Trouble> {
        text.lines().try_for_each(|line| self.line(&format!("   {line}")))
    }

    /// As `say`, from the left edge: for what is wide.
    pub(super) fn print(&self, text: &str) -> Result<(), Trouble> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// A figure and what it is.
    pub(super) fn figure(&self, figure: &str, what: &str) -> Result<(), Trouble> {
        self.line(&format!("   {figure:>10}  {what}"))
    }

    fn styled(&self, style: &str, text: &str) -> Result<(), Trouble> {
        if self.is_coloured { self.line(&format!("\x1b[{style}m{text}\x1b[0m")) } else { self.line(text) }
    }

    fn line(&self, text: &str) -> Result<(), Trouble> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Trouble::Unread,
            _ => Trouble::system("write to standard output")(error),
        })
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with the unit that fits.
pub(super) fn time(time: Duration) -> String {
    crate::cli::status::latency(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(count), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
