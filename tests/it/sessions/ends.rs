//! Requesters that die, hosts that die, children that are replaced: with a session in any state.

use std::io::{Read, Write};
use std::net::TcpStream;

use std::time::Instant;

use nix::sys::signal::Signal;

use super::{MOMENT, ask, cache, connections, requester, send, sessions_open, wait_until_gone, wait_until_there};
use crate::common::{Daemon, LONG, Redis, wait_until};

#[test]
fn a_requester_that_dies_in_any_state_leaves_no_trace_in_anybody_elses_connection() {
    let (redis, daemon) = cache("connections=1 sessions=2");
    let mut other = requester(&daemon);
    assert_eq!(ask(&mut other, "SET k v"), "+OK\r\n");
    for (line, mark) in [
        ("MULTI", " multi=0 "),
        ("WATCH k", " cmd=watch "),
        ("SELECT 5", " db=5 "),
        ("SUBSCRIBE a", " sub=1 "),
        ("PSUBSCRIBE a*", " psub=1 "),
        ("MONITOR", " flags=O "),
        ("BLPOP nothing 0", " cmd=blpop "),
        ("XREAD BLOCK 0 STREAMS nothing $", " cmd=xread "),
        ("CLIENT SETNAME gone", " name=gone "),
        ("CLIENT REPLY OFF", " cmd=client|reply "),
        ("CLIENT NO-EVICT on", " cmd=client|no-evict "),
    ] {
        let mut one = requester(&daemon);
        send(&mut one, line);
        wait_until_there(&redis, mark);
        drop(one);
        wait_until_gone(&redis, mark);
        for _ in 0..3 {
            assert_eq!(ask(&mut other, "GET k"), "$1\r\nv\r\n", "after {line}");
            assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n", "after {line}");
            assert_eq!(ask(&mut other, "BLPOP l 0"), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n", "after {line}");
        }
    }
    assert_eq!(connections(&redis).len(), 2, "one is shared, one kept for the next session");
    daemon.stop();
}

#[test]
fn a_tcp_requester_that_ends_while_it_is_blocked_is_gone() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let (redis, daemon) = cache(&format!("listen=127.0.0.1:{port}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the loopback listener");
    stream.write_all(b"BLPOP nothing 0\r\n").expect("a command");
    wait_until_there(&redis, " cmd=blpop ");
    drop(stream);
    wait_until_gone(&redis, " cmd=blpop ");
    daemon.stop();
}

#[test]
fn one_that_shuts_down_its_sending_side_is_given_what_it_waits_for_unless_it_closes() {
    let (redis, daemon) = cache("");
    let mut other = requester(&daemon);
    let mut one = requester(&daemon);
    send(&mut one, "BLPOP l 0");
    one.half_close();
    wait_until_there(&redis, " cmd=blpop ");
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n");
    assert_eq!(one.rest(), b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    let mut one = requester(&daemon);
    send(&mut one, "BLPOP l 0");
    one.half_close();
    wait_until_there(&redis, " flags=b ");
    drop(one);
    wait_until_gone(&redis, " flags=b ");
    daemon.stop();
}

#[test]
fn a_subscriber_that_shuts_down_its_sending_side_is_given_what_comes_and_is_closed_in_the_silence_after_it() {
    let (redis, daemon) = cache("");
    let mut other = requester(&daemon);
    let mut one = requester(&daemon);
    for line in ["SUBSCRIBE a", "UNSUBSCRIBE a", "ECHO hello", "SUBSCRIBE b"] {
        send(&mut one, line);
    }
    one.half_close();
    wait_until_there(&redis, " sub=1 ");
    assert_eq!(ask(&mut other, "PUBLISH b x"), ":1\r\n");
    let text = String::from_utf8_lossy(&one.rest()).into_owned();
    assert!(text.contains("$5\r\nhello\r\n") && text.ends_with("$7\r\nmessage\r\n$1\r\nb\r\n$1\r\nx\r\n"), "{text}");
    wait_until_gone(&redis, " sub=1 ");
    daemon.stop();
}

#[test]
fn a_session_whose_connection_breaks_says_so_and_is_closed() {
    let (redis, daemon) = cache("");
    let (mut one, mut waiting, mut subscriber) = (requester(&daemon), requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    send(&mut waiting, "BLPOP l 0");
    send(&mut subscriber, "SUBSCRIBE a");
    subscriber.reply();
    wait_until_there(&redis, " cmd=blpop ");
    let mut direct = redis.requester();
    direct.send_bytes(b"CLIENT KILL TYPE normal\r\n");
    direct.reply();
    direct.send_bytes(b"CLIENT KILL TYPE pubsub\r\n");
    direct.reply();
    assert_eq!(one.rest(), b"", "nothing was owed");
    let answer = String::from_utf8_lossy(&waiting.rest()).into_owned();
    assert!(answer.starts_with("-CONUNKNOWN host \"cache\""), "{answer}");
    assert_eq!(subscriber.rest(), b"");
    assert_eq!(ask(&mut requester(&daemon), "PING"), "+PONG\r\n");
    daemon.stop();
}

#[test]
fn a_host_that_is_away_is_said_at_once_and_nothing_of_a_transaction_is_sent_when_it_is_back() {
    let daemon = {
        let redis = Redis::start();
        Daemon::start(&[&format!("cache {} resp retries=1", redis.address())])
    };
    let mut one = requester(&daemon);
    for line in ["MULTI", "INCR k", "EXEC"] {
        send(&mut one, line);
    }
    for _ in 0..3 {
        let answer = one.reply();
        assert!(answer.starts_with("-CONLOST "), "{answer}");
    }
    assert!(ask(&mut one, "BLPOP l 0").starts_with("-CONLOST "));
    assert_eq!(sessions_open(&daemon), 0);
    daemon.stop();
}

#[test]
fn a_stop_waits_for_no_session() {
    let (redis, daemon) = cache("");
    let (mut one, mut subscriber, mut waiting) = (requester(&daemon), requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    send(&mut subscriber, "SUBSCRIBE a");
    subscriber.reply();
    send(&mut waiting, "BLPOP l 0");
    wait_until_there(&redis, " cmd=blpop ");
    let start = Instant::now();
    daemon.stop();
    assert!(start.elapsed() < LONG / 2, "it took {:?}", start.elapsed());
    let answer = String::from_utf8_lossy(&waiting.rest()).into_owned();
    assert!(answer.starts_with("-CONUNKNOWN ") && answer.contains("tieline stops"), "{answer}");
    assert_eq!(one.rest(), b"");
    assert_eq!(subscriber.rest(), b"");
}

#[test]
fn over_a_restart_a_transaction_is_ended_first_and_voices_are_kept() {
    let (_redis, mut daemon) = cache("");
    let (mut one, mut three) = (requester(&daemon), requester(&daemon));
    assert!(ask(&mut three, "HELLO 3").starts_with("%7\r\n"));
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    let old = daemon.child("cache");
    // A child that is replaced hands over; a changed option replaces it.
    let tab = daemon.place().path("hosts.tab");
    let text = std::fs::read_to_string(&tab).expect("hosts.tab");
    std::fs::write(&tab, text.trim_end().to_owned() + " window=1000\n").expect("hosts.tab");
    daemon.signal(Signal::SIGHUP);
    wait_until("another child", || daemon.children_seen().iter().any(|child| *child != old).then_some(()));
    wait_until("the handover", || daemon.place().log().contains("handing over").then_some(()));
    assert_eq!(ask(&mut three, "HGETALL none"), "%0\r\n", "handed over, and it speaks RESP3 on");
    assert_eq!(ask(&mut one, "SET k v"), "+QUEUED\r\n", "not handed over while its transaction lasts");
    assert_eq!(ask(&mut one, "EXEC"), "*1\r\n+OK\r\n");
    assert_eq!(ask(&mut one, "GET k"), "$1\r\nv\r\n");
    wait_until("the old child has gone", || (!old.is_alive()).then_some(()));
    assert_eq!(ask(&mut one, "GET k"), "$1\r\nv\r\n");
    daemon.stop();
}

#[test]
fn a_reader_of_nothing_is_waited_for_as_long_as_it_likes() {
    let (redis, daemon) = cache("timeout=300ms");
    let mut subscriber = requester(&daemon);
    send(&mut subscriber, "SUBSCRIBE a");
    subscriber.reply();
    let mut waiting = requester(&daemon);
    send(&mut waiting, "BLPOP l 0");
    wait_until_there(&redis, " cmd=blpop ");
    std::thread::sleep(MOMENT * 20);
    let mut other = requester(&daemon);
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n");
    assert_eq!(waiting.reply(), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    let big = "m".repeat(100_000);
    for _ in 0..60 {
        assert_eq!(ask(&mut other, &format!("PUBLISH a {big}")), ":1\r\n");
    }
    std::thread::sleep(MOMENT * 20);
    subscriber.stream.set_read_timeout(Some(LONG)).expect("a timeout");
    let mut bytes = vec![0; 60 * big.len()];
    subscriber.stream.read_exact(&mut bytes).expect("the messages, unread for longer than the timeout");
    daemon.stop();
}
