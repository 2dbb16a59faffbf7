//! The table by examples, and under random sequences of events.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use proptest::prelude::*;

use super::entry::ANSWER_WITHIN;
use super::restart::{FIRST, HEALTHY, LONGEST};
use super::*;
use crate::config::{Address, Start};
use crate::dialect::Dialect;
use crate::snapshot::{Outcomes, Reach};

const CRASH: Exit = Exit::Code(70);
const MS: Duration = Duration::from_millis(1);
const A: HostId = HostId(0);
const B: HostId = HostId(1);

fn host(name: &str, start: Start) -> HostSettings {
    HostSettings {
        start,
        ..HostSettings::with_defaults(name, Address::Tcp { host: "127.0.0.1".into(), port: 1 }, Dialect::Line)
    }
}

fn todo(action: Option<Action>) -> Option<Todo> {
    action.map(|action| action.todo)
}

/// A table of one host, its clock, and shorthands for the events of a child.
struct One {
    table: Table,
    now: Instant,
}

impl One {
    fn new(start: Start, patience: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { table: Table::new(vec![host("a", start)], patience, now), now }
    }

    fn serving() -> Self {
        let mut one = Self::new(Start::Boot, None);
        assert_eq!(one.apply(Event::Boot), Some(Todo::Spawn));
        one.start();
        one
    }

    fn apply(&mut self, event: Event) -> Option<Todo> {
        todo(self.table.apply(A, event, self.now))
    }

    fn start(&mut self) {
        assert_eq!(self.apply(Event::Started { pid: 7 }), None);
        assert_eq!(self.apply(Event::Ready), None);
    }

    fn exit(&mut self, exit: Exit) -> Option<Todo> {
        self.apply(Event::Exited { exit })
    }

    fn after(&mut self, time: Duration) -> Vec<Todo> {
        self.now += time;
        self.table.tick(self.now).into_iter().map(|action| action.todo).collect()
    }

    fn entry(&self) -> &Entry {
        self.table.get(A).unwrap()
    }

    fn state(&self) -> State {
        self.entry().state(self.now)
    }

    fn rest(&self) -> Duration {
        self.entry().resting(self.now).unwrap()
    }
}

#[test]
fn a_child_that_keeps_dying_young_rests_twice_as_long_each_time_up_to_a_minute() {
    let mut one = One::serving();
    let mut expected = FIRST;
    for _ in 0..14 {
        assert_eq!(one.exit(CRASH), None);
        assert_eq!(one.rest(), expected);
        assert_eq!(one.state(), State::Crashed);
        assert_eq!(one.after(expected - MS), []);
        assert_eq!(one.after(MS), [Todo::Spawn]);
        one.start();
        expected = (expected * 2).min(LONGEST);
    }
    assert_eq!(expected, LONGEST);
    assert_eq!(one.entry().times_restarted(), 14);
}

#[test]
fn a_minute_of_health_forgives_former_deaths() {
    let mut one = One::serving();
    one.exit(CRASH);
    one.after(FIRST);
    one.start();
    one.after(HEALTHY - MS);
    one.exit(CRASH);
    assert_eq!(one.rest(), FIRST * 2, "not quite a minute");
    one.after(FIRST * 2);
    one.start();
    one.after(HEALTHY);
    one.exit(CRASH);
    assert_eq!(one.rest(), FIRST);
}

#[test]
fn a_child_ended_from_outside_after_it_was_ready_starts_again_at_once() {
    for exit in [Exit::Signal(Signal::SIGKILL), Exit::Signal(Signal::SIGTERM), Exit::Code(0)] {
        let mut one = One::serving();
        one.after(Duration::from_secs(2));
        assert_eq!(one.exit(exit), Some(Todo::Spawn), "{exit}");
    }
}

#[test]
fn a_child_ended_from_outside_again_and_again_does_not_spin_nor_rest_ever_longer() {
    let mut one = One::serving();
    for _ in 0..5 {
        assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), None);
        assert_eq!(one.rest(), FIRST);
        assert_eq!(one.after(FIRST), [Todo::Spawn]);
        one.start();
    }
}

#[test]
fn other_signals_and_deaths_before_ready_are_crashes() {
    let mut one = One::serving();
    one.after(Duration::from_secs(2));
    assert_eq!(one.exit(Exit::Signal(Signal::SIGSEGV)), None);
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
    one.apply(Event::Started { pid: 8 });
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), None);
    assert_eq!(one.rest(), FIRST * 2, "it was never ready");
}

