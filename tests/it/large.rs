//! Large values through a real Redis: byte for byte, whoever shares the connection and however slowly somebody reads.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use tieline::dialect::Dialect;

use crate::common::{Daemon, Redis, encode_command, wait_until};

/// Below and above what is held, read at once, or moved instead of copied.
const SIZES: [usize; 9] = [0, 3, 16_383, 16_385, 65_530, 65_536, 131_100, 1 << 20, (3 << 20) + 7];

/// A value that no other key has, with no two halves alike.
fn value(size: usize, salt: usize) -> String {
    (0..size).map(|at| char::from(b'!' + ((at / 89 + at % 89 + salt) % 89) as u8)).collect()
}

fn redis_over(connections: u32) -> (Redis, Daemon) {
    let redis = Redis::start();
    let daemon = Daemon::start(&[&format!("cache {} resp connections={connections}", redis.address())]);
    (redis, daemon)
}

/// Sends bytes and compares what comes back with what must come, taking `chunk` bytes at a time.
fn exchange(daemon: &Daemon, request: &[u8], reply: &[u8], chunk: usize) {
    let requester = daemon.requester("cache", Dialect::Resp);
    let (mut write, mut read) = (requester.stream.try_clone().expect("a second handle"), requester.stream);
    thread::scope(|scope| {
        scope.spawn(move || write.write_all(request).expect("it is taken"));
        let (mut got, mut buffer) = (Vec::new(), vec![0; chunk]);
        while got.len() < reply.len() {
            let count = read.read(&mut buffer).expect("it is answered");
            assert!(count > 0, "closed after {} of {} bytes", got.len(), reply.len());
            got.extend_from_slice(&buffer[..count]);
        }
        assert!(got == reply, "{} bytes came, not those that were to come", got.len());
    });
}

fn bulk(value: &str) -> String {
    format!("${}\r\n{value}\r\n", value.len())
}

#[test]
fn values_of_any_size_pass_byte_for_byte_over_a_shared_connection() {
    let (_redis, daemon) = redis_over(1);
    thread::scope(|scope| {
        for salt in 0..6 {
            let daemon = &daemon;
            scope.spawn(move || {
                for size in SIZES {
                    let (key, value) = (format!("key:{salt}:{size}"), value(size, salt));
                    let (set, get) = (encode_command(&["SET", &key, &value]), encode_command(&["GET", &key]));
                    // With a small one behind a large one and in front of it.
                    let all = [&set[..], &get, &encode_command(&["ECHO", "behind"]), &get].concat();
                    let replies = ["+OK\r\n", &bulk(&value), &bulk("behind"), &bulk(&value)].concat();
                    exchange(daemon, &all, replies.as_bytes(), 1 << (10 + salt));
                }
            });
        }
    });
    daemon.stop();
}

#[test]
fn who_reads_a_large_value_late_gets_all_of_it_and_holds_up_nobody() {
    let (_redis, daemon) = redis_over(2);
    let value = value(5 << 20, 9);
    exchange(&daemon, &encode_command(&["SET", "large", &value]), b"+OK\r\n", 100);
    let mut late = daemon.requester("cache", Dialect::Resp);
    late.send_bytes(&encode_command(&["GET", "large"]));
    wait_until("the value is on its way", || late.wait_for_reply(Duration::from_secs(1)).then_some(()));
    // It reads nothing of the rest, so that its connection is read no further; there is another one.
    let mut other = daemon.requester("cache", Dialect::Resp);
    other.send_bytes(&encode_command(&["ECHO", "hello"]));
    assert_eq!(other.reply(), bulk("hello"));
    assert!(late.reply() == bulk(&value), "not the value that was set");
    daemon.stop();
}
