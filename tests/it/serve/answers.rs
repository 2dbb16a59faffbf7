//! What requests are answered: by good handlers, and by bad ones.

use std::io::Write;
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::{ChaosHost, Requester, encode_command, free_port};

/// A handler for the first word, or the default.
fn handler(word: &str, action: &str) -> String {
    let matches = if word.is_empty() { String::new() } else { format!("match = \"{word}\"\n") };
    format!("[[serve.far.handler]]\n{matches}{action}\n")
}

fn shell(word: &str, script: &str) -> String {
    handler(word, &format!("exec = [\"sh\", \"-c\", '''{script}''']"))
}

#[test]
fn a_request_is_answered_by_the_handler_of_its_word_or_expression_or_the_default() {
    let table = [
        handler("", "echo = true"),
        shell("upper", "tr a-z A-Z"),
        shell("/[0-9]+$/", "read -r line; echo \"a number: $line\""),
    ];
    let far = FarEnd::start(Dialect::Line, &table.concat(), &[]);
    let mut requester = far.requester();
    // Sent ahead: they are answered in their order, one after the other.
    let asked = ["upper 12", "hello", "", "it is 12", "uppercase"];
    asked.iter().for_each(|request| requester.send(request));
    let answered = asked.map(|_| requester.reply());
    assert_eq!(answered, ["UPPER 12", "hello", "", "a number: it is 12", "uppercase"]);
    requester.half_close();
    assert!(requester.rest().is_empty());
    far.stop();
}

#[test]
fn a_handler_that_does_not_give_one_reply_is_said_to_have_failed() {
    let table = [
        shell("silent", "cat > /dev/null"),
        shell("deaf", "exec <&-; echo fine"),
        shell("twice", "echo one; echo two"),
        shell("crash", "echo fine; kill -SEGV $$"),
        shell("fail", "echo fine; echo 'no such account' >&2; exit 3"),
        shell("early", "echo fine; exec >&- 2>&-; sleep 0.1"),
        shell("big", "head -c 2000 /dev/zero"),
        handler("absent", "exec = [\"./absent\"]"),
    ];
    let far = FarEnd::start(Dialect::Line, &format!("max_reply = 1000\n{}", table.concat()), &[]);
    let mut requester = far.requester();
    let mut ask = |request: &str| requester.ask(request);
    assert_eq!(ask("silent"), "error handler: it said nothing");
    assert_eq!(ask("deaf"), "fine");
    assert_eq!(ask("twice"), "error handler: it gave more than one reply");
    assert_eq!(ask("crash"), "error handler: ended by SIGSEGV");
    assert_eq!(ask("fail"), "error handler: exit status 3");
    assert_eq!(ask("early"), "fine");
    assert_eq!(ask("big"), "error handler: its reply is too large");
    let absent = ask("absent");
    assert!(absent.starts_with("error handler: cannot start /") && absent.contains("No such file"), "{absent}");
    assert_eq!(ask("other"), "error unknown: no handler for \"other\"");
    far.wait_for_log("no such account");
    far.wait_until_alone();
    far.stop();
}

