//! `tieline demo`: it tells its story, believes nothing that it has not measured, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::common::{Machine, Process, wait_until};

const ACTS: [&str; 8] = [
    "1. A host",
    "2. A daemon before it",
    "3. A hundred requesters",
    "4. The host dies",
    "5. Writes that must not be lost",
    "6. The host is back",
    "7. What the daemon says",
    "8. The end",
];

/// A demo with a temporary directory of its own.
struct Demo {
    process: Child,
    /// Its standard output, as long as somebody reads it.
    out: Option<BufReader<ChildStdout>>,
    told: String,
    /// Every process of it that was ever seen.
    seen: Vec<Process>,
    dir: TempDir,
    _machine: Machine,
}

/// How a demo has ended.
struct End {
    status: ExitStatus,
    told: String,
    complaint: String,
}

impl Demo {
    fn start() -> Self {
        let machine = Machine::alone();
        let dir = tempfile::Builder::new().prefix("tl-").tempdir_in("/tmp").expect("a directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tieline"))
            .arg("demo")
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary can be run");
        let out = process.stdout.take().map(BufReader::new);
        Self { process, out, told: String::new(), seen: Vec::new(), dir, _machine: machine }
    }

    fn process(&self) -> Process {
        Process(self.process.id() as i32)
    }

    /// Reads on until a line begins with `text`; that line.
    fn read_to(&mut self, text: &str) -> String {
        loop {
            let start = self.told.len();
            let out = self.out.as_mut().expect("somebody reads");
            let count = out.read_line(&mut self.told).expect("the story can be read");
            assert!(count > 0, "the story ended before {text}: {}", self.told);
            self.processes();
            if self.told[start..].trim_start().starts_with(text) {
                return self.told[start..].to_owned();
            }
        }
    }

    /// Reads to the end; nothing may be left then.
    fn end(mut self) -> End {
        while let Some(out) = &mut self.out
            && out.read_line(&mut self.told).expect("the story can be read") > 0
        {
            self.processes();
        }
        let mut complaint = String::new();
        let mut err = self.process.stderr.take().expect("its errors are a pipe");
        err.read_to_string(&mut complaint).expect("the complaint can be read");
        let status = self.process.wait().expect("the demo ends");
        // Children of a parent that was killed retire by themselves, which takes them a moment.
        wait_until("no process of the demo is left", || (!self.seen.iter().any(|each| each.is_alive())).then_some(()));
        let left: Vec<_> = fs::read_dir(self.dir.path()).expect("the directory").flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        End { status, told: std::mem::take(&mut self.told), complaint }
    }

    /// Itself and all that has come of it, now.
    fn processes(&mut self) -> Vec<Process> {
        let mut found = vec![self.process()];
        let mut at = 0;
        while let Some(process) = found.get(at) {
            found.extend(process.children());
            at += 1;
        }
        self.seen.extend(&found);
        found
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        self.seen.iter().filter(|each| each.is_alive()).for_each(|each| each.signal(Signal::SIGKILL));
    }
}

/// The number of the process that a line begins with.
fn process_in(line: &str) -> Process {
    let number = line.trim_start().trim_start_matches("Process ").split(' ').next();
    Process(number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no process in {line}")))
}

#[test]
fn the_demo_tells_its_story_within_twenty_seconds_and_leaves_nothing_behind() {
    let start = Instant::now();
    let end = Demo::start().end();
    assert!(end.status.success(), "{}: {}{}", end.status, end.told, end.complaint);
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let places: Vec<_> = ACTS.iter().map(|act| end.told.find(act).unwrap_or_else(|| panic!("no {act}"))).collect();
    assert!(places.is_sorted(), "the acts come in order: {}", end.told);
    for words in [
        "question one",
        "con_lost: nothing was sent",
        "con_delayed:1  order one tea",
        "demo is up",
        "orders: one tea, two coffees, three cakes, four rolls, the bill",
        "BUSY/IDLE/MAX",
        "Nothing is left behind",
    ] {
        assert!(end.told.contains(words), "no `{words}` in {}", end.told);
    }
    assert!(!end.told.contains('\x1b'), "plain text, when nobody is at a terminal");
    assert_eq!(end.complaint, "");
}

#[test]
fn a_demo_that_is_interrupted_cleans_up() {
    for (text, signal, code) in [("3.", Signal::SIGINT, 130), ("From now on", Signal::SIGTERM, 143)] {
        let mut demo = Demo::start();
        demo.read_to(text);
        let processes = demo.processes();
        assert!(processes.len() >= 3, "the demo, a parent and its child, perhaps a host: {processes:?}");
        demo.process().signal(signal);
        let end = demo.end();
        assert_eq!(end.status.code(), Some(code), "{}", end.complaint);
    }
}

#[test]
fn a_demo_whose_daemon_dies_says_so_with_the_daemons_log() {
    let mut demo = Demo::start();
    demo.read_to("$ tieline run");
    let parent = process_in(&demo.read_to("Process "));
    demo.read_to("3.");
    parent.signal(Signal::SIGKILL);
    let end = demo.end();
    assert_eq!(end.status.code(), Some(70), "{}", end.complaint);
    assert!(end.complaint.contains("the demo failed: ") && end.complaint.contains("The daemon's log:"));
}

#[test]
fn a_demo_that_nobody_reads_any_more_ends_quietly() {
    let mut demo = Demo::start();
    demo.read_to("2.");
    demo.out = None;
    let end = demo.end();
    assert_eq!((end.status.code(), end.complaint.as_str()), (Some(0), ""));
}
