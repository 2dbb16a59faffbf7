//! Redis' own tools, with all that they do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::{ask, cache, requester};
use crate::common::{Daemon, Machine, run};

fn socket(daemon: &Daemon) -> String {
    daemon.socket("cache").to_str().expect("a path of text").to_owned()
}

/// `redis-cli` at work, without a terminal.
fn cli(daemon: &Daemon, words: &[&str]) -> Child {
    Command::new("redis-cli")
        .args(["-s", &socket(daemon)])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli is needed: ./test installs it")
}

#[test]
fn redis_cli_pipes_scans_and_looks_for_big_keys() {
    let (_redis, daemon) = cache("");
    let mut pipe = cli(&daemon, &["--pipe"]);
    let mut input = pipe.stdin.take().expect("its input");
    for number in 0..20_000 {
        write!(input, "SET key:{number} {number}\r\n").expect("it reads on");
    }
    drop(input);
    let output = pipe.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("errors: 0, replies: 20000"), "{text}");
    let run_cli = |words: &[&str]| {
        let output = run("redis-cli", &[&["-s", &socket(&daemon)], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run_cli(&["--scan", "--pattern", "key:1999*"]).lines().count(), 11);
    let big = run_cli(&["--bigkeys"]);
    assert!(big.contains("Sampled 20000 keys"), "{big}");
    assert_eq!(run_cli(&["-3", "HSET", "h", "f", "v"]), "1\n");
    assert_eq!(run_cli(&["-n", "4", "DBSIZE"]), "0\n");
    daemon.stop();
}

#[test]
fn redis_cli_monitors_and_subscribes() {
    let (_redis, daemon) = cache("");
    let mut other = requester(&daemon);
    let mut monitor = cli(&daemon, &["monitor"]);
    let mut lines = BufReader::new(monitor.stdout.take().expect("its output")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "OK");
    assert_eq!(ask(&mut other, "SET seen 1"), "+OK\r\n");
    assert!(lines.any(|line| line.expect("text").contains("\"SET\" \"seen\" \"1\"")));
    monitor.kill().and_then(|()| monitor.wait()).expect("it ends");
    let mut subscriber = cli(&daemon, &["subscribe", "news"]);
    let mut lines = BufReader::new(subscriber.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("text").ends_with('1')), "it has subscribed");
    assert_eq!(ask(&mut other, "PUBLISH news today"), ":1\r\n");
    assert!(lines.any(|line| line.expect("text") == "today"));
    subscriber.kill().and_then(|()| subscriber.wait()).expect("it ends");
    daemon.stop();
}

#[test]
fn redis_benchmark_runs_every_built_in_test() {
    let _machine = Machine::alone();
    let (_redis, daemon) = cache("");
    for words in [&["-n", "1000", "-q"][..], &["-n", "1000", "-q", "-P", "8"], &["-n", "1000", "-q", "-3"]] {
        let output = run("redis-benchmark", &[&["-s", socket(&daemon).as_str()], words].concat());
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
        assert!(output.status.success(), "{text} {output:?}");
        for test in ["PING_INLINE", "SET", "GET", "LPUSH", "SPOP", "ZADD", "LRANGE_600", "MSET (10 keys)"] {
            let found = text.lines().any(|line| line.starts_with(test) && line.contains("requests per second"));
            assert!(found, "no rate of {test} in {text}");
        }
        assert!(!text.to_lowercase().contains("error"), "{text}");
    }
    daemon.stop();
}
