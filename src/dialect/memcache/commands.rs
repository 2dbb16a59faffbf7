//! Which commands may be sent over a shared connection, and what is to be expected then.
//!
//! A shared connection carries one request, one reply, in turn, for many requesters. So memcached must take the same
//! bytes for a request as we do, and its reply must be known when it comes. Neither may depend on its version.
//!
//! - **Storing commands** are checked whole. memcached answers a line that it does not like (a key over 250 bytes, flags
//!   over 32 bits, a word too many) with an error, and takes the value behind it for commands: a value could then say
//!   anything in its requester's name, and shift everybody's replies.
//! - **`noreply`** counts only where memcached looks for it; elsewhere it may or may not suppress the reply, depending
//!   on the version.
//! - **A session**, a connection of the requester's own over which bytes pass unseen until it leaves, is given for several
//!   lines of which nothing is known beforehand: `watch`, and `lru_crawler metadump` and `mgdump`, after which memcached
//!   1.6 lets lie what it has read already until more comes; `stats cachedump` and `stats detail dump`, which print keys
//!   and prefixes as they are, and a key that was set in base64 may have line breaks in it; `shutdown`, which ends the
//!   connection of everybody with nothing said; `refresh_certs`, whose complaints are the TLS library's.
//! - **What is not known here** needs a session too. It may be a newer memcached's command with a value behind it or with
//!   a reply of several lines, either of which would be somebody else's trouble. So if it is not given one, neither may
//!   what stands behind it be sent: that is what tells [`Act::Raw`] from [`Act::Binds`].
//! - **`verbosity`, `flush_all`, `cache_memlimit`, `slabs`, `lru`** and their kin change the whole host, from any
//!   connection alike, with one line as their reply: they are sent on.
//! - **`quit`** closes its requester; the host need not hear of it.
//! - An empty line, or a word of one letter, is sent on: no version knows such a command, and all answer `ERROR`.
//!
//! Enters: a framed request. Leaves: its [`Wish`], and what to [`Expect`] when it is sent. Promised: both take the same
//! for a run of commands without a reply.

use memchr::memchr2;

use super::MAX_KEY;
use super::words::{first, line, number, words};
use crate::dialect::{Act, Expect, Wish};

const NOREPLY: &[u8] = b"noreply";

/// Flags of `ms` beyond which memcached does not swallow the value (`MFLAG_MAX_OPT_LENGTH`, less the other words).
const MAX_FLAGS: usize = 16;

const ZERO: &str = "the command line has a zero byte or a lone CR in it";
const KEY: &str = "the key has more than 250 bytes";
const WORDS: &str = "the command stores a value, and its line has a word too few or too many";
const NUMBERS: &str = "the command stores a value, and its flags, expiry time or CAS is no number that fits";
const FLAGS: &str = "the command stores a value, and has more than 16 flags, or one twice";

/// What to expect from the host when this request, or this run, is sent; it is one that may be sent.
#[inline]
pub(in crate::dialect) fn expect(frame: &[u8]) -> Expect {
    let line = line(frame);
    let (name, rest) = first(line);
    match name {
        b"get" | b"gets" | b"gat" | b"gats" | b"bget" => Expect::Values,
        b"mg" | b"md" | b"ma" => quiet(words(rest).skip(1)),
        b"ms" => quiet(words(rest).skip(2)),
        b"mn" | b"me" => Expect::Meta,
        b"stats" => Expect::Stats,
        // Here the word is a key.
        b"delete" if words(rest).nth(1).is_none() => Expect::Line,
        b"version" => Expect::Version,
        b"lru_crawler" => Expect::Line,
        _ if rest.ends_with(NOREPLY) && rest.ends_with(b" noreply") => Expect::Silence,
        _ => Expect::Line,
    }
}

fn quiet<'a>(mut flags: impl Iterator<Item = &'a [u8]>) -> Expect {
    if flags.any(|flag| flag[0] == b'q') { Expect::Quiet } else { Expect::Meta }
}

