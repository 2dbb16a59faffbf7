//! Time, places, and queues.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::{Requester, wait_until};

/// Ignores TERM, and has children in its own group, in another session, and in another session without a parent.
const STUBBORN: &str = "trap '' TERM
sleep 1000 &
setsid sleep 1000 &
(setsid sleep 1000 &)
echo started >> \"$1\"
sleep 1000
sleep 1000
";

fn lines(far: &FarEnd, file: &str) -> usize {
    std::fs::read_to_string(far.place().path(file)).unwrap_or_default().lines().count()
}

#[test]
fn who_is_late_is_answered_at_once_and_nothing_of_it_is_left() {
    let table =
        "timeout = \"1s\"\ngrace = \"3s\"\n[[serve.far.handler]]\nexec = [\"sh\", \"HERE/stubborn\", \"HERE/started\"]
        [[serve.far.handler]]\nmatch = \"polite\"\nexec = [\"sleep\", \"1000\"]";
    let far = FarEnd::start(Dialect::Line, table, &[("stubborn", STUBBORN)]);
    let (mut stubborn, mut polite, began) = (far.requester(), far.requester(), Instant::now());
    stubborn.send("whatever");
    polite.send("polite");
    for requester in [&mut polite, &mut stubborn] {
        assert_eq!(requester.reply(), "error timeout: limit is 1 s");
    }
    let took = began.elapsed();
    assert!((1000..3800).contains(&took.as_millis()), "at once, before the grace is over: {took:?}");
    assert_eq!(lines(&far, "started"), 1);
    far.wait_until_alone();
    // The requester was told once, and may go on.
    assert_eq!(stubborn.ask("polite"), "error timeout: limit is 1 s");
    far.wait_until_alone();
    far.stop();
}

#[test]
fn what_a_handler_leaves_behind_ends_with_its_request() {
    let script = "sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; echo done";
    let table = format!("[[serve.far.handler]]\nexec = [\"sh\", \"-c\", \"{script}\"]");
    let far = FarEnd::start(Dialect::Line, &table, &[]);
    let (mut requester, began) = (far.requester(), Instant::now());
    for _ in 0..5 {
        assert_eq!(requester.ask("go"), "done");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "nobody waits for what was left behind");
    far.wait_until_alone();
    far.stop();
}

#[test]
fn beyond_places_and_queue_a_request_is_busy_and_who_waits_in_vain_is_told_in_time() {
    let table = "timeout = \"3s\"\ngrace = \"100ms\"\nprocesses = 2\nqueue = 1\n[[serve.far.handler]]\nexec = [\"sleep\", \"1000\"]";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let mut requesters: Vec<Requester> = (0..4).map(|_| far.requester()).collect();
    let began = Instant::now();
    for requester in &mut requesters[..2] {
        requester.send("x");
    }
    wait_until("both places are taken", || (far.started().len() == 2).then_some(()));
    requesters[2].send("x");
    wait_until("one waits", || {
        // The order of arrival at two sockets is not ours to know: the last one asks until it is refused.
        (requesters[3].ask("x") == "error busy: 1 requests wait").then_some(())
    });
    assert!(began.elapsed() < Duration::from_millis(2800), "at once");
    assert_eq!(far.started().len(), 2);
    for requester in &mut requesters[..2] {
        assert_eq!(requester.reply(), "error timeout: limit is 3 s");
    }
    let third = requesters[2].reply();
    assert!(
        ["error timeout: limit is 3 s", "error busy: no process was free within 3 s"].contains(&&*third),
        "{third}"
    );
    assert!(began.elapsed() < Duration::from_millis(8000), "{:?}", began.elapsed());
    far.wait_until_alone();
    far.stop();
}

#[test]
fn a_requester_too_many_is_told_so_and_closed() {
    let table = "requesters = 2\n[[serve.far.handler]]\necho = true";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let mut first = wait_until("the one that tried the listener has gone", || {
        let mut first = far.requester();
        (first.ask("x") == "x").then_some(first)
    });
    let mut second = far.requester();
    assert_eq!(second.ask("y"), "y");
    for _ in 0..20 {
        let mut third = far.requester();
        assert_eq!(third.reply(), "error busy: 2 requesters are connected");
        assert_eq!(third.next_reply().expect("it can be read"), None);
    }
    drop(second);
    wait_until("there is room again", || (far.requester().next_or_echo() == "z").then_some(()));
    assert_eq!(first.ask("x"), "x");
    far.stop();
}

trait NextOrEcho {
    fn next_or_echo(&mut self) -> String;
}

impl NextOrEcho for Requester {
    /// What it is told: `z` if it was let in, else the refusal.
    fn next_or_echo(&mut self) -> String {
        // Who is turned away may have been closed.
        std::io::Write::write_all(&mut self.stream, b"z\n").ok();
        self.next_reply().ok().flatten().unwrap_or_default()
    }
}

#[test]
fn memory_is_bounded_whatever_handlers_write() {
    let table = "timeout = \"2s\"\ngrace = \"100ms\"\nmax_reply = \"64KiB\"
        [[serve.far.handler]]\nmatch = \"flood\"\nexec = [\"yes\"]
        [[serve.far.handler]]\nmatch = \"complain\"\nexec = [\"sh\", \"-c\", \"yes complaint >&2\"]
        [[serve.far.handler]]\nmatch = \"endless\"\nworker = [\"sh\", \"-c\", \"read -r a; tr '\\\\\\\\0' x < /dev/zero\"]";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let before = far.process().private_kb();
    let mut requesters: Vec<Requester> = (0..12).map(|_| far.requester()).collect();
    let words = ["flood", "complain", "endless"];
    for (number, requester) in requesters.iter_mut().enumerate() {
        requester.send(words[number % 3]);
    }
    for (number, requester) in requesters.iter_mut().enumerate() {
        let expected = ["error handler: its reply is too large", "error timeout: limit is 2 s"];
        let reply = requester.reply();
        assert_eq!(reply, expected[usize::from(number % 3 == 1)], "{}", words[number % 3]);
    }
    let after = far.process().private_kb();
    assert!(after < before + 8 * 1024, "{before} kB, then {after} kB");
    assert!(far.place().log().len() < 300_000, "the log has {} bytes", far.place().log().len());
    far.wait_until_alone();
    far.stop();
}

#[test]
fn a_requester_that_does_not_read_holds_up_nobody_else() {
    let far = FarEnd::start(Dialect::Line, "timeout = \"500ms\"\n[[serve.far.handler]]\necho = true", &[]);
    let mut deaf = UnixStream::connect(far.socket()).expect("it can connect");
    deaf.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
    let line = [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
    // It is closed when it has not read for its time: then writing fails.
    let began = Instant::now();
    while std::io::Write::write_all(&mut deaf, &line).is_ok() {
        assert_eq!(far.ask("hello"), "hello");
        assert!(began.elapsed() < Duration::from_secs(20), "it is still served");
    }
    assert!(far.process().private_kb() < 64 * 1024, "{} kB", far.process().private_kb());
    far.stop();
}
