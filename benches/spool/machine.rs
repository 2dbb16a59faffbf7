//! Where the benchmark runs: a directory on the disk that is measured, and words about the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where what is to be durable is written.
pub(crate) fn base() -> PathBuf {
    std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

/// An empty directory on the disk.
pub(crate) fn on_disk() -> TempDir {
    let base = base();
    fs::create_dir_all(&base).expect("the directory of the benchmark can be made");
    tempfile::Builder::new().prefix("bench-").tempdir_in(base).expect("a directory on the disk")
}

/// An empty directory for sockets, whose paths must be short.
pub(crate) fn for_sockets() -> TempDir {
    tempfile::Builder::new().prefix("tl-").tempdir_in("/tmp").expect("a directory for sockets")
}

pub(crate) fn describe() {
    let base = base();
    fs::create_dir_all(&base).expect("the directory of the benchmark can be made");
    let (filesystem, options) = filesystem(&base.canonicalize().expect("it is there"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d");
    println!("- {now}, tieline {}", env!("CARGO_PKG_VERSION"));
    println!("- {cores} cores ({}), {} GiB", first("/proc/cpuinfo", "model name"), memory());
    println!("- Linux {}, {filesystem} ({options})", read("/proc/sys/kernel/osrelease").trim());
    println!("- {}", version("redis-server", &["--version"]));
    println!("- {}", version("beanstalkd", &["-v"]));
    println!("- load average before: {}", load_average());
    if filesystem == "tmpfs" {
        println!("- WARNING: this is memory, not a disk: set BENCH_DIR to a directory on a disk");
    }
}

/// Of the last minute: what else the machine had to do.
pub(crate) fn load_average() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or("unknown").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a line `name : value` says.
fn first(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

/// In GiB, rounded.
fn memory() -> u64 {
    let kib = first("/proc/meminfo", "MemTotal").split(' ').next().and_then(|number| number.parse::<u64>().ok());
    kib.map_or(0, |kib| (kib + (1 << 19)) >> 20)
}

/// The type and the mount options of the file system under a path.
fn filesystem(path: &Path) -> (String, String) {
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let under = mounts.filter(|fields| fields.len() > 3 && path.starts_with(fields[1]));
    let last = under.max_by_key(|fields| fields[1].len());
    last.map_or_else(Default::default, |fields| (fields[2].to_owned(), fields[3].to_owned()))
}

/// What a program says of its version, or that it is missing.
fn version(program: &str, words: &[&str]) -> String {
    match Command::new(program).args(words).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).split(" sha=").next().unwrap_or("").trim().to_owned(),
        Err(_) => format!("{program}: missing (apt-get install {program})"),
    }
}
