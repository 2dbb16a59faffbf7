//! Children of one host that replace each other, each with its event loops in threads of this process, joined by real
//! sockets: what their requesters and the host notice.

mod house;
mod reached;
mod stored;
mod storm;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use self::house::{House, LONG, Visitor};
use crate::system::handover;

#[test]
fn who_awaits_a_reply_gets_it_from_the_old_child_and_the_next_one_from_the_new_without_an_end_between() {
    let house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.visit();
    visitor.send("slow");
    house.host.wait_for_requests(1);
    let new = house.start(&[&old]);
    old.hand_over();
    house.host.open_the_gate();
    assert_eq!(visitor.reply(), "re:slow");
    assert_eq!(visitor.ask("next"), "re:next");
    assert_eq!(old.join().outcomes.replies, 1);
    assert_eq!(visitor.ask("last"), "re:last");
    assert_eq!(new.retire().outcomes.replies, 2);
    assert_eq!(visitor.read_to_end(), "", "the new one has retired");
}

#[test]
fn half_a_request_that_the_old_child_has_read_is_completed_to_the_new_one() {
    let house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.visit();
    // What comes with a whole request is read with it.
    visitor.send_bytes(b"whole\nha");
    assert_eq!(visitor.reply(), "re:whole");
    let _new = house.start(&[&old]);
    old.hand_over();
    old.join();
    visitor.send_bytes(b"lf\n");
    assert_eq!(visitor.reply(), "re:half");
}

#[test]
fn requests_that_the_old_child_has_not_looked_at_are_answered_once_and_in_order() {
    let mut house = House::new();
    house.settings.window = 4;
    let old = house.start(&[]);
    let mut visitor = house.visit();
    let lines: Vec<String> = (0..500).map(|number| format!("{number}")).collect();
    visitor.send(&format!("slow\n{}", lines.join("\n")));
    house.host.wait_for_requests(1);
    let new = house.start(&[&old]);
    old.hand_over();
    house.host.open_the_gate();
    assert_eq!(visitor.reply(), "re:slow");
    for line in &lines {
        assert_eq!(visitor.reply(), format!("re:{line}"));
    }
    let by_old = old.join().outcomes.replies;
    assert!(by_old <= 8, "{by_old} of them are the old child's, whose window is 4");
    assert_eq!(by_old + new.retire().outcomes.replies, 501);
}

#[test]
fn a_thousand_idle_requesters_arrive_although_the_way_has_room_for_a_few_hundred() {
    house::allow_many_files();
    let house = House::new();
    let old = house.start(&[]);
    let mut visitors: Vec<_> = (0..1000).map(|_| house.visit()).collect();
    for (number, visitor) in visitors.iter_mut().enumerate() {
        assert_eq!(visitor.ask(&format!("{number}")), format!("re:{number}"));
    }
    let new = house.start(&[&old]);
    old.hand_over();
    old.join();
    for (number, visitor) in visitors.iter_mut().enumerate() {
        assert_eq!(visitor.ask(&format!("{number} again")), format!("re:{number} again"));
    }
    assert_eq!(new.snapshot().requesters, 1000);
}

#[test]
fn an_idle_connection_goes_on_in_the_new_child() {
    let house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.visit();
    assert_eq!(visitor.ask("one"), "re:one");
    let new = house.start(&[&old]);
    old.hand_over();
    old.join();
    new.wait_until(|snapshot| snapshot.connections.idle == 1);
    assert_eq!(visitor.ask("two"), "re:two");
    assert_eq!(house.host.connects(), 1);
    assert_eq!(new.snapshot().attempts, 0);
}

#[test]
fn a_connection_with_a_reply_outstanding_does_not_and_its_reply_reaches_nobody() {
    let house = House::new();
    let old = house.start(&[]);
    let mut gone = house.visit();
    let mut visitor = house.visit();
    gone.send("slow");
    house.host.wait_for_requests(1);
    drop(gone);
    let new = house.start(&[&old]);
    old.wait_until(|snapshot| snapshot.requesters == 1);
    old.hand_over();
    old.join();
    house.host.open_the_gate();
    assert_eq!(visitor.ask("mine"), "re:mine");
    assert_eq!(house.host.connects(), 2);
    assert_eq!(new.snapshot().connections.idle, 1);
}

