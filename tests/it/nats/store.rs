//! One server: what is written, what is refused, and how leases end.

use std::time::{Duration, Instant};

use tieline::registry::row::Row;
use tieline::registry::store::{StoreError, Version, Wish};

use super::station::{Station, put, remove, renew, row};
use crate::common::Nats;

const MINUTE: Duration = Duration::from_secs(60);
const ADDRESS: &str = "tcp:192.0.2.1:7000";

#[test]
fn two_machines_see_what_each_of_them_registers_and_removes() {
    let nats = Nats::start();
    let (mut one, mut two) = (Station::at(&[nats.url()]), Station::at(&[nats.url()]));
    let theirs = row("ledger", ADDRESS, MINUTE, 1000);
    let version = one.ask(&put(&theirs)).expect("a new row");
    two.wait("the other machine has it", |two| two.has(&theirs));
    let renewed = two.ask(&renew(&theirs, version)).expect("its owner renews it anywhere");
    assert!(renewed > version);
    one.wait("the renewal is known", |one| one.entries().iter().any(|entry| entry.version == renewed));
    two.ask(&remove(&theirs, renewed)).expect("and removes it");
    one.wait("it is gone", |one| one.rows() == 0);
    assert_eq!(one.ask(&renew(&theirs, renewed)), Err(StoreError::Unknown));
    assert_eq!(one.ask(&remove(&theirs, renewed)), Err(StoreError::Unknown));
}

#[test]
fn one_name_and_address_has_one_owner_on_all_machines() {
    let nats = Nats::start();
    let (mut one, mut two) = (Station::at(&[nats.url()]), Station::at(&[nats.url()]));
    let first = row("ledger", ADDRESS, MINUTE, 1000);
    let version = one.ask(&put(&first)).expect("a new row");
    // The other machine may not have heard of it: the bucket decides.
    let late = row("ledger", ADDRESS, MINUTE, 2000);
    assert_eq!(two.ask(&put(&late)), Err(StoreError::Denied { owner: 1000 }));
    let again = row("ledger", ADDRESS, MINUTE, 1000);
    assert!(two.ask(&put(&again)).expect("its owner may register anew") > version);
    one.wait("the new lease stands", |one| one.has(&again) && one.rows() == 1);
    assert_eq!(one.ask(&renew(&first, version)), Err(StoreError::Unknown), "the old lease is no more");
    // The same name at another address: two rows, but one owner. Who asks here has not looked at the directory.
    let elsewhere = row("ledger", "tcp:192.0.2.2:7000", MINUTE, 2000);
    assert_eq!(two.ask(&put(&elsewhere)), Err(StoreError::Denied { owner: 1000 }));
    two.ask(&put(&row("ledger", "tcp:192.0.2.3:7000", MINUTE, 1000))).expect("its owner may have two");
    one.wait("nobody else's is there", |one| one.rows() == 2 && !one.has(&elsewhere));
}

#[test]
fn a_lease_ends_by_itself_in_its_time_and_can_be_taken_anew_with_one_of_its_own() {
    let nats = Nats::start();
    let (mut one, mut two) = (Station::at(&[nats.url()]), Station::at(&[nats.url()]));
    // Twice: what is registered over the mark of an end must end again.
    for ttl in [Duration::from_secs(1), Duration::from_millis(1500)] {
        let short = row("short", ADDRESS, ttl, 1000);
        let start = Instant::now();
        one.ask(&put(&short)).expect("a new row");
        two.wait("it is there", |two| two.has(&short));
        two.wait("it is gone", |two| two.rows() == 0);
        let lived = start.elapsed();
        assert!(lived >= ttl && lived < ttl + Duration::from_secs(2), "{lived:?} of {ttl:?}");
        one.wait("here as well", |one| one.rows() == 0);
    }
}

#[test]
fn a_lease_lives_for_as_long_as_it_is_renewed() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let row = row("kept", ADDRESS, Duration::from_secs(2), 1000);
    let mut version = one.ask(&put(&row)).expect("a new row");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        one.hear(Duration::from_millis(500));
        version = one.ask(&renew(&row, version)).expect("it lives");
    }
    one.wait("it was there all the time", |one| one.has(&row));
    one.wait("and ends", |one| one.rows() == 0);
}

#[test]
fn a_renewal_whose_answer_was_lost_harms_nobody() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let row = row("ledger", ADDRESS, MINUTE, 1000);
    let version = one.ask(&put(&row)).expect("a new row");
    let lost = one.ask(&renew(&row, version)).expect("done, and let us say that nobody heard of it");
    assert!(one.ask(&renew(&row, version)).expect("it is still ours") > lost);
}

#[test]
fn sockets_of_the_machine_itself_and_every_word_of_a_row_come_back_as_they_were() {
    let nats = Nats::start();
    let (mut one, mut two) = (Station::at(&[nats.url()]), Station::at(&[nats.url()]));
    let addresses = ["unix:/run/a b=c/ä.sock", "tcp:127.0.0.1:1", "tcp:[2001:db8::7]:9200", "unix:/a.*.>"];
    for address in addresses.map(|address| address.replace(' ', "")) {
        let mut changed = Row::clone(&row("x.y..z-", &address, MINUTE, u32::MAX));
        changed.pairs.insert("note".into(), "\"\\{}$".into());
        let row = changed.into();
        one.ask(&put(&row)).expect("a new row");
        two.wait("it is there", |two| two.has(&row));
    }
    let mut late = Station::at(&[nats.url()]);
    late.wait("a latecomer has all", |late| late.rows() == 4);
    assert!(two.entries().iter().all(|entry| late.has(&entry.row)));
}

#[test]
fn what_is_left_of_a_lease_is_told_to_who_comes_later() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let row = row("ledger", ADDRESS, MINUTE, 1000);
    one.ask(&put(&row)).expect("a new row");
    let start = Instant::now();
    one.hear(Duration::from_secs(1));
    one.hear(Duration::from_millis(300));
    let late = Station::at(&[nats.url()]);
    let ends = late.entries()[0].expires.expect("a lease ends");
    let left = ends.duration_since(Instant::now());
    assert!(left <= MINUTE.saturating_sub(Duration::from_millis(200)), "{left:?} after {:?}", start.elapsed());
    assert!(left > MINUTE / 2, "{left:?}");
}

#[test]
fn a_row_that_is_replaced_by_its_version_is_replaced_whoever_has_it() {
    let nats = Nats::start();
    let mut one = Station::at(&[nats.url()]);
    let old = row("ledger", ADDRESS, MINUTE, 1000);
    let version = one.ask(&put(&old)).expect("a new row");
    let new = row("ledger", ADDRESS, MINUTE, 0);
    let wish = Wish::Put { row: new.clone(), replaces: Some((old.clone(), version)) };
    assert!(one.ask(&wish).expect("the directory allowed it") > version);
    one.wait("the new one stands", |one| one.has(&new) && one.rows() == 1);
    assert_ne!(Version(0), version);
}
