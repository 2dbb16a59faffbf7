//! Deferred requesters, and the store that changes hands under its lock.

use std::time::{Duration, Instant, SystemTime};

use super::house::{House, Visitor};
use crate::config::Address;
use crate::spool::store::{Limits, Store};

/// Has the store as a predecessor would.
fn hold_the_store(house: &House) -> Store {
    Store::open(&house.spool(), Limits::default(), SystemTime::now()).unwrap().0
}

/// What was sent before this has been read by the child, as its event loop has gone round since.
fn let_it_read(house: &House) {
    let mut visitor = house.visit();
    for _ in 0..3 {
        assert_eq!(visitor.ask("round"), "re:round");
    }
}

#[test]
fn a_deferred_requester_stays_one() {
    let mut house = House::new();
    house.settings.retries = 1;
    let old = house.start(&[]);
    let mut visitor = house.defer();
    visitor.ask_until_tried();
    house.settings.address = Address::Unix { path: house.dir.path().join("nobody") };
    let _new = house.start(&[&old]);
    old.hand_over();
    old.join();
    assert!(visitor.ask("two").starts_with("con_delayed:"));
}

#[test]
fn a_deferred_requester_is_closed_if_its_host_has_no_deferred_requests_any_more() {
    let mut house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.defer();
    visitor.ask_until_tried();
    house.settings.deferred = false;
    let _new = house.start(&[&old]);
    old.hand_over();
    assert_eq!(visitor.read_to_end(), "");
}

#[test]
fn the_store_is_free_while_the_old_child_still_owes_something_to_undeferred_requesters() {
    let house = House::new();
    let old = house.start(&[]);
    let (mut plain, mut deferred) = (house.visit(), house.defer());
    deferred.ask_until_tried();
    let before = house.host.requests();
    plain.send("slow");
    house.host.wait_for_requests(before + 1);
    let _new = house.start(&[&old]);
    old.hand_over();
    old.wait_until(|snapshot| snapshot.requesters == 1);
    // By the new child, which has the store for that.
    deferred.ask_until_tried();
    house.host.open_the_gate();
    assert_eq!(plain.reply(), "re:slow");
    old.join();
}

#[test]
fn deferred_requests_wait_for_the_store_as_long_as_a_predecessor_has_it() {
    let house = House::new();
    let store = hold_the_store(&house);
    let _new = house.start(&[]);
    let mut visitor = house.defer();
    visitor.send("one\ntwo\nthree");
    let_it_read(&house);
    store.close().unwrap();
    assert_eq!([(); 3].map(|()| visitor.reply()), ["con_delayed:1", "con_delayed:2", "con_delayed:3"]);
}

#[test]
fn one_that_waits_longer_than_its_timeout_is_told_so_truly_and_is_never_stored() {
    let mut house = House::new();
    house.settings.timeout = Duration::from_millis(300);
    let store = hold_the_store(&house);
    let child = house.start(&[]);
    let mut visitor = house.defer();
    assert_eq!(visitor.ask("one"), "con_timeout");
    store.close().unwrap();
    let begun = Instant::now();
    let mut answer = visitor.ask("two");
    while answer == "con_timeout" && begun.elapsed() < super::LONG {
        answer = visitor.ask("two");
    }
    assert!(answer == "re:two" || answer == "con_delayed:1", "{answer}: nothing was stored before it");
    child.wait_until(|snapshot| snapshot.spool.depth == 0);
    let outcomes = child.snapshot().outcomes;
    assert!(outcomes.timeout >= 1 && outcomes.failed == 0, "{outcomes:?}");
    assert!(!house.host.has_heard("one"), "the host has got what was to be repeated at will");
}

#[test]
fn a_child_that_is_replaced_before_it_had_the_store_gives_its_deferred_requests_back_and_goes_at_once() {
    let house = House::new();
    let store = hold_the_store(&house);
    let middle = house.start(&[]);
    let mut visitor: Visitor = house.defer();
    visitor.send_bytes(b"one\ntwo\nthree\nfo");
    let_it_read(&house);
    let new = house.start(&[&middle]);
    let begun = Instant::now();
    middle.hand_over();
    assert_eq!(middle.join().outcomes.failed, 0);
    assert!(begun.elapsed() < super::LONG / 2, "it does not wait for a store that it has no use for");
    store.close().unwrap();
    assert_eq!([(); 3].map(|()| visitor.reply()), ["con_delayed:1", "con_delayed:2", "con_delayed:3"]);
    new.wait_until(|snapshot| snapshot.spool.depth == 0);
    assert_eq!(visitor.ask("ur"), "re:four");
}
