//! Replacements by examples: who serves, who is told what, what the status says of it.

use super::*;
use crate::parent::reconcile::{Fate, reconcile};
use crate::parent::table::entry::READY_WITHIN;

/// A table whose hosts are served by the children 10, 11, …
fn served(count: usize, patience: Option<Duration>) -> (Table, Instant) {
    let now = Instant::now();
    let hosts = (0..count).map(|at| host(&format!("h{at}"), Start::Boot)).collect();
    let (mut table, _) = table(hosts, patience, now);
    for (at, pid) in (0..count).zip(10..) {
        for event in [Event::Started { pid }, Event::Ready { pid }] {
            table.apply(HostId(at), event, now);
        }
    }
    (table, now)
}

fn restart(table: &Table, binary: u64, now: Instant) -> (Table, Vec<Action>) {
    let plans = table.hosts().map(|(_, entry)| entry.plan.clone()).collect();
    restart_with(table, plans, binary, now)
}

fn restart_with(table: &Table, plans: Vec<Heritage>, binary: u64, now: Instant) -> (Table, Vec<Action>) {
    let written = serde_json::to_string(&table.bequeath(now)).unwrap();
    let fates = reconcile(serde_json::from_str(&written).unwrap(), plans, &build(binary));
    Table::inherit(fates, build(binary), 2, table.rules.patience, now)
}

/// One host, served by 10, its successor 20 being started.
fn succeeding(patience: Option<Duration>) -> (Table, Instant) {
    let (table, now) = served(1, patience);
    let (mut table, actions) = restart(&table, 2, now);
    assert_eq!(only(&actions), Some(Todo::Spawn));
    table.apply(A, Event::Started { pid: 20 }, now);
    (table, now)
}

fn replies(pid: i32, replies: u64) -> Event {
    let outcomes = Outcomes { replies, ..Outcomes::default() };
    Event::Answered { pid, ask: 1, snapshot: Box::new(Snapshot { outcomes, reach: Reach::Up, ..Snapshot::default() }) }
}

#[test]
fn the_child_before_serves_on_until_its_successor_is_ready_and_then_hands_over() {
    let (mut table, now) = succeeding(None);
    let entry = table.get(A).unwrap();
    assert_eq!(
        (entry.serving(), entry.pid(), table.replacing(), table.most_predecessors()),
        (Some(10), Some(10), 1, 1)
    );
    assert_eq!(entry.made().unwrap().build, build(1), "the status names the build that serves");
    assert!(table.is_settled(), "it is served");
    assert_eq!(only(&table.apply(A, Event::Ready { pid: 20 }, now)), Some(Todo::HandOver { pid: 10 }));
    let entry = table.get(A).unwrap();
    assert_eq!((entry.serving(), table.replacing(), table.most_predecessors()), (Some(20), 0, 1));
    assert_eq!((entry.made().unwrap().generation, entry.times_restarted()), (2, 0), "a replacement is no restart");
    assert_eq!(table.next_tick(), Some(now + DRAIN + GRACE));
    assert_eq!(table.tick(now + DRAIN + GRACE - MS), []);
    assert_eq!(only(&table.tick(now + DRAIN + GRACE)), Some(Todo::Kill { pid: 10 }));
    table.apply(A, Event::Exited { pid: 10, exit: Exit::Signal(Signal::SIGKILL) }, now);
    assert_eq!((table.get(A).unwrap().serving(), table.most_predecessors()), (Some(20), 0));
}

#[test]
fn the_status_is_that_of_the_child_that_serves_and_counters_go_on_from_one_to_the_next() {
    let (mut table, now) = succeeding(None);
    let shown = |table: &Table| (table.get(A).unwrap().snapshot().0.outcomes.replies, table.get(A).unwrap().state(now));
    table.apply(A, replies(10, 5), now);
    table.apply(A, Event::Reach { pid: 20, up: false, reason: "refused".into() }, now);
    assert_eq!(shown(&table), (5, State::Up), "the successor may not say how the host is");
    table.apply(A, Event::Ready { pid: 20 }, now);
    assert_eq!(shown(&table), (5, State::Idle));
    table.apply(A, replies(20, 1), now);
    let snapshot = Snapshot { outcomes: Outcomes { replies: 9, ..Outcomes::default() }, ..Snapshot::default() };
    table.apply(A, Event::Farewell { pid: 10, snapshot: Box::new(snapshot) }, now);
    assert_eq!(shown(&table), (10, State::Up), "a farewell adds what it had not told before, and nothing else");
    table.apply(A, replies(10, 7), now);
    assert_eq!(shown(&table).0, 10, "an answer that comes late was counted already");
}

