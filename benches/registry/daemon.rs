//! A real daemon, built for release, whose registry is full of names.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) const NAMES: usize = 1000;
pub(crate) const INSTANCES: usize = 2;

/// The daemon; stopped when dropped.
pub(crate) struct Daemon {
    process: Child,
    data: TempDir,
    sockets: TempDir,
}

/// A program that renews leases.
pub(crate) struct Renewing {
    over: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let base =
            std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        fs::create_dir_all(&base).expect("the directory of the benchmark can be made");
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(base).expect("a directory on the disk");
        let sockets = tempfile::Builder::new().prefix("tl-").tempdir_in("/tmp").expect("a directory for sockets");
        let run_dir = sockets.path().join("run");
        let settings = format!(
            "[daemon]\nrun_dir = {run_dir:?}\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[log]\nlevel = \"warn\"\n"
        );
        fs::write(data.path().join("tieline.toml"), settings).expect("tieline.toml can be written");
        fs::write(data.path().join("hosts.tab"), "").expect("hosts.tab can be written");
        let log = fs::File::create(data.path().join("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
        command.args(["run", "--config"]).arg(data.path().join("tieline.toml"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let daemon = Self { process: process.expect("the built binary can be started"), data, sockets };
        let begun = Instant::now();
        while UnixStream::connect(daemon.socket()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the registry does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.path().join("run/registry.sock")
    }

    /// The registry's table.
    pub(crate) fn file(&self) -> PathBuf {
        self.data.path().join("spool/.registry/registry.sqlite")
    }

    pub(crate) fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(self.socket()).expect("the registry takes requesters"))
    }

    /// Registers everything. Returns how many rows there are.
    pub(crate) fn register(&self) -> usize {
        let mut program = self.connect();
        for instance in 1..=INSTANCES {
            let commands =
                (0..NAMES).map(|name| format!("REGISTER {} tcp:10.0.0.{instance}:7000 ttl=1h\n", name_of(name)));
            let commands: String = commands.collect();
            program.get_mut().write_all(commands.as_bytes()).expect("it takes commands");
            for _ in 0..NAMES {
                assert!(answer(&mut program).starts_with("ok "), "it registers");
            }
        }
        NAMES * INSTANCES
    }

    /// Lets a program renew leases of its own, one after the other, as fast as they are answered.
    pub(crate) fn renew(&self) -> Renewing {
        let (over, mut program) = (Arc::new(AtomicBool::new(false)), self.connect());
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            program.get_mut().write_all(b"REGISTER renewed tcp:10.0.0.1:1 ttl=1h\n").expect("it takes commands");
            let lease = answer(&mut program).trim_end().trim_start_matches("ok ").to_owned();
            let (begun, mut count) = (Instant::now(), 0_u32);
            while !stop.load(Ordering::Relaxed) {
                program.get_mut().write_all(format!("RENEW {lease}\n").as_bytes()).expect("it takes commands");
                assert_eq!(answer(&mut program), "ok\n");
                count += 1;
            }
            f64::from(count) / begun.elapsed().as_secs_f64()
        });
        Renewing { over, thread }
    }
}

impl Renewing {
    /// Ends it; renewals per second.
    pub(crate) fn stop(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("every renewal was answered ok")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a process ID"));
        kill(pid, Signal::SIGTERM).ok();
        self.process.wait().ok();
    }
}

pub(crate) fn name_of(number: usize) -> String {
    format!("service-{number}")
}

fn answer(program: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    program.read_line(&mut line).expect("it answers");
    line
}

pub(crate) fn describe() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d");
    println!("- {now}, tieline {}, SQLite {}", env!("CARGO_PKG_VERSION"), rusqlite::version());
    println!("- {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim());
    println!("- load average before: {}", read("/proc/loadavg").split(' ').next().unwrap_or("unknown"));
}
