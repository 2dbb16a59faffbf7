//! A daemon in a directory of its own.
//!
//! Enters: lines of `hosts.tab` and settings. Leaves: the built binary at work, ready when `start` returns (it says so on
//! a NOTIFY_SOCKET that the test listens on), and what it had its manager keep. Promised: when a daemon is dropped, no process of it is left; after a panic
//! its log is printed.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tieline::dialect::Dialect;

use super::manager::{Passed, Store};
use super::{LONG, Machine, PLACE_VARIABLE, Process, Requester, wait_until};

/// A directory with `tieline.toml` and `hosts.tab`; outlives the daemons that are started in it.
pub(crate) struct Place {
    dir: TempDir,
    _machine: Machine,
}

/// One run of the binary in a place.
pub(crate) struct Daemon {
    place: Arc<Place>,
    process: Child,
    notices: UnixDatagram,
    heard: Vec<String>,
    store: Store,
    children: Vec<Process>,
}

impl Place {
    /// With these lines in `hosts.tab`.
    pub(crate) fn new(hosts: &[&str]) -> Arc<Self> {
        Self::with_settings(hosts, "")
    }

    /// With `[defaults]` or other sections as well.
    pub(crate) fn with_settings(hosts: &[&str], settings: &str) -> Arc<Self> {
        let machine = Machine::shared();
        // Sockets have at most 107 bytes of path: keep it short, whatever TMPDIR says.
        let dir = tempfile::Builder::new().prefix("tl-").tempdir_in("/tmp").expect("a directory");
        let text =
            format!("[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n{settings}\n");
        fs::write(dir.path().join("tieline.toml"), text).expect("tieline.toml can be written");
        fs::write(dir.path().join("hosts.tab"), hosts.join("\n") + "\n").expect("hosts.tab");
        Arc::new(Self { dir, _machine: machine })
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn socket(&self, host: &str) -> PathBuf {
        self.path(&format!("run/{host}.sock"))
    }

    pub(crate) fn deferred_socket(&self, host: &str) -> PathBuf {
        self.path(&format!("run/{host}.deferred.sock"))
    }

    /// What the daemons of this place have written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs `tieline WORDS… --config …` to its end.
    pub(crate) fn tieline(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tieline"))
            .args(words)
            .arg("--config")
            .arg(self.path("tieline.toml"))
            .stdin(Stdio::null())
            .output()
            .expect("the built binary can be run")
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(self: &Arc<Self>) -> Daemon {
        self.start_with(&[])
    }

    /// As `start`, with more variables in the environment.
    pub(crate) fn start_with(self: &Arc<Self>, environment: &[(&str, &str)]) -> Daemon {
        self.start_passing(Passed::new(), environment)
    }

    /// As `start_with`, with descriptors that the manager passes, and keeps.
    pub(crate) fn start_passing(self: &Arc<Self>, passed: Passed, environment: &[(&str, &str)]) -> Daemon {
        let notify = self.path("notify");
        fs::remove_file(&notify).ok();
        let notices = UnixDatagram::bind(&notify).expect("a socket for the notices");
        let log = File::options().append(true).create(true).open(self.path("log")).expect("a log");
        let store = Store(passed);
        let process = store
            .command(&self.binary())
            .args(["run", "--config"])
            .arg(self.path("tieline.toml"))
            .env(PLACE_VARIABLE, self.path(""))
            .env("NOTIFY_SOCKET", &notify)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the built binary can be started");
        let (place, children) = (Arc::clone(self), Vec::new());
        let mut daemon = Daemon { place, process, notices, heard: Vec::new(), store, children };
        daemon.wait_for_notice("READY=1");
        daemon.note_children();
        daemon
    }
}

impl Daemon {
    /// A daemon with these lines in `hosts.tab`.
    pub(crate) fn start(hosts: &[&str]) -> Self {
        Place::new(hosts).start()
    }

    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub(crate) fn parent(&self) -> Process {
        Process(self.process.id() as i32)
    }

    pub(crate) fn socket(&self, host: &str) -> PathBuf {
        self.place.socket(host)
    }

    pub(crate) fn requester(&self, host: &str, dialect: Dialect) -> Requester {
        Requester::connect(&self.socket(host), dialect)
    }

    pub(crate) fn deferred(&self, host: &str, dialect: Dialect) -> Requester {
        Requester::connect(&self.place.deferred_socket(host), dialect)
    }

    /// `tieline status --json`.
    pub(crate) fn status(&self) -> Value {
        let output = self.place.tieline(&["status", "--json"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tieline status: {} {complaint}", output.status);
        serde_json::from_slice(&output.stdout).expect("the status is JSON")
    }

    /// The status of one host.
    pub(crate) fn host_status(&self, name: &str) -> Value {
        let status = self.status();
        let hosts = status["hosts"].as_array().expect("the status has hosts");
        let host = hosts.iter().find(|host| host["name"] == name);
        host.unwrap_or_else(|| panic!("no host {name} in {status}")).clone()
    }

    /// The child of a host, as the kernel names it.
    pub(crate) fn child(&mut self, name: &str) -> Process {
        wait_until("the child runs", || self.try_child(name))
    }

    /// The child of a host, if there is one now.
    pub(crate) fn try_child(&mut self, name: &str) -> Option<Process> {
        self.note_children();
        let title = format!("tieline: {name}");
        let is_it = |process: &Process| {
            let line = process.command_line();
            line == title || line.starts_with(&format!("{title} "))
        };
        self.parent().children().into_iter().find(is_it)
    }

    /// Every child that was ever seen; those of now are noted first.
    pub(crate) fn children_seen(&mut self) -> Vec<Process> {
        self.note_children();
        self.children.clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.parent().signal(signal);
    }

    /// Waits for the end of the parent.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the daemon ends", || self.process.try_wait().expect("the daemon can be waited for"))
    }

    /// Ends the daemon gracefully; it must say 0.
    pub(crate) fn stop(mut self) {
        self.note_children();
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// Leaves the children of a parent that was killed to themselves: they retire.
    pub(crate) fn leave(mut self) {
        self.children.clear();
    }

    /// Waits until the daemon has notified its manager of `text`, now or before.
    pub(crate) fn wait_for_notice(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(notice) = self.heard.iter().find(|notice| notice.contains(text)) {
                return notice.clone();
            }
            self.hear();
            let ended = self.process.try_wait().expect("the daemon can be waited for");
            assert!(ended.is_none(), "the daemon ended before it said {text}: {ended:?}");
            assert!(start.elapsed() < LONG, "waited in vain for {text}; heard {:?}", self.heard);
        }
    }

    /// The notices heard so far, in their order.
    pub(crate) fn notices(&self) -> &[String] {
        &self.heard
    }

    /// Waits until the manager keeps something whose name begins so.
    pub(crate) fn wait_until_kept(&mut self, name: &str) {
        let start = Instant::now();
        while !self.store.has(name) {
            self.hear();
            assert!(start.elapsed() < LONG, "{name} is not kept; heard {:?}", self.heard);
        }
    }

    /// What the manager keeps: to be passed to the next daemon. The manager of this one keeps nothing any more.
    pub(crate) fn take_kept(&mut self) -> Passed {
        while self.hear() {}
        std::mem::take(&mut self.store.0)
    }

    /// Forgets the notices heard so far.
    pub(crate) fn forget_notices(&mut self) {
        self.heard.clear();
    }

    /// Whether there was anything to hear, within a moment.
    fn hear(&mut self) -> bool {
        let Some(text) = self.store.receive(&self.notices, Duration::from_millis(50)) else {
            return false;
        };
        self.heard.push(text);
        true
    }

    fn note_children(&mut self) {
        for child in self.parent().children() {
            if !self.children.contains(&child) {
                self.children.push(child);
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.note_children();
        self.process.kill().ok();
        self.process.wait().ok();
        let left = self.children.iter().filter(|child| child.command_line().starts_with("tieline: "));
        left.for_each(|child| child.signal(Signal::SIGKILL));
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.place.log());
        }
    }
}
