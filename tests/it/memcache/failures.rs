//! What is refused, and what breaks.

use std::io::Write;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::{converse, memcached_behind_a_socket, requester};
use crate::common::{Daemon, Memcached, Relay, Requester};

fn last_words(r: &mut Requester) -> String {
    String::from_utf8_lossy(&r.rest()).into_owned()
}

#[test]
fn the_binary_protocol_is_refused_with_a_clear_word() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    r.send_bytes(b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let words = last_words(&mut r);
    assert!(words.starts_with("CLIENT_ERROR con_refused ") && words.contains("binary protocol"), "{words}");
    daemon.stop();
}

#[test]
fn what_could_smuggle_commands_into_memcached_is_refused_and_its_requester_closed() {
    let (memcached, daemon) = memcached_behind_a_socket();
    let long = "k".repeat(251);
    for request in [
        format!("set {long} 0 0 9\r\nflush_all\r\n"),
        "set k 0 0 9 x\r\nflush_all\r\n".to_owned(),
        "set k 0 0\r\nflush_all\r\n".to_owned(),
        "set k 0 0 3\r\nflush_all\r\n".to_owned(),
        " set k 0 0 9\r\nflush_all\r\n".to_owned(),
        "ms k S9\r\nflush_all\r\n".to_owned(),
        "set k 0 99999999999 9\r\nflush_all\r\n".to_owned(),
    ] {
        let mut r = requester(&daemon);
        r.send_bytes(b"set before 0 0 1 noreply\r\nx\r\n");
        r.send_bytes(request.as_bytes());
        let words = last_words(&mut r);
        assert!(words.starts_with("CLIENT_ERROR con_refused ") && words.matches('\n').count() == 1, "{words}");
    }
    assert_eq!((memcached.stat("cmd_flush"), memcached.stat("cmd_set")), (0, 7));
    daemon.stop();
}

#[test]
fn quit_closes_its_requester_after_all_it_is_owed() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    r.send_bytes(b"set a 0 0 1\r\nx\r\nget a\r\nquit\r\nget a\r\n");
    assert_eq!(last_words(&mut r), "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    daemon.stop();
}

#[test]
fn a_value_that_breaks_off_closes_its_requester_or_is_unknown_and_harms_nobody_else() {
    let memcached = Memcached::start();
    let relay = Relay::to(memcached.address());
    let daemon = Daemon::start(&[&format!("cache {} memcache connections=1", relay.address())]);
    let mut r = requester(&daemon);
    let value = "x".repeat(200_000);
    assert_eq!(r.ask(&format!("set big 0 0 {}\r\n{value}", value.len())), "STORED\r\n");
    let small = "y".repeat(20_000);
    assert_eq!(r.ask(&format!("set small 0 0 {}\r\n{small}", small.len())), "STORED\r\n");
    relay.cut_after(10_000);
    relay.cut();
    let mut other = requester(&daemon);
    let unknown = other.ask("get small");
    assert!(unknown.starts_with("SERVER_ERROR con_unknown "), "{unknown}");
    relay.cut_after(100_000);
    r.send("get big");
    let half = r.rest();
    assert!(half.len() < value.len() && half.starts_with(b"VALUE big 0 200000\r\n"), "{} bytes", half.len());
    relay.cut_after(usize::MAX);
    assert!(other.ask("get big") == format!("VALUE big 0 {}\r\n{value}\r\nEND\r\n", value.len()));
    daemon.stop();
}

#[test]
fn a_requester_that_dies_within_a_value_leaves_no_trace() {
    let (memcached, daemon) = memcached_behind_a_socket();
    let mut other = requester(&daemon);
    for length in [1000, 300_000] {
        let mut r = requester(&daemon);
        r.send_bytes(format!("set whole 0 0 1\r\nx\r\nset half 0 0 {length}\r\n").as_bytes());
        r.stream.write_all(&vec![b'x'; length / 2]).expect("half of it");
        assert_eq!(r.reply(), "STORED\r\n");
        drop(r);
        converse(&mut other, &[("get half", "END"), ("get whole", "VALUE whole 0 1|x|END")]);
        let mut r = requester(&daemon);
        r.send_bytes(format!("set big 0 0 {length}\r\n").as_bytes());
        r.send_bytes(&[vec![b'x'; length], b"\r\nget big\r\n".to_vec()].concat());
        r.wait_for_reply(crate::common::LONG);
        drop(r);
        converse(&mut other, &[("mg big s", &format!("HD s{length}"))]);
    }
    assert_eq!(memcached.stat("cmd_set"), 4);
    daemon.stop();
}

#[test]
fn a_memcached_that_pauses_beyond_the_deadline_mixes_up_nothing_when_it_goes_on() {
    let memcached = Memcached::start();
    let line = format!("cache {} memcache connections=1 timeout=500ms", memcached.address());
    let daemon = Daemon::start(&[&line]);
    let mut r = requester(&daemon);
    converse(&mut r, &[("set a 0 0 1|a", "STORED"), ("set b 0 0 1|b", "STORED")]);
    memcached.signal(Signal::SIGSTOP);
    r.send("get a\r\nset a 0 0 1 noreply\r\nc\r\nget a\r\nms a 1 q\r\nd\r\nmg a v q");
    for _ in 0..3 {
        let reply = r.reply();
        assert!(reply.starts_with("SERVER_ERROR con_unknown "), "{reply}");
    }
    memcached.signal(Signal::SIGCONT);
    let mut other = daemon.requester("cache", Dialect::Memcache);
    converse(&mut other, &[("get b", "VALUE b 0 1|b|END"), ("get a", "VALUE a 0 1|d|END")]);
    converse(&mut r, &[("get b", "VALUE b 0 1|b|END")]);
    daemon.stop();
}
