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

use crate::dialect::Wish;

/// What is told to those who speak HTTP; Redis hangs up on `POST` and `Host:` in any form of request.
pub(super) const HTTP: &str = "this is an HTTP request, but the host speaks RESP";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Session,
    /// A session, and then the requester wants to be closed.
    Quit,
    /// A session if there is a `BLOCK` among the options.
    IfBlock,
    /// See [`SUBCOMMANDS`].
    BySubcommand,
    Http,
}

const RULES: &[(Rule, &[&str])] = &[
    // Messages then come unasked; several replies, or none, belong to one request.
    (
        Rule::Session,
        &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR"],
    ),
    // What lies between belongs to the connection. EXEC, DISCARD and UNWATCH alone would end another's transaction.
    (Rule::Session, &["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"]),
    // The database, the user, the protocol and the cluster's modes are the connection's.
    (Rule::Session, &["SELECT", "AUTH", "HELLO", "RESET", "ASKING", "READONLY", "READWRITE"]),
    // They wait as long as their requester likes, and all behind them. WAIT and WAITAOF also mean "what this connection
    // wrote".
    (Rule::Session, &["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"]),
    (Rule::Session, &["WAIT", "WAITAOF"]),
    (Rule::IfBlock, &["XREAD", "XREADGROUP"]),
    // The connection becomes a replica's; REPLCONF has forms without a reply.
    (Rule::Session, &["SYNC", "PSYNC", "REPLCONF"]),
    // No reply when they succeed, a hang-up, or a host that stops for as long as it takes (DEBUG SLEEP, FAILOVER).
    (Rule::Session, &["SHUTDOWN", "DEBUG", "FAILOVER", "REPLICAOF", "SLAVEOF"]),
    (Rule::Quit, &["QUIT"]),
    (Rule::Http, &["POST", "HOST:"]),
    (Rule::BySubcommand, &["CLIENT", "CLUSTER", "SCRIPT"]),
];

/// Subcommands that need a session. The others of `CLIENT` read (`LIST`, `INFO`, `GETNAME`, `GETREDIR`, `TRACKINGINFO`
/// tell the truth about the connection that they were sent on), or act on the whole host or on others (`PAUSE`,
/// `UNPAUSE`, `UNBLOCK`).
const SUBCOMMANDS: &[&str] = &[
    // No reply, or none to what follows.
    "CLIENT REPLY",
    // They stay with the connection; keys that are tracked are announced by unasked messages. CAPA and IMPORT-SOURCE
    // are Valkey's.
    "CLIENT TRACKING",
    "CLIENT CACHING",
    "CLIENT SETNAME",
    "CLIENT SETINFO",
    "CLIENT NO-EVICT",
    "CLIENT NO-TOUCH",
    "CLIENT CAPA",
    "CLIENT IMPORT-SOURCE",
    // An ID is asked for to name oneself to UNBLOCK, KILL or TRACKING later; it must not name a shared connection.
    "CLIENT ID",
    // It may hit the connection that it was sent on.
    "CLIENT KILL",
    // The connection turns into a debugger's, or into that of a node that takes slots over.
    "SCRIPT DEBUG",
    "CLUSTER SYNCSLOTS",
];

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
        Some((Rule::Session, name)) => session(name.to_owned()),
        Some((Rule::Quit, name)) => Wish::Session { command: name.to_owned(), then_close: true },
        Some((Rule::IfBlock, name)) => if_block(name, arguments),
        Some((Rule::BySubcommand, name)) => by_subcommand(name, arguments),
        Some((Rule::Http, _)) => Wish::Malformed(HTTP),
    }
}

/// The rule for a name, and the name as it is written here.
fn rule(name: &[u8]) -> Option<(Rule, &'static str)> {
    RULES.iter().find_map(|&(rule, names)| Some((rule, *names.iter().find(|known| is(name, known))?)))
}

fn is(word: &[u8], known: &str) -> bool {
    word.eq_ignore_ascii_case(known.as_bytes())
}

fn session(command: String) -> Wish {
    Wish::Session { command, then_close: false }
}

fn if_block<'a>(name: &str, arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    if blocks(arguments) { session(format!("{name} BLOCK")) } else { Wish::Forward }
}

fn by_subcommand<'a>(name: &str, mut arguments: impl Iterator<Item = &'a [u8]>) -> Wish {
    let Some(subcommand) = arguments.next().filter(|word| name.len() + 1 + word.len() <= LONGEST) else {
        return Wish::Forward;
    };
    let full = [name.as_bytes(), b" ", subcommand].concat();
    let found = SUBCOMMANDS.iter().find(|known| is(&full, known));
    found.map_or(Wish::Forward, |&known| session(known.to_owned()))
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
        assert!(SUBCOMMANDS.iter().all(|name| name.len() <= LONGEST));
    }

    #[test]
    fn commands_that_bind_a_connection_need_a_session() {
        for (line, command) in [
            ("subscribe a", "SUBSCRIBE"),
            ("Multi", "MULTI"),
            ("EXEC", "EXEC"),
            ("select 1", "SELECT"),
            ("AUTH x", "AUTH"),
            ("HELLO 3", "HELLO"),
            ("BLPOP a 0", "BLPOP"),
            ("WAIT 1 0", "WAIT"),
            ("SHUTDOWN NOSAVE", "SHUTDOWN"),
            ("DEBUG SLEEP 1", "DEBUG"),
            ("PSYNC ? -1", "PSYNC"),
            ("client reply OFF", "CLIENT REPLY"),
            ("CLIENT TRACKING ON", "CLIENT TRACKING"),
            ("CLIENT KILL ID 1", "CLIENT KILL"),
            ("CLIENT no-evict on", "CLIENT NO-EVICT"),
            ("CLIENT ID", "CLIENT ID"),
            ("CLIENT IMPORT-SOURCE ON", "CLIENT IMPORT-SOURCE"),
            ("SCRIPT debug YES", "SCRIPT DEBUG"),
            ("CLUSTER SYNCSLOTS x", "CLUSTER SYNCSLOTS"),
        ] {
            assert_eq!(wish_of(line), session(command.to_owned()), "{line}");
        }
        assert_eq!(wish_of("Quit"), Wish::Session { command: "QUIT".to_owned(), then_close: true });
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
            assert_eq!(wish_of(line), session("XREAD BLOCK".to_owned()), "{line}");
        }
        for line in ["XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XREADGROUP NOACK GROUP block c block 0 STREAMS s >"] {
            assert_eq!(wish_of(line), session("XREADGROUP BLOCK".to_owned()), "{line}");
        }
    }
}
