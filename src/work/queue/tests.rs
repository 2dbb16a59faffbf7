//! The queue: turns, places, and what is bound to a connection.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const C0: ConnectionId = ConnectionId(0);
const C1: ConnectionId = ConnectionId(1);

fn push(queue: &mut Queue, requester: u32, transactions: std::ops::Range<u32>) {
    for transaction in transactions {
        queue.push(RequesterId(requester), None, TransactionId(transaction));
    }
}

fn take(queue: &mut Queue, connection: ConnectionId) -> Option<u32> {
    queue.take_for(connection, Voice::Two).map(|(_, transaction)| transaction.0)
}

#[test]
fn a_requester_with_many_delays_another_by_one_turn() {
    let mut queue = Queue::default();
    push(&mut queue, 0, 0..10_000);
    push(&mut queue, 1, 20_000..20_002);
    let order: Vec<_> = (0..5).filter_map(|_| take(&mut queue, C0)).collect();
    assert_eq!(order, [0, 20_000, 1, 20_001, 2]);
}

#[test]
fn a_bound_requester_is_served_on_its_connection_only() {
    let mut queue = Queue::default();
    queue.push(RequesterId(0), Some(C0), TransactionId(1));
    queue.push(RequesterId(1), None, TransactionId(2));
    assert_eq!(take(&mut queue, C1), Some(2));
    assert_eq!(take(&mut queue, C1), None);
    assert!(!queue.waits_for_any());
    queue.bind(RequesterId(0), None);
    assert!(queue.waits_for_any());
    assert_eq!(take(&mut queue, C1), Some(1));
}

#[test]
fn who_speaks_another_voice_is_served_on_its_connections_only() {
    let mut queue = Queue::default();
    queue.speak(RequesterId(1), Voice::Three);
    push(&mut queue, 0, 0..1);
    push(&mut queue, 1, 1..2);
    assert!(queue.waits_for(Voice::Two) && queue.waits_for(Voice::Three));
    let of = |taken: Option<(RequesterId, TransactionId)>| taken.map(|(_, transaction)| transaction.0);
    assert_eq!(of(queue.take_for(C0, Voice::Three)), Some(1));
    assert_eq!(of(queue.take_for(C0, Voice::Three)), None);
    assert_eq!(of(queue.take_for(C0, Voice::Two)), Some(0));
    assert!(!queue.waits_for_any());
}

#[test]
fn what_comes_back_goes_first() {
    let mut queue = Queue::default();
    push(&mut queue, 0, 0..2);
    push(&mut queue, 1, 2..4);
    queue.push_back_to_head(RequesterId(1), None, TransactionId(9));
    queue.push_back_to_head(RequesterId(1), None, TransactionId(8));
    let order: Vec<_> = (0..6).filter_map(|_| take(&mut queue, C0)).collect();
    assert_eq!(order, [8, 0, 9, 1, 2, 3]);
}

#[derive(Debug, Clone)]
enum Step {
    Push(u32, Option<u32>),
    Back(u32),
    Take(u32),
    First(u32),
    Bind(u32, Option<u32>),
    Gone(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bound = prop::option::of(0u32..3);
    prop::collection::vec(
        prop_oneof![
            4 => (0u32..6, bound.clone()).prop_map(|(r, b)| Step::Push(r, b)),
            1 => (0u32..6).prop_map(Step::Back),
            4 => (0u32..3).prop_map(Step::Take),
            1 => (0u32..6).prop_map(Step::First),
            2 => (0u32..6, bound).prop_map(|(r, b)| Step::Bind(r, b)),
            1 => (0u32..6).prop_map(Step::Gone),
        ],
        1..300,
    )
}

proptest! {
    /// Against plain lists: nothing is lost or doubled, each lane keeps its order, a bound one goes nowhere else, and
    /// a connection finds work whenever there is some for it.
    #[test]
    fn every_transaction_leaves_once_and_in_its_lanes_order(steps in steps()) {
        let mut queue = Queue::default();
        let mut lanes: BTreeMap<u32, VecDeque<u32>> = BTreeMap::new();
        let mut bound: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push(r, b) => {
                    next += 1;
                    let lane = lanes.entry(r).or_default();
                    if lane.is_empty() { bound.insert(r, b); }
                    lane.push_back(next);
                    queue.push(RequesterId(r), bound[&r].map(ConnectionId), TransactionId(next));
                }
                Step::Back(r) => {
                    next += 1;
                    lanes.entry(r).or_default().push_front(next);
                    bound.insert(r, None);
                    queue.push_back_to_head(RequesterId(r), None, TransactionId(next));
                }
                Step::Take(c) => match queue.take_for(ConnectionId(c), Voice::Two) {
                    Some((r, t)) => {
                        prop_assert!(bound[&r.0].is_none_or(|b| b == c));
                        prop_assert_eq!(lanes.get_mut(&r.0).unwrap().pop_front(), Some(t.0));
                    }
                    None => for (r, lane) in &lanes {
                        prop_assert!(lane.is_empty() || bound[r].is_some_and(|b| b != c));
                    },
                },
                Step::First(r) => {
                    let expected = lanes.get_mut(&r).and_then(VecDeque::pop_front);
                    prop_assert_eq!(queue.take_first_of(RequesterId(r)).map(|t| t.0), expected);
                }
                Step::Bind(r, b) => {
                    bound.insert(r, b);
                    queue.bind(RequesterId(r), b.map(ConnectionId));
                }
                Step::Gone(r) => {
                    let expected: Vec<_> = lanes.remove(&r).unwrap_or_default().into();
                    let taken: Vec<_> = queue.take_all_of(RequesterId(r)).iter().map(|t| t.0).collect();
                    prop_assert_eq!(taken, expected);
                }
            }
            prop_assert_eq!(queue.len(), lanes.values().map(VecDeque::len).sum::<usize>());
            let free = lanes.iter().any(|(r, lane)| !lane.is_empty() && bound[r].is_none());
            prop_assert_eq!(queue.waits_for_any(), free);
        }
    }
}
