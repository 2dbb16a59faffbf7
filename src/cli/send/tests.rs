//! The exchange against a daemon that a test plays.

use std::io::{Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::thread;

use super::*;
use crate::config::Address;
use crate::dialect::Dialect;

fn host(dialect: Dialect) -> HostSettings {
    HostSettings::with_defaults("x", Address::Tcp { host: "h".into(), port: 1 }, dialect)
}

fn input(host: &HostSettings, text: &[u8]) -> Source {
    let (read, mut write) = pipe().unwrap();
    let text = text.to_vec();
    thread::spawn(move || write.write_all(&text));
    Source::Input(File::from(OwnedFd::from(read)), Intake::new(host.dialect, host.max_request))
}

/// Runs an exchange with `daemon`: verdict, standard output, standard error.
fn exchanged(
    host: &HostSettings,
    source: Source,
    daemon: impl FnOnce(UnixStream) + Send + 'static,
) -> (Verdict, String, String) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let daemon = thread::spawn(move || daemon(theirs));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let sinks = Sinks { out: &mut out, err: &mut err, to_terminal: false };
    let verdict = Exchange::new(host, ours, source, sinks).and_then(Exchange::run).unwrap();
    daemon.join().unwrap();
    (verdict, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// Reads so many lines, one byte at a time.
fn lines(stream: &mut UnixStream, count: usize) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while text.matches('\n').count() < count && stream.read(&mut byte).unwrap() > 0 {
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn words_are_sent_and_the_reply_is_printed() {
    let host = host(Dialect::Line);
    let (verdict, out, err) = exchanged(&host, Source::Words(b"hello\n".to_vec()), |mut daemon| {
        assert_eq!(lines(&mut daemon, 1), "hello\n");
        daemon.write_all(b"hello yourself\n").unwrap();
    });
    assert_eq!((verdict, out.as_str(), err.as_str()), (Verdict::Answered, "hello yourself\n", ""));
}

#[test]
fn a_daemon_that_reads_nothing_before_its_replies_are_read_is_no_deadlock() {
    // Requests and replies of several MiB: no buffer between the two holds them.
    let (host, count) = (host(Dialect::Line), 40_000);
    let (line, reply) = (format!("{}\n", "q".repeat(200)), format!("{}\n", "a".repeat(200)));
    let (text, expected) = (line.repeat(count), reply.repeat(count));
    let (verdict, out, err) = exchanged(&host, input(&host, text.as_bytes()), move |mut daemon| {
        let mut request = vec![0; line.len()];
        for _ in 0..count {
            daemon.read_exact(&mut request).unwrap();
            daemon.write_all(reply.as_bytes()).unwrap();
        }
    });
    assert_eq!((verdict, err.as_str(), out == expected), (Verdict::Answered, "", true));
}

#[test]
fn no_more_than_a_window_is_owed_at_once() {
    let host = HostSettings { window: 3, ..host(Dialect::Line) };
    let (verdict, out, _) = exchanged(&host, input(&host, b"1\n2\n3\n4\n5\n"), |mut daemon| {
        assert_eq!(lines(&mut daemon, 3), "1\n2\n3\n");
        daemon.set_nonblocking(true).unwrap();
        assert_eq!(daemon.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        daemon.set_nonblocking(false).unwrap();
        daemon.write_all(b"a\nb\n").unwrap();
        assert_eq!(lines(&mut daemon, 2), "4\n5\n");
        daemon.write_all(b"c\nd\ne\n").unwrap();
    });
    assert_eq!((verdict, out.as_str()), (Verdict::Answered, "a\nb\nc\nd\ne\n"));
}

#[test]
fn a_failure_names_its_line_and_the_others_are_printed() {
    let host = host(Dialect::Line);
    let (verdict, out, err) = exchanged(&host, input(&host, b"1\n2\n3\n"), |mut daemon| {
        lines(&mut daemon, 3);
        daemon.write_all(b"a\ncon_lost\nc\n").unwrap();
    });
    assert_eq!((verdict, out.as_str()), (Verdict::TryAgain, "a\nc\n"));
    assert!(err.starts_with("tieline: line 2: con_lost: no connection to host \"x\""), "{err}");
}

#[test]
fn a_line_that_is_no_command_is_refused_and_the_others_are_sent() {
    let host = host(Dialect::Resp);
    let (verdict, out, err) = exchanged(&host, input(&host, b"PING\nGET 'x\nPING\n"), |mut daemon| {
        assert_eq!(lines(&mut daemon, 6), "*1\r\n$4\r\nPING\r\n".repeat(2));
        daemon.write_all(b"+PONG\r\n+PONG\r\n").unwrap();
    });
    assert_eq!((verdict, out.as_str()), (Verdict::Refused, "PONG\nPONG\n"));
    assert_eq!(err, "tieline: line 2: unbalanced quotes in request\n");
}

#[test]
fn a_daemon_that_closes_owing_replies_leaves_them_unknown() {
    let host = host(Dialect::Line);
    let (verdict, out, err) = exchanged(&host, input(&host, b"1\n2\n3\n"), |mut daemon| {
        lines(&mut daemon, 3);
        daemon.write_all(b"a\n").unwrap();
    });
    assert_eq!((verdict, out.as_str()), (Verdict::Unknown, "a\n"));
    let told =
        "tieline: line 2: the daemon has closed the socket; 2 requests to x have no reply and may have been executed\n";
    assert_eq!(err, told);
}

#[test]
fn what_stands_behind_a_refusal_was_not_sent() {
    let host = host(Dialect::Line);
    let (verdict, _, err) = exchanged(&host, input(&host, b"1\n2\n3\n"), |mut daemon| {
        lines(&mut daemon, 3);
        daemon.write_all(b"con_refused\n").unwrap();
    });
    assert_eq!(verdict, Verdict::Refused);
    assert!(err.contains("line 1: con_refused") && err.contains("what stood behind was not sent"), "{err}");
}

#[test]
fn a_refusal_that_others_were_answered_after_does_not_excuse_a_later_end() {
    let host = host(Dialect::Resp);
    let (verdict, _, err) = exchanged(&host, input(&host, b"MULTI\nPING\nINCR x\n"), |mut daemon| {
        lines(&mut daemon, 11);
        daemon.write_all(b"-CONREFUSED MULTI needs a connection\r\n+PONG\r\n").unwrap();
    });
    assert_eq!(verdict, Verdict::Unknown);
    assert!(err.contains("line 3: the daemon has closed the socket; a request to x has no reply and may"), "{err}");
}

#[test]
fn a_daemon_that_goes_while_nothing_is_owed_leaves_the_rest_for_later() {
    let host = host(Dialect::Line);
    for (rest, expected, told) in [
        (
            &b"2\n3\n"[..],
            Verdict::TryAgain,
            "tieline: line 2: the daemon has closed the socket; from here on nothing was sent",
        ),
        (b"", Verdict::Answered, ""),
    ] {
        let (read, mut write) = pipe().unwrap();
        write.write_all(b"1\n").unwrap();
        let source = Source::Input(File::from(OwnedFd::from(read)), Intake::new(host.dialect, host.max_request));
        let (verdict, out, err) = exchanged(&host, source, move |mut daemon| {
            lines(&mut daemon, 1);
            daemon.write_all(b"a\n").unwrap();
            daemon.shutdown(Shutdown::Both).unwrap();
            write.write_all(rest).unwrap();
        });
        assert_eq!((verdict, out.as_str()), (expected, "a\n"));
        assert!(err.starts_with(told) && err.is_empty() == told.is_empty(), "{err}");
    }
}

#[test]
fn a_daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let host = host(Dialect::Line);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let sinks = Sinks { out: &mut out, err: &mut err, to_terminal: false };
    let mut exchange = Exchange::new(&host, ours, Source::Words(b"x\n".to_vec()), sinks).unwrap();
    exchange.patience = std::time::Duration::from_millis(50);
    assert_eq!(exchange.run().unwrap(), Verdict::Unknown);
    drop(theirs);
    assert!(String::from_utf8(err).unwrap().contains("lets nothing be heard"));
}

#[test]
fn an_unknown_host_is_told_with_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tieline.toml");
    std::fs::write(&file, "[daemon]\nrun_dir = 'run'\nspool_dir = 'spool'\n").unwrap();
    std::fs::write(dir.path().join("hosts.tab"), "a h:1 line\nb h:2 resp\n").unwrap();
    let told = |name: &str| {
        let error = send(Some(&file), name, false, &["x".into()]).unwrap_err();
        (error.exit_code(), error.to_string())
    };
    assert_eq!(told("c"), (64, "no host is called c; there are: a, b".to_owned()));
    let (code, text) = told("a");
    assert_eq!(code, 69);
    assert!(text.starts_with("no daemon answers at ") && text.contains("`tieline run --config "), "{text}");
}
