//! Runs without any socket.

use std::time::{Duration, Instant};

use crate::child::dispatch::Dispatch;
use crate::config::{Address, HostSettings};
use crate::dialect::{Dialect, Wish};
use crate::pool::{Flight, HOLD};
use crate::work::{ConnectionId, RequesterId};

const TIMEOUT: Duration = Duration::from_secs(1);

fn dispatch() -> (Dispatch, Instant) {
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
    let mut host = HostSettings::with_defaults("host", address, Dialect::Memcache);
    (host.connections, host.timeout, host.retries) = (2, TIMEOUT, 1);
    (Dispatch::new(host, 1), Instant::now())
}

fn open(d: &mut Dispatch, now: Instant) -> ConnectionId {
    d.attempt_begins();
    d.opened(now)
}

/// What one read brought.
fn read(d: &mut Dispatch, requester: RequesterId, requests: &[&str], now: Instant) {
    for request in requests {
        d.request(requester, request.replace('|', "\r\n").as_bytes(), now);
    }
    d.end_run(now);
}

fn sent(d: &mut Dispatch, connection: ConnectionId, now: Instant) -> String {
    let mut bytes = Vec::new();
    while !d.outgoing(connection).is_empty() {
        bytes.extend_from_slice(d.outgoing(connection));
        let count = d.outgoing(connection).len();
        d.wrote(connection, count, now);
    }
    String::from_utf8(bytes).unwrap().replace("\r\n", "|")
}

fn replies(d: &mut Dispatch, connection: ConnectionId, text: &str, now: Instant) {
    d.received(connection, text.replace('|', "\r\n").as_bytes(), now, &mut |_, _| 0).unwrap();
}

fn given(d: &mut Dispatch, requester: RequesterId, now: Instant) -> String {
    let bytes = d.account(requester).unwrap().unsent().to_vec();
    d.took(requester, bytes.len(), now);
    String::from_utf8(bytes).unwrap().replace("\r\n", "|")
}

#[test]
fn a_flight_has_not_grown() {
    assert_eq!(size_of::<Flight>(), 40);
}

#[test]
fn commands_without_a_reply_go_as_one_transaction_whose_end_is_for_nobody() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["set a 0 0 1 noreply|x|", "delete b noreply|", "get a|"], now);
    assert_eq!(d.account(r).unwrap().outstanding(), 2);
    assert_eq!(sent(&mut d, c, now), "set a 0 0 1 noreply|x|delete b noreply|version|get a|");
    replies(&mut d, c, "VERSION 1.6|VALUE a 0 1|x|END|", now);
    assert_eq!(given(&mut d, r, now), "VALUE a 0 1|x|END|");
}

#[test]
fn an_error_to_a_silent_command_reaches_nobody() {
    let (mut d, now) = dispatch();
    let (r, other, c) = (d.join(), d.join(), open(&mut d, now));
    read(&mut d, r, &["set a 0 0 1 noreply|x|"], now);
    d.attempt_failed("enough", now);
    read(&mut d, other, &["get b|"], now);
    sent(&mut d, c, now);
    replies(&mut d, c, "SERVER_ERROR out of memory storing object|ERROR|VERSION 1.6|END|", now);
    assert_eq!((given(&mut d, r, now).as_str(), given(&mut d, other, now).as_str()), ("", "END|"));
}

#[test]
fn quiet_replies_are_given_as_they_come_and_in_their_place() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["get a|", "mg a v q|", "mg b v q|", "mn|"], now);
    assert_eq!(sent(&mut d, c, now), "get a|mg a v q|mg b v q|version|mn|");
    replies(&mut d, c, "END|VA 2|x", now);
    assert_eq!(given(&mut d, r, now), "END|");
    replies(&mut d, c, "y|VER", now);
    assert_eq!(given(&mut d, r, now), "VA 2|xy|", "the beginning of the end of the run is held");
    replies(&mut d, c, "SION 1|MN|", now);
    assert_eq!(given(&mut d, r, now), "MN|");
}

