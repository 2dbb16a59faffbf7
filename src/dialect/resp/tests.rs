//! What RESP promises beyond the promises of every dialect.

use proptest::prelude::*;

use super::value::Value;
use super::*;
use crate::dialect::{Act, Dialect, Fed, ReplyFramer, RequestFramer};

const HUGE: u64 = 1 << 40;

fn request(bytes: &[u8]) -> Fed {
    RequestFramer::new(Dialect::Resp, HUGE).feed(bytes)
}

/// Where a machine that is fed one byte after the other sees the first frame end.
fn end_by_bytes(bytes: &[u8], feed: impl FnMut(&[u8]) -> Fed) -> Option<usize> {
    let mut fed = bytes.chunks(1).map(feed).enumerate();
    let (at, last) = fed.find(|(_, fed)| *fed != Fed::Partial)?;
    (last == Fed::Complete(1)).then_some(at + 1)
}

fn reply(bytes: &[u8]) -> Fed {
    ReplyFramer::new(Dialect::Resp, HUGE).feed(bytes)
}

#[test]
fn requests_end_where_redis_ends_them() {
    for whole in [
        "*1\r\n$4\r\nPING\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n",
        "*1\r\n$0\r\n\r\n",
        "*0\r\n",
        "*-1\r\n",
        "PING\r\n",
        "PING\n",
        "\r\n",
        "set k \"*1\\r\"\r\n",
    ] {
        assert_eq!(request(whole.as_bytes()), Fed::Complete(whole.len()), "{whole:?}");
        assert_eq!(request(format!("{whole}*1\r\n").as_bytes()), Fed::Complete(whole.len()), "{whole:?}");
        assert_eq!(request(&whole.as_bytes()[..whole.len() - 1]), Fed::Partial, "{whole:?}");
    }
}

#[test]
fn requests_that_redis_would_hang_up_on_are_malformed() {
    for bytes in [
        "*-2\r\n",
        "*+1\r\n",
        "*01\r\n",
        "*\r\n",
        "*1\n",
        "*1 \r\n",
        "*?\r\n",
        "*12345678901",
        "*2147483648\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*1\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$?\r\n",
        "*1\r\n$01\r\n",
        "*1\r\n$3\r\nabcd\r\n",
        "*1\r\n$3\r\nab\r\n",
        "*1\r\n$3\r\nabc\n",
        "*1\r\n$536870913\r\n",
        "*2\r\n$1\r\na\r\nb",
    ] {
        assert!(matches!(request(bytes.as_bytes()), Fed::Malformed(_)), "{bytes:?}: {:?}", request(bytes.as_bytes()));
    }
}

#[test]
fn an_inline_request_has_at_most_64_kib() {
    let mut line = vec![b'x'; 64 * 1024];
    assert!(matches!(request(&line), Fed::Malformed(_)));
    line[64 * 1024 - 1] = b'\n';
    assert_eq!(request(&line), Fed::Complete(64 * 1024));
}

#[test]
fn a_request_that_will_be_too_large_is_known_by_its_first_length() {
    let limited = |bytes: &str, max| RequestFramer::new(Dialect::Resp, max).feed(bytes.as_bytes());
    assert_eq!(limited("*1000000000\r\n", 1 << 24), Fed::TooLarge);
    assert_eq!(limited("*2\r\n", 15), Fed::TooLarge);
    assert_eq!(limited("*2\r\n", 16), Fed::Partial);
    assert_eq!(limited("*2\r\n$1\r\n", 16), Fed::TooLarge);
    assert_eq!(limited("*2\r\n$1\r\n", 17), Fed::Partial);
    assert_eq!(limited("*1\r\n$16777216\r\n", 1 << 24), Fed::TooLarge);
}

