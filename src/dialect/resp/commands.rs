//! Commands that need a connection of their own, and those that Redis hangs up on.
//!
//! A shared connection carries one request, one reply, in turn, for many requesters. A command is kept off it when it
//! leaves state behind that the next requester would meet, has no reply or several or a late one, or holds the replies
//! behind it up for as long as its requester likes. What only reads, or changes the whole host at once (`CONFIG SET`,
//! `CLIENT PAUSE`, `SCRIPT KILL`), does the same on every connection and is sent on; so is whatever is not known here.
//! Sources: the flags of `COMMAND` (`blocking`, `noscript`, `no_multi`) of Redis 7.0, and <https://redis.io/commands>.
//!
//! Enters: the words of one request. Leaves: its [`Wish`]. Promised: a request that may be sent on is known by its name
//! alone, in a few nanoseconds.

use std::borrow::Cow;

use crate::dialect::{Act, Voice, Wish};

/// What is told to those who speak HTTP; Redis hangs up on `POST` and `Host:` in any form of request.
pub(super) const HTTP: &str = "this is an HTTP request, but the host speaks RESP";

/// The answer to `CLIENT SETINFO`.
const OK: &[u8] = b"+OK\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// A session, in which the command does this.
    Session(Act),
    /// `HELLO`: see [`hello`].
    Hello,
    /// A session if there is a `BLOCK` among the options.
    IfBlock,
    /// See [`SUBCOMMANDS`].
    BySubcommand,
    Http,
}

const RULES: &[(Rule, &[&str])] = &[
    // Messages then come unasked; several replies, or none, belong to one request.
    (
        Rule::Session(Act::Subscribes),
        &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR"],
    ),
    // What lies between belongs to the connection. EXEC, DISCARD and UNWATCH alone would end another's transaction.
    (Rule::Session(Act::Multi), &["MULTI"]),
    (Rule::Session(Act::Exec), &["EXEC"]),
    (Rule::Session(Act::Discard), &["DISCARD"]),
    (Rule::Session(Act::Watch), &["WATCH"]),
    (Rule::Session(Act::Unwatch), &["UNWATCH"]),
    // The database, the user, the protocol and the cluster's modes are the connection's.
    (Rule::Session(Act::Rules), &["SELECT", "AUTH", "ASKING", "READONLY", "READWRITE"]),
    (Rule::Session(Act::Reset), &["RESET"]),
    (Rule::Hello, &["HELLO"]),
    // They wait as long as their requester likes, and all behind them. WAIT and WAITAOF also mean "what this connection
    // wrote".
    (
        Rule::Session(Act::Waits),
        &["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"],
    ),
    (Rule::Session(Act::Waits), &["WAIT", "WAITAOF"]),
    (Rule::IfBlock, &["XREAD", "XREADGROUP"]),
    // The connection becomes a replica's; REPLCONF has forms without a reply.
    (Rule::Session(Act::Raw), &["SYNC", "PSYNC", "REPLCONF"]),
    // No reply when they succeed, a hang-up, or a host that stops for as long as it takes (DEBUG SLEEP, FAILOVER).
    (Rule::Session(Act::Once), &["SHUTDOWN", "DEBUG", "FAILOVER", "REPLICAOF", "SLAVEOF"]),
    (Rule::Session(Act::Quit), &["QUIT"]),
    (Rule::Http, &["POST", "HOST:"]),
    (Rule::BySubcommand, &["CLIENT", "CLUSTER", "SCRIPT"]),
];

/// Commands that the host may flag as something special and that a shared connection carries all the same.
const HARMLESS: &[&str] = &["PUBLISH", "SPUBLISH", "PUBSUB", "SAVE"];

