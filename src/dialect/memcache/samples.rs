//! Sound requests and replies of memcache, for property tests.

use proptest::prelude::*;

/// A key: no blank, no control character.
pub(in crate::dialect) fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-zA-Z0-9:_{}é-]{1,12}", 1 => Just("noreply".to_owned()), 1 => "[!-~]{240,250}"]
}

/// A value, which may look like anything of the protocol.
pub(in crate::dialect) fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::sample::select(vec![
            &b"END\r\n"[..],
            b"\r\n",
            b"VALUE a 0 1\r\nx\r\nEND",
            b"version\r\nVERSION 1\r\n",
            b"get a\r\n",
            b"VA 3\r\n"
        ])
        .prop_map(<[u8]>::to_vec),
    ]
}

fn eol() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("\r\n"), 1 => Just("\n")]
}

fn block(line: &str, value: &[u8]) -> Vec<u8> {
    [line.as_bytes(), value, b"\r\n"].concat()
}

/// A request that stores something.
fn storing() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["set", "add", "replace", "append", "prepend"]);
    let blank = prop::sample::select(vec![" ", "  "]);
    let noreply = prop::sample::select(vec!["", " noreply", " "]);
    (name, key(), any::<u32>(), any::<i32>(), value(), blank, noreply, eol()).prop_map(
        |(name, key, flags, expiry, value, blank, noreply, eol)| {
            block(&format!("{name} {key}{blank}{flags} {expiry} {}{noreply}{eol}", value.len()), &value)
        },
    )
}

fn cas() -> impl Strategy<Value = Vec<u8>> {
    let noreply = prop::sample::select(vec!["", " noreply"]);
    (key(), any::<u64>(), value(), noreply, eol()).prop_map(|(key, cas, value, noreply, eol)| {
        block(&format!("cas {key} 0 0 {} {cas}{noreply}{eol}", value.len()), &value)
    })
}

fn meta_storing() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop::sample::select(vec!["", " T0", " q", " c k O77 MS", " b q I"]);
    (key(), value(), flags, eol())
        .prop_map(|(key, value, flags, eol)| block(&format!("ms {key} {}{flags}{eol}", value.len()), &value))
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "version",
        "stats",
        "stats items",
        "flush_all",
        "flush_all 10 noreply",
        "verbosity 1",
        "mn",
        "",
        "x",
        "slabs automove 1",
        "lru_crawler crawl all",
        "delete noreply",
        "quit",
    ])
    .prop_map(str::to_owned);
    let keyed = (prop::sample::select(vec!["get", "gets", "mg", "md", "delete", "me", "bget"]), key())
        .prop_map(|(name, key)| format!("{name} {key}"));
    let more = (prop::sample::select(vec!["incr", "decr", "touch", "gat 5", "mg"]), key(), 0u64..99)
        .prop_map(|(name, key, number)| format!("{name} {key} {number}"));
    let quiet =
        (prop::sample::select(vec!["mg", "md", "ma"]), key()).prop_map(|(name, key)| format!("{name} {key} v q"));
    let silent = (prop::sample::select(vec!["incr", "decr", "touch"]), key())
        .prop_map(|(name, key)| format!("{name} {key} 7 noreply"));
    let many = prop::collection::vec(key(), 1..40).prop_map(|keys| format!("gets {}", keys.join(" ")));
    (prop_oneof![known, keyed, more, quiet, silent, many], eol()).prop_map(|(line, eol)| (line + eol).into_bytes())
}

/// Any request.
pub(in crate::dialect) fn request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![storing(), cas(), meta_storing(), line(), line()]
}

/// The reply to a `get`: some values.
pub(in crate::dialect) fn values() -> impl Strategy<Value = Vec<u8>> {
    let one = (key(), any::<u32>(), value(), prop::option::of(any::<u64>())).prop_map(|(key, flags, value, cas)| {
        let cas = cas.map_or(String::new(), |cas| format!(" {cas}"));
        block(&format!("VALUE {key} {flags} {}{cas}\r\n", value.len()), &value)
    });
    prop::collection::vec(one, 0..4).prop_map(|values| [values.concat(), b"END\r\n".to_vec()].concat())
}

/// The reply to a meta command.
pub(in crate::dialect) fn meta() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop::sample::select(vec!["", " kkey O9 t-1", " W"]);
    let value =
        (value(), flags.clone()).prop_map(|(value, flags)| block(&format!("VA {}{flags}\r\n", value.len()), &value));
    let status = (prop::sample::select(vec!["HD", "EN", "NF", "EX", "NS", "MN", "ME k exp=-1"]), flags)
        .prop_map(|(status, flags)| format!("{status}{flags}\r\n").into_bytes());
    prop_oneof![value, status, error()]
}

/// An error, which may be the reply to anything.
pub(in crate::dialect) fn error() -> impl Strategy<Value = Vec<u8>> {
    let lines = vec!["ERROR\r\n", "CLIENT_ERROR bad data chunk\r\n", "SERVER_ERROR object too large for cache\r\n"];
    prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec())
}

fn one_line() -> impl Strategy<Value = Vec<u8>> {
    let lines =
        vec!["STORED\r\n", "NOT_FOUND\r\n", "17\r\n", "OK\r\n", "TOUCHED\r\n", "VERSION 1.6.18\r\n", "RESET\r\n"];
    prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec())
}

fn stats() -> impl Strategy<Value = Vec<u8>> {
    let line = "STAT [a-z:]{1,9} [0-9.]{1,9}".prop_map(|line| line + "\r\n");
    prop::collection::vec(line, 0..5).prop_map(|lines| (lines.concat() + "END\r\n").into_bytes())
}

/// Any reply.
pub(in crate::dialect) fn reply() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![values(), meta(), error(), one_line(), stats()]
}
