//! memcache against a plain parser, and rule by rule.

use proptest::prelude::*;

use super::*;
use crate::dialect::{Act, Dialect, Expect, Fed, ReplyFramer, RequestFramer, Wish};

fn request(bytes: &[u8]) -> Fed {
    RequestFramer::new(Dialect::Memcache, 1 << 30).feed(bytes)
}

fn reply(expect: Expect, bytes: &[u8]) -> Fed {
    let mut framer = ReplyFramer::new(Dialect::Memcache, 1 << 30);
    framer.expect(expect);
    framer.feed(bytes)
}

fn wish_of(line: &str) -> Wish {
    wish(format!("{line}\r\n").as_bytes())
}

/// The end of the first request as one reads it off the protocol's text, whole and at once.
fn plain_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == b'\n')? + 1;
    let line = std::str::from_utf8(&bytes[..end]).ok()?.trim_end();
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let length: usize = match words.first() {
        Some(&("set" | "add" | "replace" | "append" | "prepend" | "cas")) => words.get(4)?.parse().ok()?,
        Some(&"ms") => words.get(2)?.parse().ok()?,
        _ => return Some(end),
    };
    let whole = end + length + 2;
    bytes.get(..whole)?.ends_with(b"\r\n").then_some(whole)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_end_where_a_plain_parser_sees_their_end(frame in samples::request(), behind in samples::value()) {
        let bytes = [&frame[..], &behind].concat();
        prop_assert_eq!(plain_end(&bytes), Some(frame.len()));
        prop_assert_eq!(request(&bytes), Fed::Complete(frame.len()));
    }

    #[test]
    fn every_sound_request_is_sent_on_or_closes_its_requester(frame in samples::request()) {
        prop_assert!(matches!(wish(&frame), Wish::Forward | Wish::Quit), "{:?}", wish(&frame));
    }

    #[test]
    fn replies_of_the_kind_that_was_asked_for_are_found_in_every_split(
        values in samples::values(), meta in samples::meta(), error in samples::error(), sizes in prop::collection::vec(1usize..20, 1..9)
    ) {
        for (expect, frame) in [(Expect::Values, &values), (Expect::Meta, &meta), (Expect::Line, &error), (Expect::Stats, &error)] {
            let mut framer = ReplyFramer::new(Dialect::Memcache, 1 << 30);
            let (mut rest, mut last) = (&frame[..], Fed::Partial);
            for &size in sizes.iter().cycle() {
                framer.expect(expect);
                let (now, later) = rest.split_at(size.min(rest.len()));
                prop_assert_eq!(last, Fed::Partial);
                last = framer.feed(now);
                rest = later;
                if rest.is_empty() {
                    prop_assert_eq!(last, Fed::Complete(now.len()));
                    break;
                }
            }
        }
    }
}

#[test]
fn a_request_costs_its_requester_12_bytes_of_framing() {
    assert!(size_of::<RequestMachine>() <= 12, "{}", size_of::<RequestMachine>());
}

#[test]
fn the_binary_protocol_is_refused_at_its_first_byte() {
    assert!(matches!(request(b"\x80"), Fed::Malformed(why) if why.contains("binary protocol")));
    assert_eq!(request(b"get \x80\r\n"), Fed::Complete(7));
}