/// Subcommands that need a session. The others of `CLIENT` read (`LIST`, `INFO`, `GETNAME`, `GETREDIR`, `TRACKINGINFO`
/// tell the truth about the connection that they were sent on), or act on the whole host or on others (`PAUSE`,
/// `UNPAUSE`, `UNBLOCK`).
const SUBCOMMANDS: &[(&str, Act)] = &[
    // No reply, or none to what follows.
    ("CLIENT REPLY", Act::Raw),
    // They stay with the connection; keys that are tracked are announced by unasked messages. CAPA and IMPORT-SOURCE
    // are Valkey's. SETINFO is here in the forms that are not known.
    ("CLIENT TRACKING", Act::Binds),
    ("CLIENT CACHING", Act::Binds),
    ("CLIENT SETNAME", Act::Binds),
    (SETINFO, Act::Binds),
    ("CLIENT NO-EVICT", Act::Binds),
    ("CLIENT NO-TOUCH", Act::Binds),
    ("CLIENT CAPA", Act::Binds),
    ("CLIENT IMPORT-SOURCE", Act::Binds),
    // An ID is asked for to name oneself to UNBLOCK, KILL or TRACKING later; it must not name a shared connection.
    ("CLIENT ID", Act::Binds),
    // It may hit the connection that it was sent on.
    ("CLIENT KILL", Act::Once),
    // The connection turns into a debugger's, or into that of a node that takes slots over.
    ("SCRIPT DEBUG", Act::Raw),
    ("CLUSTER SYNCSLOTS", Act::Raw),
];

const SETINFO: &str = "CLIENT SETINFO";

/// Letters of the longest name with a subcommand, blank included.
const LONGEST: usize = 20;

/// For each length of a name: which first, second and last letters there are, as bits. Nearly every harmless command is
/// told from the others by this alone.
static LETTERS: [[u32; 3]; 16] = letters();

const fn letters() -> [[u32; 3]; 16] {
    let mut table = [[0; 3]; 16];
    let mut rule = 0;
    while rule < RULES.len() {
        let names = RULES[rule].1;
        let mut at = 0;
        while at < names.len() {
            let name = names[at].as_bytes();
            table[name.len()][0] |= bit(name[0]);
            table[name.len()][1] |= bit(name[1]);
            table[name.len()][2] |= bit(name[name.len() - 1]);
            at += 1;
        }
        rule += 1;
    }
    table
}

/// One of 32 bits, the same for both cases of a letter.
const fn bit(letter: u8) -> u32 {
    1 << (letter & 31)
}

/// Whether the name may be one of [`RULES`].
#[inline]
fn is_suspect(name: &[u8]) -> bool {
    let ([first, second, ..], Some(letters)) = (name, LETTERS.get(name.len())) else { return false };
    let last = name[name.len() - 1];
    letters[0] & bit(*first) != 0 && letters[1] & bit(*second) != 0 && letters[2] & bit(last) != 0
}

/// What the command `name` with these arguments wants.
#[inline]
pub(super) fn wish<'a>(name: &[u8], arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    if is_suspect(name) { wish_of_suspect(name, arguments) } else { Wish::Forward }
}

fn wish_of_suspect<'a>(name: &[u8], arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    match rule(name) {
        None => Wish::Forward,
        Some((Rule::Session(act), name)) => session(name, act),
        Some((Rule::Hello, _)) => hello(arguments),
        Some((Rule::IfBlock, name)) => if_block(name, arguments),
        Some((Rule::BySubcommand, name)) => by_subcommand(name, arguments),
        Some((Rule::Http, _)) => Wish::Malformed(HTTP),
    }
}

/// The rule for a name, and the name as it is written here.
fn rule(name: &[u8]) -> Option<(Rule, &'static str)> {
    RULES.iter().find_map(|&(rule, names)| Some((rule, *names.iter().find(|known| is(name, known))?)))
}

/// Whether the tables above decide about a command, or about a command with its subcommand, whatever the host says.
pub(super) fn is_known(name: &[u8], subcommand: Option<&[u8]>) -> bool {
    if HARMLESS.iter().any(|known| is(name, known)) {
        return true;
    }
    match (rule(name), subcommand) {
        (Some((Rule::BySubcommand, name)), Some(subcommand)) => {
            let full = [name.as_bytes(), b" ", subcommand].concat();
            SUBCOMMANDS.iter().any(|(known, _)| is(&full, known))
        }
        (rule, _) => rule.is_some(),
    }
}