#[test]
fn a_successor_that_does_not_get_ready_is_killed_and_tried_again_with_rests_while_the_child_before_serves() {
    let (mut table, now) = succeeding(None);
    assert_eq!(table.tick(now + READY_WITHIN - MS), []);
    let now = now + READY_WITHIN;
    assert_eq!(only(&table.tick(now)), Some(Todo::Kill { pid: 20 }));
    assert_eq!(only(&table.apply(A, Event::Exited { pid: 20, exit: Exit::Signal(Signal::SIGKILL) }, now)), None);
    let why = "ended by signal KILL: it did not get ready within 10 s and was killed; the child before it serves on, the \
               next one";
    assert_eq!(table.get(A).unwrap().reason(now), format!("{why} starts in 0.1 s"));
    assert_eq!((table.get(A).unwrap().serving(), table.replacing()), (Some(10), 1));
    assert_eq!(only(&table.tick(now + FIRST)), Some(Todo::Spawn));
    table.apply(A, Event::Started { pid: 21 }, now + FIRST);
    assert_eq!(table.get(A).unwrap().reason(now), format!("{why} is being started"));
    assert_eq!(only(&table.apply(A, Event::Ready { pid: 21 }, now)), Some(Todo::HandOver { pid: 10 }));
    assert_eq!((table.get(A).unwrap().reason(now), table.get(A).unwrap().times_restarted()), (String::new(), 1));
}

#[test]
fn a_parent_that_was_stopped_blames_no_successor() {
    let (mut table, now) = succeeding(None);
    assert_eq!(table.tick(now + READY_WITHIN * 2), [], "its word may lie unread");
    assert_eq!(only(&table.tick(now + READY_WITHIN * 3)), Some(Todo::Kill { pid: 20 }));
}

#[test]
fn a_child_that_serves_and_dies_before_its_successor_is_ready_is_only_missed() {
    let (mut table, now) = succeeding(None);
    assert_eq!(table.apply(A, Event::Exited { pid: 10, exit: CRASH }, now), []);
    assert_eq!((table.get(A).unwrap().pid(), table.replacing(), table.next_tick()), (Some(20), 0, None));
    assert_eq!(table.get(A).unwrap().state(now), State::Starting);
}

#[test]
fn with_a_watchdog_a_child_that_serves_while_it_is_replaced_is_killed_for_silence_too() {
    let patience = Duration::from_secs(5);
    let (mut table, now) = succeeding(Some(patience));
    table.apply(A, Event::Asked { ask: 1 }, now);
    table.tick(now + patience / 2);
    let killed = table.tick(now + patience).into_iter().map(|action| action.todo).collect::<Vec<_>>();
    assert_eq!(killed, [Todo::Kill { pid: 10 }, Todo::Kill { pid: 20 }]);
}

#[test]
fn only_some_successors_start_at_a_time_in_the_order_of_the_table_and_those_that_failed_come_last() {
    let (table, now) = served(7, None);
    let (mut table, actions) = restart(&table, 2, now);
    let spawned = |actions: Vec<Action>| {
        assert!(actions.iter().all(|action| matches!(action.todo, Todo::Spawn | Todo::HandOver { .. })), "{actions:?}");
        actions.iter().filter(|action| action.todo == Todo::Spawn).map(|action| action.host.0).collect::<Vec<_>>()
    };
    assert_eq!(spawned(actions), [0, 1, 2, 3]);
    for (host, pid) in (0..4).zip(20..) {
        assert_eq!(table.apply(HostId(host), Event::Started { pid }, now), []);
    }
    assert_eq!(spawned(table.apply(B, Event::Ready { pid: 21 }, now)), [4]);
    assert_eq!(spawned(table.apply(HostId(4), Event::NotStarted { reason: "no memory".into() }, now)), [5]);
    table.apply(HostId(5), Event::Started { pid: 25 }, now);
    assert_eq!(table.tick(now + FIRST), [], "the turn of the fifth has not come again");
    assert_eq!(spawned(table.apply(A, Event::Exited { pid: 20, exit: CRASH }, now + FIRST)), [6]);
    table.apply(HostId(6), Event::Started { pid: 26 }, now + FIRST);
    assert_eq!(spawned(table.apply(HostId(2), Event::Ready { pid: 22 }, now + FIRST)), [4]);
}