#[test]
fn a_connection_to_another_address_or_too_many_is_not_taken_over() {
    let mut house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.visit();
    assert_eq!(visitor.ask("one"), "re:one");
    let elsewhere = house::Host::new();
    house.settings.address = elsewhere.address();
    let new = house.start(&[&old]);
    old.hand_over();
    old.join();
    assert_eq!(visitor.ask("two"), "re:two");
    assert_eq!((elsewhere.connects(), new.snapshot().connections.idle), (1, 1));
}

#[test]
fn when_nobody_will_take_them_requesters_are_closed_as_in_a_retirement() {
    let house = House::new();
    let mut old = house.start(&[]);
    let (mut idle, mut busy) = (house.visit(), house.visit());
    assert_eq!(idle.ask("one"), "re:one");
    busy.send("slow");
    house.host.wait_for_requests(2);
    drop(old.inlet.take());
    old.hand_over();
    assert_eq!(idle.read_to_end(), "");
    house.host.open_the_gate();
    assert_eq!(busy.read_to_end(), "re:slow\n");
    assert_eq!(old.join().outcomes.replies, 2);
}

#[test]
fn what_waits_in_the_way_is_for_the_next_child_if_the_first_successor_dies() {
    let house = House::new();
    let old = house.start(&[]);
    let mut visitor = house.visit();
    assert_eq!(visitor.ask("one"), "re:one");
    old.hand_over();
    let inlet = old.join_for_inlet();
    let _new = house.start_with(vec![inlet]);
    assert_eq!(visitor.ask("two"), "re:two");
}

#[test]
fn a_parcel_of_an_unknown_kind_is_closed_and_the_next_one_is_taken() {
    let house = House::new();
    let (outlet, inlet) = handover::pair().unwrap();
    let (mut strange, far) = UnixStream::pair().unwrap();
    handover::send(outlet.as_fd(), br#"{"novelty":{"x":1}}"#, &[far.as_fd()]).unwrap();
    let (mut known, near) = UnixStream::pair().unwrap();
    let header = br#"{"requester":{"dialect":"line","deferred":false,"unread":4,"a_later_field":7}}"#;
    let unread = handover::in_memory(b"one\n").unwrap();
    handover::send(outlet.as_fd(), header, &[near.as_fd(), unread.as_fd()]).unwrap();
    drop((far, near));
    let _new = house.start_with(vec![inlet]);
    strange.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(strange.read(&mut [0]).unwrap(), 0, "closed");
    known.set_read_timeout(Some(LONG)).unwrap();
    let mut reply = [0; 7];
    known.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"re:one\n");
}

#[test]
fn what_is_no_socket_or_lacks_its_bytes_is_closed_and_the_next_one_is_taken() {
    let house = House::new();
    let (outlet, inlet) = handover::pair().unwrap();
    let header = br#"{"requester":{"dialect":"line","unread":4}}"#;
    let send = |socket: &OwnedFd, unread: &[u8]| {
        let unread = handover::in_memory(unread).unwrap();
        handover::send(outlet.as_fd(), header, &[socket.as_fd(), unread.as_fd()]).unwrap();
    };
    send(&handover::in_memory(b"no socket").unwrap(), b"one\n");
    let (mut short, far) = UnixStream::pair().unwrap();
    send(&far.into(), b"o\n");
    let (known, far) = UnixStream::pair().unwrap();
    send(&far.into(), b"one\n");
    let _new = house.start_with(vec![inlet]);
    short.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(short.read(&mut [0]).unwrap(), 0, "closed");
    (&known).write_all(b"two\n").unwrap();
    let mut visitor = Visitor::new(known);
    assert_eq!((visitor.reply(), visitor.reply()), ("re:one".to_owned(), "re:two".to_owned()));
}

#[test]
fn with_several_workers_all_are_handed_over_and_all_are_counted() {
    let mut house = House::new();
    house.settings.workers = 3;
    let old = house.start(&[]);
    let mut visitors: Vec<_> =
        (0..60).map(|number| if number % 2 == 0 { house.visit() } else { house.defer() }).collect();
    let is_answer = |answer: &str| answer.starts_with("re:") || answer.starts_with("con_delayed:");
    for visitor in &mut visitors {
        assert!(is_answer(&visitor.ask("one")));
    }
    let new = house.start(&[&old]);
    old.hand_over();
    let by_old = old.join();
    for visitor in &mut visitors {
        assert!(is_answer(&visitor.ask("two")));
    }
    new.wait_until(|snapshot| snapshot.spool.depth == 0);
    // What was stored is counted when it was replayed.
    assert!(by_old.outcomes.replies >= 30, "{:?}", by_old.outcomes);
    assert_eq!(by_old.outcomes.replies + new.retire().outcomes.replies, 120);
}