#[test]
fn what_is_too_large_is_refused_and_its_requester_closed_only_if_it_must_be() {
    let table = format!("max_request = 100\n{}", handler("", "echo = true\nmax_request = 10"));
    let far = FarEnd::start(Dialect::Len32, &table, &[]);
    let mut requester = far.requester();
    assert_eq!(requester.ask("123456"), "123456");
    assert_eq!(requester.ask("1234567"), "error refused: the request is larger than 10 bytes");
    assert_eq!(requester.ask("123456"), "123456");
    requester.send(&"x".repeat(97));
    assert_eq!(requester.reply(), "error refused: the request is larger than 100 bytes");
    assert_eq!(requester.next_reply().expect("it can be read"), None);
    far.stop();
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_refused_in_time() {
    let far = FarEnd::start(Dialect::Line, &format!("timeout = \"300ms\"\n{}", handler("", "echo = true")), &[]);
    let (mut idle, mut slow, began) = (far.requester(), far.requester(), Instant::now());
    slow.send_bytes(b"half a requ");
    assert_eq!(slow.reply(), "error refused: the request did not come to its end in time");
    assert_eq!(slow.next_reply().expect("it can be read"), None);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(idle.ask("whoever says nothing may stay"), "whoever says nothing may stay");
    far.stop();
}

#[test]
fn programs_of_len32_read_and_write_bodies() {
    let far = FarEnd::start(Dialect::Len32, &(shell("", "tr a-z A-Z") + &shell("none", "true")), &[]);
    assert_eq!(far.ask("two\nlines"), "TWO\nLINES");
    assert_eq!(far.ask("none"), "error handler: it said nothing");
    far.stop();
}

#[test]
fn resp_is_spoken_with_programs_and_with_redis_clients() {
    let table = [
        handler("", "echo = true"),
        shell("GET", "read -r a; read -r b; read -r c; read -r d; read -r key; printf '$2\\r\\n%s\\r\\n' v1"),
        shell("garbage", "echo garbage"),
        shell("two", "printf '+OK\\r\\n+OK\\r\\n'"),
    ];
    let far = FarEnd::start(Dialect::Resp, &table.concat(), &[]);
    let mut requester = far.requester();
    let mut ask = |bytes: &[u8]| {
        requester.send_bytes(bytes);
        requester.reply()
    };
    assert_eq!(ask(&encode_command(&["get", "key"])), "$2\r\nv1\r\n");
    assert_eq!(ask(b"get key\r\n"), "$2\r\nv1\r\n", "inline");
    assert_eq!(ask(&encode_command(&["SAY", "it"])), "*2\r\n$3\r\nSAY\r\n$2\r\nit\r\n");
    assert_eq!(ask(&encode_command(&["two"])), "-ERR handler: it gave more than one reply\r\n");
    assert!(ask(&encode_command(&["garbage"])).starts_with("-ERR handler: "));
    assert!(ask(b"*1\r\n:5\r\n").starts_with("-ERR refused: "), "malformed");
    far.stop();
}

#[test]
fn a_forwarder_keeps_its_connections_and_says_when_there_is_none() {
    let mut host = ChaosHost::start(Dialect::Line);
    let table = handler("", &format!("forward = \"{}\"\nprocesses = 2", host.address()));
    let far = FarEnd::start(Dialect::Line, &table, &[]);
    let mut requesters: Vec<Requester> = (0..4).map(|_| far.requester()).collect();
    for round in 0..25 {
        requesters.iter_mut().enumerate().for_each(|(number, each)| each.send(&format!("<{}>", 100 * round + number)));
        for (number, each) in requesters.iter_mut().enumerate() {
            let reply = each.reply();
            assert!(reply.contains(&format!("<{}>", 100 * round + number)), "{reply}");
        }
    }
    let most = host.connections().1;
    assert!((1..=2).contains(&most), "two connections at most, there were {most}");
    // The host breaks off: whoever asked is told so, and the next one has another connection.
    let broken = requesters[0].ask("<9001> cut");
    assert_eq!(broken, "error handler: it ended without a reply");
    let next = requesters[0].ask("<9002>");
    assert!(next.contains("<9002>"), "{next}");
    drop(host);
    let gone = requesters[0].ask("<9003>");
    assert!(gone.starts_with("error handler: "), "{gone}");
    let gone = requesters[0].ask("<9004>");
    assert!(gone.starts_with("error handler: cannot connect to "), "{gone}");
    far.stop();
}

#[test]
fn a_request_that_is_not_whole_at_its_end_is_refused() {
    for (dialect, half, told) in [
        (Dialect::Line, &b"half a li"[..], "error refused: the request ended before it was complete"),
        (Dialect::Len32, b"\0\0\0\x09half", "error refused: the request ended before it was complete"),
    ] {
        let far = FarEnd::start(dialect, &handler("", "echo = true"), &[]);
        let mut requester = far.requester();
        requester.stream.write_all(half).expect("it can be written");
        requester.half_close();
        assert_eq!(requester.reply(), told);
        assert_eq!(requester.next_reply().expect("it can be read"), None);
        far.stop();
    }
}

#[test]
fn nobody_waits_for_a_service_that_cannot_be_reached() {
    let table = handler("", &format!("forward = \"127.0.0.1:{}\"\nprocesses = 3\ntimeout = \"60s\"", free_port()));
    let far = FarEnd::start(Dialect::Line, &table, &[]);
    let mut requesters: Vec<_> = (0..40).map(|_| far.requester()).collect();
    let began = Instant::now();
    requesters.iter_mut().for_each(|requester| requester.send("x"));
    for requester in &mut requesters {
        let told = requester.reply();
        assert!(told.starts_with("error handler: cannot connect"), "{told}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "long before their time is over: {:?}", began.elapsed());
    far.stop();
}