#[test]
fn first_starts_are_not_held_up() {
    let now = Instant::now();
    let plans = (0..9).map(|at| plan(host(&format!("h{at}"), Start::Boot))).collect();
    let (table, actions) = Table::inherit(reconcile(Vec::new(), plans, &build(1)), build(1), 1, None, now);
    assert_eq!((actions.len(), table.hosts().count()), (9, 9));
    assert!(!table.is_settled());
}

#[test]
fn a_host_that_starts_on_demand_is_replaced_at_once_if_it_has_a_child_and_watched_if_it_has_none() {
    let mut one = One::new(Start::Demand, None);
    one.boot();
    let (table, actions) = restart(&one.table, 2, one.now);
    assert_eq!(only(&actions), Some(Todo::Watch));
    one.table = table;
    assert_eq!(one.apply(Event::Wanted), Some(Todo::Spawn));
    one.start();
    assert_eq!(only(&restart(&one.table, 2, one.now).1), None, "nothing has changed");
    assert_eq!(only(&restart(&one.table, 3, one.now).1), Some(Todo::Spawn));
}

#[test]
fn a_host_that_is_configured_no_more_is_out_of_sight_and_its_child_retires() {
    let (table, now) = served(2, None);
    let (mut table, actions) = restart_with(&table, vec![table.get(B).unwrap().plan.clone()], 1, now);
    assert_eq!(actions, [Action { host: B, todo: Todo::Retire { pid: 10 } }]);
    assert_eq!((table.find("h0"), table.find("h1"), table.hosts().count()), (None, Some(A), 1));
    assert_eq!((table.counts(now).hosts, table.is_settled()), (1, true));
    assert_eq!(only(&restart(&table, 1, now).1), None, "it is not told twice");
    assert_eq!(only(&table.tick(now + DRAIN + GRACE)), Some(Todo::Kill { pid: 10 }));
    assert_eq!(only(&table.stop(now + DRAIN)), Some(Todo::Retire { pid: 11 }));
    table.apply(A, Event::Exited { pid: 11, exit: Exit::Code(0) }, now);
    assert!(!table.is_over(), "the killed one is still to be waited for");
    assert_eq!(table.apply(B, Event::Exited { pid: 10, exit: Exit::Signal(Signal::SIGKILL) }, now), []);
    assert!(table.is_over());
}

#[test]
fn a_host_that_comes_back_while_its_child_retires_gets_another_one() {
    let (table, now) = served(1, None);
    let plans = vec![table.get(A).unwrap().plan.clone()];
    let (table, _) = restart_with(&table, Vec::new(), 1, now);
    let (mut table, actions) = restart_with(&table, plans, 1, now);
    assert_eq!(only(&actions), Some(Todo::Spawn));
    assert_eq!((table.find("h0"), table.get(A).unwrap().serving(), table.most_predecessors()), (Some(A), None, 1));
    table.apply(A, Event::Started { pid: 20 }, now);
    assert_eq!(table.apply(A, Event::Ready { pid: 20 }, now), [], "one that retires does so already");
    assert_eq!(only(&table.tick(now + DRAIN + GRACE)), Some(Todo::Kill { pid: 10 }));
}

#[test]
fn a_stop_tells_all_children_and_gives_nobody_more_time_than_it_had() {
    let (mut table, now) = succeeding(None);
    table.apply(A, Event::Ready { pid: 20 }, now);
    let later = now + Duration::from_secs(10);
    let told: Vec<_> = table.stop(later + DRAIN + GRACE).into_iter().map(|action| action.todo).collect();
    assert_eq!(told, [Todo::Retire { pid: 10 }, Todo::Retire { pid: 20 }]);
    assert_eq!(table.stop(later), []);
    assert_eq!(only(&table.tick(now + DRAIN + GRACE)), Some(Todo::Kill { pid: 10 }));
    assert_eq!(only(&table.tick(later + DRAIN + GRACE)), Some(Todo::Kill { pid: 20 }));
}

