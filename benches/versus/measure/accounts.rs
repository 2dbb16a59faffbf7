//! What the kernel has noted about processes: processor time, context switches, memory.
//!
//! Enters: process IDs. Leaves: sums. Promised: processor time is the scheduler's own account in nanoseconds
//! (clock_getcpuclockid(3), all threads, also those that have ended), not its count of ticks in `/proc/PID/stat`.

use std::fs;
use std::ops::{Add, Sub};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::ClockId;
use nix::unistd::Pid;

/// Units of processor time in `/proc/stat` (USER_HZ), per second.
const TICKS: f64 = 100.0;

/// Sums over processes, from their beginning to now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accounts {
    /// In seconds.
    pub(crate) cpu: f64,
    pub(crate) voluntary: f64,
    pub(crate) involuntary: f64,
}

impl Accounts {
    pub(crate) fn of(pids: &[Pid]) -> Self {
        pids.iter().map(|pid| Self::of_one(*pid)).fold(Self::default(), Add::add)
    }

    fn of_one(pid: Pid) -> Self {
        let clock = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
        let cpu = clock.map_or(0.0, |time| std::time::Duration::from(time).as_secs_f64());
        let mut accounts = Self { cpu, ..Self::default() };
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            accounts.voluntary += field(&status, "voluntary_ctxt_switches:");
            accounts.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
        }
        accounts
    }
}

impl Add for Accounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

impl Sub for Accounts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            cpu: self.cpu - other.cpu,
            voluntary: self.voluntary - other.voluntary,
            involuntary: self.involuntary - other.involuntary,
        }
    }
}

/// Processor time of this program and of the programs that it has run to their end, in seconds.
pub(crate) fn own_cpu() -> f64 {
    let ended = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    });
    Accounts::of_one(Pid::this()).cpu + ended
}

/// Processor time of the whole machine, in seconds: user, nice, system, interrupts (proc_stat(5)).
pub(crate) fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let busy = numbers.enumerate().filter(|(place, _)| [0, 1, 2, 5, 6].contains(place));
    busy.filter_map(|(_, number)| number.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Proportional set size: what is shared is counted by its share.
pub(crate) fn memory_kb(pids: &[Pid]) -> f64 {
    sum_of_rollups(pids, &["Pss:"])
}

/// Memory that belongs to these processes alone.
pub(crate) fn private_kb(pids: &[Pid]) -> f64 {
    sum_of_rollups(pids, &["Private_Clean:", "Private_Dirty:"])
}

fn sum_of_rollups(pids: &[Pid], names: &[&str]) -> f64 {
    let rollups = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    rollups.map(|text| names.iter().map(|name| field(&text, name)).sum::<f64>()).sum()
}

/// The number in the line `name 123 …`.
fn field(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
