//! RESP2 and RESP3 side by side, and what every library says first.

use std::thread;

use super::{ask, assert_all, cache, connections, requester, send, sessions_open};

#[test]
fn what_every_library_says_first_costs_no_session() {
    let (redis, daemon) = cache("connections=2");
    let mut one = requester(&daemon);
    let hello = ask(&mut one, "HELLO 3");
    assert!(hello.starts_with("%7\r\n") && hello.contains("$5\r\nproto\r\n:3\r\n"), "{hello}");
    assert_eq!(ask(&mut one, "CLIENT SETINFO LIB-NAME test"), "+OK\r\n");
    assert_eq!(ask(&mut one, "CLIENT SETINFO LIB-VER 1.0"), "+OK\r\n");
    assert_eq!(ask(&mut one, "HSET h f v"), ":1\r\n");
    assert_eq!(ask(&mut one, "HGETALL h"), "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    let hello = ask(&mut one, "HELLO 2");
    assert!(hello.starts_with("*14\r\n") && hello.contains("$5\r\nproto\r\n:2\r\n"), "{hello}");
    assert_eq!(ask(&mut one, "HGETALL h"), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert!(ask(&mut one, "HELLO 3").starts_with("%7\r\n"));
    assert_all(&mut one, &["RESET", "HGETALL h"], &["+RESET", "*2\r\n$1\r\nf\r\n$1\r\nv"]);
    assert_eq!(sessions_open(&daemon), 0);
    assert!(ask(&mut one, "HELLO 9").starts_with("-NOPROTO"));
    assert_eq!(ask(&mut one, "GET k"), "$-1\r\n");
    assert!(connections(&redis).len() <= 3);
    daemon.stop();
}

#[test]
fn a_hello_within_a_pipeline_changes_the_voice_exactly_there() {
    let (_redis, daemon) = cache("connections=1");
    let mut one = requester(&daemon);
    for line in ["HSET h f v", "HGETALL h", "HELLO 3", "HGETALL h", "HELLO 2", "HGETALL h"] {
        send(&mut one, line);
    }
    assert_eq!(one.reply(), ":1\r\n");
    assert_eq!(one.reply(), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert!(one.reply().starts_with("%7\r\n"));
    assert_eq!(one.reply(), "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert!(one.reply().starts_with("*14\r\n"));
    assert_eq!(one.reply(), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    daemon.stop();
}

/// Asks in turns in its own voice, and must be answered in it.
fn speak(daemon: &crate::common::Daemon, three: bool, rounds: usize) {
    let mut one = requester(daemon);
    if three {
        assert!(ask(&mut one, "HELLO 3").starts_with('%'));
    }
    for round in 0..rounds {
        let kind = if three { "%1\r\n" } else { "*2\r\n" };
        let depth = round % 7 + 1;
        (0..depth).for_each(|_| send(&mut one, "HGETALL h"));
        for _ in 0..depth {
            assert_eq!(one.reply(), format!("{kind}$1\r\nf\r\n$1\r\nv\r\n"));
        }
        if round % 50 == 0 {
            assert_all(&mut one, &["MULTI", "HGETALL h", "EXEC"], &["+OK", "+QUEUED"]);
            assert_eq!(one.reply(), format!("*1\r\n{kind}$1\r\nf\r\n$1\r\nv\r\n"));
        }
    }
}

#[test]
fn both_voices_share_a_pool_of_one_and_of_three() {
    for most in [1, 3] {
        let (redis, daemon) = cache(&format!("connections={most} sessions=8"));
        assert_eq!(ask(&mut requester(&daemon), "HSET h f v"), ":1\r\n");
        thread::scope(|scope| {
            for number in 0..8 {
                let daemon = &daemon;
                scope.spawn(move || speak(daemon, number % 2 == 0, 150));
            }
            for _ in 0..20 {
                assert!(connections(&redis).len() <= most + 8);
            }
        });
        let status = daemon.host_status("cache");
        for outcome in ["lost", "timeout", "unknown", "refused"] {
            assert_eq!(status[outcome], 0, "{outcome} in {status}");
        }
        daemon.stop();
    }
}

#[test]
fn a_tracking_requester_hears_of_changes_by_push_messages() {
    let (_redis, daemon) = cache("connections=1");
    let (mut one, mut other) = (requester(&daemon), requester(&daemon));
    assert!(ask(&mut one, "HELLO 3").starts_with('%'));
    assert_eq!(ask(&mut one, "CLIENT TRACKING ON"), "+OK\r\n");
    assert_eq!(ask(&mut one, "GET k"), "_\r\n");
    assert_eq!(ask(&mut other, "SET k v"), "+OK\r\n");
    assert_eq!(one.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    assert_eq!(ask(&mut one, "GET k"), "$1\r\nv\r\n");
    send(&mut one, "SUBSCRIBE a");
    assert_eq!(one.reply(), ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(ask(&mut one, "GET k"), "$1\r\nv\r\n", "in RESP3 a subscriber may ask on");
    daemon.stop();
}
