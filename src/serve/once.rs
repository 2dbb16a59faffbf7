//! Exactly once: what the tieline of a host and a far end say to each other besides requests and replies. Pure.
//!
//! Enters: whole lines. Leaves: greetings, requests with their tags, answers as frames. Promised: no bytes panic; what
//! does not begin with the word that both have agreed upon is taken as it is; an answer is one line, whatever stands in it.
//!
//! ```text
//! greeting = "tieline dedupe 1 " WORD " " EXPIRE LF      the first request of a session
//! welcome  = "ok tieline dedupe 1 " KEEP LF              from then on the session is greeted
//! request  = WORD " " TAG " " REQUEST LF                 a tagged one: the handler is given REQUEST LF
//!          / any other line                              an untagged one, as ever
//! answer   = the handler's reply                         given now or at an earlier time
//!          / WORD " again " WHY LF                       it was not executed: to be repeated later
//!          / WORD " doubt " WHY LF                       it may have been executed, and repeating it will not tell
//! WORD     = 16*64( "0"-"9" / "a"-"f" )                  chosen at random by who greets
//! TAG      = 1*64( "0"-"9" / "a"-"z" / "." )             the same for each attempt at one transaction
//! EXPIRE   = 1*DIGIT                                     seconds for which who greets may repeat a request
//! KEEP     = 1*DIGIT                                     seconds for which the far end remembers one; more than EXPIRE
//! ```

use std::time::Duration;

use super::wire::Failure;

/// The version of all this.
const VERSION: &[u8] = b"1";

/// Most characters of a word, and of a tag.
const LONGEST: usize = 64;

/// Most bytes that stand before a tagged request, and are no part of it.
pub const PREFIX: usize = 2 * (LONGEST + 1);

/// Most characters of a reason: it is for reading.
const WHY: usize = 400;

/// The word that both ends have agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

/// What the first request of a session may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The word for this session.
    pub word: Word,
    /// How long a request may be repeated (seconds).
    pub expire: u64,
}

/// A request of a greeted session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One without a tag, as it came.
    Untagged(Vec<u8>),
    /// One with a tag.
    Tagged(Tagged),
    /// It begins with the word, and no tag follows.
    Malformed,
}

/// A request and its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// What it is known by.
    pub tag: String,
    /// The request, as a frame.
    pub request: Vec<u8>,
}

/// What a tagged request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The frame that its one execution has led to.
    Reply(Vec<u8>),
    /// It was not executed, for this reason; it may be repeated.
    Again(String),
    /// It may have been executed, and repeating it will not tell.
    Doubt(String),
}

/// The greeting that a session's first request is, or what is wrong with it; none if the request is something else.
#[must_use]
pub fn greeting(frame: &[u8]) -> Option<Result<Greeting, Failure>> {
    let line = frame.strip_suffix(b"\n").unwrap_or(frame);
    let mut words = line.split(|byte| *byte == b' ');
    let is_one = words.next() == Some(b"tieline") && words.next() == Some(b"dedupe");
    is_one.then(|| agreement(words).map_err(|why| Failure::Refused(format!("this greeting {why}"))))
}

fn agreement<'l>(mut words: impl Iterator<Item = &'l [u8]>) -> Result<Greeting, &'static str> {
    if words.next() != Some(VERSION) {
        return Err("is of another version than 1, the only one that is known here");
    }
    let word = words.next().and_then(Word::read).ok_or("has no word of 16 to 64 of 0-9 and a-f")?;
    let expire = words.next().and_then(seconds).ok_or("has no whole number of seconds behind its word")?;
    match words.next() {
        None => Ok(Greeting { word, expire }),
        Some(_) => Err("has a word too many"),
    }
}

fn seconds(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    let digits = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

impl Greeting {
    /// The answer of a far end of this name that remembers for so long.
    ///
    /// # Errors
    /// When that is not long enough.
    pub fn welcome(&self, keep: Duration, name: &str) -> Result<Vec<u8>, Failure> {
        let (keep, expire) = (keep.as_secs(), self.expire);
        if keep <= expire {
            return Err(Failure::Refused(format!(
                "a transaction is forgotten here after {keep} s, and may be repeated there for {expire} s: `keep` in \
                 [serve.{name}] must be longer than `expire` of the host"
            )));
        }
        Ok(format!("ok tieline dedupe 1 {keep}\n").into_bytes())
    }
}

impl Word {
    fn read(word: &[u8]) -> Option<Self> {
        let is_one = (16..=LONGEST).contains(&word.len()) && word.iter().all(|byte| b"0123456789abcdef".contains(byte));
        let word = str::from_utf8(word).ok().filter(|_| is_one)?;
        Some(Self(word.to_owned()))
    }

    /// What a line of a session with this word is.
    #[must_use]
    pub fn line(&self, mut frame: Vec<u8>) -> Line {
        let Some(rest) = self.behind(&frame) else { return Line::Untagged(frame) };
        let Some(tag) = tag(rest).map(str::to_owned) else { return Line::Malformed };
        let request = frame.split_off(self.0.len() + 1 + tag.len() + 1);
        Line::Tagged(Tagged { tag, request })
    }

    /// How many bytes at the beginning of a line, whole or not, are no part of its request. More bytes of the same line
    /// never make more of it count that was there before.
    #[must_use]
    pub fn uncounted(&self, line: &[u8]) -> usize {
        if line.len() <= self.0.len() && self.0.as_bytes().starts_with(line) {
            return line.len();
        }
        let Some(rest) = self.behind(line) else { return 0 };
        let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == b' ');
        self.0.len() + 1 + end.map_or(rest.len().min(LONGEST + 1), |end| end + 1)
    }

    /// What stands behind the word and its blank.
    fn behind<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        line.strip_prefix(self.0.as_bytes())?.strip_prefix(b" ")
    }
}

/// The tag that `rest` begins with.
fn tag(rest: &[u8]) -> Option<&str> {
    let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == b' ')?;
    let tag = rest.get(..end).filter(|tag| !tag.is_empty())?;
    let is_one = tag.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'.');
    str::from_utf8(tag).ok().filter(|_| is_one)
}

impl Told {
    /// As a frame, for a session with this word.
    #[must_use]
    pub fn encode(&self, word: &Word) -> Vec<u8> {
        match self {
            Self::Reply(frame) => frame.clone(),
            Self::Again(why) => said(word, "again", why),
            Self::Doubt(why) => said(word, "doubt", why),
        }
    }
}

fn said(Word(word): &Word, what: &str, why: &str) -> Vec<u8> {
    let why: String = why.chars().take(WHY).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{word} {what} {why}\n").into_bytes()
}

/// By what another request under the same tag is noticed.
#[must_use]
pub fn print(request: &[u8]) -> u32 {
    crc32fast::hash(request.strip_suffix(b"\n").unwrap_or(request))
}

/// What a worker reads that wants to know the tag of each request.
pub(super) fn with_tag(tag: Option<&str>, request: &[u8]) -> Vec<u8> {
    [tag.unwrap_or("-").as_bytes(), b" ", request].concat()
}

#[cfg(test)]
mod tests;