#[test]
fn a_child_that_cannot_be_started_is_tried_again_with_rests() {
    let mut one = One::new(Start::Boot, None);
    one.apply(Event::Boot);
    assert!(!one.table.is_settled());
    one.apply(Event::NotStarted { reason: "no memory".into() });
    assert!(one.table.is_settled(), "nobody waits for it for ever");
    assert_eq!(one.entry().reason(one.now), "no memory; started again in 0.1 s");
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
}

#[test]
fn a_demand_host_has_no_child_until_a_requester_comes_and_again_after_it_was_idle() {
    let mut one = One::new(Start::Demand, None);
    assert_eq!(one.apply(Event::Boot), Some(Todo::Watch));
    assert!(one.table.is_settled(), "nobody waits for a child that nobody wants");
    assert_eq!(one.state(), State::Idle);
    assert_eq!(one.apply(Event::Wanted), Some(Todo::Spawn));
    assert_eq!(one.apply(Event::Wanted), None, "one child is enough");
    one.start();
    one.after(Duration::from_secs(2));
    assert_eq!(one.exit(Exit::Code(0)), Some(Todo::Watch));
    assert_eq!(one.state(), State::Idle);
}

#[test]
fn a_demand_host_whose_child_crashes_rests_before_it_is_watched_again() {
    let mut one = One::new(Start::Demand, None);
    one.apply(Event::Boot);
    one.apply(Event::Wanted);
    one.start();
    assert_eq!(one.exit(CRASH), None);
    assert_eq!(one.apply(Event::Wanted), None);
    assert_eq!(one.after(FIRST), [Todo::Watch]);
}

#[test]
fn a_crashed_host_tells_its_last_words_and_when_it_is_started_again() {
    let mut one = One::serving();
    one.apply(Event::LastWords { text: "panicked at x.rs:1".into() });
    one.exit(CRASH);
    assert_eq!(one.entry().reason(one.now), "exit code 70: panicked at x.rs:1; started again in 0.1 s");
    assert_eq!(one.entry().snapshot().0.last_log, "panicked at x.rs:1");
}

#[test]
fn counters_go_on_over_a_restart() {
    let mut one = One::serving();
    let outcomes = Outcomes { replies: 5, lost: 2, ..Outcomes::default() };
    let snapshot = Snapshot { reach: Reach::Up, requesters: 3, outcomes, ..Snapshot::default() };
    one.apply(Event::Answered { ask: 1, snapshot: Box::new(snapshot.clone()) });
    one.exit(CRASH);
    assert_eq!(one.entry().snapshot().0.outcomes, outcomes);
    assert_eq!(one.entry().snapshot().0.requesters, 0, "its requesters are gone with it");
    one.after(FIRST);
    one.start();
    one.apply(Event::Answered { ask: 2, snapshot: Box::new(snapshot) });
    assert_eq!(one.entry().snapshot().0.outcomes.replies, 10);
}

#[test]
fn a_child_that_does_not_answer_hangs_and_one_late_answer_mends_it() {
    let mut one = One::serving();
    one.apply(Event::Reach { up: true, reason: String::new() });
    for ask in 1..=8 {
        assert!(one.entry().can_be_asked());
        one.apply(Event::Asked { ask });
    }
    assert!(!one.entry().can_be_asked(), "it is not asked for ever");
    assert_eq!(one.state(), State::Up);
    assert_eq!(one.after(ANSWER_WITHIN), [], "nobody is killed without a watchdog");
    assert_eq!(one.state(), State::Hung);
    assert_eq!(one.entry().reason(one.now), "no answer for 0.7 s");
    let snapshot = Snapshot { reach: Reach::Up, ..Snapshot::default() };
    one.apply(Event::Answered { ask: 7, snapshot: Box::new(snapshot.clone()) });
    assert_eq!(one.state(), State::Hung, "the last question is still open");
    one.apply(Event::Answered { ask: 8, snapshot: Box::new(snapshot) });
    assert_eq!(one.state(), State::Up);
}

#[test]
fn with_a_watchdog_a_silent_child_is_killed_and_started_again_after_a_rest() {
    let patience = Duration::from_secs(10);
    let mut one = One::new(Start::Boot, Some(patience));
    one.apply(Event::Boot);
    one.start();
    one.after(patience / 2);
    one.apply(Event::Asked { ask: 1 });
    assert_eq!(one.after(patience / 2), []);
    assert_eq!(one.after(patience / 2), [Todo::Kill]);
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), None, "the parent's own signal is none from outside");
    assert_eq!(one.rest(), FIRST);
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
}

