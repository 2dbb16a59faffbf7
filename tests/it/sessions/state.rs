//! What is bound to a session stays within it, and lasts as long as it must.

use std::thread;

use super::{ask, assert_all, cache, connections, requester, send, sessions_open, wait_until_there};
use crate::common::Requester;

#[test]
fn a_transaction_is_atomic_and_its_connection_serves_the_next_one() {
    let (redis, daemon) = cache("connections=2");
    let (mut one, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    assert_eq!(ask(&mut one, "INCR k"), "+QUEUED\r\n");
    assert_eq!(ask(&mut other, "GET k"), "$-1\r\n", "not before EXEC, and not into the transaction");
    assert_eq!(ask(&mut one, "EXEC"), "*1\r\n:1\r\n");
    for _ in 0..20 {
        assert_all(
            &mut other,
            &["INCR k", "MULTI", "INCR k", "INCR k", "EXEC", "DECRBY k 3"],
            &[":2", "+OK", "+QUEUED", "+QUEUED", "*2\r\n:3\r\n:4", ":1"],
        );
    }
    assert_eq!(sessions_open(&daemon), 1, "one after the other");
    assert_eq!(connections(&redis).len(), 2);
    daemon.stop();
}

#[test]
fn what_redis_says_of_broken_transactions_is_what_the_requester_hears() {
    let (_redis, daemon) = cache("");
    let mut one = requester(&daemon);
    assert_eq!(ask(&mut one, "EXEC"), "-ERR EXEC without MULTI\r\n");
    assert_eq!(ask(&mut one, "DISCARD"), "-ERR DISCARD without MULTI\r\n");
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    assert!(ask(&mut one, "MULTI").starts_with("-ERR MULTI calls can not be nested"));
    assert!(ask(&mut one, "NONSENSE").starts_with("-ERR unknown command"));
    assert!(ask(&mut one, "EXEC").starts_with("-EXECABORT"));
    assert_eq!(ask(&mut one, "SET k v"), "+OK\r\n");
    assert_all(&mut one, &["MULTI", "SET k w", "DISCARD", "GET k"], &["+OK", "+QUEUED", "+OK", "$1\r\nv"]);
    assert_all(
        &mut one,
        &["MULTI", "LPUSH k x", "EXEC"],
        &["+OK", "+QUEUED", "*1\r\n-WRONGTYPE Operation against a key holding the wrong kind of value"],
    );
    daemon.stop();
}

/// Adds one to a counter as programs do that watch it; returns how often it was beaten.
fn add_one(requester: &mut Requester) -> usize {
    for lost in 0.. {
        assert_eq!(ask(requester, "WATCH counter"), "+OK\r\n");
        let value = ask(requester, "GET counter");
        let value: u64 = value.lines().nth(1).map_or(0, |line| line.parse().expect("a number"));
        let set = format!("SET counter {}", value + 1);
        ["MULTI", set.as_str(), "EXEC"].iter().for_each(|line| send(requester, line));
        assert_eq!(requester.reply(), "+OK\r\n");
        assert_eq!(requester.reply(), "+QUEUED\r\n");
        match requester.reply().as_str() {
            "*1\r\n+OK\r\n" => return lost,
            beaten => assert_eq!(beaten, "*-1\r\n"),
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn whoever_watches_a_key_notices_every_change_and_no_addition_is_lost() {
    let (_redis, daemon) = cache("connections=2 sessions=8");
    let lost: usize = thread::scope(|scope| {
        let race = || scope.spawn(|| (0..50).map(|_| add_one(&mut requester(&daemon))).sum::<usize>());
        let racers: Vec<_> = (0..8).map(|_| race()).collect();
        racers.into_iter().map(|racer| racer.join().expect("no racer fails")).sum()
    });
    assert_eq!(ask(&mut requester(&daemon), "GET counter"), "$3\r\n400\r\n");
    println!("beaten {lost} times");
    assert!(lost > 0, "nobody has met anybody");
    daemon.stop();
}

#[test]
fn a_database_a_name_and_a_user_are_their_requesters_alone() {
    let (redis, daemon) = cache("connections=1");
    let mut direct = redis.requester();
    direct.send_bytes(b"ACL SETUSER guest on >secret ~* +@all -@dangerous\r\n");
    assert_eq!(direct.reply(), "+OK\r\n");
    let (mut plain, mut second) = (requester(&daemon), requester(&daemon));
    assert_all(&mut second, &["SET k zero", "SELECT 1", "SET k one", "GET k"], &["+OK", "+OK", "+OK", "$3\r\none"]);
    assert_eq!(ask(&mut plain, "GET k"), "$4\r\nzero\r\n");
    let mut guest = requester(&daemon);
    assert!(ask(&mut guest, "AUTH guest wrong").starts_with("-WRONGPASS"));
    assert_eq!(ask(&mut guest, "ACL WHOAMI"), "$7\r\ndefault\r\n");
    assert_eq!(ask(&mut guest, "AUTH guest secret"), "+OK\r\n");
    assert_eq!(ask(&mut guest, "ACL WHOAMI"), "$5\r\nguest\r\n");
    assert_eq!(ask(&mut plain, "ACL WHOAMI"), "$7\r\ndefault\r\n");
    assert_eq!(ask(&mut second, "CLIENT SETNAME second"), "+OK\r\n");
    assert_eq!(ask(&mut second, "CLIENT GETNAME"), "$6\r\nsecond\r\n");
    assert_eq!(ask(&mut plain, "CLIENT GETNAME"), "$-1\r\n");
    let id = ask(&mut plain, "CLIENT ID");
    let own = connections(&redis);
    assert!(
        own.iter().any(|line| line.starts_with(&format!("id={} ", id.trim_end().trim_start_matches(':')))),
        "{own:?}"
    );
    daemon.stop();
}

#[test]
fn reset_brings_a_requester_back_and_quit_ends_it() {
    let (redis, daemon) = cache("");
    let mut one = requester(&daemon);
    assert_eq!(ask(&mut one, "RESET"), "+RESET\r\n", "without a session there is nothing to forget");
    assert_eq!(sessions_open(&daemon), 0);
    assert_eq!(ask(&mut one, "SELECT 3"), "+OK\r\n");
    wait_until_there(&redis, " db=3 ");
    assert_all(&mut one, &["RESET", "CLIENT INFO"], &["+RESET"]);
    assert!(one.reply().contains(" db=0 "));
    assert_eq!(sessions_open(&daemon), 0, "its connection is closed");
    assert_eq!(ask(&mut one, "QUIT"), "+OK\r\n");
    assert_eq!(one.rest(), b"");
    let mut one = requester(&daemon);
    one.send_bytes(b"multi\r\nset k v\r\nquit\r\nset k w\r\n");
    assert_eq!(String::from_utf8_lossy(&one.rest()), "+OK\r\n+QUEUED\r\n+OK\r\n");
    assert_eq!(ask(&mut requester(&daemon), "GET k"), "$-1\r\n");
    daemon.stop();
}

#[test]
fn a_subscriber_gets_its_messages_and_nobody_elses_replies() {
    let (redis, daemon) = cache("connections=1");
    let (mut subscriber, mut other) = (requester(&daemon), requester(&daemon));
    send(&mut subscriber, "SUBSCRIBE news weather");
    assert_eq!(subscriber.reply(), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(subscriber.reply(), "*3\r\n$9\r\nsubscribe\r\n$7\r\nweather\r\n:2\r\n");
    for number in 0..100 {
        assert_eq!(ask(&mut other, &format!("PUBLISH news {number:03}")), ":1\r\n");
    }
    for number in 0..100 {
        assert_eq!(subscriber.reply(), format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\n{number:03}\r\n"));
    }
    assert_eq!(ask(&mut subscriber, "PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert!(ask(&mut subscriber, "GET k").starts_with("-ERR Can't execute 'get'"));
    assert_all(&mut subscriber, &["RESET", "GET k"], &["+RESET", "$-1"]);
    super::wait_until_gone(&redis, " sub=2 ");
    daemon.stop();
}

#[test]
fn a_monitor_sees_everything_and_a_silent_requester_hears_nothing() {
    let (_redis, daemon) = cache("connections=1");
    let (mut monitor, mut silent, mut other) = (requester(&daemon), requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut monitor, "MONITOR"), "+OK\r\n");
    assert_eq!(ask(&mut other, "SET seen 1"), "+OK\r\n");
    while !monitor.reply().contains("\"SET\" \"seen\" \"1\"") {}
    assert_all(&mut silent, &["SET a 1", "CLIENT REPLY SKIP", "SET a 2", "GET a"], &["+OK", "$1\r\n2"]);
    let mut silent = requester(&daemon);
    for line in ["CLIENT REPLY OFF", "SET a 3", "GET a", "CLIENT REPLY ON", "GET a"] {
        send(&mut silent, line);
    }
    assert_eq!(silent.reply(), "+OK\r\n");
    assert_eq!(silent.reply(), "$1\r\n3\r\n");
    assert_eq!(ask(&mut other, "GET a"), "$1\r\n3\r\n");
    daemon.stop();
}

#[test]
fn inline_commands_have_sessions_too_and_nonsense_is_refused_in_them() {
    let (_redis, daemon) = cache("");
    let mut one = requester(&daemon);
    one.send_bytes(b"MULTI\r\nset k 'a b'\r\n\r\nEXEC\r\nGET k\r\n");
    for reply in ["+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", "$3\r\na b\r\n"] {
        assert_eq!(one.reply(), reply);
    }
    one.send_bytes(b"multi\r\nset k \"\r\n");
    assert_eq!(one.reply(), "+OK\r\n");
    assert!(String::from_utf8_lossy(&one.rest()).starts_with("-CONREFUSED"));
    daemon.stop();
}
