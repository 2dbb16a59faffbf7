//! Signals of all kinds while the daemon restarts: none is fatal, none lost, and nothing is left of it: no orphan, no
//! zombie, no descriptor.
//!
//! How many is `TIELINE_SIGNALS`, else 2,000.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::crowd::Crowd;
use super::number;
use super::stage::Stage;
use crate::common::{Build, Process, host, pids, wait_until};

/// Those with a meaning for the parent, but for those that stop it, and those that others send for reasons of their own.
const NAMES: [&str; 13] =
    ["HUP", "USR1", "USR2", "CHLD", "WINCH", "PIPE", "ALRM", "VTALRM", "PROF", "URG", "IO", "CONT", "HUP"];

/// Sends signals by their names; a shell, because the real-time ones have no name in Rust.
struct Signaller {
    shell: Child,
    commands: ChildStdin,
}

impl Signaller {
    fn new() -> Self {
        let mut shell = Command::new("bash").stdin(Stdio::piped()).spawn().expect("bash can be started");
        let commands = shell.stdin.take().expect("its input is a pipe");
        Self { shell, commands }
    }

    fn send(&mut self, name: &str, to: Process) {
        writeln!(self.commands, "kill -s {name} {}", to.0).expect("bash reads its commands");
    }

    /// Returns when all were sent.
    fn finish(self) {
        let Self { mut shell, commands } = self;
        drop(commands);
        assert!(shell.wait().expect("bash has ended").success(), "the last signal found nobody");
    }
}

/// Any of those, or a real-time one.
fn random_name() -> String {
    match fastrand::u8(0..5) {
        0 => format!("RTMIN+{}", fastrand::u8(0..16)),
        1 => format!("RTMAX-{}", fastrand::u8(0..15)),
        _ => NAMES[fastrand::usize(0..NAMES.len())].to_owned(),
    }
}

/// No process of the place but the parent and its children, none of them a zombie.
fn assert_no_process_is_left_over(stage: &Stage) {
    let parent = stage.daemon.parent();
    for process in stage.place.processes() {
        let ours = process == parent || process.parent() == Some(parent);
        assert!(ours, "{} ({}) has lost its parent", process.0, process.command_line());
    }
    let zombie = Process::all().into_iter().find(|process| process.parent() == Some(parent) && process.is_zombie());
    assert_eq!(zombie, None, "a child that nobody has asked how it ended");
}

/// What is open in a process comes back to `before`: files of the same kinds, and as many.
fn assert_nothing_leaks(what: &str, process: Process, before: &[String]) {
    let kinds = |all: &[String]| -> Vec<String> {
        let mut kinds: Vec<String> = all.iter().map(|one| kind(one)).collect();
        kinds.sort();
        kinds
    };
    let mut after = Vec::new();
    for _ in 0..200 {
        after = process.descriptors();
        if kinds(&after) == kinds(before) {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("descriptors of {what}: before {before:#?}, afterwards {after:#?}");
}

/// What is open once nothing changes any more: whoever has just been answered is still being closed.
fn quiet_descriptors(process: Process) -> Vec<String> {
    let (mut before, mut same) = (process.descriptors(), 0);
    wait_until("its descriptors stay the same", || {
        let now = process.descriptors();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        (same >= 20).then_some(())
    });
    before
}

/// `socket` of `7 socket:[123]`, or the path of a file.
fn kind(descriptor: &str) -> String {
    let target = descriptor.split_once(' ').map_or(descriptor, |(_, target)| target);
    target.split(":[").next().unwrap_or(target).to_owned()
}

#[test]
fn signals_of_all_kinds_during_restarts_end_nobody_and_leave_nothing() {
    let stage = Stage::new();
    let before = stage.daemon.settle();
    let (parent, children) = (stage.daemon.parent(), pids(&before));
    let child = Process(children["far"] as i32);
    let (parents, childs) = (quiet_descriptors(parent), quiet_descriptors(child));

    let crowd = Crowd::start(&stage.doors());
    crowd.storm_begins();
    let mut signaller = Signaller::new();
    for sent in 0..number("TIELINE_SIGNALS", 2_000) {
        signaller.send(&random_name(), parent);
        if sent % 16 == 0 {
            sleep(Duration::from_millis(fastrand::u64(0..50)));
            crowd.assert_well();
        }
    }
    signaller.finish();
    assert_eq!(stage.daemon.hup()["restart"]["complaint"], "");
    crowd.wait_for_answers(100);
    let figures = crowd.finish();
    let after = stage.daemon.settle();
    println!("generation {} after {}: {figures}", after["generation"], before["generation"]);
    assert_eq!((&after["pid"], pids(&after)), (&before["pid"], children), "nobody has died");
    assert!(after["generation"].as_u64() > before["generation"].as_u64().map(|generation| generation + 3));
    assert_no_process_is_left_over(&stage);
    wait_until("the requesters are gone", || {
        (host(&stage.daemon.live_status(), "far")["requesters"] == 0).then_some(())
    });
    assert_nothing_leaks("the parent", parent, &parents);
    assert_child_has_no_more_than(child, &childs);
    stage.finish(&figures);
}

/// The connections of its pool may have come or gone; nothing else.
fn assert_child_has_no_more_than(child: Process, before: &[String]) {
    let others = |all: &[String]| all.iter().filter(|one| kind(one) != "socket").count();
    let (after, most) = (child.descriptors(), 8);
    assert_eq!(others(&after), others(before), "before {before:#?}, afterwards {after:#?}");
    assert!(after.len() <= before.len() + most, "before {before:#?}, afterwards {after:#?}");
}

#[test]
fn replaced_children_leave_nothing_in_the_parent() {
    let stage = Stage::new();
    let (parent, parents) = (stage.daemon.parent(), quiet_descriptors(stage.daemon.parent()));
    let mut build = Build::This;
    let mut replace = || {
        build = build.other();
        stage.place.install(build);
        stage.daemon.restart_and_settle();
    };
    (0..10).for_each(|_| replace());
    assert_nothing_leaks("the parent", parent, &parents);
    assert_no_process_is_left_over(&stage);
    stage.daemon.stop();
}

#[test]
fn term_right_behind_hup_stops_the_daemon_and_leaves_nothing() {
    for round in 0..number("TIELINE_HUPS", 50) / 2 {
        let mut stage = Stage::new();
        let delay = if round % 2 == 0 { fastrand::u64(0..30_000) } else { fastrand::u64(0..400_000) };
        let another_build = fastrand::bool();
        if another_build {
            stage.place.install(Build::Next);
        }
        stage.daemon.signal(Signal::SIGHUP);
        sleep(Duration::from_micros(delay));
        stage.daemon.signal(Signal::SIGTERM);
        let ended = stage.daemon.wait();
        let case = format!("TERM {delay} µs behind HUP, another build: {another_build}");
        assert_eq!(ended.code(), Some(0), "{case}");
        let left: Vec<String> = stage.place.processes().iter().map(|process| process.command_line()).collect();
        assert_eq!(left, [""; 0], "{case}");
        let run = fs::read_dir(stage.place.path("run")).expect("the run directory stays");
        let files: Vec<_> = run.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(files.is_empty(), "{case}: {files:?}");
    }
}
