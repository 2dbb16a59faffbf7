//! What programs may say on `registry.sock`: lines ↔ commands, replies, rows and changes. Pure.
//!
//! Enters: one line without its line feed. Leaves: a [`Command`], or how it is [`Malformed`] and what would be right.
//! Promised: no line of any bytes panics; what is refused says which word, and why.
//!
//! ```text
//! command  = "REGISTER" name address ttl *pair | "RENEW" lease | "UNREGISTER" lease | "RESOLVE" name ["direct"]
//!          | "LIST" [prefix] | "WATCH" [prefix] ["after=" revision]
//! name     = ( a-z | 0-9 ) up to 62 more of ( a-z | 0-9 | "_" | "." | "-" ), not ending in ".deferred"
//! address  = "tcp:" host ":" port | "tcp:[" IPv6 "]:" port | "unix:" absolute-path
//! ttl      = "ttl=" duration                      from 1 s to 30 d, anywhere behind the address
//! pair     = key "=" value                        at most 32, no key twice
//! key      = a-z, then up to 31 more of ( a-z | 0-9 | "_" | "." | "-" )
//! value    = printable characters without blanks
//! ```
//!
//! Words are parted by blanks. Commands are written in capitals. What is answered is in [`replies`] and [`rows`].

mod pairs;
pub mod replies;
pub mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use super::directory::{Registration, Way};
use super::row::{Lease, Revision};
use crate::config::{Address, quoted, read_address};

/// Most bytes of a line, its line feed not counted.
pub const LINE_MAX: usize = 4096;
/// The shortest lease.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest lease.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Most pairs of a row.
pub const PAIRS_MAX: usize = 32;

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Register an instance of a name.
    Register(Registration),
    /// Let a lease live on.
    Renew(Lease),
    /// End a lease.
    Unregister(Lease),
    /// The addresses of a name.
    Resolve {
        /// The name.
        name: String,
        /// Which addresses.
        way: Way,
    },
    /// All rows.
    List {
        /// How their names start; empty for all.
        prefix: String,
    },
    /// All rows, then what changes.
    Watch {
        /// How their names start; empty for all.
        prefix: String,
        /// Up to which revision the program knows everything already.
        after: Option<Revision>,
    },
}

/// A line that is no command: what is wrong with it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}; {help}")]
pub struct Malformed {
    what: String,
    help: String,
}

impl Malformed {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    /// A word that cannot be what it should be.
    fn word(word: &str, why: &str, help: &str) -> Self {
        Self::new(format!("{} {why}", quoted(word)), help)
    }
}

const COMMANDS: &str = "the commands are REGISTER, RENEW, UNREGISTER, RESOLVE, LIST and WATCH";
const NAME: &str = "a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, starts with a letter or a digit, and does not end in \
                    `.deferred`";
const ADDRESS: &str = "an address is tcp:host:port, tcp:[IPv6]:port or unix:/path";
const REGISTER: &str = "write REGISTER NAME ADDRESS ttl=DURATION [KEY=VALUE…]";

/// Reads a line.
///
/// # Errors
/// It is no command.
pub fn command(line: &[u8]) -> Result<Command, Malformed> {
    let line = text(line)?;
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    match words.next() {
        Some("REGISTER") => pairs::registration(words).map(Command::Register),
        Some("RENEW") => lease(words, "write RENEW LEASE").map(Command::Renew),
        Some("UNREGISTER") => lease(words, "write UNREGISTER LEASE").map(Command::Unregister),
        Some("RESOLVE") => resolve(words),
        Some("LIST") => list(words),
        Some("WATCH") => watch(words),
        Some(other) => Err(Malformed::word(other, "is no command", COMMANDS)),
        None => Err(Malformed::new("the line is empty", COMMANDS)),
    }
}

fn text(line: &[u8]) -> Result<&str, Malformed> {
    let help = "a line is printable UTF-8 and ends in a line feed alone";
    let line = std::str::from_utf8(line).map_err(|_| Malformed::new("the line is no UTF-8", help))?;
    let odd = |c: &char| c.is_control() && *c != '\t';
    match line.chars().find(odd) {
        Some('\r') => Err(Malformed::new("there is a carriage return", help)),
        Some(_) => Err(Malformed::new("there is a control character", help)),
        None => Ok(line),
    }
}

