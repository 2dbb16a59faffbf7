//! Requesters that send too much, too slowly, garbage, or leave too early.

use std::io::Write;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::{FRAME_KB, PATIENCE, UNREAD_KB, assert_memory, wait_until_given_back, warm};
use crate::common::{Bystander, ChaosHost, Machine, Requester, encode, tag, wait_until};

/// Sends requests from a thread, until all are sent or the requester is closed.
fn pour(requester: &Requester, count: u64, size: usize) -> thread::JoinHandle<()> {
    let mut stream = requester.stream.try_clone().expect("a second handle");
    stream.set_write_timeout(None).expect("no timeout");
    thread::spawn(move || {
        for n in 0..count {
            let request = encode(Dialect::Line, &format!("{} size={size}", tag(n)));
            if stream.write_all(&request).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_requester_that_pipelines_100_000_requests_and_reads_nothing_disturbs_nobody() {
    let _machine = Machine::alone();
    let (mut host, daemon, child, base) = warm(Dialect::Line, "connections=4 pipeline=64 timeout=60s");
    let greedy = daemon.requester("far", Dialect::Line);
    let pouring = pour(&greedy, 100_000, 1000);
    wait_until("its first requests are at the host", || host.received().get(&500).copied());
    let bystander = Bystander::start(daemon.socket("far"), Dialect::Line);
    let settled = wait_until_still(&host);
    assert_memory(child, base, UNREAD_KB);
    let median = bystander.finish();
    assert!(median < PATIENCE, "others waited {median:?}");
    assert!(settled < 50_000, "{settled} of its requests were carried although it reads nothing");
    println!("unread pipeline: {settled} carried, child {base} → {} kB, others {median:?}", child.private_kb());

    greedy.stream.shutdown(Shutdown::Both).expect("it leaves");
    pouring.join().expect("the pouring has ended");
    drop(greedy);
    wait_until_given_back(child, base);
    assert_eq!(host.command("connections").split(' ').next(), Some("ok"));
    daemon.stop();
}

/// Waits until the host receives no more of the tags below 100,000; returns how many it has.
fn wait_until_still(host: &ChaosHost) -> usize {
    let count = || host.received().keys().filter(|number| **number < 100_000).count();
    let mut last = (count(), Instant::now());
    wait_until("the requester is read no further", || {
        let now = count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(now)
    })
}

#[test]
fn a_requester_that_does_not_read_is_closed_alone_after_the_timeout() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "connections=4 pipeline=64 timeout=1s");
    let bystander = Bystander::start(daemon.socket("far"), Dialect::Line);
    let mut greedy = daemon.requester("far", Dialect::Line);
    let pouring = pour(&greedy, 100_000, 1000);
    pouring.join().expect("the pouring ends because the requester is closed");
    let got = greedy.rest().len();
    assert!(got < 64 << 20, "{got} bytes");
    assert!(bystander.finish() < PATIENCE);
    daemon.stop();
}

#[test]
fn replies_to_a_pipeline_that_is_read_late_are_complete_and_in_order() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "connections=4 pipeline=64");
    let mut late = daemon.requester("far", Dialect::Line);
    let pouring = pour(&late, 20_000, 500);
    for n in 0..20_000 {
        let reply = late.reply();
        assert!(reply.starts_with(&tag(n)) && reply.ends_with(&tag(n)), "{n}: {reply}");
    }
    pouring.join().expect("all was sent");
    daemon.stop();
}

/// Writes `bytes` again and again until the other side closes; returns what it had said.
fn pour_until_closed(requester: &mut Requester, bytes: &[u8]) -> String {
    let mut stream = requester.stream.try_clone().expect("a second handle");
    let bytes = bytes.to_vec();
    let pouring = thread::spawn(move || while stream.write_all(&bytes).is_ok() {});
    let said = String::from_utf8_lossy(&requester.rest()).into_owned();
    requester.stream.shutdown(Shutdown::Both).ok();
    pouring.join().expect("the pouring has ended");
    said
}

#[test]
fn a_request_without_end_is_refused() {
    for (dialect, begin) in [
        (Dialect::Line, &b""[..]),
        (Dialect::Len32, &[0x7f, 0xff, 0xff, 0xff]),
        (Dialect::Resp, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870911\r\n"),
        (Dialect::Resp, b"*1048576\r\n"),
        (Dialect::Resp, b"PING "),
    ] {
        let (_host, daemon, child, base) = warm(dialect, "max_request=1MiB");
        let bystander = Bystander::start(daemon.socket("far"), dialect);
        let mut endless = daemon.requester("far", dialect);
        endless.send_bytes(begin);
        let said = pour_until_closed(&mut endless, &[b'x'; 4096]);
        assert!(said.to_lowercase().replace('_', "").contains("conrefused"), "{dialect:?}: {said}");
        assert_memory(child, base, FRAME_KB);
        assert!(bystander.finish() < PATIENCE);
        drop(endless);
        wait_until_given_back(child, base);
        daemon.stop();
    }
}

#[test]
fn a_request_that_is_not_complete_within_the_timeout_is_refused() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "timeout=500ms");
    let mut dawdler = daemon.requester("far", Dialect::Line);
    let start = Instant::now();
    dawdler.send_bytes(b"<1> and then");
    assert_eq!(String::from_utf8_lossy(&dawdler.rest()), "con_refused\n");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(3), "{took:?}");
    daemon.stop();
}

