//! A program that was started here, in a directory of its own.
//!
//! Promised: dropped, it is told to stop, and killed if it does not; nothing of it is left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// After so long one that was told to stop is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the head of this file.
pub(crate) struct Running {
    process: Child,
    dir: TempDir,
}

impl Running {
    /// An empty directory. Paths of sockets must be short.
    pub(crate) fn directory() -> TempDir {
        tempfile::Builder::new().prefix("tlv-").tempdir_in("/tmp").expect("a directory")
    }

    /// Starts a program in a directory, with what it says in the file `log` there.
    pub(crate) fn start(mut command: Command, dir: TempDir) -> Self {
        let log = File::create(dir.path().join("log")).expect("a log");
        let again = log.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(log).stderr(again);
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { process, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn directory_of(&self) -> &Path {
        self.dir.path()
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("a process ID"))
    }

    /// It and its children.
    pub(crate) fn family(&self) -> Vec<Pid> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw);
        std::iter::once(pid).chain(children).collect()
    }

    /// Waits until `there`; ends this program, with the log, if the started one ends before.
    pub(crate) fn wait_until(&mut self, what: &str, mut there: impl FnMut() -> bool) {
        super::wait_until(what, || {
            if let Some(status) = self.process.try_wait().expect("it can be waited for") {
                panic!("it ended with {status} before {what}:\n{}", self.log());
            }
            there()
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(self.pid(), Signal::SIGTERM).ok();
        let told = Instant::now();
        while told.elapsed() < PATIENCE {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
