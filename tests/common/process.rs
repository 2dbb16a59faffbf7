//! A process by its number, as `/proc` shows it.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that some test has started, directly or through the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) i32);

impl Process {
    /// All that there are now.
    pub(crate) fn all() -> Vec<Process> {
        let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        let mut all: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        all.sort_unstable();
        all.into_iter().map(Process).collect()
    }

    /// Sends a signal. After SIGSTOP it waits until every thread has stopped: kill(2) does not.
    pub(crate) fn signal(self, signal: Signal) {
        kill(Pid::from_raw(self.0), signal).unwrap_or_else(|e| panic!("signal to {self:?}: {e}"));
        if signal == Signal::SIGSTOP {
            super::wait_until("every thread has stopped", || self.is_stopped().then_some(()));
        }
    }

    /// Kills it, unless it has ended by itself meanwhile.
    pub(crate) fn kill(self) {
        kill(Pid::from_raw(self.0), Signal::SIGKILL).ok();
    }

    /// Whether it runs (a zombie does not).
    pub(crate) fn is_alive(self) -> bool {
        self.status_of("State").is_some_and(|state| !state.starts_with(['Z', 'X']))
    }

    /// Whether all its threads have stopped.
    pub(crate) fn is_stopped(self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let states: Vec<_> = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok()).collect();
        // The state stands behind the name, which stands in parentheses (proc_pid_stat(5)).
        let is_stopped = |stat: &String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
        !states.is_empty() && states.iter().all(is_stopped)
    }

    /// Its children.
    pub(crate) fn children(self) -> Vec<Process> {
        let path = format!("/proc/{0}/task/{0}/children", self.0);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Process).collect()
    }

    /// Its arguments, from the title on.
    pub(crate) fn command_line(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
    }

    /// Whether it was started with this variable, `NAME=value`. A zombie has none.
    pub(crate) fn has_in_environment(self, variable: &str) -> bool {
        let bytes = fs::read(format!("/proc/{}/environ", self.0)).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|each| each == variable.as_bytes())
    }

    /// Whether it has ended and nobody has asked how.
    pub(crate) fn is_zombie(self) -> bool {
        self.status_of("State").is_some_and(|state| state.starts_with('Z'))
    }

    /// Who started it, or took it over.
    pub(crate) fn parent(self) -> Option<Process> {
        self.status_of("PPid")?.parse().ok().map(Process)
    }

    /// What its descriptors refer to, in the order of their numbers.
    pub(crate) fn descriptors(self) -> Vec<String> {
        let path = format!("/proc/{}/fd", self.0);
        let entries = fs::read_dir(&path).unwrap_or_else(|e| panic!("{path}: {e}")).flatten();
        let mut all: Vec<(i32, String)> = entries
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?;
                Some((entry.file_name().to_str()?.parse().ok()?, target.display().to_string()))
            })
            .collect();
        all.sort();
        all.into_iter().map(|(number, target)| format!("{number} {target}")).collect()
    }

    /// Kilobytes that belong to it alone.
    pub(crate) fn private_kb(self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0))
            .unwrap_or_else(|e| panic!("memory of {self:?}: {e}"));
        rollup.lines().filter(|line| line.starts_with("Private_")).filter_map(kilobytes).sum()
    }

    fn status_of(self, field: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }
}

/// The number in `Name:   123 kB`.
fn kilobytes(line: &str) -> Option<u64> {
    line.split_whitespace().nth(1)?.parse().ok()
}
