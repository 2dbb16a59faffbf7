//! A real daemon, built for release, with one host named `h`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The daemon; stopped when dropped.
pub(crate) struct Daemon {
    process: Child,
    data: TempDir,
    sockets: TempDir,
}

impl Daemon {
    /// Starts one whose host has this address and these options, and waits until it takes requesters.
    pub(crate) fn start(address: &str, options: &str) -> Self {
        let (data, sockets) = (crate::machine::on_disk(), crate::machine::for_sockets());
        let run_dir = sockets.path().join("run");
        let settings = format!(
            "[daemon]\nrun_dir = {run_dir:?}\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[log]\nlevel = \"warn\"\n"
        );
        fs::write(data.path().join("tieline.toml"), settings).expect("tieline.toml can be written");
        fs::write(data.path().join("hosts.tab"), format!("h {address} line deferred {options}\n")).expect("hosts.tab");
        let log = fs::File::create(data.path().join("log")).expect("a log");
        let mut command = tieline(&data, &["run"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let daemon = Self { process: process.expect("the built binary can be started"), data, sockets };
        wait_until("the daemon is there", || UnixStream::connect(daemon.deferred()).is_ok());
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.path().join("run/h.sock")
    }

    pub(crate) fn deferred(&self) -> PathBuf {
        self.sockets.path().join("run/h.deferred.sock")
    }

    /// Sends one request to the deferred socket, and waits until it is stored, the host being away.
    pub(crate) fn begin_backlog(&self, request: &[u8]) {
        let mut stream = UnixStream::connect(self.deferred()).expect("it takes requesters");
        stream.write_all(request).expect("it takes a request");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it answers");
        assert!(line.starts_with("con_delayed:"), "it answered {line}");
    }

    /// Has the host tried now.
    pub(crate) fn probe(&self) {
        let mut command = tieline(&self.data, &["probe", "h"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok(), "the built binary cannot be run");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a process ID"));
        kill(pid, Signal::SIGTERM).ok();
        self.process.wait().ok();
    }
}

/// The program, told where its settings are.
fn tieline(data: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    command.args(words).arg("--config").arg(data.path().join("tieline.toml"));
    command
}

pub(crate) fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