#[test]
fn what_memcached_would_take_apart_otherwise_cannot_be_framed() {
    for bytes in [
        "set k 0 0\r\nab\r\n",
        "set k 0 0 \r\n",
        "set k 0 0 -1\r\n",
        "set k 0 0 +1\r\n",
        "set k 0 0 1x\r\n",
        "set k 0 0 \t1\r\n",
        "set k 0 0 2147483646\r\n",
        "cas k 0 0\r\n",
        "ms k\r\n",
        "ms k S5\r\n",
        " set k 0 0 1\r\nx\r\n",
        "set k 0 0 3\r\nab\r\n\r\n",
        "set k 0 0 1\r\nab\r\n",
        "set k 0 0 2\r\nab\n\n",
    ] {
        assert!(matches!(request(bytes.as_bytes()), Fed::Malformed(_)), "{bytes:?}");
    }
    for length in [2043, 100_000] {
        let (get, other) = (format!("get {}\r\n", "k".repeat(length)), format!("gat {}\r\n", "k".repeat(length)));
        assert_eq!(request(get.as_bytes()), Fed::Complete(get.len()));
        assert!(matches!(request(other.as_bytes()), Fed::Malformed(LONG) if LONG.contains("2048")), "{length}");
    }
    let longest = format!("gat {}\r\n", "k".repeat(2042));
    assert_eq!(request(longest.as_bytes()), Fed::Complete(2048));
}

const LONG: &str = "the command line has more than 2048 bytes, which only get and gets may have";

#[test]
fn lines_behind_which_memcached_would_not_swallow_the_value_are_refused() {
    let long = "k".repeat(251);
    let many_flags = format!("ms k 1 {}", "a b c d e f g h i j k l m n o p q");
    for line in [
        &format!("set {long} 0 0 1"),
        "set k -1 0 1",
        "set k 4294967296 0 1",
        "set k 0 2147483648 1",
        "set k 0 x 1",
        "set k 0 0 1 norepl",
        "set k 0 0 1 noreply x",
        "cas k 0 0 1",
        "cas k 0 0 1 noreply",
        "cas k 0 0 1 -5",
        &format!("ms {long} 1"),
        &many_flags,
        "ms k 1 T0 T1",
        "get a\0b",
        "get a\rb",
        "set k 0 0 1\r",
    ] {
        assert!(matches!(wish_of(line), Wish::Malformed(_)), "{line:?}");
    }
    for line in ["set k 4294967295 -2147483648 1", "cas k 0 0 1 18446744073709551615 noreply", "ms k 1 b c f"] {
        assert_eq!(wish_of(line), Wish::Forward, "{line}");
    }
}

#[test]
fn what_could_bring_a_shared_connection_out_of_step_needs_a_session() {
    for (line, name) in [
        ("watch mutations", "watch"),
        ("shutdown graceful", "shutdown"),
        ("lru_crawler metadump all", "lru_crawler metadump"),
        ("lru_crawler mgdump all", "lru_crawler mgdump"),
        ("stats cachedump 1 5", "stats cachedump"),
        ("stats detail dump", "stats detail"),
        ("refresh_certs", "refresh_certs"),
        ("mx key 5", "mx"),
        ("GET key", "GET"),
        ("a\x1b[31m", "a?[31m"),
        ("touch k noreply", "touch noreply"),
        ("verbosity noreply", "verbosity noreply"),
        ("slabs automove 0 noreply", "slabs noreply"),
        ("delete k 0 0 noreply", "delete noreply"),
    ] {
        let act = if ["mx", "GET", "a?[31m"].contains(&name) { Act::Raw } else { Act::Binds };
        let expected = Wish::Session { command: name.to_owned().into(), act };
        assert_eq!(wish_of(line), expected, "{line}");
    }
    assert_eq!(wish_of("quit"), Wish::Quit);
}

