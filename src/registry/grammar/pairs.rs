//! The words of a registration: name, address, and pairs of key and value. Pure.
//!
//! Enters: words. Leaves: a [`Registration`], or what is wrong with them. Promised: what is read can be written as a row
//! and read back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Malformed, PAIRS_MAX, REGISTER, TTL_MAX, TTL_MIN, address, name, written};
use crate::config::read_duration;
use crate::registry::directory::Registration;

/// Keys of a row that the registry itself says.
const RESERVED: [&str; 3] = ["lease", "left", "owner"];
const KEY: &str = "a key is a letter of a-z, then at most 31 more of a-z, 0-9, `_`, `.` and `-`";

pub(super) fn registration<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Registration, Malformed> {
    let missing = |what: &str| Malformed::new(format!("{what} is missing"), REGISTER);
    let name = name(words.next().ok_or_else(|| missing("the name"))?)?;
    let address = written(&address(words.next().ok_or_else(|| missing("the address"))?)?);
    let mut pairs = BTreeMap::new();
    for word in words {
        let (key, value) = pair(word)?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Malformed::word(word, "has a key that was there already", REGISTER));
        }
    }
    let ttl = ttl(&pairs.remove("ttl").ok_or_else(|| missing("ttl="))?)?;
    if pairs.len() > PAIRS_MAX {
        return Err(Malformed::new(
            format!("there are {} pairs", pairs.len()),
            format!("at most {PAIRS_MAX} are kept"),
        ));
    }
    Ok(Registration { name, address, ttl, pairs })
}

fn pair(word: &str) -> Result<(&str, &str), Malformed> {
    let (key, value) = word.split_once('=').ok_or_else(|| Malformed::word(word, "is no pair", REGISTER))?;
    let of_key = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-');
    match key {
        _ if RESERVED.contains(&key) => Err(Malformed::word(key, "is kept for the registry", "choose another key")),
        _ if key.len() > 32 || !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.chars().all(of_key) => {
            Err(Malformed::word(key, "is no key", KEY))
        }
        _ if value.is_empty() => Err(Malformed::word(word, "has no value", "leave the pair out")),
        _ if value.contains(char::is_whitespace) => {
            Err(Malformed::word(word, "has a blank in its value", "write it as %20, or as what its readers agree on"))
        }
        _ => Ok((key, value)),
    }
}

fn ttl(word: &str) -> Result<Duration, Malformed> {
    let ttl = read_duration(word).map_err(|why| {
        Malformed::word(word, &format!("is no duration: {why}"), "write a whole number and `ms`, `s`, `m`, `h` or `d`")
    })?;
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Ok(ttl);
    }
    Err(Malformed::word(word, "is no time for a lease", "it lives from 1s to 30d"))
}