#[test]
fn a_large_quiet_reply_passes_through_and_the_one_behind_it_is_held_again() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["mg a v q|", "mg b v q|"], now);
    sent(&mut d, c, now);
    let value = "x".repeat(HOLD + 10);
    replies(&mut d, c, &format!("VA {}|{value}", value.len()), now);
    assert_eq!(given(&mut d, r, now).len(), value.len() + "VA 65546|".len());
    replies(&mut d, c, "|VERS", now);
    assert_eq!(given(&mut d, r, now), "|");
    replies(&mut d, c, "ION 1|", now);
    assert_eq!(given(&mut d, r, now), "");
    assert!(d.account(r).unwrap().is_settled());
    assert_eq!(d.tally.outcomes().replies, 1);
}

#[test]
fn a_run_that_stands_still_behind_a_large_reply_has_a_deadline_again() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["mg a v q|", "mg b v q|"], now);
    sent(&mut d, c, now);
    let value = "x".repeat(HOLD + 10);
    replies(&mut d, c, &format!("VA {}|{value}|", value.len()), now);
    given(&mut d, r, now);
    d.expire(now + TIMEOUT);
    let answer = given(&mut d, r, now);
    assert!(answer.starts_with("SERVER_ERROR con_unknown "), "{answer}");
    replies(&mut d, c, "EN|VERSION 1|", now);
    assert_eq!(given(&mut d, r, now), "", "late replies reach nobody");
}

#[test]
fn silent_and_quiet_commands_go_in_runs_of_their_own() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["delete a noreply|", "md b q|", "delete c noreply|"], now);
    assert_eq!(sent(&mut d, c, now), "delete a noreply|version|md b q|version|delete c noreply|version|");
    replies(&mut d, c, "ERROR|VERSION 1|NF|VERSION 1|ERROR|VERSION 1|", now);
    assert_eq!(given(&mut d, r, now), "NF|");
}

#[test]
fn a_requester_reads_its_own_writes_from_the_connection_that_has_them() {
    let (mut d, now) = dispatch();
    let (r, other) = (d.join(), d.join());
    let (c0, c1) = (open(&mut d, now), open(&mut d, now));
    read(&mut d, r, &["set a 0 0 1 noreply|x|"], now);
    read(&mut d, other, &["get z|"], now);
    assert_eq!((sent(&mut d, c0, now).len(), sent(&mut d, c1, now)), (30, "get z|".to_owned()));
    replies(&mut d, c1, "END|", now);
    read(&mut d, r, &["get a|"], now);
    assert_eq!(sent(&mut d, c0, now), "get a|", "although the other connection is free");
}

#[test]
fn a_long_run_is_sent_in_parts() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    let command = format!("set a 0 0 30000 noreply|{}|", "x".repeat(30_000));
    read(&mut d, r, &[&command, &command, &command, &command, &command], now);
    assert_eq!(sent(&mut d, c, now).matches("|version|").count(), 3);
}

#[test]
fn a_silent_run_that_fails_is_counted_and_nobody_is_told() {
    let (mut d, now) = dispatch();
    let r = d.join();
    read(&mut d, r, &["set a 0 0 1 noreply|x|", "get a|"], now);
    d.attempt_begins();
    d.attempt_failed("refused", now);
    let answer = given(&mut d, r, now);
    assert!(answer.starts_with("SERVER_ERROR con_lost ") && answer.matches('|').count() == 1, "{answer}");
    read(&mut d, r, &["set a 0 0 1 noreply|x|"], now);
    assert_eq!((given(&mut d, r, now).as_str(), d.tally.outcomes().lost), ("", 3));
    let c = open(&mut d, now);
    read(&mut d, r, &["get a|", "set a 0 0 1 noreply|x|"], now);
    sent(&mut d, c, now);
    d.broke(c, "reset", now);
    assert_eq!(given(&mut d, r, now).matches("con_unknown").count(), 1);
    assert_eq!(d.tally.outcomes().unknown, 2);
    assert!(d.account(r).unwrap().is_settled());
}

