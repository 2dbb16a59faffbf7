//! The table by examples; under random sequences of events in [`model`].

mod model;
mod replacing;

use super::entry::ANSWER_WITHIN;
use super::restart::{Exit, FIRST, HEALTHY, LONGEST};
use super::*;
use crate::config::{
    Address, HostSettings, Listen, LogFormat, LogLevel, LogSettings, RegistrySettings, ServeSettings, Start,
};
use crate::dialect::Dialect;
use crate::heritage::{Heritage, Role};
use crate::snapshot::{Outcomes, Reach, Snapshot};
use child::GRACE;
use nix::sys::signal::Signal;

const CRASH: Exit = Exit::Code(70);
const MS: Duration = Duration::from_millis(1);
const DRAIN: Duration = Duration::from_secs(30);
const A: HostId = HostId(0);
const B: HostId = HostId(1);

fn host(name: &str, start: Start) -> HostSettings {
    HostSettings {
        start,
        ..HostSettings::with_defaults(name, Address::Tcp { host: "127.0.0.1".into(), port: 1 }, Dialect::Line)
    }
}

/// What a child of `host` is started with.
fn plan(host: HostSettings) -> Heritage {
    plan_for(Role::Host(Box::new(host)))
}

fn plan_for(role: Role) -> Heritage {
    Heritage {
        role,
        listeners: Vec::new(),
        spool: None,
        registry: None,
        log: LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text },
        debug: false,
        drain: DRAIN,
        inlets: 0,
    }
}

/// The build whose binary is the `size`th.
fn build(size: u64) -> Build {
    let binary = serde_json::json!({ "device": 1, "inode": 1, "size": size, "changed": [1, 1] });
    Build { version: format!("1.{size}"), binary: serde_json::from_value(binary).unwrap() }
}

/// A first start: the table, and what is to be done first.
fn table(hosts: Vec<HostSettings>, patience: Option<Duration>, now: Instant) -> (Table, Vec<Action>) {
    let fates = crate::parent::reconcile::reconcile(Vec::new(), hosts.into_iter().map(plan).collect(), &build(1));
    Table::inherit(fates, build(1), 1, patience, now)
}

/// At most one thing is to be done.
fn only(actions: &[Action]) -> Option<Todo> {
    assert!(actions.len() <= 1, "{actions:?}");
    actions.first().map(|action| action.todo)
}

/// A table of one host, its clock, and shorthands for the events of a child.
struct One {
    table: Table,
    first: Vec<Action>,
    now: Instant,
}

impl One {
    fn new(start: Start, patience: Option<Duration>) -> Self {
        let now = Instant::now();
        let (table, first) = table(vec![host("a", start)], patience, now);
        Self { table, first, now }
    }

    /// What is to be done first.
    fn boot(&mut self) -> Option<Todo> {
        only(&std::mem::take(&mut self.first))
    }

    fn serving() -> Self {
        let mut one = Self::new(Start::Boot, None);
        assert_eq!(one.boot(), Some(Todo::Spawn));
        one.start();
        one
    }

    fn apply(&mut self, event: Event) -> Option<Todo> {
        only(&self.table.apply(A, event, self.now))
    }

    fn start(&mut self) {
        assert_eq!(self.apply(Event::Started { pid: 7 }), None);
        assert_eq!(self.apply(Event::Ready { pid: 7 }), None);
    }