fn is(word: &[u8], known: &str) -> bool {
    word.eq_ignore_ascii_case(known.as_bytes())
}

fn session(command: &'static str, act: Act) -> Wish {
    Wish::Session { command: command.into(), act }
}

/// The version alone needs no session: there are shared connections of both. What else can be said in `HELLO` is bound,
/// and so is what a later version of the protocol may mean.
fn hello<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    match (arguments.next(), arguments.next()) {
        (None, _) => Wish::Forward,
        (Some(b"2"), None) => Wish::Hello(Voice::Two),
        (Some(b"3"), None) => Wish::Hello(Voice::Three),
        _ => session("HELLO", Act::Rules),
    }
}

fn if_block<'a>(name: &str, arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    if !blocks(arguments) {
        return Wish::Forward;
    }
    Wish::Session { command: Cow::Owned(format!("{name} BLOCK")), act: Act::Waits }
}

fn by_subcommand<'a>(name: &str, mut arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    let Some(subcommand) = arguments.next().filter(|word| name.len() + 1 + word.len() <= LONGEST) else {
        return Wish::Forward;
    };
    let full = [name.as_bytes(), b" ", subcommand].concat();
    match SUBCOMMANDS.iter().find(|(known, _)| is(&full, known)) {
        None => Wish::Forward,
        Some((SETINFO, _)) if is_info(arguments) => Wish::Note(OK),
        Some(&(known, act)) => session(known, act),
    }
}

/// Whether these are the arguments of a `CLIENT SETINFO` that Redis would take: an attribute that it knows, and a value
/// without blanks and control characters (`validateClientAttr`).
fn is_info<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> bool {
    let (Some(attribute), Some(value), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return false;
    };
    (is(attribute, "LIB-NAME") || is(attribute, "LIB-VER")) && value.iter().all(u8::is_ascii_graphic)
}

