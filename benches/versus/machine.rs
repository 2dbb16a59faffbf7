//! Words about the machine and about what is installed on it.

use std::fs;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::plan::Plan;

/// Debian's packages of the peers, a program of each, and the words that have it say its version.
const PEERS: [(&str, &str, &str); 6] = [
    ("redis-server", "redis-server", "--version"),
    ("redis-tools", "redis-benchmark", "--version"),
    ("nutcracker", "nutcracker", "-V"),
    ("haproxy", "haproxy", "-v"),
    ("memcached", "memcached", "-V"),
    ("linux-perf", "perf", "--version"),
];

/// Thousands of requesters need as many descriptors, here and in what is started from here.
pub(crate) fn allow_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most.min(1 << 20), most));
    if let Err(error) = raised {
        eprintln!("the bound on descriptors stays as it is: {error}");
    }
}

pub(crate) fn describe(plan: &Plan) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("- {now}, tieline {} (built for release), `{}`", env!("CARGO_PKG_VERSION"), plan.command());
    println!("- {cores} cores ({}), Linux {}", first("/proc/cpuinfo", "model name"), kernel());
    for (package, program, word) in PEERS {
        match version(program, word) {
            Some(version) => println!("- {version}"),
            None => println!("- {program}: missing, and left out (apt-get install {package})"),
        }
    }
    println!("- load average before: {}", load_average());
    println!("- median of {} rounds of {} s (lowest-highest)", plan.rounds, plan.time.as_secs_f64());
}

/// Whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    version(program, "--version").is_some()
}

/// Of the last minute.
pub(crate) fn load_average() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
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

/// What a program says of its version; some say it on standard error.
fn version(program: &str, word: &str) -> Option<String> {
    let output = Command::new(program).arg(word).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()))?;
    Some(line.split(" sha=").next()?.split(" - http").next()?.trim().to_owned())
}
