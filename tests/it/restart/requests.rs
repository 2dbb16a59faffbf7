//! Requests on their way into the daemon while the child is replaced: half sent, pipelined, in the backlog, over TCP.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::OneHost;
use crate::common::{LONG, Requester, tag, wait_until};

/// How often the child is replaced under a requester.
const REPLACEMENTS: u64 = 20;

#[test]
fn a_request_half_sent_before_a_replacement_is_answered_when_its_other_half_comes_after_it() {
    let mut stage = OneHost::new("");
    let mut requester = stage.requester();
    requester.send_bytes(b"<1> sent be");
    // The child has read it: it answers who came later.
    assert_is_reply(&stage.requester().ask("<2>"), "<2>");
    stage.replace();
    requester.send_bytes(b"fore\n<3> half");
    assert_is_reply(&requester.reply(), "<1>");
    stage.replace();
    stage.replace();
    requester.send_bytes(b"\n");
    assert_is_reply(&requester.reply(), "<3>");
    assert_eq!(stage.host.tags(), [2, 1, 3], "each arrived once");
    stage.daemon.stop();
}

#[test]
fn a_request_in_more_pieces_than_there_are_children_is_put_together() {
    let mut stage = OneHost::new("max_request=8MiB");
    let mut requester = stage.requester();
    let piece = "x".repeat(300_000);
    requester.send_bytes(b"<1> ");
    for _ in 0..REPLACEMENTS {
        requester.send_bytes(piece.as_bytes());
        stage.replace();
    }
    requester.send_bytes(b"\n");
    assert_is_reply(&requester.reply(), "<1>");
    assert_eq!(stage.host.tags(), [1]);
    stage.daemon.stop();
}

#[test]
fn a_requester_that_pipelines_gets_every_reply_once_and_in_order_whoever_serves() {
    let mut stage = OneHost::new("pipeline=64");
    let requester = stage.requester();
    let mut sending = requester.stream.try_clone().expect("a second handle");
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        let mut number = 0;
        while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            number += 1;
            sending.write_all(format!("{}\n", tag(number)).as_bytes()).expect("the requester stays connected");
        }
        sending.shutdown(std::net::Shutdown::Write).expect("it has sent all");
        number
    });
    let reader = thread::spawn(move || read_in_order(requester));
    (0..REPLACEMENTS).for_each(|_| stage.replace());
    drop(done);
    let sent = sender.join().expect("the sender was never closed");
    assert_eq!(reader.join().expect("every reply was right"), sent);
    println!("{sent} requests over {REPLACEMENTS} replacements");
    assert_eq!(stage.host.tags().len() as u64, sent, "each arrived once");
    stage.daemon.stop();
}

/// Reads replies to 1, 2, 3, … to the end.
fn read_in_order(mut requester: Requester) -> u64 {
    let mut number = 0;
    while let Some(reply) = requester.next_reply().expect("a reply or the end") {
        number += 1;
        assert_is_reply(&reply, &tag(number));
    }
    number
}

#[test]
fn requesters_over_tcp_are_handed_over_as_well() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let mut stage = OneHost::new(&format!("listen={address}"));
    let stream = TcpStream::connect(address).expect("the loopback listener accepts");
    stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
    let mut reader = BufReader::new(&stream);
    for number in 0..5 {
        (&stream).write_all(format!("{}\n", tag(number)).as_bytes()).expect("it stays connected");
        let mut reply = String::new();
        reader.read_line(&mut reply).expect("it answers");
        assert_is_reply(&reply, &tag(number));
        stage.replace();
    }
    stage.daemon.stop();
}

#[test]
fn a_requester_in_the_backlog_of_a_child_that_hangs_is_served_by_the_next_one() {
    let mut stage = OneHost::new("");
    let mut known = stage.requester();
    assert_is_reply(&known.ask("<1>"), "<1>");
    let hung = stage.child();
    hung.signal(Signal::SIGSTOP);
    let mut waiting = stage.requester();
    waiting.send("<2>");
    stage.replace();
    assert_is_reply(&waiting.reply(), "<2>");
    hung.signal(Signal::SIGCONT);
    assert_is_reply(&known.ask("<3>"), "<3>");
    wait_until("the old child is gone", || (!hung.is_alive()).then_some(()));
    assert_is_reply(&known.ask("<4>"), "<4>");
    stage.daemon.stop();
}

#[test]
fn a_thousand_idle_requesters_are_handed_over_and_none_is_closed() {
    let mut stage = OneHost::new("");
    let mut requesters: Vec<Requester> = (0..1000).map(|_| stage.requester()).collect();
    let ask_all = |requesters: &mut Vec<Requester>, round: u64| {
        for (requester, number) in requesters.iter_mut().zip(1000 * round..) {
            assert_is_reply(&requester.ask(&tag(number)), &tag(number));
        }
    };
    ask_all(&mut requesters, 0);
    for round in 1..=3 {
        stage.replace();
        ask_all(&mut requesters, round);
    }
    drop(requesters);
    let socket = stage.daemon.socket("far");
    assert_is_reply(&Requester::connect(&socket, Dialect::Line).ask("<9>"), "<9>");
    stage.daemon.stop();
}

#[test]
fn requesters_that_are_still_on_their_way_to_a_child_that_is_replaced_itself_are_passed_on() {
    let mut stage = OneHost::new("");
    let mut requesters: Vec<Requester> = (0..1000).map(|_| stage.requester()).collect();
    for (requester, number) in requesters.iter_mut().zip(0..) {
        assert_is_reply(&requester.ask(&tag(number)), &tag(number));
    }
    for round in 1..=10 {
        for _ in 0..3 {
            stage.change();
            stage.daemon.restart();
        }
        for (requester, number) in requesters.iter_mut().zip(1000 * round..) {
            assert_is_reply(&requester.ask(&tag(number)), &tag(number));
        }
    }
    stage.daemon.stop();
}

#[test]
fn what_a_child_that_has_gone_handed_to_one_that_hangs_is_passed_on_to_the_next() {
    let mut stage = OneHost::new("");
    let mut requesters: Vec<Requester> = (0..200).map(|_| stage.requester()).collect();
    let ask_all = |requesters: &mut Vec<Requester>, round: u64| {
        for (requester, number) in requesters.iter_mut().zip(1000 * round..) {
            assert_is_reply(&requester.ask(&tag(number)), &tag(number));
        }
    };
    ask_all(&mut requesters, 0);
    let first = stage.child();
    first.signal(Signal::SIGSTOP);
    stage.replace();
    let second = stage.child();
    second.signal(Signal::SIGSTOP);
    first.signal(Signal::SIGCONT);
    wait_until("the first child has handed over and gone", || (!first.is_alive()).then_some(()));
    stage.replace();
    second.signal(Signal::SIGCONT);
    ask_all(&mut requesters, 1);
    wait_until("the second child is gone", || (!second.is_alive()).then_some(()));
    ask_all(&mut requesters, 2);
    stage.daemon.stop();
}
