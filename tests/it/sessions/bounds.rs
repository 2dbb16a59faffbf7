//! Sessions are bounded, in number and in memory, and in what they cost others.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{ask, cache, connections, requester, send, sessions_open, wait_until_there};
use crate::common::{LONG, encode_command, median_time};

#[test]
fn when_no_session_is_free_the_requester_is_told_and_stays_usable() {
    let (redis, daemon) = cache("sessions=1");
    let (mut one, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut one, "SELECT 1"), "+OK\r\n");
    for line in ["BLPOP l 0", "SUBSCRIBE a", "WATCH k", "CLIENT ID"] {
        let answer = ask(&mut other, line);
        assert!(answer.starts_with("-CONBUSY host \"cache\""), "{answer}");
        assert_eq!(ask(&mut other, "SET k v"), "+OK\r\n", "after {line}");
    }
    let answer = ask(&mut other, "MULTI");
    assert!(answer.starts_with("-CONBUSY host \"cache\""), "{answer}");
    assert_eq!(ask(&mut other, "PING"), "+PONG\r\n");
    assert!(ask(&mut other, "INCR n").starts_with("-CONBUSY"), "a part of the transaction is not executed");
    assert!(ask(&mut other, "EXEC").starts_with("-CONBUSY"));
    assert_eq!(ask(&mut other, "GET n"), "$-1\r\n");
    assert_eq!(connections(&redis).len(), 2);
    drop(one);
    super::wait_until_gone(&redis, " db=1 ");
    assert_eq!(ask(&mut other, "MULTI"), "+OK\r\n");
    daemon.stop();
}

#[test]
fn a_hundred_waiting_requesters_over_eight_sessions_are_all_served_and_hold_up_nobody() {
    let (redis, daemon) = cache("sessions=8 connections=4");
    let (served, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let wait = || {
        let mut requester = requester(&daemon);
        let start = Instant::now();
        loop {
            match ask(&mut requester, "BLPOP queue 0") {
                answer if answer.starts_with("*2\r\n$5\r\nqueue\r\n") => break,
                answer => assert!(answer.starts_with("-CONBUSY"), "{answer}"),
            }
            assert!(start.elapsed() < LONG * 2, "never served");
            thread::sleep(Duration::from_millis(20));
        }
        served.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        (0..100).for_each(|_| drop(scope.spawn(wait)));
        wait_until_there(&redis, " cmd=blpop ");
        let mut other = requester(&daemon);
        let median = median_time(300, || assert_eq!(ask(&mut other, "GET k"), "$-1\r\n"));
        println!("a GET takes {median:?} while a hundred wait");
        assert!(median < Duration::from_millis(50), "a GET takes {median:?} while a hundred wait");
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(connections(&redis).len() <= 12);
            }
        });
        while served.load(Ordering::Relaxed) < 100 {
            if ask(&mut other, "LLEN queue") == ":0\r\n" {
                ask(&mut other, "RPUSH queue x y z");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(sessions_open(&daemon) <= 8);
    daemon.stop();
}

#[test]
fn a_value_of_64_mib_is_streamed_both_ways_and_never_held() {
    const SIZE: usize = 64 << 20;
    let (_redis, mut daemon) = cache("max_request=100MiB");
    let mut one = requester(&daemon);
    ask(&mut one, "SELECT 1");
    let child = daemon.child("cache");
    let base = child.private_kb();
    let mut direct = requester(&daemon);
    ask(&mut direct, "SELECT 1");
    ask(&mut direct, &format!("SETRANGE big {} end", SIZE - 3));
    one.send_bytes(&encode_command(&["GET", "big"]).repeat(2));
    let mut chunk = vec![0; 1 << 20];
    let (mut got, mut most, mut last) = (0, 0, 0);
    let whole = 2 * (format!("${SIZE}\r\n").len() + SIZE + 2);
    while got < whole {
        let count = one.stream.read(&mut chunk).expect("the value comes");
        assert!(count > 0, "the value breaks off");
        got += count;
        last = chunk[count - 1];
        if got % 7 == 0 || got > whole / 2 && most == 0 {
            most = most.max(child.private_kb());
        }
    }
    assert_eq!((got, last), (whole, b'\n'));
    println!("memory: {base} kB before, {most} kB while 2 x 64 MiB pass");
    assert!(most < base + 8 * 1024, "the child grew from {base} to {most} kB");
    assert_eq!(ask(&mut one, "STRLEN big"), format!(":{SIZE}\r\n"));
    let value = "v".repeat(20 << 20);
    one.stream.write_all(&encode_command(&["SET", "value", &value])).expect("a large request");
    assert_eq!(one.reply(), "+OK\r\n");
    send(&mut one, "STRLEN value");
    assert_eq!(one.reply(), format!(":{}\r\n", 20 << 20));
    daemon.stop();
}

#[test]
fn an_idle_connection_of_a_past_session_is_closed_in_time() {
    let (redis, daemon) = cache("idle=300ms");
    let mut one = requester(&daemon);
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    assert_eq!(ask(&mut one, "EXEC"), "*0\r\n");
    super::wait_until_gone(&redis, "id=");
    assert_eq!(sessions_open(&daemon), 0);
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    daemon.stop();
}
