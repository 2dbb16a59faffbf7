//! Programs that register names and are killed: their names are gone within their lease, and no others.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::program::{Program, Table, socket};
use crate::common::{Daemon, wait_until};

const PROGRAMS: usize = 50;
const NAMES: usize = 20;
const TTL: Duration = Duration::from_secs(4);

/// A process that registers names and renews them; ends with its value.
struct Registrant {
    process: Child,
    first: usize,
}

impl Registrant {
    fn start(socket: &Path, first: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perl/registrant.pl");
        let process = Command::new("perl")
            .arg(script)
            .arg(socket)
            .args([first.to_string(), NAMES.to_string(), TTL.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("perl can be run");
        Self { process, first }
    }

    fn wait_until_registered(&mut self) {
        let mut line = String::new();
        let told = self.process.stdout.take().map(|told| BufReader::new(told).read_line(&mut line));
        assert!(told.is_some_and(|told| told.is_ok()) && line == "registered\n", "it said {line:?}");
    }

    fn names(&self) -> impl Iterator<Item = String> {
        (self.first..self.first + NAMES).map(|number| format!("n{number}"))
    }
}

impl Drop for Registrant {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn names(table: &Table) -> BTreeSet<String> {
    table.keys().map(|(name, _)| name.clone()).collect()
}

#[test]
fn of_fifty_programs_half_are_killed_and_exactly_their_names_are_gone_within_their_lease() {
    let daemon = Daemon::start(&[]);
    let socket = socket(daemon.place());
    let mut programs: Vec<_> = (0..PROGRAMS).map(|n| Registrant::start(&socket, n * NAMES)).collect();
    programs.iter_mut().for_each(Registrant::wait_until_registered);
    let (mut observer, mut table) = (Program::connect(&socket), Table::new());
    let begin = observer.watch(None, &mut table).expect("it can be watched");
    assert!(begin.is_snapshot);
    while table.len() < PROGRAMS * NAMES {
        observer.follow(&mut table).expect("changes come");
    }
    let all: BTreeSet<String> = names(&table);
    // Every second one.
    let (mut killed, mut alive) = (Vec::new(), Vec::new());
    for (number, program) in programs.into_iter().enumerate() {
        if number.is_multiple_of(2) { killed.push(program) } else { alive.push(program) }
    }
    let lost: BTreeSet<String> = killed.iter().flat_map(Registrant::names).collect();
    let first_kill = Instant::now();
    killed.iter_mut().for_each(|program| program.process.kill().expect("it can be killed"));
    let last_kill = Instant::now();
    // A renewal may have been on its way for a moment when its program was killed.
    let latest = last_kill + TTL + Duration::from_secs(1);
    while table.len() > alive.len() * NAMES {
        observer.follow(&mut table).expect("changes come");
        assert!(Instant::now() >= first_kill + TTL / 2, "a lease that was just renewed ended: {:?}", names(&table));
    }
    let late = Instant::now().saturating_duration_since(latest);
    assert!(late.is_zero(), "the last ones were gone {late:?} too late");
    let expected: BTreeSet<String> = all.difference(&lost).cloned().collect();
    assert_eq!(names(&table), expected);
    // Those that live go on living: a lease of the test's own, as long as theirs, ends meanwhile.
    let mut own = Program::connect(&socket);
    own.register(&format!("own tcp:h:1 ttl={}s", TTL.as_secs()));
    wait_until("a whole lease has passed", || own.ask("RESOLVE own").starts_with("error unknown ").then_some(()));
    assert_eq!(names(&own.list().1), expected);
    drop((killed, alive));
    daemon.stop();
}