#[test]
fn garbage_is_refused_and_the_others_are_served() {
    let (_host, daemon, child, base) = warm(Dialect::Resp, "");
    let bystander = Bystander::start(daemon.socket("far"), Dialect::Resp);
    for garbage in [
        &b"*1\r\n+PING\r\n"[..],
        b"*x\r\n",
        b"*-2\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$4\r\nPINGxx",
        b"*99999999999999999999\r\n",
        b"\"open\r\n",
        b"POST / HTTP/1.1\r\n",
    ] {
        let mut requester = daemon.requester("far", Dialect::Resp);
        requester.send_bytes(garbage);
        let said = String::from_utf8_lossy(&requester.rest()).into_owned();
        let shown = String::from_utf8_lossy(garbage);
        assert!(said.starts_with("-CONREFUSED "), "{shown:?} was answered {said:?}");
    }
    for seed in 0..50 {
        let mut requester = daemon.requester("far", Dialect::Resp);
        let mut random = fastrand::Rng::with_seed(seed);
        let noise: Vec<u8> = (0..2000).map(|_| random.u8(..)).collect();
        requester.stream.write_all(&noise).ok(); // it may be closed before all is written
        requester.stream.shutdown(Shutdown::Write).ok();
        requester.rest();
    }
    assert!(bystander.finish() < PATIENCE);
    assert!(child.is_alive());
    wait_until_given_back(child, base);
    daemon.stop();
}

#[test]
fn a_requester_that_has_closed_its_sending_side_is_still_answered() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "");
    let mut nc = Command::new("nc")
        .args(["-N", "-U"])
        .arg(daemon.socket("far"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nc is needed: run ./test, or `apt-get install netcat-openbsd`");
    let mut input = nc.stdin.take().expect("its input is a pipe");
    input.write_all(b"<1> after=200\n<2>\n").expect("nc takes the requests");
    drop(input);
    let output = nc.wait_with_output().expect("nc ends when the requester is closed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<1>  <1>\n<2>  <2>\n");
    daemon.stop();
}

#[test]
fn what_a_requester_left_behind_is_discarded_and_its_connection_goes_on() {
    let (mut host, daemon, _child, _) = warm(Dialect::Line, "connections=1");
    let mut hasty = daemon.requester("far", Dialect::Line);
    hasty.send("<1> after=300");
    wait_until("its request is at the host", || host.received().get(&1).copied());
    drop(hasty);
    assert!(daemon.requester("far", Dialect::Line).ask("<2>").contains("<2>"));
    assert_eq!(host.connections(), (1, 1), "the connection has survived");
    daemon.stop();
}

#[test]
fn beyond_the_queue_requests_are_answered_busy() {
    let (host, daemon, _child, _) = warm(Dialect::Line, "connections=1 queue=10");
    let mut first = daemon.requester("far", Dialect::Line);
    first.send("<1> after=500");
    wait_until("the first is at the host", || host.received().get(&1).copied());
    let mut others: Vec<Requester> = (2..32).map(|_| daemon.requester("far", Dialect::Line)).collect();
    for (n, other) in (2..).zip(&mut others) {
        other.send(&tag(n));
    }
    let replies: Vec<String> = others.iter_mut().map(Requester::reply).collect();
    let busy = replies.iter().filter(|reply| *reply == "con_busy").count();
    assert_eq!(busy, 20, "{replies:?}");
    assert_eq!(host.received().keys().filter(|number| **number > 1).count(), 10);
    daemon.stop();
}

#[test]
fn beyond_the_number_of_requesters_accepting_pauses() {
    let (_host, daemon, _child, _) = warm(Dialect::Line, "requesters=4");
    let mut four: Vec<Requester> = (0..4).map(|_| daemon.requester("far", Dialect::Line)).collect();
    for requester in &mut four {
        assert!(requester.ask("<1>").contains("<1>"));
    }
    let mut fifth = daemon.requester("far", Dialect::Line);
    fifth.send("<5>");
    assert!(!fifth.wait_for_reply(Duration::from_millis(300)), "the fifth was served at once");
    four.pop();
    assert!(fifth.reply().contains("<5>"));
    daemon.stop();
}