#[test]
fn a_parent_that_slept_itself_blames_no_child() {
    let patience = Duration::from_secs(10);
    let mut one = One::new(Start::Boot, Some(patience));
    one.apply(Event::Boot);
    one.start();
    one.apply(Event::Asked { ask: 1 });
    assert_eq!(one.after(patience * 5), [], "the answer may lie unread");
    assert_eq!(one.after(patience - MS), []);
    assert_eq!(one.after(MS * 2), [Todo::Kill]);
}

#[test]
fn a_graceful_stop_kills_who_is_late_and_starts_nobody() {
    let mut one = One::serving();
    let kill_at = one.now + Duration::from_secs(31);
    assert_eq!(one.table.stop(kill_at).len(), 1);
    assert_eq!(one.table.stop(kill_at), [], "nobody is told twice");
    assert_eq!(one.state(), State::Retiring);
    assert_eq!(one.after(Duration::from_secs(30)), []);
    assert_eq!(one.after(Duration::from_secs(1)), [Todo::Kill]);
    assert!(!one.table.is_over(), "a killed child is still to be waited for");
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), None);
    assert!(one.table.is_over());
}

#[test]
fn a_stop_ends_a_rest() {
    let mut one = One::serving();
    one.exit(CRASH);
    assert_eq!(one.table.stop(one.now), []);
    assert!(one.table.is_over());
    assert_eq!(one.after(LONGEST), []);
}

#[test]
fn hosts_are_counted_by_how_they_are() {
    let now = Instant::now();
    let hosts = ["a", "b", "c"].map(|name| host(name, Start::Boot)).to_vec();
    let mut table = Table::new(hosts, None, now);
    for (at, pid) in [(0, 10), (1, 11), (2, 12)] {
        table.apply(HostId(at), Event::Boot, now);
        table.apply(HostId(at), Event::Started { pid }, now);
        table.apply(HostId(at), Event::Ready, now);
    }
    table.apply(A, Event::Reach { up: true, reason: String::new() }, now);
    table.apply(B, Event::Exited { exit: CRASH }, now);
    assert_eq!(table.counts(now), Counts { hosts: 3, up: 1, down: 1, idle: 1, backlogs: 0 });
}

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Ready(usize),
    Exit(usize, Exit),
    Wanted(usize),
    Ask(usize),
    Answer(usize),
    Words(usize),
    Pass(u64),
    Stop,
    StopNow,
}

fn step() -> impl Strategy<Value = Step> {
    let exit = prop_oneof![
        Just(Exit::Code(0)),
        Just(CRASH),
        Just(Exit::Signal(Signal::SIGKILL)),
        Just(Exit::Signal(Signal::SIGSEGV))
    ];
    let at = 0..3usize;
    prop_oneof![
        8 => at.clone().prop_map(Step::Ready),
        8 => (at.clone(), exit).prop_map(|(at, exit)| Step::Exit(at, exit)),
        4 => at.clone().prop_map(Step::Wanted),
        4 => at.clone().prop_map(Step::Ask),
        4 => at.clone().prop_map(Step::Answer),
        2 => at.prop_map(Step::Words),
        8 => (0..100_000u64).prop_map(Step::Pass),
        1 => Just(Step::Stop),
        1 => Just(Step::StopNow),
    ]
}