    fn exit(&mut self, exit: Exit) -> Option<Todo> {
        let pid = self.entry().pid().unwrap();
        self.apply(Event::Exited { pid, exit })
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
    one.boot();
    assert!(!one.table.is_settled());
    one.apply(Event::NotStarted { reason: "no memory".into() });
    assert!(one.table.is_settled(), "nobody waits for it for ever");
    assert_eq!(one.entry().reason(one.now), "no memory; started again in 0.1 s");
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
}

#[test]
fn a_demand_host_has_no_child_until_a_requester_comes_and_again_after_it_was_idle() {
    let mut one = One::new(Start::Demand, None);
    assert_eq!(one.boot(), Some(Todo::Watch));
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
    one.boot();
    one.apply(Event::Wanted);
    one.start();
    assert_eq!(one.exit(CRASH), None);
    assert_eq!(one.apply(Event::Wanted), None);
    assert_eq!(one.after(FIRST), [Todo::Watch]);
}

#[test]
fn a_crashed_host_tells_its_last_words_and_when_it_is_started_again() {
    let mut one = One::serving();
    one.apply(Event::LastWords { pid: 7, text: "panicked at x.rs:1".into() });
    one.exit(CRASH);
    assert_eq!(one.entry().reason(one.now), "exit code 70: panicked at x.rs:1; started again in 0.1 s");
    assert_eq!(one.entry().snapshot().0.last_log, "panicked at x.rs:1");
}

#[test]
fn why_the_last_child_died_is_said_until_the_next_one_is_ready() {
    let mut one = One::serving();
    one.apply(Event::LastWords { pid: 7, text: "panicked at x.rs:1".into() });
    one.exit(CRASH);
    let said = "exit code 70: panicked at x.rs:1; is being started again";
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
    assert_eq!((one.state(), one.entry().reason(one.now).as_str()), (State::Starting, said));
    one.apply(Event::Started { pid: 7 });
    assert_eq!((one.state(), one.entry().reason(one.now).as_str()), (State::Starting, said));
    assert_eq!(one.entry().snapshot().0.last_log, "panicked at x.rs:1");
    one.exit(CRASH);
    assert_eq!(one.entry().reason(one.now), "exit code 70; started again in 0.2 s", "each has words of its own");
    one.after(FIRST * 2);
    one.start();
    assert_eq!(one.entry().reason(one.now), "", "this one serves");
}

#[test]
fn a_demand_host_says_why_its_child_died_until_the_next_one_is_wanted_but_not_that_it_was_idle() {
    let mut one = One::new(Start::Demand, None);
    one.boot();
    one.apply(Event::Wanted);
    one.apply(Event::Started { pid: 7 });
    one.exit(CRASH);
    one.after(FIRST);
    assert_eq!(one.entry().reason(one.now), "exit code 70; started again when a requester comes");
    one.apply(Event::Wanted);
    assert_eq!(one.entry().reason(one.now), "exit code 70; is being started again");
    one.start();
    one.after(Duration::from_secs(2));
    assert_eq!(one.exit(Exit::Code(0)), Some(Todo::Watch));
    assert_eq!(one.entry().reason(one.now), "");
}

#[test]
fn counters_go_on_over_a_restart() {
    let mut one = One::serving();
    let outcomes = Outcomes { replies: 5, lost: 2, ..Outcomes::default() };
    let snapshot = Snapshot { reach: Reach::Up, requesters: 3, outcomes, ..Snapshot::default() };
    one.apply(Event::Answered { pid: 7, ask: 1, snapshot: Box::new(snapshot.clone()) });
    one.exit(CRASH);
    assert_eq!(one.entry().snapshot().0.outcomes, outcomes);
    assert_eq!(one.entry().snapshot().0.requesters, 0, "its requesters are gone with it");
    one.after(FIRST);
    one.start();
    one.apply(Event::Answered { pid: 7, ask: 2, snapshot: Box::new(snapshot) });
    assert_eq!(one.entry().snapshot().0.outcomes.replies, 10);
}

#[test]
fn a_child_that_does_not_answer_hangs_and_one_late_answer_mends_it() {
    let mut one = One::serving();
    one.apply(Event::Reach { pid: 7, up: true, reason: String::new() });
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
    one.apply(Event::Answered { pid: 7, ask: 7, snapshot: Box::new(snapshot.clone()) });
    assert_eq!(one.state(), State::Hung, "the last question is still open");
    one.apply(Event::Answered { pid: 7, ask: 8, snapshot: Box::new(snapshot) });
    assert_eq!(one.state(), State::Up);
}

#[test]
fn with_a_watchdog_a_silent_child_is_killed_and_started_again_after_a_rest() {
    let patience = Duration::from_secs(10);
    let mut one = One::new(Start::Boot, Some(patience));
    one.boot();
    one.start();
    one.after(patience / 2);
    one.apply(Event::Asked { ask: 1 });
    assert_eq!(one.after(patience / 2), []);
    assert_eq!(one.after(patience / 2), [Todo::Kill { pid: 7 }]);
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), None, "the parent's own signal is none from outside");
    assert_eq!(one.rest(), FIRST);
    assert_eq!(one.after(FIRST), [Todo::Spawn]);
}

#[test]
fn a_parent_that_slept_itself_blames_no_child() {
    let patience = Duration::from_secs(10);
    let mut one = One::new(Start::Boot, Some(patience));
    one.boot();
    one.start();
    one.apply(Event::Asked { ask: 1 });
    assert_eq!(one.after(patience * 5), [], "the answer may lie unread");
    assert_eq!(one.after(patience - MS), []);
    assert_eq!(one.after(MS * 2), [Todo::Kill { pid: 7 }]);
}

#[test]
fn a_graceful_stop_kills_who_is_late_and_starts_nobody() {
    let mut one = One::serving();
    let kill_at = one.now + Duration::from_secs(31);
    assert_eq!(one.table.stop(kill_at).len(), 1);
    assert_eq!(one.table.stop(kill_at), [], "nobody is told twice");
    assert_eq!(one.state(), State::Retiring);
    assert_eq!(one.after(Duration::from_secs(30)), []);
    assert_eq!(one.after(Duration::from_secs(1)), [Todo::Kill { pid: 7 }]);
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
    let (mut table, _) = table(hosts, None, now);
    for (at, pid) in [(0, 10), (1, 11), (2, 12)] {
        table.apply(HostId(at), Event::Started { pid }, now);
        table.apply(HostId(at), Event::Ready { pid }, now);
    }
    table.apply(A, Event::Reach { pid: 10, up: true, reason: String::new() }, now);
    table.apply(B, Event::Exited { pid: 11, exit: CRASH }, now);
    let of_hosts = Counts { hosts: 3, up: 1, down: 1, idle: 1, ..Counts::default() };
    assert_eq!(table.counts(now), of_hosts);
}

