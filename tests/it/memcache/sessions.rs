//! Commands that have a connection of their own: what memcached says passes unseen until the requester leaves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tieline::dialect::Dialect;

use super::{converse, requester};
use crate::common::{Daemon, Memcached, Requester, wait_until};

fn behind_a_socket(options: &str) -> (Memcached, Daemon) {
    let memcached = Memcached::start();
    let daemon = Daemon::start(&[&format!("cache {} memcache connections=1 {options}", memcached.address())]);
    (memcached, daemon)
}

/// The lines up to and with one that begins so.
fn lines_up_to(r: &mut Requester, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with(last)) {
        lines.push(r.reply());
    }
    lines
}

/// How many sessions there are, in use or kept.
fn sessions_open(daemon: &Daemon) -> u64 {
    daemon.host_status("cache")["sessions"]["open"].as_u64().expect("the status counts sessions")
}

#[test]
fn a_watcher_gets_what_memcached_logs_while_others_go_on_untouched() {
    let (_memcached, daemon) = behind_a_socket("");
    let (mut watcher, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(watcher.ask("watch mutations"), "OK\r\n");
    for number in 0..200 {
        let (set, stored) = (format!("set seen:{number} 0 0 1|x"), format!("VALUE seen:{number} 0 1|x|END"));
        converse(&mut other, &[(&set, "STORED"), (&format!("get seen:{number}"), &stored)]);
    }
    for number in 0..200 {
        let line = watcher.reply();
        assert!(line.contains(" type=item_store ") && line.contains(&format!("key=seen%3A{number} ")), "{line}");
    }
    daemon.stop();
}

#[test]
fn the_keys_of_a_memcached_are_listed_to_their_end() {
    let (memcached, daemon) = behind_a_socket("");
    for number in 0..500 {
        memcached.ask(&format!("set key:{number} 0 0 1\r\nx"));
    }
    let mut r = requester(&daemon);
    r.send("lru_crawler metadump all");
    let lines = lines_up_to(&mut r, "END");
    assert_eq!(lines.iter().filter(|line| line.starts_with("key=key%3A")).count(), 500, "{lines:?}");
    converse(&mut r, &[("get key:7", "VALUE key:7 0 1|x|END"), ("mn", "MN")]);
    r.send("stats cachedump 1 3");
    assert!(lines_up_to(&mut r, "END").len() <= 4);
    assert_eq!(sessions_open(&daemon), 1);
    r.send_bytes(b"version\r\nquit\r\n");
    assert!(String::from_utf8_lossy(&r.rest()).starts_with("VERSION "), "memcached ends it, after what it owes");
    daemon.stop();
}

#[test]
fn an_unknown_command_is_answered_by_memcached_itself() {
    let (_memcached, daemon) = behind_a_socket("");
    let mut r = requester(&daemon);
    converse(&mut r, &[("nonsense 5", "ERROR"), ("set a 0 0 1|x", "STORED"), ("get a", "VALUE a 0 1|x|END")]);
    daemon.stop();
}

#[test]
fn when_no_session_is_left_it_is_said_and_what_is_known_to_do_no_harm_goes_on() {
    let (memcached, daemon) = behind_a_socket("sessions=1");
    let (mut watcher, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(watcher.ask("watch mutations"), "OK\r\n");
    for command in ["watch", "lru_crawler metadump all", "stats cachedump 1 1"] {
        let answer = other.ask(command);
        assert!(answer.starts_with("SERVER_ERROR con_busy host \"cache\" "), "{command}: {answer}");
        converse(&mut other, &[("mn", "MN"), ("get a", "END")]);
    }
    // In its place, behind what is held back for a moment; and without a word where no reply is wanted.
    other.send("md missing q\r\nwatch\r\ntouch a noreply\r\nmd missing q\r\nmn");
    assert_eq!(other.reply(), "NF\r\n");
    assert!(other.reply().starts_with("SERVER_ERROR con_busy "));
    assert_eq!([other.reply(), other.reply()], ["NF\r\n", "MN\r\n"]);
    // Of an unknown command nobody knows whether the lines behind it are its value.
    other.send("store a 11\r\nflush_all 0\r\ndelete a noreply\r\nwatch");
    for _ in 0..3 {
        let answer = other.reply();
        assert!(answer.starts_with("SERVER_ERROR con_busy "), "{answer}");
    }
    assert_eq!(memcached.stat("cmd_flush"), 0);
    wait_until("it is served again", || (other.ask("mn") == "MN\r\n").then_some(()).or_else(pause));
    drop(watcher);
    wait_until("its session is free", || (sessions_open(&daemon) == 0).then_some(()));
    assert_eq!(other.ask("watch mutations"), "OK\r\n");
    daemon.stop();
}

/// Longer than tieline waits for one that must have read why it was turned away.
fn pause() -> Option<()> {
    thread::sleep(std::time::Duration::from_millis(1100));
    None
}

#[test]
fn what_was_sent_without_wanting_a_reply_is_executed_before_the_session() {
    let (memcached, daemon) = behind_a_socket("");
    let mut r = requester(&daemon);
    let sets: String = (0..300).map(|n| format!("set before:{n} 0 0 1 noreply\r\nx\r\n")).collect();
    let mut lines = Vec::new();
    r.send_bytes(format!("{sets}lru_crawler metadump all\r\n").as_bytes());
    lines.extend(lines_up_to(&mut r, "END"));
    assert_eq!(memcached.stat("cmd_set"), 300);
    assert_eq!(lines.iter().filter(|line| line.starts_with("key=before")).count(), 300);
    r.send("set within 0 0 1 noreply\r\nx\r\nget within");
    assert_eq!(r.reply(), "VALUE within 0 1\r\nx\r\nEND\r\n");
    daemon.stop();
}

#[test]
fn a_watcher_that_dies_leaves_no_connection_behind() {
    let (memcached, daemon) = behind_a_socket("");
    let mut other = requester(&daemon);
    converse(&mut other, &[("mn", "MN")]);
    let before = memcached.stat("curr_connections");
    let mut watchers: Vec<Requester> = (0..5).map(|_| requester(&daemon)).collect();
    watchers.iter_mut().for_each(|watcher| assert_eq!(watcher.ask("watch mutations fetchers"), "OK\r\n"));
    assert_eq!(memcached.stat("curr_connections"), before + 5);
    drop(watchers);
    wait_until("all are gone", || (memcached.stat("curr_connections") == before).then_some(()));
    assert_eq!(sessions_open(&daemon), 0);
    converse(&mut other, &[("mn", "MN")]);
    daemon.stop();
}

#[test]
fn one_that_shuts_down_its_sending_side_is_given_what_comes_and_is_closed_in_the_silence_after_it() {
    let (memcached, daemon) = behind_a_socket("");
    for number in 0..500 {
        memcached.ask(&format!("set key:{number} 0 0 1\r\nx"));
    }
    let mut r = requester(&daemon);
    r.send("lru_crawler metadump all");
    r.half_close();
    let text = String::from_utf8_lossy(&r.rest()).into_owned();
    assert_eq!((text.lines().count(), text.ends_with("END\r\n")), (501, true));
    wait_until("its connection is closed", || (sessions_open(&daemon) == 0).then_some(()));
    daemon.stop();
}

/// A host with a command that no memcached has: `put KEY LENGTH`, then a value that ends nowhere but there.
fn newer_host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || put(stream)))));
    address
}

fn put(mut stream: TcpStream) {
    let mut bytes = vec![0; b"put k 5000\r\n".len() + 5000];
    if stream.read_exact(&mut bytes).is_ok() {
        let right = bytes.ends_with(&value());
        stream.write_all(if right { b"PUT\r\n" } else { b"WRONG\r\n" }).ok();
    }
}

/// Bytes of which a memcached could make no line.
fn value() -> Vec<u8> {
    (0..5000u32).map(|at| b" \0\r\x80 set k\xff"[at as usize % 11]).collect()
}

#[test]
fn the_value_behind_an_unknown_command_passes_as_it_is() {
    let daemon = Daemon::start(&[&format!("cache {} memcache", newer_host())]);
    for pieces in [1, 3] {
        let mut r = daemon.requester("cache", Dialect::Memcache);
        let bytes = [b"put k 5000\r\n", &value()[..]].concat();
        bytes.chunks(bytes.len() / pieces + 1).for_each(|piece| r.send_bytes(piece));
        assert_eq!(r.reply(), "PUT\r\n");
    }
    daemon.stop();
}