#[test]
fn replies_of_both_protocols_end_where_they_end() {
    for whole in [
        "+\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        ":0\r\n",
        ":-1\r\n",
        ":+1\r\n",
        "$0\r\n\r\n",
        "$2\r\n\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n*1\r\n:1\r\n$-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5\r\n",
        ",-inf\r\n",
        ",nan\r\n",
        "(123456789012345678901234567890\r\n",
        "!5\r\nERR x\r\n",
        "=4\r\ntxt:\r\n",
        "%1\r\n+a\r\n*1\r\n:1\r\n",
        "%0\r\n",
        "~2\r\n:1\r\n:2\r\n",
        "|1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n",
        "|0\r\n+OK\r\n",
        "*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n",
        "$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n",
        "*?\r\n.\r\n",
        "*?\r\n:1\r\n*?\r\n.\r\n.\r\n",
        "~?\r\n:1\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
        "*1\r\n>1\r\n+a\r\n",
        "*2\r\n*?\r\n.\r\n:1\r\n",
    ] {
        let end = whole.len();
        assert_eq!(reply(whole.as_bytes()), Fed::Complete(end), "{whole:?}");
        assert_eq!(reply(format!("{whole}+OK\r\n").as_bytes()), Fed::Complete(end), "{whole:?}");
        assert_eq!(reply(&whole.as_bytes()[..end - 1]), Fed::Partial, "{whole:?}");
    }
}

#[test]
fn what_is_no_reply_is_malformed() {
    for bytes in [
        "x",
        "\r\n",
        "HTTP/1.1 200 OK\r\n",
        "+a\n",
        "+a\rb\r\n",
        ":\r\n",
        ":-\r\n",
        ":1a\r\n",
        ":1-\r\n",
        "(\r\n",
        ",\r\n",
        ",x\r\n",
        "#\r\n",
        "#x\r\n",
        "#tt\r\n",
        "_x\r\n",
        "$-2\r\n",
        "$a\r\n",
        "$1\r\nab\r\n",
        "!-1\r\n",
        "=3\r\n",
        "!?\r\n",
        "~-1\r\n",
        "%-1\r\n",
        "|-1\r\n",
        "|?\r\n",
        ".\r\n",
        "*1\r\n.\r\n",
        "%?\r\n+a\r\n.\r\n",
        "*?\r\n.x\r\n",
        "*?\r\n|1\r\n+a\r\n+b\r\n.\r\n",
        "$?\r\n$1\r\n",
        "$?\r\n;-1\r\n",
        "$?\r\n;?\r\n",
        ";0\r\n",
    ] {
        assert!(matches!(reply(bytes.as_bytes()), Fed::Malformed(_)), "{bytes:?}: {:?}", reply(bytes.as_bytes()));
    }
}

#[test]
fn a_push_message_answers_nobody() {
    let push = Fed::Malformed("push message on a connection that subscribed to nothing");
    assert_eq!(reply(b">1\r\n+a\r\n"), push);
    assert_eq!(reply(b"|1\r\n+a\r\n+b\r\n>0\r\n"), push);
}

#[test]
fn replies_may_be_nested_128_deep_and_no_deeper() {
    let nested = |depth: usize| ["*1\r\n".repeat(depth).as_bytes(), b":1\r\n"].concat();
    assert_eq!(reply(&nested(128)), Fed::Complete(nested(128).len()));
    assert!(render_reply(&nested(128)).ends_with("1) (integer) 1"));
    assert!(matches!(reply(&nested(129)), Fed::Malformed(_)));
}

#[test]
fn a_reply_that_will_be_too_large_is_known_by_its_length() {
    let limited = |bytes: &str, max| ReplyFramer::new(Dialect::Resp, max).feed(bytes.as_bytes());
    assert_eq!(limited("$1000\r\n", 1008), Fed::TooLarge);
    assert_eq!(limited("$1000\r\n", 1009), Fed::Partial);
    assert_eq!(limited("*9999999999\r\n", 1 << 30), Fed::TooLarge);
    assert_eq!(limited("%9999999999\r\n", 1 << 30), Fed::TooLarge);
    assert_eq!(limited("$?\r\n;100\r\n", 50), Fed::TooLarge);
    assert_eq!(limited(&format!("+{}", "x".repeat(100)), 100), Fed::TooLarge);
    assert!(matches!(limited(&format!(":{}", "1".repeat(70_000)), HUGE), Fed::Malformed(_)));
}

