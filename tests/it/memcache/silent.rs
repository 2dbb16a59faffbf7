//! Commands without a reply.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::{converse, memcached_behind_a_socket, requester};
use crate::common::{Memcached, Place, wait_until};

#[test]
fn ten_thousand_noreply_sets_are_all_there_for_the_gets_behind_them() {
    let (memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    let count = 10_000;
    let start = std::time::Instant::now();
    let sets: String = (0..count).map(|n| format!("set key:{n} 0 0 8 noreply\r\n{n:08}\r\n")).collect();
    let gets: String = (0..count).map(|n| format!("get key:{n}\r\n")).collect();
    std::thread::scope(|scope| {
        let mut stream = r.stream.try_clone().expect("a second handle");
        scope.spawn(move || stream.write_all(format!("{sets}{gets}").as_bytes()).expect("all is sent"));
        for n in 0..count {
            assert_eq!(r.reply(), format!("VALUE key:{n} 0 8\r\n{n:08}\r\nEND\r\n"));
        }
    });
    println!("{count} noreply sets and as many gets took {:?}", start.elapsed());
    assert_eq!(memcached.stat("cmd_set"), count);
    let runs = memcached.stat("cmd_meta");
    assert_eq!(runs, 0);
    daemon.stop();
}

#[test]
fn every_command_may_be_silent_and_its_errors_disturb_nobody() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    converse(
        &mut r,
        &[
            ("set a 0 0 1 noreply|1", ""),
            ("incr a 5 noreply", ""),
            ("append a 0 0 1 noreply|0", ""),
            ("get a", "VALUE a 0 2|60|END"),
            ("add a 0 0 1 noreply|x", ""),
            ("incr missing 1 noreply", ""),
            ("incr a x noreply", ""),
            ("delete missing noreply", ""),
            ("touch a 0 noreply", ""),
            ("verbosity 0 noreply", ""),
            ("decr a 10 noreply", ""),
            ("get a", "VALUE a 0 2|50|END"),
            ("cas a 0 0 1 1 noreply|x", ""),
            ("delete noreply", "NOT_FOUND"),
            ("delete a 0 noreply", ""),
            ("get a noreply", "END"),
            ("flush_all noreply", ""),
            ("flush_all 0 noreply", ""),
            ("mn", "MN"),
        ],
    );
    let large = "x".repeat(3 << 20);
    r.send(&format!("set a 0 0 {} noreply\r\n{large}\r\nget a", large.len()));
    assert_eq!(r.reply(), "END\r\n");
    daemon.stop();
}

#[test]
fn a_requester_that_only_sends_and_leaves_is_executed() {
    let (memcached, daemon) = memcached_behind_a_socket();
    for (round, half) in [true, false].into_iter().enumerate() {
        // The first of them finds no connection: what it sent must wait for one although its requester is gone.
        let mut stream = UnixStream::connect(daemon.socket("cache")).expect("the socket is there");
        let sets: String = (0..100).map(|n| format!("set left:{round}:{n} 0 0 1 noreply\r\nx\r\n")).collect();
        stream.write_all(sets.as_bytes()).expect("it takes them");
        if half {
            stream.shutdown(std::net::Shutdown::Write).expect("the requester can shut down its side");
            assert_eq!(std::io::Read::read(&mut stream, &mut [0; 10]).expect("the end"), 0);
            assert_eq!(memcached.stat("cmd_set"), 100, "all is executed before it is closed");
        }
        drop(stream);
    }
    wait_until("what the second one left behind is executed", || (memcached.stat("cmd_set") == 200).then_some(()));
    wait_until("both are gone", || (daemon.host_status("cache")["requesters"] == 0).then_some(()));
    daemon.stop();
}

#[test]
fn what_a_requester_left_behind_waits_for_a_connection() {
    let memcached = Memcached::start();
    let place = Place::new(&[&format!("cache {} memcache start=demand", memcached.address())]);
    let daemon = place.start();
    let mut stream = UnixStream::connect(daemon.socket("cache")).expect("the socket is there");
    stream.write_all(b"set left 0 0 1 noreply\r\nx\r\n").expect("it takes it");
    drop(stream);
    wait_until("it is executed", || (memcached.stat("cmd_set") == 1).then_some(()));
    daemon.stop();
}

#[test]
fn what_is_silent_and_fails_is_counted_and_what_is_not_says_so() {
    let place = Place::new(&["cache 127.0.0.1:9 memcache retries=1"]);
    let daemon = place.start();
    let mut r = requester(&daemon);
    r.send("set a 0 0 1 noreply\r\nx\r\nget a\r\nms a 1 q\r\nx\r\nmn");
    for _ in 0..3 {
        let reply = r.reply();
        assert!(reply.starts_with("SERVER_ERROR con_lost host \"cache\" "), "{reply}");
    }
    assert_eq!(daemon.host_status("cache")["lost"], 4);
    daemon.stop();
}