/// Whether `BLOCK` is among the options of `XREAD` or `XREADGROUP`, which end at `STREAMS`; it may well be the name of
/// a group, a consumer or a stream. Options that Redis does not know make it answer an error at once.
fn blocks<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> bool {
    while let Some(word) = arguments.next() {
        if is(word, "BLOCK") {
            return true;
        }
        if is(word, "STREAMS") {
            return false;
        }
        let values = if is(word, "GROUP") { 2 } else { usize::from(is(word, "COUNT")) };
        if values > 0 {
            arguments.nth(values - 1);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish_of(line: &str) -> Wish {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        wish(words[0], words[1..].iter().copied())
    }

    #[test]
    fn every_rule_is_found_in_either_case() {
        for name in RULES.iter().flat_map(|(_, names)| *names) {
            for name in [name.to_string(), name.to_lowercase()] {
                assert!(is_suspect(name.as_bytes()) && rule(name.as_bytes()).is_some(), "{name}");
            }
        }
        assert!(RULES.iter().flat_map(|(_, names)| *names).all(|name| name.len() < LETTERS.len()));
        assert!(SUBCOMMANDS.iter().all(|(name, _)| name.len() <= LONGEST));
    }

    #[test]
    fn commands_that_bind_a_connection_need_a_session() {
        for (line, command, act) in [
            ("subscribe a", "SUBSCRIBE", Act::Subscribes),
            ("Multi", "MULTI", Act::Multi),
            ("EXEC", "EXEC", Act::Exec),
            ("select 1", "SELECT", Act::Rules),
            ("AUTH x", "AUTH", Act::Rules),
            ("HELLO 3 AUTH a b", "HELLO", Act::Rules),
            ("HELLO 4", "HELLO", Act::Rules),
            ("BLPOP a 0", "BLPOP", Act::Waits),
            ("WAIT 1 0", "WAIT", Act::Waits),
            ("SHUTDOWN NOSAVE", "SHUTDOWN", Act::Once),
            ("DEBUG SLEEP 1", "DEBUG", Act::Once),
            ("PSYNC ? -1", "PSYNC", Act::Raw),
            ("client reply OFF", "CLIENT REPLY", Act::Raw),
            ("CLIENT TRACKING ON", "CLIENT TRACKING", Act::Binds),
            ("CLIENT KILL ID 1", "CLIENT KILL", Act::Once),
            ("CLIENT no-evict on", "CLIENT NO-EVICT", Act::Binds),
            ("CLIENT ID", "CLIENT ID", Act::Binds),
            ("CLIENT SETINFO lib-colour red", "CLIENT SETINFO", Act::Binds),
            ("CLIENT SETINFO lib-name red\tgreen", "CLIENT SETINFO", Act::Binds),
            ("CLIENT IMPORT-SOURCE ON", "CLIENT IMPORT-SOURCE", Act::Binds),
            ("SCRIPT debug YES", "SCRIPT DEBUG", Act::Raw),
            ("CLUSTER SYNCSLOTS x", "CLUSTER SYNCSLOTS", Act::Raw),
            ("Quit", "QUIT", Act::Quit),
        ] {
            assert_eq!(wish_of(line), session(command, act), "{line}");
        }
    }

    #[test]
    fn what_every_library_says_first_needs_no_session() {
        assert_eq!(wish_of("hello 3"), Wish::Hello(Voice::Three));
        assert_eq!(wish_of("HELLO 2"), Wish::Hello(Voice::Two));
        assert_eq!(wish_of("HELLO"), Wish::Forward);
        assert_eq!(wish_of("CLIENT SETINFO LIB-NAME redis-py"), Wish::Note(OK));
        assert_eq!(wish_of("client setinfo lib-ver 5.0.1"), Wish::Note(OK));
    }

    #[test]
    fn whatever_a_shared_connection_can_carry_is_forwarded() {
        let lines = "GET k|SET k v|INCR k|LPUSH k v|RPUSH k v|PING|CONFIG GET x|COMMAND DOCS|INFO|EVAL x 0|ECHO x|DEL k|\
            MGET a b|MSET a b|SCAN 0|PUBLISH c m|SPUBLISH c m|PUBSUB CHANNELS|CLIENT|CLIENT LIST|CLIENT INFO|\
            CLIENT GETNAME|CLIENT PAUSE 1|CLIENT UNPAUSE|CLIENT UNBLOCK 3|CLIENT HELP|SCRIPT LOAD x|SCRIPT KILL|CLUSTER INFO|\
            CLUSTER SLOTS|LPOP k|LMOVE a b LEFT LEFT|ZPOPMIN k|ZMPOP 1 k MIN|TYPE k|SADD k v|EXISTS k|ROLE|SAVE|BGSAVE|\
            XREAD STREAMS BLOCK 0|XREAD COUNT 5 STREAMS a 0|XREADGROUP GROUP block BLOCK COUNT 1 STREAMS block >|\
            XADD s * f v|HELLOX|G||FCALL f 0|OBJECT ENCODING k|MEMORY USAGE k|SWAPDB 0 1|RESTORE k 0 x|HGETALL k";
        for line in lines.split('|') {
            assert_eq!(wish_of(line), Wish::Forward, "{line}");
        }
    }

    #[test]
    fn a_stream_is_read_in_a_session_only_if_it_may_wait() {
        for line in ["XREAD BLOCK 0 STREAMS s $", "xread count 1 block 5 streams s 0"] {
            assert_eq!(wish_of(line), session("XREAD BLOCK", Act::Waits), "{line}");
        }
        for line in ["XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XREADGROUP NOACK GROUP block c block 0 STREAMS s >"] {
            assert_eq!(wish_of(line), session("XREADGROUP BLOCK", Act::Waits), "{line}");
        }
    }
}
