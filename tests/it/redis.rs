//! A real Redis behind a socket: the tools of Redis run clean, the pool stays bounded. Sessions have tests of their own.

use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{Daemon, Machine, Redis, Requester, encode_command, run};

const CONNECTIONS: usize = 4;

fn redis_behind_a_socket() -> (Redis, Daemon) {
    let redis = Redis::start();
    let line = format!("cache {} resp connections={CONNECTIONS}", redis.address());
    let daemon = Daemon::start(&[&line]);
    (redis, daemon)
}

/// Runs `work`, looking at Redis all the time; returns the most connections it ever had.
fn watching_connections(redis: &Redis, work: impl FnOnce()) -> usize {
    let (done, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut requester = redis.requester();
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(redis.connections(&mut requester), Ordering::Relaxed);
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
    most.into_inner()
}

fn assert_clean(output: &Output) -> String {
    let (out, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out} {complaints}", output.status);
    for word in ["error", "warning", "con_", "conlost", "conbusy", "conrefused", "contimeout"] {
        let said = format!("{out}{complaints}").to_lowercase();
        assert!(!said.contains(word), "{word}: {out} {complaints}");
    }
    out.into_owned()
}

/// `redis-benchmark --csv`: a line per test, `"NAME","requests per second",…`.
fn benchmark(daemon: &Daemon, words: &[&str]) {
    let socket = daemon.socket("cache");
    let socket = socket.to_str().expect("a path of text");
    let fixed = ["-s", socket, "-t", "get,set,incr,lpush", "--csv"];
    let out = assert_clean(&run("redis-benchmark", &[&fixed, words].concat()));
    let rates: Vec<(&str, f64)> = out.lines().filter_map(rate).collect();
    for name in ["GET", "SET", "INCR", "LPUSH"] {
        let found = rates.iter().any(|(test, rate)| *test == name && *rate > 0.0);
        assert!(found, "no rate of {name} in {out}");
    }
    println!("redis-benchmark {words:?}: {rates:?}");
}

fn rate(line: &str) -> Option<(&str, f64)> {
    let mut fields = line.split(',').map(|field| field.trim_matches('"'));
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

#[test]
fn redis_benchmark_runs_clean_and_the_pool_never_grows_beyond_its_bound() {
    let _machine = Machine::alone();
    let (redis, daemon) = redis_behind_a_socket();
    let most = watching_connections(&redis, || {
        benchmark(&daemon, &["-n", "40000", "-c", "50"]);
        benchmark(&daemon, &["-n", "100000", "-c", "50", "-P", "16"]);
        benchmark(&daemon, &["-n", "40000", "-c", "500"]);
        benchmark(&daemon, &["-n", "40000", "-c", "500", "-P", "16", "-d", "1000"]);
    });
    assert!((1..=CONNECTIONS).contains(&most), "Redis has seen {most} connections at once");
    let status = daemon.host_status("cache");
    assert_eq!(status["state"], "up");
    for outcome in ["lost", "timeout", "unknown", "busy", "refused"] {
        assert_eq!(status[outcome], 0, "{outcome} in {status}");
    }
    daemon.stop();
}

#[test]
fn redis_cli_reads_what_it_has_written() {
    let (_redis, daemon) = redis_behind_a_socket();
    let socket = daemon.socket("cache");
    let socket = socket.to_str().expect("a path of text");
    let cli = |words: &[&str]| assert_clean(&run("redis-cli", &[&["-s", socket], words].concat()));
    assert_eq!(cli(&["SET", "greeting", "good morning"]), "OK\n");
    assert_eq!(cli(&["GET", "greeting"]), "good morning\n");
    assert_eq!(cli(&["RPUSH", "list", "a", "b"]), "2\n");
    assert_eq!(cli(&["LRANGE", "list", "0", "-1"]), "a\nb\n");
    daemon.stop();
}

fn command(requester: &mut Requester, words: &[&str]) -> String {
    requester.send_bytes(&encode_command(words));
    requester.reply()
}

#[test]
fn inline_commands_are_understood_and_what_redis_would_hang_up_on_never_reaches_it() {
    let (redis, daemon) = redis_behind_a_socket();
    let mut requester = daemon.requester("cache", Dialect::Resp);
    requester.send_bytes(b"\r\nset key \"two words\"\r\n  \r\nget key\r\n");
    assert_eq!(requester.reply(), "+OK\r\n");
    assert_eq!(requester.reply(), "$9\r\ntwo words\r\n");
    requester.send_bytes(b"set key \"unbalanced\r\n");
    let answer = String::from_utf8_lossy(&requester.rest()).into_owned();
    assert!(answer.starts_with("-CONREFUSED"), "{answer}");
    let mut other = daemon.requester("cache", Dialect::Resp);
    assert_eq!(command(&mut other, &["PING"]), "+PONG\r\n");
    assert_eq!(redis.connections(&mut redis.requester()), 1, "the connection has survived");
    daemon.stop();
}

/// Writes and reads a value of two megabytes that begins and ends with the requester's number.
fn exchange_large_value(daemon: &Daemon, number: usize) {
    let mut requester = daemon.requester("cache", Dialect::Resp);
    let (key, letter) = (format!("large:{number}"), char::from(b'a' + number as u8));
    let value = format!("{number}{}{number}", letter.to_string().repeat(2 << 20));
    for _ in 0..5 {
        assert_eq!(command(&mut requester, &["SET", &key, &value]), "+OK\r\n");
        requester.send_bytes(&encode_command(&["GET", &key]).repeat(3));
        for _ in 0..3 {
            let reply = requester.reply();
            let intact = reply == format!("${}\r\n{value}\r\n", value.len());
            assert!(intact, "requester {number} got {} other bytes", reply.len());
        }
    }
}

#[test]
fn large_values_pass_intact_and_unmixed_between_requesters() {
    let (_redis, daemon) = redis_behind_a_socket();
    thread::scope(|scope| {
        for number in 0..6 {
            let daemon = &daemon;
            scope.spawn(move || exchange_large_value(daemon, number));
        }
    });
    daemon.stop();
}

/// Pipelines commands on keys of its own and checks every reply.
fn count_up(daemon: &Daemon, number: usize) {
    let mut requester = daemon.requester("cache", Dialect::Resp);
    let key = format!("counter:{number}");
    for round in 0..100 {
        for step in 0..10 {
            requester.send_bytes(&encode_command(&["INCR", &key]));
            requester.send_bytes(&encode_command(&["ECHO", &format!("{number}/{round}/{step}")]));
        }
        for step in 0..10 {
            assert_eq!(requester.reply(), format!(":{}\r\n", round * 10 + step + 1));
            let echo = requester.reply();
            assert!(echo.ends_with(&format!("\r\n{number}/{round}/{step}\r\n")), "{echo}");
        }
    }
}

#[test]
fn many_requesters_each_get_their_own_replies_in_order() {
    let (_redis, daemon) = redis_behind_a_socket();
    thread::scope(|scope| {
        for number in 0..40 {
            let daemon = &daemon;
            scope.spawn(move || count_up(daemon, number));
        }
    });
    daemon.stop();
}

#[test]
fn a_redis_that_pauses_beyond_the_deadline_mixes_up_nothing_when_it_goes_on() {
    let redis = Redis::start();
    let line = format!("cache {} resp connections=1 timeout=500ms", redis.address());
    let daemon = Daemon::start(&[&line]);
    let mut requester = daemon.requester("cache", Dialect::Resp);
    assert_eq!(command(&mut requester, &["ECHO", "before"]), "$6\r\nbefore\r\n");
    redis.signal(Signal::SIGSTOP);
    for word in ["one", "two", "three"] {
        requester.send_bytes(&encode_command(&["ECHO", word]));
    }
    for _ in 0..3 {
        let reply = requester.reply();
        assert!(reply.starts_with("-CONUNKNOWN "), "{reply}");
    }
    redis.signal(Signal::SIGCONT);
    let mut other = daemon.requester("cache", Dialect::Resp);
    assert_eq!(command(&mut other, &["ECHO", "other"]), "$5\r\nother\r\n");
    assert_eq!(command(&mut requester, &["ECHO", "after"]), "$5\r\nafter\r\n");
    daemon.stop();
}