/// The processes that live, as a kernel would know them.
struct World {
    table: Table,
    now: Instant,
    living: [Option<i32>; 3],
    watched: BTreeSet<usize>,
    next_pid: i32,
    ask: u64,
    kill_at: Option<Instant>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let starts = [("a", Start::Boot), ("b", Start::Demand), ("c", Start::Boot)];
        let hosts = starts.map(|(name, start)| host(name, start)).to_vec();
        let table = Table::new(hosts, Some(Duration::from_secs(10)), now);
        let mut world =
            Self { table, now, living: [None; 3], watched: BTreeSet::new(), next_pid: 1, ask: 0, kill_at: None };
        (0..3).for_each(|at| world.apply(at, Event::Boot));
        world
    }

    fn apply(&mut self, at: usize, event: Event) {
        let others = self.others(at);
        let action = self.table.apply(HostId(at), event, self.now);
        assert_eq!(others, self.others(at), "another host's entry changed");
        self.act(action);
    }

    fn others(&self, at: usize) -> Vec<String> {
        let others = self.table.hosts().filter(|(host, _)| host.0 != at);
        others.map(|(_, entry)| format!("{entry:?}")).collect()
    }

    fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        for Action { host: HostId(at), todo } in actions {
            match todo {
                Todo::Spawn => {
                    assert_eq!(self.living[at], None, "two children of one host");
                    assert!(!self.table.is_stopping(), "started after a stop");
                    self.watched.remove(&at);
                    self.living[at] = Some(self.next_pid);
                    self.next_pid += 1;
                    self.apply(at, Event::Started { pid: self.next_pid - 1 });
                }
                Todo::Watch => {
                    assert_eq!(self.living[at], None, "watched while a child lives");
                    self.watched.insert(at);
                }
                Todo::Kill | Todo::Retire => {
                    assert!(self.living[at].is_some(), "a signal to nobody");
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ready(at) if self.living[at].is_some() => self.apply(at, Event::Ready),
            Step::Exit(at, exit) if self.living[at].is_some() => {
                self.living[at] = None;
                self.apply(at, Event::Exited { exit });
            }
            Step::Wanted(at) if self.watched.remove(&at) => self.apply(at, Event::Wanted),
            Step::Ask(at) if self.table.get(HostId(at)).unwrap().can_be_asked() => {
                self.ask += 1;
                self.apply(at, Event::Asked { ask: self.ask });
            }
            Step::Answer(at) if self.living[at].is_some() => {
                self.apply(at, Event::Answered { ask: self.ask, snapshot: Box::default() });
            }
            Step::Words(at) if self.living[at].is_some() => {
                self.apply(at, Event::LastWords { text: "x".into() });
            }
            Step::Words(at) if self.living[at].is_some() => self.apply(at, Event::LastWords { text: "x".into() }),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Step::Stop => {
                let kill_at = *self.kill_at.get_or_insert(self.now + Duration::from_secs(31));
                let actions = self.table.stop(kill_at);
                self.act(actions);
            }
            Step::StopNow => {
                let actions = self.table.stop_now();
                self.act(actions);
            }
            _ => {}
        }
        self.check();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let actions = self.table.tick(self.now);
        self.act(actions);
        if let Some(due) = self.table.next_tick() {
            assert!(due > self.now, "what is due was not done: the parent would spin");
        }
    }

    fn check(&self) {
        for (host, entry) in self.table.hosts() {
            assert_eq!(entry.pid(), self.living[host.0]);
            entry.reason(self.now);
            let watched = self.watched.contains(&host.0);
            assert!(!watched || entry.pid().is_none());
        }
    }
}

proptest! {
    #[test]
    fn one_child_per_host_none_after_a_stop_and_nobody_touches_another(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.step(&step);
        }
        world.step(&Step::Stop);
        world.pass(Duration::from_secs(31));
        for at in 0..3 {
            if world.living[at].take().is_some() {
                world.apply(at, Event::Exited { exit: Exit::Signal(Signal::SIGKILL) });
            }
        }
        prop_assert!(world.table.is_over());
    }
}

#[test]
fn a_backlog_starts_the_child_of_a_host_that_waits_for_requesters() {
    let mut one = One::new(Start::Demand, None);
    assert_eq!(one.apply(Event::Boot), Some(Todo::Watch));
    assert!(!one.table.get(A).unwrap().knows_backlog(), "nobody has told: who watches has to look at the disk");
    assert_eq!(one.apply(Event::Wanted), Some(Todo::Spawn));
    one.start();
    one.apply(Event::Backlog { waiting: true });
    assert_eq!(one.table.counts(one.now).backlogs, 1);
    one.now += HEALTHY;
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), Some(Todo::Spawn), "stored requests need a child");
    one.start();
    one.apply(Event::Backlog { waiting: false });
    one.now += HEALTHY;
    assert_eq!(one.exit(Exit::Code(0)), Some(Todo::Watch));
    assert!(one.table.get(A).unwrap().knows_backlog(), "it went because nobody needed it");
}

#[test]
fn after_a_crash_it_is_unknown_whether_requests_are_stored() {
    let mut one = One::new(Start::Demand, None);
    one.apply(Event::Boot);
    one.apply(Event::Wanted);
    one.start();
    one.apply(Event::Backlog { waiting: false });
    one.exit(CRASH);
    assert!(!one.table.get(A).unwrap().knows_backlog());
}

#[test]
fn what_is_stored_stays_in_the_status_of_a_host_whose_child_is_gone() {
    let mut one = One::serving();
    let spool = crate::snapshot::SpoolNumbers { depth: 3, ..Default::default() };
    one.apply(Event::Answered { ask: 1, snapshot: Box::new(Snapshot { spool, ..Snapshot::default() }) });
    one.exit(CRASH);
    assert_eq!(one.table.get(A).unwrap().snapshot().0.spool.depth, 3);
}
