//! One server that is killed, restarted, or cut off: what is known stays, and afterwards it is true again.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::registry::store::StoreError;

use super::station::{Station, put, renew, row};
use crate::common::{Nats, Relay};

const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);

#[track_caller]
fn must_be_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[test]
fn a_server_that_is_killed_leaves_the_table_and_comes_back_with_right_leases() {
    let mut nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let (long, short) = (row("long", "tcp:192.0.2.1:1", MINUTE, 1), row("short", "tcp:192.0.2.1:2", SHORT, 1));
    let version = one.ask(&put(&long)).expect("a new row");
    one.ask(&put(&short)).expect("another");
    nats.kill();
    one.wait("the loss is told", |one| one.away.is_some());
    assert!(one.has(&long) && one.has(&short), "what was known is known");
    let start = Instant::now();
    must_be_unavailable(&one.ask(&renew(&long, version)));
    assert!(start.elapsed() < Duration::from_millis(500), "nobody waits for a server that is known to be away");
    // The bucket is away for longer than the short lease lasts.
    while start.elapsed() < SHORT + Duration::from_secs(1) {
        one.hear(Duration::from_millis(100));
    }
    assert!(one.has(&short), "without the bucket nothing ends");
    nats.start_again();
    let back = Instant::now();
    one.wait("it is back", |one| one.away.is_none());
    one.wait("the short one is gone", |one| !one.has(&short));
    assert!(back.elapsed() < Duration::from_secs(8), "{:?}", back.elapsed());
    assert!(one.has(&long), "the long one lives");
    one.ask(&renew(&long, version)).expect("and can be renewed");
}

#[test]
fn a_partition_is_noticed_without_a_word_from_the_network_and_changes_arrive_afterwards() {
    let nats = Nats::start();
    let relay = Relay::to(nats.address());
    let mut cut_off = Station::at(&[format!("nats://{}", relay.address())]);
    let mut other = Station::at(&[nats.url()]);
    let (stays, goes, short) = (
        row("stays", "tcp:192.0.2.1:1", MINUTE, 1),
        row("goes", "tcp:192.0.2.1:2", MINUTE, 1),
        row("short", "tcp:192.0.2.1:3", SHORT, 1),
    );
    other.ask(&put(&stays)).expect("a new row");
    let version = other.ask(&put(&goes)).expect("another");
    other.ask(&put(&short)).expect("a third");
    cut_off.wait("all three are known", |station| station.rows() == 3);
    relay.hold();
    let start = Instant::now();
    must_be_unavailable(&cut_off.ask(&put(&row("mine", "tcp:192.0.2.1:4", MINUTE, 1))));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "an answer within the time of one request: {:?}",
        start.elapsed()
    );
    cut_off.wait("the loss is told", |station| station.away.is_some());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    other.ask(&super::station::remove(&goes, version)).expect("life goes on elsewhere");
    let new = row("new", "tcp:192.0.2.1:5", MINUTE, 1);
    other.ask(&put(&new)).expect("a new row");
    other.wait("the short one is over", |other| !other.has(&short));
    assert!(cut_off.has(&goes) && cut_off.has(&short) && !cut_off.has(&new), "what was known is served");
    relay.release();
    cut_off.wait("it is back", |station| station.away.is_none());
    cut_off.wait("it has what the others have", |station| {
        station.has(&stays) && station.has(&new) && !station.has(&goes) && !station.has(&short)
    });
}

#[test]
fn a_connection_that_breaks_is_replaced_at_once() {
    let nats = Nats::start();
    let relay = Relay::to(nats.address());
    let mut one = Station::at(&[format!("nats://{}", relay.address())]);
    for round in 0..5 {
        let tables = one.tables;
        relay.cut();
        one.wait("a new table", |one| one.tables > tables && one.away.is_none());
        one.ask(&put(&row("a", &format!("tcp:192.0.2.1:{}", round + 1), MINUTE, 1))).expect("it can be written again");
    }
    one.wait("nothing was lost", |one| one.rows() == 5);
}

#[test]
fn a_server_that_hangs_is_away_until_it_goes_on() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let known = row("known", "tcp:192.0.2.1:1", MINUTE, 1);
    one.ask(&put(&known)).expect("a new row");
    nats.signal(Signal::SIGSTOP);
    // Nobody asks for anything: the pulse finds out.
    one.wait("the loss is told", |one| one.away.is_some());
    nats.signal(Signal::SIGCONT);
    one.wait("it is back", |one| one.away.is_none());
    assert!(one.has(&known));
}

#[test]
fn a_bucket_that_somebody_removes_is_made_again_and_begins_empty() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let old = row("old", "tcp:192.0.2.1:1", MINUTE, 1);
    let mut version = one.ask(&put(&old)).expect("a new row");
    for _ in 0..20 {
        version = one.ask(&renew(&old, version)).expect("which is renewed often");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
    runtime.block_on(async {
        let client = async_nats::connect(nats.url()).await.expect("a connection");
        async_nats::jetstream::new(client).delete_key_value("tieline").await.expect("the bucket was there");
    });
    one.wait("it is gone", |one| one.away.is_some());
    one.wait("there is a new one, and nothing in it", |one| one.away.is_none() && one.rows() == 0);
    assert_eq!(one.ask(&renew(&old, version)), Err(StoreError::Unknown), "what was in the old one is no more");
    // The new bucket counts from 1 again, and must be believed all the same.
    let new = row("old", "tcp:192.0.2.1:1", Duration::from_secs(1), 1);
    assert!(one.ask(&put(&new)).expect("a new row") > version);
    one.wait("it stands", |one| one.has(&new));
    one.wait("and ends", |one| one.rows() == 0);
}
