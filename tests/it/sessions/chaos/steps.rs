//! What a requester asks for in the midst of chaos, and what it may be answered.

use std::collections::VecDeque;

use crate::common::encode_command;

const KEYS: u64 = 20;

/// One request of a burst.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Set(u64),
    Get(u64),
    GetTwo(u64, u64),
    Echo(u64),
    Push,
    /// `MULTI`, a write, a read, `EXEC`.
    Transaction(u64),
    /// A blocking read of what was pushed before it.
    Pop(u64),
    /// A blocking read that ends by itself.
    PopNothing,
}

/// What the reply to one command must be.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Exactly(String),
    /// This key's value, or nothing.
    Value(String),
    Two(String, String),
    Number,
    /// The outcome of a write and of a read of this key; or nothing, if the transaction was refused.
    Executed(String),
    /// An element of this list, or none (where its push has failed).
    Popped(String),
    Nothing,
}

pub(super) fn key(own: u64, number: u64) -> String {
    format!("<{own}:{number}>")
}

/// A value that nobody could take for another key's, nor for a whole one if it were cut or mixed.
fn value(key: &str) -> String {
    let length = [3, 40, 2000, 90_000][(fastrand::u8(..) as usize % 33) / 10];
    format!("{key}{}{key}", "+OK\r\n".repeat(length / 5))
}

impl Step {
    pub(super) fn any() -> Self {
        let key = || fastrand::u64(..KEYS);
        match fastrand::u8(..20) {
            0..=3 => Self::Set(key()),
            4..=8 => Self::Get(key()),
            9 | 10 => Self::GetTwo(key(), key()),
            11 | 12 => Self::Echo(fastrand::u64(..)),
            13 => Self::Push,
            14..=16 => Self::Transaction(key()),
            17 | 18 => Self::Pop(fastrand::u64(..)),
            _ => Self::PopNothing,
        }
    }

    /// Appends its commands to `burst`, and what they must be answered.
    pub(super) fn add(self, own: u64, burst: &mut Vec<u8>, wanted: &mut VecDeque<Wanted>) {
        let mut say = |words: &[&str], reply: Wanted| {
            burst.extend(encode_command(words));
            wanted.push_back(reply);
        };
        let exactly = |text: &str| Wanted::Exactly(text.to_owned());
        match self {
            Self::Set(n) => say(&["SET", &key(own, n), &value(&key(own, n))], exactly("+OK\r\n")),
            Self::Get(n) => say(&["GET", &key(own, n)], Wanted::Value(key(own, n))),
            Self::GetTwo(n, m) => {
                say(&["MGET", &key(own, n), &key(own, m)], Wanted::Two(key(own, n), key(own, m)));
            }
            Self::Echo(n) => {
                let text = format!("<{own}/{n}>");
                say(&["ECHO", &text], Wanted::Exactly(format!("${}\r\n{text}\r\n", text.len())));
            }
            Self::Push => say(&["RPUSH", &format!("pushed:{own}"), "x"], Wanted::Number),
            Self::Transaction(n) => {
                let key = key(own, n);
                say(&["MULTI"], exactly("+OK\r\n"));
                say(&["SET", &key, &value(&key)], exactly("+QUEUED\r\n"));
                say(&["GET", &key], exactly("+QUEUED\r\n"));
                say(&["EXEC"], Wanted::Executed(key));
            }
            Self::Pop(n) => {
                let list = format!("<{own}:list>");
                say(&["RPUSH", &list, &format!("{list}{n}")], Wanted::Number);
                say(&["BLPOP", &list, "1"], Wanted::Popped(list.clone()));
            }
            Self::PopNothing => say(&["BLPOP", &format!("nothing:{own}"), "0.01"], Wanted::Nothing),
        }
    }
}

/// The length and the rest behind a `$N` or `*N`.
fn head(reply: &str, mark: char) -> Option<(usize, &str)> {
    let (number, rest) = reply.strip_prefix(mark)?.split_once("\r\n")?;
    Some((number.parse().ok()?, rest))
}

/// The bulk string that `reply` begins with, or none if it begins with a null; and what stands behind.
fn bulk(reply: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = reply.strip_prefix("$-1\r\n").or(reply.strip_prefix("_\r\n")) {
        return Some((None, rest));
    }
    let (length, rest) = head(reply, '$')?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Some(value), rest.strip_prefix("\r\n")?))
}

fn is_value_of(value: Option<&str>, key: &str) -> bool {
    value.is_none_or(|value| value.starts_with(key) && value.ends_with(key) && value.matches('<').count() == 2)
}

impl Wanted {
    fn is(&self, reply: &str) -> bool {
        let is_null = ["*-1\r\n", "_\r\n", "$-1\r\n"].contains(&reply);
        let is_one = |reply: &str, key: &str| matches!(bulk(reply), Some((value, "")) if is_value_of(value, key));
        match self {
            Self::Exactly(text) => reply == text,
            Self::Value(key) => is_one(reply, key),
            Self::Two(one, other) => head(reply, '*').is_some_and(|(count, rest)| {
                count == 2 && bulk(rest).is_some_and(|(value, rest)| is_value_of(value, one) && is_one(rest, other))
            }),
            Self::Number => reply.starts_with(':'),
            Self::Executed(key) => {
                // It is the value that was written within the same transaction.
                reply.strip_prefix("*2\r\n+OK\r\n").is_some_and(|rest| !rest.starts_with("$-1") && is_one(rest, key))
            }
            Self::Popped(list) => {
                is_null
                    || head(reply, '*').is_some_and(|(count, rest)| {
                        let inner = bulk(rest);
                        let is_own = |text: &str| text.starts_with(list.as_str()) && text.matches('<').count() == 1;
                        count == 2
                            && inner.is_some_and(|(name, rest)| {
                                name == Some(list.as_str())
                                    && matches!(bulk(rest), Some((Some(element), "")) if is_own(element))
                            })
                    })
            }
            Self::Nothing => is_null,
        }
    }

    /// What kind of answer this is; panics if it cannot be the one to this request.
    pub(super) fn judge(&self, own: u64, reply: &str) -> &'static str {
        if let Some(failure) = reply.strip_prefix("-CON") {
            let kinds = ["LOST", "TIMEOUT", "UNKNOWN", "BUSY"];
            return kinds.into_iter().find(|kind| failure.starts_with(kind)).unwrap_or_else(|| panic!("{reply}"));
        }
        let start = || reply.chars().take(300).collect::<String>();
        assert!(self.is(reply), "requester {own} waited for {self:?} and was answered {:?}", start());
        "reply"
    }
}