/// A reply that the other parser takes as well: its texts are UTF-8, its numbers fit 64 bits, and nothing is streamed.
fn reply_for_both() -> impl Strategy<Value = Vec<u8>> {
    let line = |kind: &'static str, content: &'static str| content.prop_map(move |text| format!("{kind}{text}\r\n"));
    let text =
        |kind: char| "[ -~\r\n]{0,20}".prop_map(move |text: String| format!("{kind}{}\r\n{text}\r\n", text.len()));
    let leaf = prop_oneof![
        line("+", "[ -~]{0,20}"),
        line("-", "ERR [ -~]{0,20}"),
        line(":", "-?[1-9][0-9]{0,17}"),
        line("(", "[1-9][0-9]{0,40}"),
        line(",", "-?[0-9]{1,5}[.][0-9]{1,5}"),
        line("_", ""),
        line("#", "[tf]"),
        text('$'),
        text('!'),
        "[ -~]{0,20}".prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4)),
    ];
    let nested = leaf.prop_recursive(4, 40, 6, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..6);
        // Keys that are numbers of their own, so that none comes twice.
        let pairs = prop::collection::vec(inner, 0..4).prop_map(|values| {
            values.iter().enumerate().map(|(key, value)| format!(":{key}\r\n{value}")).collect::<Vec<_>>()
        });
        prop_oneof![
            many.prop_map(|values| format!("*{}\r\n{}", values.len(), values.concat())),
            pairs.prop_map(|pairs| format!("%{}\r\n{}", pairs.len(), pairs.concat())),
        ]
    });
    let pushed = nested.clone().prop_map(|value| format!(">2\r\n+invalidate\r\n{value}"));
    prop_oneof![5 => nested, 1 => pushed].prop_map(String::into_bytes)
}

