//! The status file, written at SIGUSR1.
//!
//! Enters: a [`Status`]. Leaves: a file that replaces the one before it in one step; a reader sees the old one or the
//! new one, whole.
//!
//! ```text
//! TIELINE status 2026-01-02T03:04:05Z - parent 4711
//! pid <tab> host <tab> state <tab> connections busy/idle/max <tab> requesters <tab> … <tab> last log line
//! 4712 <tab> cache <tab> up <tab> 1/3/4 <tab> 12 <tab> …
//!
//! pid <tab> role <tab> name <tab> state <tab> processes busy/idle/max <tab> requesters <tab> … <tab> last log line
//! 4713 <tab> registry <tab> registry <tab> up <tab> 0/0/0 <tab> 3 <tab> …
//! ```
//!
//! If the last restart failed, a line `restart failed at …: …` stands between header and column names. One line per host
//! in the order of `hosts.tab`; behind an empty line those of the registry and of what is served, if there is any. `-` is a
//! child that does not exist. Latencies are microseconds, the
//! spool's age seconds. Tabs and control characters in the last log line are blanks.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::status::{HostStatus, ServiceStatus, Status};

const COLUMNS: [&str; 18] = [
    "pid",
    "host",
    "state",
    "connections busy/idle/max",
    "requesters",
    "queued",
    "in flight",
    "replies",
    "lost",
    "timed out",
    "unknown",
    "busy",
    "delayed",
    "spool depth",
    "spool age",
    "p50",
    "p99",
    "last log line",
];

const SERVICE_COLUMNS: [&str; 16] = [
    "pid",
    "role",
    "name",
    "state",
    "processes busy/idle/max",
    "requesters",
    "queued",
    "in flight",
    "replies",
    "timed out",
    "busy",
    "failed",
    "p50",
    "p99",
    "restarts",
    "last log line",
];

/// Replaces the file at `path`.
pub(super) fn write(path: &Path, status: &Status, wall: Timestamp) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    fs::write(&temporary, text(status, wall)).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        fs::remove_file(&temporary).ok();
    })
}

fn text(status: &Status, wall: Timestamp) -> String {
    let mut text = format!("TIELINE status {wall:.0} - parent {}\n", status.pid);
    for line in status.restart.failure().into_iter().chain([COLUMNS.join("\t")]) {
        text.push_str(&line);
        text.push('\n');
    }
    for host in &status.hosts {
        text.push_str(&row(host).join("\t"));
        text.push('\n');
    }
    if !status.services.is_empty() {
        text.push_str(&format!("\n{}\n", SERVICE_COLUMNS.join("\t")));
    }
    for service in &status.services {
        text.push_str(&service_row(service).join("\t"));
        text.push('\n');
    }
    text
}

fn service_row(service: &ServiceStatus) -> [String; 16] {
    let ServiceStatus { processes, outcomes, latency_us, .. } = service;
    [
        service.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        service.role.to_string(),
        service.name.clone(),
        service.state.to_string(),
        format!("{}/{}/{}", processes.busy, processes.idle, processes.max),
        service.requesters.to_string(),
        service.queued.to_string(),
        service.in_flight.to_string(),
        outcomes.replies.to_string(),
        outcomes.timeout.to_string(),
        outcomes.busy.to_string(),
        outcomes.failed.to_string(),
        latency_us.p50.to_string(),
        latency_us.p99.to_string(),
        service.restarts.to_string(),
        without_controls(&service.last_log),
    ]
}

fn without_controls(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).collect()
}

fn row(host: &HostStatus) -> [String; 18] {
    let pid = host.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let connections = host.connections;
    let outcomes = host.outcomes;
    [
        pid,
        host.name.clone(),
        host.state.to_string(),
        format!("{}/{}/{}", connections.busy, connections.idle, connections.max),
        host.requesters.to_string(),
        host.queued.to_string(),
        host.in_flight.to_string(),
        outcomes.replies.to_string(),
        outcomes.lost.to_string(),
        outcomes.timeout.to_string(),
        outcomes.unknown.to_string(),
        outcomes.busy.to_string(),
        outcomes.delayed.to_string(),
        host.spool.depth.to_string(),
        host.spool.oldest_s.to_string(),
        host.latency_us.p50.to_string(),
        host.latency_us.p99.to_string(),
        without_controls(&host.last_log),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heritage::Kind;
    use crate::parent::status::RestartStatus;
    use crate::snapshot::{Connections, Latency, Outcomes, State};

    fn status(restart: RestartStatus, services: Vec<ServiceStatus>) -> Status {
        let (started, hosts) = (Timestamp::UNIX_EPOCH, Vec::new());
        Status { version: "0.1.0".to_owned(), pid: 4711, generation: 3, started, restart, hosts, services }
    }

    fn without_hosts(restart: RestartStatus) -> String {
        text(&status(restart, Vec::new()), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn services_have_lines_of_their_own_behind_those_of_the_hosts() {
        let service = ServiceStatus {
            role: Kind::Serve,
            name: "far".to_owned(),
            pid: None,
            generation: 0,
            version: String::new(),
            state: State::Crashed,
            reason: "exit code 70".to_owned(),
            processes: Connections { busy: 1, idle: 2, max: 4 },
            requesters: 5,
            queued: 6,
            in_flight: 7,
            outcomes: Outcomes { replies: 8, timeout: 9, busy: 10, failed: 11, ..Outcomes::default() },
            latency_us: Latency { p50: 12, p99: 13, ..Latency::default() },
            restarts: 3,
            last_log: "one\ttwo".to_owned(),
        };
        let text = text(&status(RestartStatus::default(), vec![service]), Timestamp::UNIX_EPOCH);
        let lines: Vec<_> = text.lines().skip(1).collect();
        let expected = [
            "",
            &SERVICE_COLUMNS.join("\t"),
            "-\tserve\tfar\tcrashed\t1/2/4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t3\tone two",
        ];
        assert_eq!(lines, [&COLUMNS.join("\t"), expected[0], expected[1], expected[2]]);
    }

    #[test]
    fn a_failed_restart_is_told_under_the_header_and_nothing_otherwise() {
        let well = without_hosts(RestartStatus { asked: 2, ended: 2, ..RestartStatus::default() });
        let header = "TIELINE status 1970-01-01T00:00:00Z - parent 4711\n";
        assert_eq!(well, format!("{header}{}\n", COLUMNS.join("\t")));
        let complaint = "the binary is gone\nand more".to_owned();
        let failed = without_hosts(RestartStatus { complaint, ..RestartStatus::default() });
        assert_eq!(failed, format!("{header}restart failed: the binary is gone\n{}\n", COLUMNS.join("\t")));
    }
}