#[test]
fn what_is_expected_follows_from_the_command_and_its_flags() {
    use Expect::{Line, Meta, Quiet, Silence, Stats, Values, Version};
    for (line, expected) in [
        ("get a b", Values),
        ("get noreply", Values),
        ("gats 0 a", Values),
        ("stats items", Stats),
        ("version", Version),
        ("set k 0 0 1", Line),
        ("set noreply 0 0 1", Line),
        ("set k 0 0 1 noreply", Silence),
        ("cas k 0 0 1 5 noreply ", Line),
        ("incr k 1 noreply", Silence),
        ("delete noreply", Line),
        ("delete k noreply", Silence),
        ("delete k 0 noreply", Silence),
        ("flush_all noreply", Silence),
        ("verbosity 0 noreply", Silence),
        ("mg q", Meta),
        ("mg k v", Meta),
        ("mg k v q", Quiet),
        ("ms q 1 T0", Meta),
        ("ms k 1 q", Quiet),
        ("md k q", Quiet),
        ("ma k q", Quiet),
        ("me k q", Meta),
        ("mn", Meta),
        ("lru_crawler crawl noreply", Line),
        ("", Line),
    ] {
        assert_eq!(expect(format!("{line}\r\nrest noreply\r\n").as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_reply_of_another_kind_is_never_taken_for_the_one_that_was_asked_for() {
    use Expect::{Line, Meta, Quiet, Silence, Stats, Values, Version};
    for (expect, wrong) in [
        (Values, &["STORED", "STAT a 1", "VA 1", "HD", "VERSION 1", "5", "OK"][..]),
        (Stats, &["STORED", "VALUE a 0 1", "VA 1", "HD", "VERSION 1"]),
        (Meta, &["STORED", "VALUE a 0 1", "END", "STAT a 1", "VERSION 1", "17", "5"]),
        (Line, &["VALUE a 0 1", "END", "STAT a 1", "VA 1", "HD", "MN", "VERSION 1"]),
        (Version, &["STORED", "END", "MN", "OK"]),
        (Silence, &["VALUE a 0 1", "END", "STAT a 1"]),
        (Quiet, &["VALUE a 0 1", "END", "STAT a 1"]),
    ] {
        for line in wrong {
            let said = reply(expect, format!("{line}\r\nx\r\n").as_bytes());
            assert!(matches!(said, Fed::Malformed(_)), "{expect:?}: {line} is {said:?}");
        }
        let error = b"SERVER_ERROR out of memory\r\n";
        assert_eq!(reply(expect, error), Fed::Complete(error.len()), "{expect:?}");
    }
    assert!(matches!(reply(Values, b"VALUE a 0 1\r\nx\r\nSTORED\r\n"), Fed::Malformed(_)));
    let cut_short = b"VALUE a 0 1\r\nx\r\nSERVER_ERROR out of memory writing get response\r\n";
    assert_eq!(reply(Values, cut_short), Fed::Complete(cut_short.len()));
}

#[test]
fn a_value_must_end_where_its_length_says() {
    for bytes in ["VALUE a 0 1\r\nxy\r\nEND\r\n", "VALUE a 0\r\n", "VALUE a 0 x\r\n", "VA\r\n", "VA 1\r\nxyz\r\n"] {
        assert!(matches!(reply(Expect::Any, bytes.as_bytes()), Fed::Malformed(_)), "{bytes:?}");
    }
}

#[test]
fn the_end_of_a_run_is_told_from_the_replies_within() {
    let mut framer = ReplyFramer::new(Dialect::Memcache, 1 << 30);
    let bytes = b"VA 17\r\nVERSION 1.6.18\r\nx\r\nEN\r\nERROR\r\nVERSION 1.6.18\r\nHD\r\n";
    let mut ends = Vec::new();
    let mut at = 0;
    for _ in 0..4 {
        framer.expect(Expect::Quiet);
        let Fed::Complete(length) = framer.feed(&bytes[at..]) else { panic!("no end at {at}") };
        at += length;
        ends.push((at, framer.is_closing()));
    }
    assert_eq!(ends, [(26, false), (30, false), (37, false), (53, true)]);
}

#[test]
fn only_an_error_or_a_reply_within_a_run_may_come_before_its_request_was_sent() {
    let early = |expect, bytes: &[u8]| {
        let mut framer = ReplyFramer::new(Dialect::Memcache, 1 << 30);
        framer.expect(expect);
        framer.may_come_early(bytes)
    };
    assert!(early(Expect::Line, b"SERVER_ERROR object too large for cache\r\n"));
    assert!(early(Expect::Line, b"SERV"));
    assert!(!early(Expect::Line, b"STORED\r\n"));
    assert!(early(Expect::Quiet, b"EN\r\n"));
}
