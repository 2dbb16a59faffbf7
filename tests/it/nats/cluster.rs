//! Three servers: one may be lost without anybody's notice, two not; what was answered as written survives either.

use std::time::Duration;

use tieline::registry::store::StoreError;

use super::station::{Station, put, remove, renew, row};
use crate::common::{Nats, Relay};

const MINUTE: Duration = Duration::from_secs(60);

fn urls(cluster: &[Nats; 3]) -> Vec<String> {
    cluster.iter().map(Nats::url).collect()
}

#[test]
fn any_one_of_three_may_be_killed_and_what_was_written_stays() {
    let mut cluster = Nats::cluster();
    let mut one = Station::at(&urls(&cluster));
    for (killed, server) in cluster.iter_mut().enumerate() {
        let before = row("before", &format!("tcp:192.0.2.1:{}", killed + 1), MINUTE, 1);
        let version = one.ask_until_done(&put(&before));
        server.kill();
        let during = row("during", &format!("tcp:192.0.2.2:{}", killed + 1), MINUTE, 1);
        one.ask_until_done(&put(&during));
        one.ask_until_done(&renew(&before, version));
        one.wait("both are there", |one| one.away.is_none() && one.has(&before) && one.has(&during));
        server.start_again();
    }
    let mut late = Station::at(&urls(&cluster));
    late.wait("a latecomer has all six", |late| late.rows() == 6);
}

#[test]
fn without_a_majority_nothing_is_written_that_is_told_and_what_is_known_is_served() {
    let mut cluster = Nats::cluster();
    let mut one = Station::at(&urls(&cluster));
    let (long, short) =
        (row("long", "tcp:192.0.2.1:1", MINUTE, 1), row("short", "tcp:192.0.2.1:2", Duration::from_secs(3), 1));
    one.ask_until_done(&put(&long));
    one.ask_until_done(&put(&short));
    one.wait("both are there", |one| one.has(&long) && one.has(&short));
    cluster[0].kill();
    cluster[1].kill();
    // The one that is left may have been ours and stays connected; it may even go on answering for the bucket. What it
    // cannot do is write.
    let answer = one.ask(&put(&row("new", "tcp:192.0.2.1:3", MINUTE, 1)));
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    one.wait("the loss is told", |one| one.away.is_some());
    assert!(one.has(&long) && one.has(&short), "what was known is served");
    cluster[0].start_again();
    cluster[1].start_again();
    one.wait("it is back", |one| one.away.is_none());
    one.wait("the short one is gone", |one| !one.has(&short));
    assert!(one.has(&long), "the long one lives");
    one.ask_until_done(&put(&row("new", "tcp:192.0.2.1:3", MINUTE, 1)));
}

#[test]
fn a_machine_that_is_cut_off_from_one_server_goes_to_another() {
    let cluster = Nats::cluster();
    let relays = [0, 1, 2].map(|number| Relay::to(cluster[number].address()));
    let through: Vec<String> = relays.iter().map(|relay| format!("nats://{}", relay.address())).collect();
    let mut one = Station::at(&through);
    let mut other = Station::at(&urls(&cluster));
    let first = row("first", "tcp:192.0.2.1:1", MINUTE, 1);
    let version = other.ask_until_done(&put(&first));
    one.wait("it is known", |one| one.has(&first));
    for relay in &relays {
        relay.hold();
    }
    one.wait("the loss is told", |one| one.away.is_some());
    other.ask_until_done(&remove(&first, version));
    let second = row("second", "tcp:192.0.2.1:2", MINUTE, 1);
    other.ask_until_done(&put(&second));
    assert!(one.has(&first) && !one.has(&second), "what was known is served");
    // The others stay unreachable.
    relays[2].release();
    one.wait("it is true again", |one| one.away.is_none() && one.has(&second) && !one.has(&first));
}
