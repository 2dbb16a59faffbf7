//! Tags without any socket: the same at the first try and at every replay, and what the host's words about them do.

use std::time::{Duration, Instant};

use crate::child::dispatch::{Dispatch, Errand, StoreAnswer};
use crate::config::{Address, HostSettings};
use crate::dialect::Dialect;
use crate::spool::once::{Once, Word};
use crate::spool::replay::{Ask, Record, Row};
use crate::work::{ConnectionId, RequesterId, Tagged, TransactionId};

const WORD: &str = "0000000000000000000000000000f00d";

/// Most bytes of a reply.
const MAX_REPLY: usize = 1024;

/// A host that remembers, with a deferred requester and a connection.
fn stage() -> (Dispatch, RequesterId, ConnectionId, Instant) {
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
    let mut host = HostSettings::with_defaults("host", address, Dialect::Line);
    (host.connections, host.timeout, host.max_reply) = (1, Duration::from_secs(1), MAX_REPLY as u64);
    let (mut d, now) = (Dispatch::new(host, 1), Instant::now());
    d.open_spool(1, false, Duration::from_secs(60), Some(Once::new(Word::new(0xf00d), 0xa)));
    d.store_answered(StoreAnswer::Open(0), now);
    let requester = d.join();
    d.defer(requester);
    let connection = open(&mut d, now);
    (d, requester, connection, now)
}

fn open(d: &mut Dispatch, now: Instant) -> ConnectionId {
    d.attempt_begins();
    d.opened(now)
}

fn sent(d: &mut Dispatch, connection: ConnectionId, now: Instant) -> String {
    let bytes = d.outgoing(connection).to_vec();
    d.wrote(connection, bytes.len(), now);
    String::from_utf8(bytes).unwrap()
}

fn says(d: &mut Dispatch, connection: ConnectionId, text: &str, now: Instant) {
    d.received(connection, text.as_bytes(), now, &mut |_, _| 0).unwrap();
}

fn given(d: &mut Dispatch, requester: RequesterId, now: Instant) -> String {
    let bytes = d.account(requester).unwrap().unsent().to_vec();
    d.took(requester, bytes.len(), now);
    String::from_utf8(bytes).unwrap()
}

/// What is to be stored, if anything is. The replay's questions stay.
fn stored(d: &mut Dispatch) -> Option<(TransactionId, Tagged, bool)> {
    let place = d.errands.store.iter().position(|errand| matches!(errand, Errand::Append { .. }))?;
    match d.errands.store.remove(place) {
        Errand::Append { ticket, request, in_doubt } => Some((ticket, request, in_doubt)),
        Errand::Replay(_) => None,
    }
}

/// Has the store do what it is asked, with this row in it; what was recorded of it.
fn store_turns(d: &mut Dispatch, row: &Row, now: Instant) -> Vec<Record> {
    let mut recorded = Vec::new();
    loop {
        let asked = std::mem::take(&mut d.errands.store);
        if asked.is_empty() {
            return recorded;
        }
        for errand in asked {
            let answer = match errand {
                Errand::Replay(Ask::Fetch(after)) => {
                    StoreAnswer::Fetched(Some(row.clone()).into_iter().filter(|row| row.id > after).collect())
                }
                Errand::Replay(Ask::Record(ends, mark)) => {
                    recorded.extend(ends.into_iter().map(|(_, end)| end));
                    let left = |end: &Record| matches!(end, Record::Delivered | Record::Dead(..));
                    StoreAnswer::Recorded(mark, u64::from(!recorded.iter().any(left)))
                }
                Errand::Append { .. } => unreachable!("nothing else is stored"),
            };
            d.store_answered(answer, now);
        }
    }
}

/// A request whose first try was sent, and then the connection broke; it is stored, and its replay has been sent.
fn replayed() -> (Dispatch, ConnectionId, Row, Instant) {
    let (mut d, requester, connection, now) = stage();
    d.request(requester, b"add\n", now);
    assert_eq!(sent(&mut d, connection, now), format!("{WORD} a.1 add\n"));
    d.broke(connection, "cut", now);
    assert!(d.ended(connection).is_some());
    d.released(connection);
    let (ticket, request, in_doubt) = stored(&mut d).unwrap();
    assert_eq!((&*request.tag, &*request.body, in_doubt), ("a.1", &b"add\n"[..], true));
    d.store_answered(StoreAnswer::Stored(ticket, 1), now);
    assert_eq!(given(&mut d, requester, now), "con_delayed:1\n");
    let (connection, row) = (open(&mut d, now), Row { id: 1, request });
    store_turns(&mut d, &row, now);
    assert_eq!(sent(&mut d, connection, now), format!("{WORD} a.1 add\n"), "with the tag of its first try");
    (d, connection, row, now)
}