#[test]
fn a_quiet_run_that_fails_says_so() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["mg a v q|", "mg b v q|"], now);
    sent(&mut d, c, now);
    replies(&mut d, c, "VA 1|x|", now);
    d.broke(c, "reset", now);
    let answer = given(&mut d, r, now);
    assert!(answer.starts_with("VA 1|x|SERVER_ERROR con_unknown ") && answer.matches('|').count() == 3, "{answer}");
}

#[test]
fn what_was_sent_without_wanting_a_reply_outlives_the_socket() {
    let (mut d, now) = dispatch();
    let (r, plain) = (d.join(), d.join());
    read(&mut d, r, &["get a|", "set a 0 0 1 noreply|x|"], now);
    read(&mut d, plain, &["get a|"], now);
    assert!(d.outlives_its_socket(r) && !d.outlives_its_socket(plain));
    let c = open(&mut d, now);
    assert_eq!(sent(&mut d, c, now).matches("|version|").count(), 1);
    replies(&mut d, c, "END|", now);
    replies(&mut d, c, "END|VERSION 1|", now);
    assert_eq!(given(&mut d, r, now), "", "it takes nothing any more");
    assert!(d.account(r).unwrap().is_settled());
}

#[test]
fn replies_within_a_run_may_come_before_its_end_was_sent_and_nothing_else_may() {
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["mg a v q|", "mg b v q|"], now);
    assert!(d.received(c, b"EN\r\n", now, &mut |_, _| 0).is_err(), "not a byte was sent");
    d.wrote(c, 12, now);
    replies(&mut d, c, "VA 1|x|", now);
    assert_eq!(given(&mut d, r, now), "VA 1|x|");
    assert!(d.received(c, b"VERSION 1\r\n", now, &mut |_, _| 0).is_err(), "that was not asked for yet");
    let (mut d, now) = dispatch();
    let (r, c) = (d.join(), open(&mut d, now));
    read(&mut d, r, &["set a 0 0 5|hello|", "get a|"], now);
    d.wrote(c, 15, now);
    assert!(d.received(c, b"STORED\r\n", now, &mut |_, _| 0).is_err(), "it cannot have been");
    replies(&mut d, c, "SERVER_ERROR object too large for cache|", now);
    assert_eq!(given(&mut d, r, now), "SERVER_ERROR object too large for cache|");
    assert!(d.received(c, b"END\r\n", now, &mut |_, _| 0).is_err(), "the get was not sent yet");
}

#[test]
fn a_value_behind_a_command_that_was_given_no_session_is_no_command_until_there_was_silence() {
    let (mut d, now) = dispatch();
    d.host.sessions = 1;
    let (holder, r) = (d.join(), d.join());
    let say = |d: &mut Dispatch, requester, line: &str, at| match Dialect::Memcache.wish(line.as_bytes()) {
        Wish::Session { command, act } => d.session(requester, command, act, line.as_bytes(), at),
        _ => d.request(requester, line.as_bytes(), at),
    };
    say(&mut d, holder, "watch\r\n", now);
    say(&mut d, r, "store k 20\r\n", now);
    d.leave(holder);
    let own = d.next_opening().unwrap();
    d.opening_failed(own, "nobody waits for it", now);
    for value in ["shutdown\r\n", "whatever\r\n", "flush_all\r\n", "delete k noreply\r\n"] {
        say(&mut d, r, value, now);
    }
    assert_eq!(d.next_opening(), None, "a session is free again, and the value wants none");
    assert_eq!(given(&mut d, r, now).matches("SERVER_ERROR con_busy ").count(), 4, "what has no reply is counted");
    let c = open(&mut d, now);
    assert_eq!(sent(&mut d, c, now), "");
    say(&mut d, r, "get k\r\n", now + Duration::from_secs(1));
    assert_eq!(sent(&mut d, c, now), "get k|");
}