/// What the complete request `frame` wants.
pub(in crate::dialect) fn wish(frame: &[u8]) -> Wish {
    let line = line(frame);
    if memchr2(0, b'\r', line).is_some() {
        return Wish::Malformed(ZERO);
    }
    let (name, rest) = first(line);
    match name {
        b"get" | b"gets" | b"gat" | b"gats" | b"bget" | b"mg" | b"md" | b"ma" | b"me" | b"mn" | b"version" => {
            Wish::Forward
        }
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => sound(storing(rest, false)),
        b"cas" => sound(storing(rest, true)),
        b"ms" => sound(meta_storing(rest)),
        b"delete" => unless_odd(name, rest, 2..=3),
        b"incr" | b"decr" | b"touch" => unless_odd(name, rest, 3..=3),
        b"flush_all" => unless_odd(name, rest, 1..=2),
        b"verbosity" | b"cache_memlimit" => unless_odd(name, rest, 2..=2),
        // No form of these with noreply is the same in all versions.
        b"slabs" | b"lru" | b"extstore" => unless_odd(name, rest, 0..=0),
        b"stats" | b"lru_crawler" => by_subcommand(name, rest),
        b"quit" => Wish::Quit,
        [] | [_] => Wish::Forward,
        b"watch" | b"shutdown" | b"refresh_certs" => session(name, b"", Act::Binds),
        _ => session(name, b"", Act::Raw),
    }
}

fn sound(checked: Result<(), &'static str>) -> Wish {
    checked.map_or_else(Wish::Malformed, |()| Wish::Forward)
}

/// Checks `key flags exptime bytes [cas] [noreply]`; the framer has read the bytes.
fn storing(rest: &[u8], with_cas: bool) -> Result<(), &'static str> {
    let mut words = words(rest);
    let mut next = || words.next().ok_or(WORDS);
    if next()?.len() > MAX_KEY {
        return Err(KEY);
    }
    let (flags, expiry) = (next()?, next()?);
    next()?;
    let numbers = number(flags).is_some_and(|flags| flags <= u64::from(u32::MAX))
        && is_expiry(expiry)
        && (!with_cas || number(next()?).is_some());
    match (words.next(), words.next()) {
        _ if !numbers => Err(NUMBERS),
        (None, _) | (Some(NOREPLY), None) => Ok(()),
        _ => Err(WORDS),
    }
}

/// Seconds in 32 bits, which may be negative: the value then expires at once.
fn is_expiry(word: &[u8]) -> bool {
    let most = i32::MAX as u64 + u64::from(word.starts_with(b"-"));
    number(word.strip_prefix(b"-").unwrap_or(word)).is_some_and(|seconds| seconds <= most)
}

/// Checks `key datalen *flag`; the framer has read the length.
fn meta_storing(rest: &[u8]) -> Result<(), &'static str> {
    let mut words = words(rest);
    let key = words.next().ok_or(WORDS)?;
    words.next().ok_or(WORDS)?;
    let (mut seen, mut count) = ([0u64; 4], 0);
    for flag in words {
        let (word, bit) = (usize::from(flag[0] / 64), 1 << (flag[0] % 64));
        count += 1;
        if seen[word] & bit != 0 || count > MAX_FLAGS {
            return Err(FLAGS);
        }
        seen[word] |= bit;
    }
    if key.len() > MAX_KEY { Err(KEY) } else { Ok(()) }
}

/// A command that may end in `noreply`, which memcached heeds with so many words after the name.
fn unless_odd(name: &[u8], rest: &[u8], with_noreply: std::ops::RangeInclusive<usize>) -> Wish {
    let is_key = name == b"delete" && words(rest).nth(1).is_none();
    if !rest.ends_with(b" noreply") || is_key || with_noreply.contains(&words(rest).count()) {
        return Wish::Forward;
    }
    session(name, NOREPLY, Act::Binds)
}

fn by_subcommand(name: &[u8], rest: &[u8]) -> Wish {
    let mut words = words(rest);
    match (words.next().unwrap_or_default(), words.next()) {
        (sub @ (b"cachedump" | b"metadump" | b"mgdump"), _) | (sub @ b"detail", Some(b"dump")) => {
            session(name, sub, Act::Binds)
        }
        _ => Wish::Forward,
    }
}

/// A session, for a command with a name that is safe to print.
fn session(name: &[u8], sub: &[u8], act: Act) -> Wish {
    let blank: &[u8] = if sub.is_empty() { b"" } else { b" " };
    let letters = name.iter().chain(blank).chain(sub).take(32);
    let safe = |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
    Wish::Session { command: letters.map(safe).collect::<String>().into(), act }
}
