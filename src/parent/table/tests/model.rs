//! The table under random sequences of what may happen to a parent and its children, restarts of the parent included,
//! beside a world that knows which processes live and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::parent::reconcile::reconcile;
use crate::parent::table::entry::READY_WITHIN;

/// Hosts, and children of other roles, one of which has the name of a host.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "registry", "serve a"];

/// How an entry is configured: which of some different ways, and when it is started.
type Way = (u32, Start);

#[derive(Debug, Clone)]
enum Step {
    Ready(usize),
    Exit(usize, Exit, bool),
    Count(usize, u64),
    Answer(usize),
    Backlog(usize, bool),
    Words(usize),
    Ask(usize),
    Wanted(usize),
    Pass(u64),
    Configure(usize, Option<Way>),
    NewBinary,
    Broken(bool),
    Restart,
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
    let way = (0..3u32, prop_oneof![3 => Just(Start::Boot), 1 => Just(Start::Demand)]);
    let (at, host) = (0..64usize, 0..NAMES.len());
    prop_oneof![
        300 => at.clone().prop_map(Step::Ready),
        120 => (at.clone(), exit, any::<bool>()).prop_map(|(at, exit, farewell)| Step::Exit(at, exit, farewell)),
        80 => (at.clone(), 1..9u64).prop_map(|(at, more)| Step::Count(at, more)),
        80 => at.clone().prop_map(Step::Answer),
        20 => (at.clone(), any::<bool>()).prop_map(|(at, waiting)| Step::Backlog(at, waiting)),
        20 => at.prop_map(Step::Words),
        30 => host.clone().prop_map(Step::Ask),
        40 => host.clone().prop_map(Step::Wanted),
        100 => (0..40_000u64).prop_map(Step::Pass),
        100 => (0..500u64).prop_map(Step::Pass),
        80 => (host, prop::option::weighted(0.8, way)).prop_map(|(host, way)| Step::Configure(host, way)),
        20 => Just(Step::NewBinary),
        8 => prop::bool::weighted(0.2).prop_map(Step::Broken),
        100 => Just(Step::Restart),
        2 => Just(Step::Stop),
        1 => Just(Step::StopNow),
    ]
}

/// What a process was told last, and until when it may live then.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    Go { until: Instant },
    Killed,
}

/// A process, as a kernel and its own memory know it.
#[derive(Debug, Clone)]
struct Process {
    host: &'static str,
    way: Way,
    binary: u64,
    started: Instant,
    ready: bool,
    told: Told,
    counts: u64,
    has_told: u64,
}

impl Process {
    fn serves(&self) -> bool {
        self.ready && self.told == Told::Nothing
    }

    fn starts(&self) -> bool {
        !self.ready && self.told == Told::Nothing
    }
}

/// Everything outside the table, and what is expected of it.
struct World {
    table: Table,
    now: Instant,
    /// What is configured, and what was when the parent last looked.
    files: BTreeMap<&'static str, Way>,
    known: BTreeMap<&'static str, Way>,
    /// On disk, and the one that the parent runs.
    binary: u64,
    running: u64,
    processes: BTreeMap<i32, Process>,
    /// The newest child of each host, if it lives.
    newest: BTreeMap<&'static str, i32>,
    watched: BTreeSet<&'static str>,
    totals: BTreeMap<&'static str, u64>,
    /// Children that were not the newest any more after a restart.
    replaced: BTreeSet<i32>,
    broken: bool,
    stop: Option<Instant>,
    next_pid: i32,
    ask: u64,
}

fn plan_of(name: &str, (way, start): Way) -> Heritage {
    let role = match name.strip_prefix("serve ") {
        Some(served) => {
            let port = 100 + u16::try_from(way).unwrap();
            Role::Serve(Box::new(ServeSettings::with_defaults(served, Listen::Tcp(([127, 0, 0, 1], port).into()))))
        }
        None if name == "registry" => {
            Role::Registry(Box::new(RegistrySettings::with_defaults(format!("/{way}").into())))
        }
        None => Role::Host(Box::new(HostSettings { queue: 100 + way, ..host(name, start) })),
    };
    plan_for(role)
}

