//! `tieline send`: requests from the command line and from standard input, and what its exit code says.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Redis, Requester, tag, wait_until};

/// `tieline send WORDS…`; `--config` stands before it, for what stands behind is the request.
fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    command.arg("--config").arg(place.path("tieline.toml")).arg("send").args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with `input` as its standard input.
fn send_input(place: &Place, words: &[&str], input: &[u8]) -> Output {
    let mut process = command(place, words).spawn().expect("the built binary can be run");
    let mut stdin = process.stdin.take().expect("its input is a pipe");
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = thread::spawn(move || stdin.write_all(&input).ok());
    let output = process.wait_with_output().expect("it ends");
    writer.join().expect("the input was written");
    output
}

/// What it printed, when all went well.
fn replies(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{}: {complaint}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Its exit code and its complaint, when it did not.
fn failure(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_line_is_sent_and_its_reply_printed_and_many_are_answered_in_order() {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = Daemon::start(&[&format!("far {} line pipeline=16", host.address())]);
    let place = daemon.place();
    assert_eq!(replies(&send_input(place, &["far", "<1>", "size=2"], b"")), "<1> xx <1>\n");

    // Ten windows of them, and the last line lacks its LF.
    let input = (0..10_000).map(tag).collect::<Vec<_>>().join("\n");
    let expected: String = (0..10_000).map(|n| format!("{0}  {0}\n", tag(n))).collect();
    assert!(replies(&send_input(place, &["far"], input.as_bytes())) == expected, "all are answered, in order");
    daemon.stop();
}

#[test]
fn a_len32_body_is_sent_and_printed_without_its_length() {
    let host = ChaosHost::start(Dialect::Len32);
    let daemon = Daemon::start(&[&format!("far {} len32", host.address())]);
    assert_eq!(replies(&send_input(daemon.place(), &["far", "<1>", "size=2"], b"")), "<1> xx <1>");
    assert_eq!(replies(&send_input(daemon.place(), &["far"], b"<2> size=1\n\n")), "<2> x <2>");
}

#[test]
fn redis_commands_are_sent_as_redis_cli_would_send_them() {
    let redis = Redis::start();
    let daemon = Daemon::start(&[&format!("cache {} resp", redis.address())]);
    let place = daemon.place();
    assert_eq!(replies(&send_input(place, &["cache", "SET", "a key", "-1"], b"")), "OK\n");
    assert_eq!(replies(&send_input(place, &["cache", "INCR 'a key'"], b"")), "0\n");
    let input = b"RPUSH list one \"t\\x77o\"\n\nLRANGE list 0 -1\nGET nothing\nNONSENSE\n";
    let printed = replies(&send_input(place, &["cache"], input));
    let (values, error) = printed.split_once("ERR ").expect("the error that Redis replies is a reply");
    assert_eq!(values, "2\none\ntwo\n\n");
    assert!(error.contains("unknown command"), "{error}");

    let transaction = b"PING\nMULTI\nINCR 'a key'\nGET nothing\nEXEC\nGET 'a key'\n";
    assert_eq!(replies(&send_input(place, &["cache"], transaction)), "PONG\nOK\nQUEUED\nQUEUED\n1\n\n1\n");
}

#[test]
fn a_reply_larger_than_any_buffer_is_printed_whole() {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    let printed = replies(&send_input(daemon.place(), &["far", "<1>", "size=5000000"], b""));
    assert_eq!(printed.len(), "<1>  <1>\n".len() + 5_000_000);
}

#[test]
fn a_deferred_request_is_stored_while_the_host_is_away() {
    let mut host = ChaosHost::start(Dialect::Line);
    host.command("refuse");
    let line = format!("far {} line deferred", host.address());
    let daemon = Daemon::start(&[&line, "near 127.0.0.1:1 line"]);
    assert_eq!(replies(&send_input(daemon.place(), &["far", "--deferred", "<1>"], b"")), "con_delayed:1\n");
    assert_eq!(replies(&send_input(daemon.place(), &["--deferred", "far"], b"<2>\n")), "con_delayed:2\n");
    let (code, complaint) = failure(&send_input(daemon.place(), &["near", "--deferred", "<3>"], b""));
    assert_eq!((code, complaint.contains("give it the option deferred")), (Some(64), true), "{complaint}");
}

#[test]
fn what_was_never_sent_ends_with_75_and_what_may_have_been_executed_with_74() {
    let mut host = ChaosHost::start(Dialect::Line);
    let options = "connections=1 queue=1 timeout=1s retries=2";
    let daemon = Daemon::start(&[&format!("far {} line {options}", host.address())]);
    let place = daemon.place();

    let (code, complaint) = failure(&send_input(place, &["far", "<1>", "cut"], b""));
    assert_eq!(code, Some(74));
    assert!(complaint.starts_with("tieline: con_unknown: ") && complaint.contains("may have been executed"));

    // A connection is open now. The first one is sent and never answered, the second one waits, and for the third there is no room.
    assert_eq!(replies(&send_input(place, &["far", "<9>"], b"")), "<9>  <9>\n");
    let output = send_input(place, &["far"], b"<2> hang\n<3>\n<4>\n");
    let (code, complaint) = failure(&output);
    assert_eq!((code, output.stdout.len()), (Some(74), 0), "{complaint}");
    for line in ["line 1: con_unknown: ", "line 2: con_timeout: ", "line 3: con_busy: "] {
        assert!(complaint.contains(line), "no {line} in {complaint}");
    }

    host.command("refuse");
    let lost = || {
        let (code, complaint) = failure(&send_input(place, &["far", "<5>"], b""));
        (complaint.contains("con_lost: no connection to host \"far\"")).then_some((code, complaint))
    };
    let (code, complaint) = wait_until("a request to a host that refuses is lost", lost);
    assert_eq!(code, Some(75));
    assert!(complaint.contains("nothing was sent, repeat at will"), "{complaint}");
    let received = host.received();
    assert_eq!([3, 4, 5].map(|n| received.get(&n)), [None; 3], "what was never sent was never received");
}

#[test]
fn a_request_that_is_none_is_refused_with_64() {
    let host = ChaosHost::start(Dialect::Line);
    // The smaller limit is noticed here, the larger one by the daemon.
    let [small, large] = [100, 100_000].map(|max| format!("far{max} {} line max_request={max}", host.address()));
    let daemon = Daemon::start(&[&small, &large]);
    let place = daemon.place();
    let input = [b"<1>\n", vec![b'x'; 1 << 20].as_slice()].concat();
    for (name, told) in [
        ("far100", "line 2: the request is larger than this host's max_request of 100 bytes"),
        ("far100000", "line 2: con_refused: the request has more than 100000 bytes"),
    ] {
        let output = send_input(place, &[name], &input);
        let (code, complaint) = failure(&output);
        assert_eq!((code, output.stdout.as_slice()), (Some(64), &b"<1>  <1>\n"[..]), "{complaint}");
        assert!(complaint.contains(told), "{complaint}");
    }
    let (code, complaint) = failure(&send_input(place, &["far100", "two\nlines"], b""));
    assert_eq!(code, Some(64));
    assert!(complaint.contains("line break"), "{complaint}");
}

#[test]
fn a_daemon_that_is_not_there_or_does_not_know_the_host_is_told_apart() {
    let host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&format!("far {} line", host.address())]);
    let (code, complaint) = failure(&send_input(&place, &["far", "<1>"], b""));
    assert_eq!(code, Some(69));
    assert!(complaint.contains("start it with `tieline run --config "), "{complaint}");
    let (code, complaint) = failure(&send_input(&place, &["fra", "<1>"], b""));
    assert_eq!(code, Some(64));
    assert_eq!(complaint, "tieline: no host is called fra; there are: far\n");

    let daemon = place.start();
    let table = format!("far {0} line\nnew {0} line\n", host.address());
    std::fs::write(place.path("hosts.tab"), table).expect("hosts.tab can be written");
    let (code, complaint) = failure(&send_input(&place, &["new", "<1>"], b""));
    assert_eq!(code, Some(69));
    assert!(complaint.contains("the daemon serves no host new"), "{complaint}");
    daemon.stop();
}

#[test]
fn a_child_that_dies_leaves_what_it_owed_unknown() {
    let host = ChaosHost::start(Dialect::Line);
    let mut daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    let sending = command(daemon.place(), &["far", "<1>", "hang"]).spawn().expect("the built binary can be run");
    wait_until("the request has reached the host", || host.received().get(&1).copied());
    daemon.child("far").signal(Signal::SIGKILL);
    let (code, complaint) = failure(&sending.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(74));
    assert!(complaint.contains("the daemon has closed the socket"), "{complaint}");
    let mut requester = Requester::connect(&daemon.socket("far"), Dialect::Line);
    assert!(requester.ask("<2>").contains("<2>"), "the next child serves");
}
