//! What the table cannot say of the library's two faces: futures that are dropped, pipelines larger than every buffer, a daemon
//! that hangs, instances of which some are dead.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::client::{AsyncClient, Client, Dialect, Error, Offer, Options, Outcome, Registry};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::common::{ChaosHost, Daemon, free_port, tag, wait_until};

/// A host of the dialect `line`, its daemon, and how to reach that.
fn far(options: &str) -> (ChaosHost, Daemon, Options) {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = Daemon::start(&[&format!("far {} line {options}", host.address())]);
    let options = Options::default().run_dir(daemon.place().path("run"));
    (host, daemon, options)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The text of a reply; anything else is a failure of the test.
fn text(outcome: Outcome) -> String {
    outcome.reply().expect("a reply").text()
}

#[test]
fn a_future_that_is_dropped_leaves_its_reply_to_nobody() {
    let (host, daemon, options) = far("");
    runtime().block_on(async {
        let mut client: AsyncClient = options.open_async("far").await.expect("a client");
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, client.request("<1> after=1000")).await.is_err(), "the reply takes longer");
        assert_eq!(text(client.request("<2>").await.expect("a request")), "<2>  <2>");

        client.send("<3> after=1000").await.expect("a request");
        assert!(timeout(soon, client.receive()).await.is_err(), "the reply takes longer");
        client.send("<4>").await.expect("a request");
        let mut received = Vec::new();
        while let Some((_, outcome)) = client.receive().await {
            received.push(text(outcome));
        }
        assert_eq!(received, ["<3>  <3>", "<4>  <4>"], "what was to be received is received later");
    });
    assert_eq!(host.tags(), [1, 2, 3, 4]);
    daemon.stop();
}

const MANY: u64 = 10_000;
/// Bytes of each request and each reply: together far more than all buffers on the way.
const LARGE: usize = 2_000;

fn large(number: u64) -> String {
    format!("{} size={LARGE} {}", tag(number), "y".repeat(LARGE))
}

fn is_its_reply(number: u64, outcome: Outcome) -> bool {
    let text = text(outcome);
    text.starts_with(&tag(number)) && text.ends_with(&tag(number)) && text.len() > LARGE
}

#[test]
fn a_pipeline_larger_than_every_buffer_is_no_deadlock_and_keeps_its_order() {
    let (_host, daemon, options) = far("pipeline=16");
    let mut client = options.open("far").expect("a client");
    for number in 0..MANY {
        client.send(large(number)).expect("a request");
    }
    for number in 0..MANY {
        let (_, outcome) = client.receive().expect("an outcome");
        assert!(is_its_reply(number, outcome), "{number}");
    }
    assert!(client.receive().is_none());
    daemon.stop();
}

#[test]
fn the_same_with_tokio() {
    let (_host, daemon, options) = far("pipeline=16");
    runtime().block_on(async {
        let mut client = options.open_async("far").await.expect("a client");
        for number in 0..MANY {
            client.send(&large(number)).await.expect("a request");
        }
        for number in 0..MANY {
            let (_, outcome) = client.receive().await.expect("an outcome");
            assert!(is_its_reply(number, outcome), "{number}");
        }
        assert!(client.receive().await.is_none());
    });
    daemon.stop();
}

#[test]
fn a_daemon_that_hangs_costs_a_request_its_deadline_and_its_late_reply_reaches_nobody() {
    let (host, mut daemon, options) = far("");
    let mut client = options.open("far").expect("a client");
    assert_eq!(text(client.request("<1>").expect("a request")), "<1>  <1>");
    client.set_deadline(Duration::from_millis(600));
    let child = daemon.child("far");
    child.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let outcome = client.request("<2>").expect("a request");
    assert_eq!(outcome.word(), "unknown");
    assert!((Duration::from_millis(600)..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    child.signal(Signal::SIGCONT);
    client.set_deadline(Duration::from_secs(20));
    wait_until("the request has arrived", || host.received().get(&2).copied());
    assert_eq!(text(client.request("<3>").expect("a request")), "<3>  <3>");
    daemon.stop();
}

#[test]
fn a_dead_instance_is_passed_over_and_the_registry_says_how_they_speak() {
    let (host, daemon, options) = far("");
    let registry = Registry::open(&options).expect("a run directory");
    let offer = |address: &str| Offer::new("pair", &format!("tcp:{address}")).pair("dialect", "line");
    let dead = registry.register(&offer(&format!("127.0.0.1:{}", free_port()))).expect("it is registered");
    let alive = registry.register(&offer(host.address())).expect("it is registered");
    for number in 1..=4 {
        let mut client = options.clone().open("pair").expect("one of the two answers");
        assert_eq!(client.dialect(), Dialect::Line);
        assert!(text(client.request(tag(number)).expect("a request")).starts_with(&tag(number)));
    }
    drop(alive);
    assert!(matches!(options.clone().open("pair"), Err(Error::Unreachable { .. })));
    drop(dead);
    assert!(matches!(options.clone().dialect(Dialect::Line).open("pair"), Err(Error::UnknownName { .. })));
    assert!(matches!(options.open("pair"), Err(Error::NoDialect { .. })));
    daemon.stop();
}

#[test]
fn what_was_not_asked_is_an_error_and_the_client_goes_on() {
    let (_host, daemon, options) = far("");
    let mut client: Client = options.open("far").expect("a client");
    assert!(matches!(client.request_deferred("<1>"), Err(Error::NotDeferred { .. })));
    assert!(matches!(client.request("two\nlines"), Err(Error::Unfit(_))));
    assert_eq!(text(client.request("<2>").expect("a request")), "<2>  <2>");
    daemon.stop();
}