/// The hosts alone may wait for requesters.
fn possible(name: &str, (way, start): Way) -> Way {
    (way, if name.len() == 1 { start } else { Start::Boot })
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let start = |at: usize| if at == 1 { Start::Demand } else { Start::Boot };
        let files: BTreeMap<_, _> = NAMES.iter().enumerate().map(|(at, name)| (*name, (0, start(at)))).collect();
        let mut world = Self {
            table: table(Vec::new(), None, now).0,
            now,
            files,
            known: BTreeMap::new(),
            binary: 1,
            running: 1,
            processes: BTreeMap::new(),
            newest: BTreeMap::new(),
            watched: BTreeSet::new(),
            totals: BTreeMap::new(),
            replaced: BTreeSet::new(),
            broken: false,
            stop: None,
            next_pid: 1,
            ask: 0,
        };
        world.restart();
        world
    }

    fn id(&self, name: &str) -> Option<HostId> {
        self.table.all().find(|(_, entry)| entry.role().title() == name).map(|(host, _)| host)
    }

    fn name(&self, host: HostId) -> &'static str {
        let name = self.table.get(host).unwrap().role().title();
        NAMES.into_iter().find(|known| *known == name).unwrap()
    }

    fn apply(&mut self, name: &str, event: Event) {
        let host = self.id(name).unwrap();
        let others = self.others(host);
        let actions = self.table.apply(host, event, self.now);
        for (other, before) in others {
            assert_eq!(before, format!("{:?}", self.table.get(other).unwrap()), "another host's entry changed");
        }
        self.act(actions);
    }

    /// All entries but that of `host`, and those whose turn it may be now.
    fn others(&self, host: HostId) -> Vec<(HostId, String)> {
        let others = self.table.all().filter(|(other, entry)| *other != host && !entry.is_due());
        others.map(|(other, entry)| (other, format!("{entry:?}"))).collect()
    }

    fn act(&mut self, actions: Vec<Action>) {
        for Action { host, todo } in actions {
            let name = self.name(host);
            match todo {
                Todo::Spawn => self.spawn(name),
                Todo::Watch => {
                    assert!(!self.newest.contains_key(name), "watched while a child lives");
                    self.watched.insert(name);
                }
                Todo::HandOver { pid } => self.hand_over(name, pid),
                Todo::Retire { pid } => self.retire(name, pid),
                Todo::Kill { pid } => self.kill(name, pid),
            }
        }
    }

    fn spawn(&mut self, name: &'static str) {
        assert!(self.stop.is_none(), "started after a stop");
        assert!(!self.newest.contains_key(name), "two newest children of {name}");
        self.watched.remove(name);
        if self.broken {
            return self.apply(name, Event::NotStarted { reason: "no memory".into() });
        }
        let (pid, way) = (self.next_pid, *self.known.get(name).expect("started for a host that is not configured"));
        self.next_pid += 1;
        let process = Process {
            host: name,
            way,
            binary: self.running,
            started: self.now,
            ready: false,
            told: Told::Nothing,
            counts: 0,
            has_told: 0,
        };
        self.processes.insert(pid, process);
        self.newest.insert(name, pid);
        self.apply(name, Event::Started { pid });
        assert!(self.serving(name).is_none() || self.successors() <= AT_ONCE, "too many are started at once");
    }

    /// How many newest children are not ready while another one serves.
    fn successors(&self) -> usize {
        let newest = self.newest.values().map(|pid| &self.processes[pid]);
        newest.filter(|each| each.starts() && self.serving(each.host).is_some()).count()
    }

    fn hand_over(&mut self, name: &str, pid: i32) {
        let mut later = self.processes.range(pid + 1..).filter(|(_, process)| process.host == name);
        let has_successor = later.any(|(_, process)| process.ready);
        let process = self.processes.get_mut(&pid).unwrap();
        match process.told {
            Told::Nothing => {
                assert!(has_successor, "nobody is ready to take over");
                process.told = Told::Go { until: self.now + DRAIN + GRACE };
            }
            Told::Go { until } => assert!(until > self.now, "told again after its time"),
            Told::Killed => panic!("told after it was killed"),
        }
    }

    fn retire(&mut self, name: &str, pid: i32) {
        assert!(self.stop.is_some() || !self.known.contains_key(name), "nobody wanted {name} to retire");
        let process = self.processes.get_mut(&pid).unwrap();
        let until = self.stop.unwrap_or(self.now + DRAIN + GRACE);
        process.told = match process.told {
            Told::Nothing => Told::Go { until },
            Told::Go { until: before } => Told::Go { until: before.min(until) },
            Told::Killed => panic!("told after it was killed"),
        };
    }

    fn kill(&mut self, name: &str, pid: i32) {
        let is_served = self.serving(name).is_some();
        let process = self.processes.get_mut(&pid).unwrap();
        let allowed = match process.told {
            Told::Go { until } => until <= self.now,
            Told::Nothing if process.ready => false,
            Told::Nothing => is_served && process.started + READY_WITHIN <= self.now,
            Told::Killed => false,
        };
        assert!(allowed, "process {pid} of {name} was killed before its time: {process:?}");
        process.told = Told::Killed;
    }

    fn serving(&self, name: &str) -> Option<i32> {
        let mut serving = self.processes.iter().filter(|(_, process)| process.host == name && process.serves());
        let first = serving.next().map(|(pid, _)| *pid);
        assert!(serving.next().is_none(), "two children of {name} serve");
        first
    }

    fn pick(&self, at: usize) -> Option<(i32, &'static str)> {
        let at = at.checked_rem(self.processes.len())?;
        self.processes.iter().nth(at).map(|(pid, process)| (*pid, process.host))
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ready(at) => self.ready(at),
            Step::Exit(at, exit, farewell) => self.exit(at, exit, farewell),
            Step::Count(at, more) => {
                if let Some(process) = self.pick(at).and_then(|(pid, _)| self.processes.get_mut(&pid)) {
                    process.counts += more;
                }
            }
            Step::Answer(at) => {
                if let Some((pid, _)) = self.pick(at) {
                    self.tell(pid, false);
                }
            }
            Step::Backlog(at, waiting) => self.say(at, |pid| Event::Backlog { pid, waiting }),
            Step::Words(at) => self.say(at, |pid| Event::LastWords { pid, text: "x".into() }),
            Step::Ask(at) => {
                let host = self.id(NAMES[at]);
                if host.is_some_and(|host| self.table.get(host).unwrap().can_be_asked()) {
                    self.ask += 1;
                    self.apply(NAMES[at], Event::Asked { ask: self.ask });
                }
            }
            Step::Wanted(at) if self.watched.remove(NAMES[at]) => self.apply(NAMES[at], Event::Wanted),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Step::Configure(at, Some(way)) => {
                self.files.insert(NAMES[at], possible(NAMES[at], way));
            }
            Step::Configure(at, None) => {
                self.files.remove(NAMES[at]);
            }
            Step::NewBinary if self.stop.is_none() => self.binary += 1,
            Step::Broken(broken) => self.broken = broken,
            Step::Restart if self.stop.is_none() => self.restart(),
            Step::Stop => self.stop(),
            Step::StopNow => self.stop_now(),
            _ => {}
        }
        self.check();
    }

    fn say(&mut self, at: usize, event: impl Fn(i32) -> Event) {
        if let Some((pid, name)) = self.pick(at) {
            self.apply(name, event(pid));
        }
    }

    /// The word of one that was told to go meanwhile comes too late, and changes nothing.
    fn ready(&mut self, at: usize) {
        let Some((pid, name)) = self.pick(at) else {
            return;
        };
        let process = self.processes.get_mut(&pid).unwrap();
        if process.starts() {
            process.ready = true;
            // Its successor, if it has one, is to hurry from now on.
            let later = self.processes.range_mut(pid + 1..).filter(|(_, each)| each.host == name && each.starts());
            later.for_each(|(_, each)| each.started = self.now);
        }
        self.apply(name, Event::Ready { pid });
    }

    /// What it counted reaches the table if it can still say so.
    fn exit(&mut self, at: usize, exit: Exit, farewell: bool) {
        let Some((pid, name)) = self.pick(at) else {
            return;
        };
        if farewell {
            self.tell(pid, true);
        }
        self.processes.remove(&pid);
        if self.newest.get(name) == Some(&pid) {
            self.newest.remove(name);
        }
        self.apply(name, Event::Exited { pid, exit });
        self.apply(name, Event::Exited { pid, exit });
    }

    fn tell(&mut self, pid: i32, farewell: bool) {
        let process = self.processes.get_mut(&pid).unwrap();
        let (name, replies) = (process.host, process.counts);
        *self.totals.entry(name).or_default() += replies - process.has_told;
        process.has_told = replies;
        let outcomes = Outcomes { replies, ..Outcomes::default() };
        let snapshot = Box::new(Snapshot { outcomes, ..Snapshot::default() });
        let ask = self.ask;
        self.apply(
            name,
            if farewell { Event::Farewell { pid, snapshot } } else { Event::Answered { pid, ask, snapshot } },
        );
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.table.next_tick().filter(|due| *due <= until) {
            assert!(due >= self.now, "something was due before: it was forgotten");
            self.now = due;
            let actions = self.table.tick(due);
            self.act(actions);
            assert!(
                self.table.next_tick().is_none_or(|next| next > due),
                "what is due was not done: the parent would spin"
            );
            self.check();
        }
        self.now = until;
        let actions = self.table.tick(until);
        assert_eq!(actions, [], "done although nothing was due");
    }

    fn stop(&mut self) {
        let until = *self.stop.get_or_insert(self.now + DRAIN + GRACE);
        let actions = self.table.stop(until);
        self.watched.clear();
        self.act(actions);
    }

    fn stop_now(&mut self) {
        self.stop.get_or_insert(self.now);
        self.watched.clear();
        for Action { todo, .. } in self.table.stop_now(self.now) {
            let Todo::Kill { pid } = todo else { panic!("{todo:?} instead of a kill") };
            self.processes.get_mut(&pid).unwrap().told = Told::Killed;
        }
    }

    /// The parent writes down its table, begins anew, reads its files, and goes on.
    fn restart(&mut self) {
        self.goes_on_unchanged();
        let (served, newest) = (NAMES.map(|name| self.serving(name)), self.newest.clone());
        let replaced: Vec<_> = NAMES.into_iter().filter(|name| self.must_be_replaced(name)).collect();
        let gone: Vec<_> = NAMES.into_iter().filter(|name| !self.files.contains_key(name)).collect();
        self.known.clone_from(&self.files);
        self.running = self.binary;
        for name in replaced {
            self.replaced.extend(self.newest.remove(name));
        }
        self.watched.clear();
        let actions = self.inherit();
        self.act(actions);
        for name in &gone {
            if self.processes.values().all(|process| process.host != *name) {
                self.totals.remove(name);
            }
        }
        for (name, served) in NAMES.into_iter().zip(served).filter(|(name, _)| self.known.contains_key(name)) {
            assert_eq!(self.serving(name), served, "{name} lost who serves it");
            let kept = newest.get(name).filter(|pid| !self.replaced.contains(pid));
            assert!(kept.is_none() || self.newest.get(name) == kept, "{name} was replaced for nothing");
        }
    }

    /// A child that lives, of a host that stays, is replaced exactly if it would be made differently now.
    fn must_be_replaced(&self, name: &str) -> bool {
        let Some((newest, way)) = self.newest.get(name).zip(self.files.get(name)) else {
            return false;
        };
        let process = &self.processes[newest];
        let was_leaving = !self.known.contains_key(name);
        was_leaving || process.way != *way || process.binary != self.binary
    }

    fn inherit(&mut self) -> Vec<Action> {
        let written = serde_json::to_string(&self.table.bequeath(self.now)).unwrap();
        let inherited = serde_json::from_str(&written).unwrap();
        let configured = self.files.iter().map(|(name, way)| plan_of(name, *way)).collect();
        let fates = reconcile(inherited, configured, &build(self.binary));
        let (table, actions) = Table::inherit(fates, build(self.binary), 1, None, self.now);
        self.table = table;
        actions
    }

    /// If nothing has changed since the parent last looked, a table that is inherited is the same table.
    fn goes_on_unchanged(&self) {
        let (build, before) = (self.table.rules.build.clone(), self.table.bequeath(self.now));
        let written = serde_json::to_string(&before).unwrap();
        let plans = self.table.configured().map(|(_, entry)| entry.plan.clone()).collect();
        let fates = reconcile(serde_json::from_str(&written).unwrap(), plans, &build);
        let (table, actions) = Table::inherit(fates, build, 1, None, self.now);
        let repeated = |action: &Action| matches!(action.todo, Todo::Watch | Todo::HandOver { .. });
        assert!(actions.iter().all(repeated), "{actions:?}");
        assert_eq!(table.next_tick(), self.table.next_tick());
        let lives = |bequest: &HostBequest| !bequest.is_leaving() || !bequest.pids().is_empty();
        let before: Vec<_> = before.into_iter().filter(lives).collect();
        assert_eq!(table.bequeath(self.now), before);
        for ((_, one), (_, other)) in table.configured().zip(self.table.configured()) {
            // Questions are not carried.
            if other.state(self.now) != State::Hung {
                assert_eq!(one.reason(self.now), other.reason(self.now));
                assert_eq!(one.state(self.now), other.state(self.now));
            }
            assert_eq!(one.serving(), other.serving());
            assert_eq!(one.snapshot(), other.snapshot());
        }
    }

    fn check(&self) {
        let mut known = BTreeSet::new();
        for (_, entry) in self.table.all() {
            let name = &*entry.role().title();
            known.extend(entry.children().map(|child| child.pid));
            assert_eq!(entry.is_leaving(), !self.known.contains_key(name), "{name}");
            let total = self.totals.get(name).copied().unwrap_or_default();
            assert_eq!(entry.snapshot().0.outcomes.replies, total, "counters of {name}");
            if self.stop.is_none() && !entry.is_leaving() {
                assert_eq!(entry.serving(), self.serving(name), "{name}");
            }
            entry.reason(self.now);
            entry.state(self.now);
        }
        assert!(known.iter().eq(self.processes.keys()), "known {known:?}, living {:?}", self.processes);
        self.check_nobody_is_late();
    }

    fn check_nobody_is_late(&self) {
        for (pid, process) in &self.processes {
            let until = match process.told {
                Told::Go { until } => Some(until),
                Told::Nothing if process.starts() => {
                    self.serving(process.host).map(|_| process.started + READY_WITHIN).filter(|_| self.stop.is_none())
                }
                _ => None,
            };
            // Time passes in whole steps; what is due at this very moment is done at the next one.
            assert!(until.is_none_or(|until| until >= self.now), "process {pid} is late: {process:?}");
        }
    }

    /// From now on all goes well.
    fn come_to_rest(&mut self) {
        self.broken = false;
        self.restart();
        for _ in 0..40 {
            let starting: Vec<_> =
                self.processes.iter().filter(|(_, each)| each.starts()).map(|(pid, _)| *pid).collect();
            for pid in starting {
                self.ready(self.processes.keys().position(|each| *each == pid).unwrap());
            }
            let going = |each: &Process| each.told != Told::Nothing;
            while let Some(at) = self.processes.values().position(going) {
                self.exit(at, Exit::Code(0), true);
            }
            self.pass(LONGEST / 4);
            self.check();
        }
    }

    fn check_all_is_new(&self) {
        assert_eq!((self.table.replacing(), self.table.most_predecessors()), (0, 0));
        for (name, way) in &self.known {
            let process = self.serving(name).map(|pid| &self.processes[&pid]);
            let is_new = process.is_none_or(|each| (each.way, each.binary) == (*way, self.binary));
            assert!(is_new && (process.is_some() || self.watched.contains(name)), "{name}: {process:?}");
            assert!(process.is_some() || way.1 == Start::Demand, "{name} is not served");
        }
    }

    fn end(&mut self) {
        self.step(&Step::Stop);
        self.pass(DRAIN + GRACE);
        while !self.processes.is_empty() {
            assert!(!self.table.is_over(), "a killed child is still to be waited for");
            self.exit(0, Exit::Signal(Signal::SIGKILL), false);
        }
        assert!(self.table.is_over());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_child_is_served_out_counted_once_and_replaced_only_if_it_must_be(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(&step);
        }
        if world.stop.is_none() {
            world.come_to_rest();
            world.check_all_is_new();
        }
        world.end();
    }
}
