//! Far ends: the built binary with `tieline serve`, and handlers that behave or do not.

mod answers;
mod ends;
mod limits;
mod names;
mod once;
mod once_ends;
mod once_full;
mod parent;
mod storm;
mod tls;
mod workers;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{PLACE_VARIABLE, Place, Process, Requester, wait_until};

/// `tieline serve far`, at a UNIX socket of its own. When it is dropped, no process of it is left.
pub(super) struct FarEnd {
    place: Arc<Place>,
    process: Child,
    dialect: Dialect,
}

impl FarEnd {
    /// With this behind `[serve.far]` and its `listen`; `HERE` in it is the directory of the place. Shell scripts:
    /// their names and what they do.
    pub(super) fn start(dialect: Dialect, table: &str, scripts: &[(&str, &str)]) -> Self {
        Self::start_in(&Place::new(&[]), dialect, table, scripts)
    }

    /// As `start`, in a place that outlives it.
    pub(super) fn start_in(place: &Arc<Place>, dialect: Dialect, table: &str, scripts: &[(&str, &str)]) -> Self {
        furnish(place, dialect, table, scripts);
        let process = spawn(place);
        let mut far = Self { place: Arc::clone(place), process, dialect };
        wait_until("the far end listens", || {
            assert_eq!(far.process.try_wait().expect("it can be waited for"), None, "{}", far.place.log());
            far.try_requester()
        });
        far
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.place.path("far.sock")
    }

    pub(super) fn process(&self) -> Process {
        Process(self.process.id() as i32)
    }

    pub(super) fn requester(&self) -> Requester {
        wait_until("a requester can connect", || self.try_requester())
    }

    fn try_requester(&self) -> Option<Requester> {
        Requester::try_connect(&self.socket(), self.dialect).ok()
    }

    /// What one requester is answered.
    pub(super) fn ask(&self, request: &str) -> String {
        self.requester().ask(request)
    }

    /// All that it has started, directly or not, and that has not ended.
    pub(super) fn started(&self) -> Vec<Process> {
        self.place.processes().into_iter().filter(|each| *each != self.process()).collect()
    }

    /// Waits until nothing is left of what it has started: no process, no zombie.
    pub(super) fn wait_until_alone(&self) {
        wait_until("nothing that was started is left", || {
            (self.started().is_empty() && self.process().children().is_empty()).then_some(())
        });
    }

    pub(super) fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.place.log().contains(text).then_some(()));
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        wait_until("the far end ends", || self.process.try_wait().expect("it can be waited for"))
    }

    /// Ends it in order: exit code 0, and nothing left.
    pub(super) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the far end ended with {status}: {}", self.place.log());
        assert_eq!(self.place.processes(), [], "nothing is left");
        assert!(!self.socket().exists(), "its socket is removed");
    }
}

/// Writes the configuration and the scripts.
pub(super) fn furnish(place: &Place, dialect: Dialect, table: &str, scripts: &[(&str, &str)]) {
    let here = place.path("").display().to_string();
    let here = here.trim_end_matches('/');
    let table = table.replace("HERE", here);
    let daemon =
        "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[defaults]\ndrain = \"5s\"";
    let far = format!("[serve.far]\nlisten = \"unix:{here}/far.sock\"\ndialect = \"{}\"\n{table}", dialect.name());
    fs::write(place.path("tieline.toml"), format!("{daemon}\n{far}\n")).expect("tieline.toml can be written");
    for (name, text) in scripts {
        fs::write(place.path(name), text).expect("a script can be written");
    }
}

fn spawn(place: &Place) -> Child {
    let log = File::options().append(true).create(true).open(place.path("log")).expect("a log");
    Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(["serve", "far", "--config"])
        .arg(place.path("tieline.toml"))
        .env(PLACE_VARIABLE, place.path(""))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle of the log"))
        .stderr(log)
        .spawn()
        .expect("the built binary can be started")
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        // What it had started is killed with it, but for what those had started.
        let started = self.place.processes().into_iter().filter(|each| each.has_in_environment("TIELINE_SERVE=far"));
        started.for_each(Process::kill);
        if std::thread::panicking() {
            eprintln!("--- the far end's log ---\n{}", self.place.log());
        }
    }
}
