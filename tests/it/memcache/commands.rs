//! Commands and their replies.

use super::{converse, memcached_behind_a_socket, requester};

#[test]
fn every_command_of_the_text_protocol_gets_its_reply() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    converse(
        &mut r,
        &[
            ("set a 5 0 5|hello", "STORED"),
            ("get a", "VALUE a 5 5|hello|END"),
            ("add a 0 0 1|x", "NOT_STORED"),
            ("replace b 0 0 1|x", "NOT_STORED"),
            ("append a 0 0 2|ab", "STORED"),
            ("prepend a 0 0 2|yz", "STORED"),
            ("get a b a", "VALUE a 5 9|yzhelloab|VALUE a 5 9|yzhelloab|END"),
            ("gat 100 a", "VALUE a 5 9|yzhelloab|END"),
            ("touch a 0", "TOUCHED"),
            ("touch b 0", "NOT_FOUND"),
            ("set n 0 0 1|9", "STORED"),
            ("incr n 3", "12"),
            ("decr n 20", "0"),
            ("incr a 1", "CLIENT_ERROR cannot increment or decrement non-numeric value"),
            ("delete n", "DELETED"),
            ("delete n", "NOT_FOUND"),
            ("incr n 1", "NOT_FOUND"),
            ("set empty 0 0 0|", "STORED"),
            ("get empty", "VALUE empty 0 0||END"),
            ("verbosity 0", "OK"),
            ("cache_memlimit 256", "OK"),
            ("slabs automove 0", "OK"),
            ("lru_crawler tocrawl 0", "OK"),
            ("stats reset", "RESET"),
            ("flush_all", "OK"),
            ("get a", "END"),
            ("", "ERROR"),
            ("incr", "ERROR"),
        ],
    );
    assert!(r.ask("version").starts_with("VERSION 1."));
    let stats = r.ask("stats");
    assert!(stats.starts_with("STAT pid ") && stats.ends_with("END\r\n"), "{stats}");
    assert!(r.ask("stats settings").contains("STAT item_size_max 2097152\r\n"));
    daemon.stop();
}

#[test]
fn compare_and_swap_takes_the_value_that_gets_has_told() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    converse(&mut r, &[("set a 0 0 1|x", "STORED")]);
    let told = r.ask("gets a");
    let cas = told.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a number").to_owned();
    converse(
        &mut r,
        &[
            (&format!("cas a 0 0 1 {cas}|y"), "STORED"),
            (&format!("cas a 0 0 1 {cas}|z"), "EXISTS"),
            (&format!("cas b 0 0 1 {cas}|z"), "NOT_FOUND"),
            ("get a", "VALUE a 0 1|y|END"),
        ],
    );
    daemon.stop();
}

#[test]
fn meta_commands_get_their_flags_back() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    converse(
        &mut r,
        &[
            ("ms a 2 T0 F7|hi", "HD"),
            ("mg a v f k O123 s", "VA 2 f7 ka O123 s2|hi"),
            ("mg a t", "HD t-1"),
            ("mg b v", "EN"),
            ("ma n", "NF"),
            ("ma n N0 J5 v", "VA 1|5"),
            ("ma n D3 v q", ""),
            ("mn", "MN"),
            ("mg n v", "VA 1|8"),
        ],
    );
    converse(&mut r, &[("md b", "NF"), ("md a O9 k", "HD O9 ka"), ("mg a v", "EN"), ("mn", "MN")]);
    assert!(r.ask("me n").starts_with("ME n exp="));
    daemon.stop();
}

#[test]
fn quiet_commands_say_only_what_is_to_be_said_up_to_mn() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    r.send("ms a 1 q\r\nx\r\nms b 1 q\r\ny\r\nmg a v k q\r\nmg missing v k q\r\nmg b v k q\r\nmd missing q\r\nmn");
    for expected in ["VA 1 ka\r\nx\r\n", "VA 1 kb\r\ny\r\n", "NF\r\n", "MN\r\n"] {
        assert_eq!(r.reply(), expected);
    }
    let pairs = 5000;
    let ask: String = (0..pairs).map(|n| format!("ms q{n} 5 q\r\n{n:05}\r\n")).collect();
    r.send_bytes(ask.as_bytes());
    let ask: String = (0..2 * pairs).map(|n| format!("mg q{n} v k q\r\n")).collect();
    r.send(&format!("{ask}mn"));
    for n in 0..pairs {
        assert_eq!(r.reply(), format!("VA 5 kq{n}\r\n{n:05}\r\n"));
    }
    assert_eq!(r.reply(), "MN\r\n");
    daemon.stop();
}

#[test]
fn values_of_a_megabyte_pass_intact_and_too_large_ones_are_refused_by_memcached() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut r = requester(daemon);
                let value = format!("<{number}>{}<{number}>", "END\r\n".repeat((1 << 20) / 5));
                for _ in 0..3 {
                    let stored = r.ask(&format!("set big{number} 0 0 {}\r\n{value}", value.len()));
                    assert_eq!(stored, "STORED\r\n");
                    r.send(&format!("get big{number} big{number}\r\nmg big{number} v"));
                    let one = format!("VALUE big{number} 0 {}\r\n{value}\r\n", value.len());
                    assert!(r.reply() == format!("{one}{one}END\r\n"), "requester {number} got other bytes");
                    assert!(r.reply() == format!("VA {}\r\n{value}\r\n", value.len()));
                }
                let large = "x".repeat(3 << 20);
                r.send(&format!("set large 0 0 {}\r\n{large}\r\nversion", large.len()));
                assert_eq!(r.reply(), "SERVER_ERROR object too large for cache\r\n");
                assert!(r.reply().starts_with("VERSION "));
            });
        }
    });
    daemon.stop();
}

#[test]
fn a_get_of_thousands_of_keys_is_one_request() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let mut r = requester(&daemon);
    let sets: String = (0..2000).map(|n| format!("set key:{n} 0 0 4 noreply\r\n{n:04}\r\n")).collect();
    let keys: String = (0..2000).map(|n| format!(" key:{n}")).collect();
    r.send(&format!("{sets}gets{keys}"));
    let reply = r.reply();
    assert_eq!(reply.matches("VALUE key:").count(), 2000);
    assert!(reply.contains("VALUE key:1999 0 4 ") && reply.ends_with("\r\n1999\r\nEND\r\n"));
    daemon.stop();
}