proptest! {
    #[test]
    fn another_parser_finds_the_same_ends_in_every_prefix(reply in reply_for_both(), next in reply_for_both()) {
        use redis_protocol::resp3::decode::complete::decode;
        let both = [reply.as_slice(), &next].concat();
        for cut in 0..=both.len() {
            let theirs = decode(&both[..cut]).map(|decoded| decoded.map(|(_, length)| length));
            let ours = match ReplyFramer::of_session(Dialect::Resp).feed(&both[..cut]) {
                Fed::Partial => Ok(None),
                Fed::Complete(length) => Ok(Some(length)),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert_eq!(ours.clone(), theirs.map_err(|error| error.to_string()), "after {} bytes", cut);
            prop_assert!(cut < reply.len() || ours == Ok(Some(reply.len())));
        }
    }
}

#[test]
fn requests_without_an_answer_are_wished_nothing() {
    for frame in ["*0\r\n", "*-1\r\n", "\r\n", "  \n"] {
        assert_eq!(wish(frame.as_bytes()), Wish::Nothing, "{frame:?}");
    }
}

#[test]
fn an_array_and_an_inline_form_of_a_command_wish_the_same() {
    let inline = |line: &[u8]| match wish(line) {
        Wish::ForwardAs(array) => wish(&array),
        other => other,
    };
    let quit = Wish::Session { command: "QUIT".into(), act: Act::Quit };
    assert_eq!(wish(b"*1\r\n$4\r\nquit\r\n"), quit);
    assert_eq!(inline(b"quit\r\n"), quit);
    assert!(matches!(wish(b"*2\r\n$5\r\nHost:\r\n$1\r\nx\r\n"), Wish::Malformed(_)));
    assert_eq!(wish(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"), inline(b"client reply skip\n"));
    assert_eq!(wish(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), Wish::Forward);
}

/// A request as the specification reads, without any thought of speed or pieces. `None`: more bytes are needed.
fn plain_request(bytes: &[u8]) -> Option<Result<usize, ()>> {
    if *bytes.first()? != b'*' {
        return bytes.iter().position(|&byte| byte == b'\n').map(|lf| Ok(lf + 1));
    }
    Some(match plain_line(&bytes[1..])? {
        Ok((-1, rest)) => Ok(bytes.len() - rest.len()),
        Ok((count @ 0..=2_147_483_647, rest)) => plain_strings(count, rest)?.map(|rest| bytes.len() - rest.len()),
        _ => Err(()),
    })
}

fn plain_strings(count: i64, bytes: &[u8]) -> Option<Result<&[u8], ()>> {
    if count == 0 {
        return Some(Ok(bytes));
    }
    if *bytes.first()? != b'$' {
        return Some(Err(()));
    }
    let (length, rest) = match plain_line(&bytes[1..])? {
        Ok((length @ 0..=536_870_912, rest)) => (length as usize, rest),
        _ => return Some(Err(())),
    };
    match rest.get(length..)? {
        [] | [b'\r'] => None,
        [b'\r', b'\n', rest @ ..] => plain_strings(count - 1, rest),
        _ => Some(Err(())),
    }
}

/// The number of a length line, and what follows it; -2 for a `?`.
fn plain_line(bytes: &[u8]) -> Option<Result<(i64, &[u8]), ()>> {
    let end = bytes.iter().position(|byte| !b"0123456789-?".contains(byte)).unwrap_or(bytes.len());
    let (number, rest) = bytes.split_at(end);
    let value = match number {
        b"" | b"-" => None,
        b"-1" => Some(-1),
        b"?" => Some(-2),
        b"0" => Some(0),
        [b'1'..=b'9', more @ ..] if more.len() < 10 && more.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(number).unwrap().parse().ok()
        }
        _ => return Some(Err(())),
    };
    match (value, rest) {
        (_, []) | (Some(_), [b'\r']) => None,
        (Some(value), [b'\r', b'\n', rest @ ..]) => Some(Ok((value, rest))),
        _ => Some(Err(())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_framed_as_the_plain_reading_frames_them(
        mut bytes in prop_oneof![samples::soup(), samples::request()], star in any::<bool>()
    ) {
        if star {
            bytes.splice(0..0, *b"*2\r\n$");
        }
        let expected = plain_request(&bytes);
        let fed = request(&bytes);
        let agree = match fed {
            Fed::Complete(n) => expected == Some(Ok(n)),
            Fed::Partial => expected.is_none(),
            Fed::Malformed(_) => expected == Some(Err(())),
            Fed::TooLarge => false,
        };
        prop_assert!(agree, "{:?} but {:?}", fed, expected);
    }

    #[test]
    fn a_frame_told_at_a_glance_ends_where_its_bytes_end_it(
        bytes in prop_oneof![samples::soup(), samples::request(), samples::reply()],
        behind in samples::soup(),
        cut: prop::sample::Index,
    ) {
        let whole = [bytes, behind].concat();
        for bytes in [&whole[..], &whole[..cut.index(whole.len() + 1)]] {
            let (mut requests, mut replies) = (RequestMachine::START, ReplyMachine::new());
            let request = end_by_bytes(bytes, |byte| requests.feed(byte, HUGE));
            let reply = end_by_bytes(bytes, |byte| replies.feed(byte, HUGE));
            let (told_request, told_reply) = (RequestMachine::whole(bytes), ReplyMachine::whole(bytes));
            prop_assert!(told_request.is_none() || told_request == request, "{:?} instead of {:?}", told_request, request);
            prop_assert!(told_reply.is_none() || told_reply == reply, "{:?} instead of {:?}", told_reply, reply);
        }
    }

    #[test]
    fn a_broken_mark_never_yields_a_request(words in samples::words(), which in any::<prop::sample::Index>(), byte: u8) {
        let (mut frame, mut marks) = (Vec::new(), Vec::new());
        encode_command(&words, &mut frame);
        let mut at = frame.iter().position(|&b| b == b'\n').unwrap() + 1;
        marks.extend([at - 2, at - 1]);
        for word in &words {
            let head = word.len().to_string().len() + 3;
            let end = at + head + word.len();
            marks.extend([at, at + head - 2, at + head - 1, end, end + 1]);
            at = end + 2;
        }
        let mark = *which.get(&marks);
        prop_assume!(frame[mark] != byte);
        frame[mark] = byte;
        prop_assert!(!matches!(request(&frame), Fed::Complete(_)));
    }

    #[test]
    fn the_words_of_a_request_are_read_back(words in samples::words()) {
        let mut frame = Vec::new();
        encode_command(&words, &mut frame);
        let read: Vec<_> = Words::of(&frame).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(read, words);
    }

    #[test]
    fn what_is_framed_as_a_reply_can_be_shown(bytes in prop_oneof![samples::soup(), samples::reply()]) {
        if let Fed::Complete(end) = reply(&bytes) {
            prop_assert!(Value::read(&bytes[..end]).is_some());
            prop_assert!(end == bytes.len() || Value::read(&bytes[..end - 1]).is_none());
        }
    }
}
