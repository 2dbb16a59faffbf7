//! The misbehaving host of `examples/chaos_host`, from the test's side.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tieline::dialect::Dialect;

use super::{Process, wait_until};

/// A running host; gone when dropped.
pub(crate) struct ChaosHost {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: String,
    dir: TempDir,
}

/// The tag with this number.
pub(crate) fn tag(number: u64) -> String {
    format!("<{number}>")
}

impl ChaosHost {
    /// On a free port of 127.0.0.1.
    pub(crate) fn start(dialect: Dialect) -> Self {
        Self::start_at(dialect, "127.0.0.1:0")
    }

    /// At an address as in `hosts.tab`; port 0 is any free one.
    pub(crate) fn start_at(dialect: Dialect, address: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tl-host-").tempdir().expect("a directory");
        let mut process = Command::new(program())
            .args([name(dialect), address])
            .arg(list_in(dir.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the chaos host can be started");
        let commands = process.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let mut host = Self { process, commands, answers, address: String::new(), dir };
        host.address = host.answer().trim_start_matches("listening ").to_owned();
        host
    }

    /// As `hosts.tab` wants it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Carries out a command of the list in `examples/chaos_host/main.rs`.
    pub(crate) fn command(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the chaos host takes a command");
        let answer = self.answer();
        assert!(answer.starts_with("ok"), "{command}: {answer}");
        answer
    }

    /// Open connections now, and at most so far.
    pub(crate) fn connections(&mut self) -> (usize, usize) {
        let answer = self.command("connections");
        let mut numbers = answer.split(' ').skip(1).map(|n| n.parse().expect("a number"));
        (numbers.next().expect("now"), numbers.next().expect("most"))
    }

    /// How often each tag was received, completely or in part.
    pub(crate) fn received(&self) -> HashMap<u64, u32> {
        let mut counts = HashMap::new();
        for line in fs::read_to_string(list_in(self.dir.path())).expect("the list").lines() {
            if let Some(number) = line.trim_end_matches('?').strip_prefix('<') {
                let number = number.trim_end_matches('>').parse().expect("the number of a tag");
                *counts.entry(number).or_default() += 1;
            }
        }
        counts
    }

    /// How many bytes its list has now: a place in time for [`ChaosHost::arrivals`].
    pub(crate) fn list_length(&self) -> u64 {
        fs::metadata(list_in(self.dir.path())).expect("the list").len()
    }

    /// All that arrived completely, in order: where it stands in the list, and its tag.
    pub(crate) fn arrivals(&self) -> Vec<(u64, u64)> {
        let list = fs::read_to_string(list_in(self.dir.path())).expect("the list");
        let mut at = 0;
        let mut arrivals = Vec::new();
        for line in list.split_inclusive('\n') {
            if let Some(number) = line.trim_end().strip_prefix('<').and_then(|tag| tag.strip_suffix('>')) {
                arrivals.push((at, number.parse().expect("the number of a tag")));
            }
            at += line.len() as u64;
        }
        arrivals
    }

    /// The tags of all that arrived completely, in order.
    pub(crate) fn tags(&self) -> Vec<u64> {
        self.arrivals().into_iter().map(|(_, tag)| tag).collect()
    }

    /// Stops it by SIGSTOP, and returns when it has stopped: that takes all its threads a moment.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let process = Process(self.process.id() as i32);
        wait_until("the host has stopped", || process.is_stopped().then_some(()));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        Process(self.process.id() as i32).signal(signal);
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the chaos host answers");
        line.trim_end().to_owned()
    }
}

impl Drop for ChaosHost {
    fn drop(&mut self) {
        self.process.kill().expect("the chaos host can be killed");
        self.process.wait().expect("the chaos host has ended");
    }
}

pub(crate) fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Line => "line",
        Dialect::Len32 => "len32",
        Dialect::Resp => "resp",
        Dialect::Memcache => "memcache",
    }
}

fn list_in(dir: &Path) -> PathBuf {
    dir.join("received")
}

/// Cargo builds examples with the tests, beside the binary.
fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tieline")).with_file_name("examples/chaos_host");
    assert!(path.exists(), "{} is missing: build it with `cargo build --examples`", path.display());
    path
}