#[test]
fn a_first_try_has_a_tag_and_its_reply_is_given_as_it_is() {
    let (mut d, requester, connection, now) = stage();
    d.request(requester, b"add\n", now);
    sent(&mut d, connection, now);
    says(&mut d, connection, "added\n", now);
    assert_eq!(given(&mut d, requester, now), "added\n");
    d.request(requester, b"add\n", now);
    assert_eq!(sent(&mut d, connection, now), format!("{WORD} a.2 add\n"), "another tag each time");
}

#[test]
fn an_undeferred_request_has_none() {
    let (mut d, _, connection, now) = stage();
    let plain = d.join();
    d.request(plain, b"add\n", now);
    assert_eq!(sent(&mut d, connection, now), "add\n");
}

#[test]
fn a_replay_has_the_tag_of_the_first_try_and_ends_with_the_reply_of_then() {
    let (mut d, connection, row, now) = replayed();
    says(&mut d, connection, "added\n", now);
    assert_eq!(store_turns(&mut d, &row, now), [Record::Delivered]);
}

#[test]
fn what_was_stored_without_a_tag_is_sent_without_one() {
    let (mut d, _, connection, now) = stage();
    let row = Row { id: 1, request: Tagged { tag: Box::default(), body: Box::from(*b"old\n") } };
    d.store_answered(StoreAnswer::Changed(1), now);
    store_turns(&mut d, &row, now);
    assert_eq!(sent(&mut d, connection, now), "old\n");
}

#[test]
fn again_stores_a_first_try_and_keeps_a_replay_at_its_place() {
    let (mut d, requester, connection, now) = stage();
    d.request(requester, b"add\n", now);
    sent(&mut d, connection, now);
    says(&mut d, connection, &format!("{WORD} again it is busy\n"), now);
    let (_, request, in_doubt) = stored(&mut d).unwrap();
    assert_eq!((&*request.tag, in_doubt), ("a.1", false));
    let (mut d, connection, row, now) = replayed();
    says(&mut d, connection, &format!("{WORD} again it is busy\n"), now);
    d.expire(now + Duration::from_millis(100));
    assert_eq!(store_turns(&mut d, &row, now), [Record::Failed("it is busy".to_owned())]);
}

#[test]
fn doubt_is_unknown_to_the_requester_of_a_first_try_and_sends_a_replay_to_the_dead() {
    let (mut d, requester, connection, now) = stage();
    d.request(requester, b"add\n", now);
    sent(&mut d, connection, now);
    says(&mut d, connection, &format!("{WORD} doubt it was killed\n"), now);
    assert!(stored(&mut d).is_none());
    assert_eq!(given(&mut d, requester, now), "con_unknown\n");
    let (mut d, connection, row, now) = replayed();
    says(&mut d, connection, &format!("{WORD} doubt it was killed\n"), now);
    d.expire(now + Duration::from_millis(100));
    let dead = Record::Dead(b"doubt it was killed".to_vec(), "it was killed".to_owned());
    assert_eq!(store_turns(&mut d, &row, now), [dead]);
}

#[test]
fn what_waits_behind_a_first_try_that_is_put_off_is_stored_behind_it_and_not_sent() {
    let (mut d, requester, connection, now) = stage();
    d.request(requester, b"one\n", now);
    d.request(requester, b"two\n", now);
    assert_eq!(sent(&mut d, connection, now), format!("{WORD} a.1 one\n"), "one at a time");
    says(&mut d, connection, &format!("{WORD} again it is busy\n"), now);
    assert_eq!(sent(&mut d, connection, now), "", "the second one would overtake the first");
    let tags = [stored(&mut d), stored(&mut d)].map(|stored| stored.unwrap().1.tag);
    assert_eq!(tags, ["a.1".into(), "a.2".into()]);
}

#[test]
fn a_replay_whose_reply_is_too_large_goes_to_the_dead_as_it_would_be_so_each_time() {
    let (mut d, connection, row, now) = replayed();
    let large = "x".repeat(MAX_REPLY + 1);
    let why = d.received(connection, large.as_bytes(), now, &mut |_, _| 0).unwrap_err();
    assert_eq!(why, "the host sent a reply larger than max_reply");
    d.broke(connection, &why, now);
    d.expire(now + Duration::from_millis(100));
    assert_eq!(store_turns(&mut d, &row, now), [Record::Dead(Vec::new(), why)]);
}