#[test]
fn a_successor_that_is_replaced_before_it_was_heard_to_be_ready_may_have_accepted_requesters_and_hands_over_too() {
    let (table, now) = succeeding(None);
    let (mut table, actions) = restart(&table, 3, now);
    assert_eq!(only(&actions), Some(Todo::Spawn), "nobody is killed");
    table.apply(A, Event::Started { pid: 30 }, now);
    assert_eq!((table.get(A).unwrap().serving(), table.most_predecessors()), (Some(10), 2));
    let todos: Vec<_> = table.apply(A, Event::Ready { pid: 30 }, now).into_iter().map(|action| action.todo).collect();
    assert_eq!(todos, [Todo::HandOver { pid: 10 }, Todo::HandOver { pid: 20 }]);
    assert_eq!(table.apply(A, Event::Ready { pid: 20 }, now), [], "that comes too late");
    assert_eq!(table.get(A).unwrap().serving(), Some(30));
}

#[test]
fn a_successor_that_is_replaced_and_heard_to_be_ready_then_serves_until_its_own_successor_is() {
    let (table, now) = succeeding(None);
    let (mut table, _) = restart(&table, 3, now);
    table.apply(A, Event::Started { pid: 30 }, now);
    assert_eq!(only(&table.apply(A, Event::Ready { pid: 20 }, now)), Some(Todo::HandOver { pid: 10 }));
    assert_eq!(table.get(A).unwrap().serving(), Some(20));
    assert_eq!(only(&table.apply(A, Event::Ready { pid: 30 }, now)), Some(Todo::HandOver { pid: 20 }));
    assert_eq!(table.get(A).unwrap().serving(), Some(30));
}

#[test]
fn a_resting_host_that_is_changed_starts_at_once_with_its_backoff_begun_anew() {
    let mut one = One::serving();
    one.exit(CRASH);
    one.after(FIRST);
    one.start();
    one.exit(CRASH);
    let (same, actions) = restart(&one.table, 1, one.now);
    assert_eq!((actions, same.next_tick()), (vec![], Some(one.now + FIRST * 2)));
    let (table, actions) = restart(&one.table, 2, one.now);
    assert_eq!(only(&actions), Some(Todo::Spawn));
    one.table = table;
    one.start();
    one.exit(CRASH);
    assert_eq!(one.rest(), FIRST);
}

#[test]
fn what_one_was_told_before_a_restart_is_told_again_as_it_may_have_been_lost() {
    let (mut table, now) = succeeding(None);
    table.apply(A, Event::Ready { pid: 20 }, now);
    let (table, actions) = restart(&table, 2, now + GRACE);
    assert_eq!(only(&actions), Some(Todo::HandOver { pid: 10 }));
    assert_eq!(table.next_tick(), Some(now + DRAIN + GRACE), "it gets no further time");
}

#[test]
fn what_a_build_does_not_understand_of_another_counts_as_changed_and_loses_no_child() {
    let (mut table, now) = succeeding(None);
    table.apply(A, replies(10, 5), now);
    let mut written = serde_json::to_value(table.bequeath(now)).unwrap();
    let host = &mut written[0];
    host["plan"]["host"] = serde_json::json!({ "colour": "blue" });
    host["last"] = serde_json::json!(7);
    host["life"]["living"]["made"]["heritage"] = serde_json::json!("a scroll");
    host.as_object_mut().unwrap().remove("restarts");
    let inherited: Vec<HostBequest> = serde_json::from_value(written).unwrap();
    assert_eq!(inherited[0].pids(), [10, 20]);
    let plans = vec![table.get(A).unwrap().plan.clone()];
    let fates = reconcile(inherited.clone(), plans, &build(2));
    assert!(matches!(fates[..], [Fate::Replace(..)]));
    let (replaced, _) = Table::inherit(fates, build(2), 3, None, now);
    let entry = replaced.get(A).unwrap();
    assert_eq!((entry.serving(), entry.snapshot().0.outcomes.replies), (Some(10), 5));
    let (removed, actions) = Table::inherit(reconcile(inherited, vec![], &build(2)), build(2), 3, None, now);
    assert_eq!((actions.len(), removed.all().next().unwrap().1.name()), (2, "h0"));
}

#[test]
fn nobody_is_killed_before_its_time_because_moments_are_written_in_milliseconds() {
    let (mut table, now) = succeeding(None);
    table.apply(A, Event::Ready { pid: 20 }, now);
    let later = now + Duration::from_micros(300);
    let (table, _) = restart(&table, 2, later);
    let due = table.next_tick().unwrap();
    assert!(due >= now + DRAIN + GRACE && due < now + DRAIN + GRACE + MS);
}