/// A first start with the registry, a name that is served, and a host of the same name.
fn with_services(now: Instant) -> Table {
    let registry = Role::Registry(Box::new(RegistrySettings::with_defaults("/r".into())));
    let serve = Role::Serve(Box::new(ServeSettings::with_defaults("a", Listen::Unix("/a".into()))));
    let roles = [Role::Host(Box::new(host("a", Start::Demand))), registry, serve];
    let fates = crate::parent::reconcile::reconcile(Vec::new(), roles.map(plan_for).to_vec(), &build(1));
    let (table, first) = Table::inherit(fates, build(1), 1, None, now);
    assert_eq!(first.iter().map(|action| action.todo).collect::<Vec<_>>(), [Todo::Watch, Todo::Spawn, Todo::Spawn]);
    table
}

#[test]
fn the_registry_and_what_is_served_have_children_as_hosts_have_and_are_counted_apart() {
    let now = Instant::now();
    let mut table = with_services(now);
    let (registry, serve) = (HostId(1), HostId(2));
    let states = |table: &Table| table.services().map(|(_, entry)| entry.state(now)).collect::<Vec<_>>();
    assert_eq!(states(&table), [State::Starting, State::Starting]);
    assert!(!table.is_settled(), "they start with the parent");
    for (at, pid) in [(registry, 10), (serve, 11)] {
        table.apply(at, Event::Started { pid }, now);
        table.apply(at, Event::Ready { pid }, now);
    }
    assert!(table.is_settled());
    assert_eq!(states(&table), [State::Up, State::Up], "whose child says nothing else is in order");
    assert_eq!((table.find("a"), table.find("registry")), (Some(A), None), "names are those of hosts");
    assert_eq!(table.registry().and_then(|(_, entry)| entry.serving()), Some(10));

    table.apply(registry, Event::Reach { pid: 10, up: false, reason: "far away".into() }, now);
    assert_eq!(table.apply(serve, Event::Exited { pid: 11, exit: CRASH }, now), []);
    assert_eq!(states(&table), [State::Down, State::Crashed]);
    let counts = Counts { hosts: 1, idle: 1, services: 2, services_down: 2, ..Counts::default() };
    assert_eq!(table.counts(now), counts);
    assert_eq!(table.tick(now + FIRST), [Action { host: serve, todo: Todo::Spawn }]);
}

#[test]
fn a_backlog_starts_the_child_of_a_host_that_waits_for_requesters() {
    let mut one = One::new(Start::Demand, None);
    assert_eq!(one.boot(), Some(Todo::Watch));
    assert!(!one.table.get(A).unwrap().knows_backlog(), "nobody has told: who watches has to look at the disk");
    assert_eq!(one.apply(Event::Wanted), Some(Todo::Spawn));
    one.start();
    one.apply(Event::Backlog { pid: 7, waiting: true });
    assert_eq!(one.table.counts(one.now).backlogs, 1);
    one.now += HEALTHY;
    assert_eq!(one.exit(Exit::Signal(Signal::SIGKILL)), Some(Todo::Spawn), "stored requests need a child");
    one.start();
    one.apply(Event::Backlog { pid: 7, waiting: false });
    one.now += HEALTHY;
    assert_eq!(one.exit(Exit::Code(0)), Some(Todo::Watch));
    assert!(one.table.get(A).unwrap().knows_backlog(), "it went because nobody needed it");
}

#[test]
fn after_a_crash_it_is_unknown_whether_requests_are_stored() {
    let mut one = One::new(Start::Demand, None);
    one.boot();
    one.apply(Event::Wanted);
    one.start();
    one.apply(Event::Backlog { pid: 7, waiting: false });
    one.exit(CRASH);
    assert!(!one.table.get(A).unwrap().knows_backlog());
}

#[test]
fn what_is_stored_stays_in_the_status_of_a_host_whose_child_is_gone() {
    let mut one = One::serving();
    let spool = crate::snapshot::SpoolNumbers { depth: 3, ..Default::default() };
    one.apply(Event::Answered { pid: 7, ask: 1, snapshot: Box::new(Snapshot { spool, ..Snapshot::default() }) });
    one.exit(CRASH);
    assert_eq!(one.table.get(A).unwrap().snapshot().0.spool.depth, 3);
}
