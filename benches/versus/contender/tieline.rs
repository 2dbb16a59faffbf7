//! tieline itself, the binary that cargo has built for release.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::{Contender, Door, Running};

/// What is measured: the binary that cargo has built for release.
const BUILT: &str = env!("CARGO_BIN_EXE_tieline");

/// A daemon that runs.
pub(crate) struct Tieline {
    pub(crate) running: Running,
    /// From its start until it said that all its children are ready.
    pub(crate) ready_after: Duration,
}

impl Tieline {
    /// With these lines in `hosts.tab`; waits until it is ready. An error is what the daemon has complained about.
    pub(crate) fn start(hosts: &[String]) -> Result<Self, String> {
        Self::start_build(Path::new(BUILT), hosts)
    }

    fn start_build(binary: &Path, hosts: &[String]) -> Result<Self, String> {
        let dir = Running::directory();
        let settings =
            "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[log]\nlevel = \"error\"\n";
        fs::write(dir.path().join("tieline.toml"), settings).expect("tieline.toml can be written");
        fs::write(dir.path().join("hosts.tab"), hosts.join("\n") + "\n").expect("hosts.tab can be written");
        let notices = UnixDatagram::bind(dir.path().join("notify")).expect("a socket for notices");
        notices.set_read_timeout(Some(Duration::from_secs(60))).expect("a bound on waiting");
        check(binary, &dir)?;
        let mut command = tieline_in(binary, &dir, &["run"]);
        command.env("NOTIFY_SOCKET", dir.path().join("notify"));
        let begun = Instant::now();
        let running = Running::start(command, dir);
        wait_for_ready(&notices, &running);
        Ok(Self { running, ready_after: begun.elapsed() })
    }

    pub(crate) fn socket(&self, host: &str) -> PathBuf {
        self.running.path("run").join(format!("{host}.sock"))
    }

    pub(crate) fn deferred_socket(&self, host: &str) -> PathBuf {
        self.running.path("run").join(format!("{host}.deferred.sock"))
    }

    /// Runs `tieline WORDS…` and returns what it printed.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new(BUILT);
        command.args(words).arg("--config").arg(self.running.directory_of().join("tieline.toml"));
        let output = command.stdin(Stdio::null()).output().expect("the built binary can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A daemon with a line of these options for each host, as a contender.
pub(crate) fn tieline(name: &str, hosts: &[SocketAddr], options: &str, pids: Vec<Pid>) -> Contender {
    try_tieline(name, hosts, options, pids).unwrap_or_else(|complaint| panic!("tieline does not start: {complaint}"))
}

/// As [`tieline`]; an error if this build does not know the dialect or an option.
pub(crate) fn try_tieline(
    name: &str,
    hosts: &[SocketAddr],
    options: &str,
    pids: Vec<Pid>,
) -> Result<Contender, String> {
    try_build(Path::new(BUILT), name, hosts, options, pids)
}

/// As [`try_tieline`], of this binary.
pub(crate) fn try_build(
    binary: &Path,
    name: &str,
    hosts: &[SocketAddr],
    options: &str,
    pids: Vec<Pid>,
) -> Result<Contender, String> {
    let lines: Vec<_> = hosts.iter().enumerate().map(|(number, host)| format!("h{number} {host} {options}")).collect();
    let daemon = Tieline::start_build(binary, &lines)?;
    let doors = (0..hosts.len()).map(|number| Door::Unix(daemon.socket(&format!("h{number}")))).collect();
    Ok(Contender::proxied(name, doors, daemon.running, pids))
}

fn check(binary: &Path, dir: &tempfile::TempDir) -> Result<(), String> {
    let output = tieline_in(binary, dir, &["check"]).output().expect("the built binary can be run");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The program, told where its settings are.
fn tieline_in(binary: &Path, dir: &tempfile::TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(words).arg("--config").arg(dir.path().join("tieline.toml"));
    command
}

fn wait_for_ready(notices: &UnixDatagram, running: &Running) {
    let mut notice = [0; 4096];
    loop {
        let count = notices.recv(&mut notice).unwrap_or_else(|error| panic!("not ready: {error}\n{}", running.log()));
        if notice[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return;
        }
    }
}
