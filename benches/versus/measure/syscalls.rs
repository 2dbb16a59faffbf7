//! System calls of a contender, counted by the kernel (perf's tracepoints) in a short run of their own.
//!
//! Enters: a contender, and a load that says how many requests it had answered. Leaves: calls per request, all of them and
//! those that are not on a connection to the host. Promised: nothing is traced, only counted, so that the contender is
//! hardly slower than it is; without perf, or without the right to use it, there is no figure.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Measure, Sample};
use crate::contender::Contender;

/// The calls that move bytes: those on a connection to the host are told from the rest by their descriptor.
const TRANSFERS: [&str; 8] = ["read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg"];

/// All system calls.
const ALL: &str = "raw_syscalls:sys_enter";

/// Until perf has attached itself.
const ATTACHING: Duration = Duration::from_millis(700);

/// Adds what was counted to `sample`; `load` returns how many requests were answered in all.
pub(crate) fn count_syscalls(
    contender: &Contender,
    sample: Sample,
    load: impl FnOnce() -> io::Result<u64>,
) -> io::Result<Sample> {
    let pids = contender.proxy();
    let Some(perf) = start(&pids) else { return Ok(sample) };
    std::thread::sleep(ATTACHING);
    let answered = load();
    let counts = stop(perf);
    let (answered, Some((all, host))) = (answered? as f64, counts) else { return Ok(sample) };
    let sample = sample.with(Measure::Syscalls, all / answered);
    if host == 0.0 {
        return Ok(sample);
    }
    Ok(sample.with(Measure::RequesterSyscalls, (all - host) / answered))
}

fn start(pids: &[Pid]) -> Option<Child> {
    if pids.is_empty() || !crate::machine::has("perf") {
        return None;
    }
    let list: Vec<String> = pids.iter().map(Pid::to_string).collect();
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-p", &list.join(","), "-e", ALL]);
    if let Some(filter) = host_filter(pids) {
        for call in TRANSFERS {
            perf.args(["-e", &format!("syscalls:sys_enter_{call}"), "--filter", &filter]);
        }
    }
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()
}

/// Calls in all, and calls on connections to the host.
fn stop(perf: Child) -> Option<(f64, f64)> {
    let pid = Pid::from_raw(i32::try_from(perf.id()).ok()?);
    kill(pid, Signal::SIGINT).ok()?;
    let text = String::from_utf8(perf.wait_with_output().ok()?.stderr).ok()?;
    // Lines of `count,unit,event,…`; what could not be counted has words instead of a number.
    let counts = text.lines().filter_map(|line| {
        let mut fields = line.split(',');
        Some((fields.next()?.parse::<f64>().ok()?, fields.nth(1)?))
    });
    let (mut all, mut host) = (None, 0.0);
    for (count, event) in counts {
        if event == ALL { all = Some(count) } else { host += count }
    }
    all.map(|all| (all, host))
}

/// `fd == 9 || fd == 10`: the descriptors of TCP sockets, if one process has them all.
fn host_filter(pids: &[Pid]) -> Option<String> {
    let inodes = tcp_inodes();
    let mut busy = pids.iter().map(|pid| descriptors(*pid, &inodes)).filter(|numbers| !numbers.is_empty());
    let (numbers, None) = (busy.next()?, busy.next()) else { return None };
    (numbers.len() <= 12)
        .then(|| numbers.iter().map(|number| format!("fd == {number}")).collect::<Vec<_>>().join(" || "))
}

fn descriptors(pid: Pid, inodes: &[String]) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_tcp = |path: &Path| {
        let target = fs::read_link(path).unwrap_or_default();
        let target = target.to_string_lossy();
        target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inode| inodes.iter().any(|tcp| tcp == inode))
    };
    let tcp = entries.filter(|entry| is_tcp(&entry.path()));
    tcp.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Of established connections: the tenth field of proc_net_tcp(5), of lines whose state is 01.
fn tcp_inodes() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(3) == Some(&"01"))
        .filter_map(|fields| Some((*fields.get(9)?).to_owned()))
        .collect()
}