fn lease<'a>(mut words: impl Iterator<Item = &'a str>, help: &str) -> Result<Lease, Malformed> {
    match (words.next(), words.next()) {
        (Some(lease), None) => Ok(Lease(lease.to_owned())),
        (None, _) => Err(Malformed::new("the lease is missing", help)),
        (_, Some(more)) => Err(Malformed::word(more, "is one word too many", help)),
    }
}

fn resolve<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Command, Malformed> {
    let help = "write RESOLVE NAME, or RESOLVE NAME direct";
    let name = name(words.next().ok_or_else(|| Malformed::new("the name is missing", help))?)?;
    let way = match words.next() {
        None => Way::Usual,
        Some("direct") => Way::Direct,
        Some(other) => return Err(Malformed::word(other, "is not known here", help)),
    };
    no_more(words, help)?;
    Ok(Command::Resolve { name, way })
}

fn list<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Command, Malformed> {
    let prefix = words.next().map(prefix).transpose()?.unwrap_or_default();
    no_more(words, "write LIST, or LIST PREFIX")?;
    Ok(Command::List { prefix })
}

fn watch<'a>(words: impl Iterator<Item = &'a str>) -> Result<Command, Malformed> {
    let help = "write WATCH [PREFIX] [after=REVISION]";
    let mut words = words.peekable();
    let prefix = match words.peek() {
        Some(word) if !word.starts_with("after=") => prefix(word)?,
        _ => String::new(),
    };
    let mut words = words.skip(usize::from(!prefix.is_empty()));
    let after = words.next().map(|word| revision(word, help)).transpose()?;
    no_more(words, help)?;
    Ok(Command::Watch { prefix, after })
}

fn revision(word: &str, help: &str) -> Result<Revision, Malformed> {
    let digits = word.strip_prefix("after=").ok_or_else(|| Malformed::word(word, "is not known here", help))?;
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number.map(Revision).ok_or_else(|| Malformed::word(word, "names no revision", "a revision is a whole number"))
}

fn no_more<'a>(mut words: impl Iterator<Item = &'a str>, help: &str) -> Result<(), Malformed> {
    words.next().map_or(Ok(()), |more| Err(Malformed::word(more, "is one word too many", help)))
}

fn is_of_name(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-')
}

fn is_prefix(word: &str) -> bool {
    word.len() <= 63 && word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(is_of_name)
}

/// Whether a character changes the order in which others are shown.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a word can be a name.
#[must_use]
pub fn is_name(word: &str) -> bool {
    is_prefix(word) && !word.ends_with(".deferred")
}

fn name(word: &str) -> Result<String, Malformed> {
    if is_name(word) { Ok(word.to_owned()) } else { Err(Malformed::word(word, "is no name", NAME)) }
}

fn prefix(word: &str) -> Result<String, Malformed> {
    if is_prefix(word) { Ok(word.to_owned()) } else { Err(Malformed::word(word, "starts no name", NAME)) }
}

/// Most bytes of an answer that is one line: all instances of a name.
pub(crate) const ANSWER_MAX: usize = 8 << 20;

/// Reads an address as it stands in a row.
///
/// # Errors
/// It is none.
pub fn address(word: &str) -> Result<Address, Malformed> {
    // Whoever reads it must see where it ends, and what it is.
    if let Some(odd) = word.chars().find(|c| c.is_whitespace() || c.is_control() || is_bidirectional(*c)) {
        return Err(Malformed::word(word, &format!("has U+{:04X} in it", u32::from(odd)), ADDRESS));
    }
    let plain = match word.strip_prefix("tcp:") {
        Some(plain) if !plain.starts_with("unix:") => plain,
        None if word.starts_with("unix:") => word,
        _ => return Err(Malformed::word(word, "is no address", ADDRESS)),
    };
    match read_address(plain) {
        Ok(Address::Name { .. }) => Err(Malformed::word(word, "is no address", ADDRESS)),
        other => other.map_err(|why| Malformed::new(why, ADDRESS)),
    }
}

/// Writes an address as it stands in a row.
#[must_use]
pub fn written(address: &Address) -> String {
    match address {
        Address::Tcp { .. } => format!("tcp:{address}"),
        Address::Unix { .. } | Address::Name { .. } => address.to_string(),
    }
}
