//! `tieline status`: the daemon's status as an aligned table, or as JSON.
//!
//! Enters: a [`Status`]. Leaves: text: a table of the hosts, and one of the registry and of what is served. Names and
//! words stand left, numbers right; a latency has its unit.

use std::path::Path;

use super::daemon::Daemon;
use super::units::{age, amount};
use super::{complain, print};
use crate::parent::status::{HostStatus, ServiceStatus, Status};
use crate::snapshot::{Sessions, SpoolNumbers};

/// Longest note in characters; `--json` has all of it.
const LONGEST_NOTE: usize = 80;

const COLUMNS: [&str; 17] = [
    "HOST",
    "STATE",
    "PID",
    "BUSY/IDLE/MAX",
    "REQUESTERS",
    "QUEUED",
    "IN FLIGHT",
    "REPLIES",
    "LOST",
    "TIMEOUT",
    "UNKNOWN",
    "BUSY",
    "DELAYED",
    "SPOOL",
    "P50",
    "P99",
    "NOTE",
];

/// The columns that stand left; the others hold numbers.
const LEFT: [usize; 3] = [0, 1, 16];

const SERVICE_COLUMNS: [&str; 15] = [
    "SERVICE",
    "STATE",
    "PID",
    "BUSY/IDLE/MAX",
    "REQUESTERS",
    "QUEUED",
    "IN FLIGHT",
    "REPLIES",
    "TIMEOUT",
    "BUSY",
    "FAILED",
    "P50",
    "P99",
    "RESTARTS",
    "NOTE",
];

const SERVICE_LEFT: [usize; 3] = [0, 1, 14];

pub(super) fn run(config: Option<&Path>, json: bool, host: Option<String>) -> u8 {
    let one = host.is_some();
    let answer = Daemon::find(config).and_then(|mut daemon| daemon.status(host));
    match answer {
        Ok(status) if json => match serde_json::to_string(&status) {
            Ok(text) => print(&format!("{text}\n")),
            Err(error) => {
                complain(&format!("cannot write the status as JSON: {error}"));
                super::exit::SOFTWARE
            }
        },
        Ok(status) if one => print(&(table(&status) + &status.hosts.iter().map(more).collect::<String>())),
        Ok(status) => print(&table(&status)),
        Err(error) => {
            complain(&error.to_string());
            error.exit_code()
        }
    }
}

/// The table with a line above it about the parent, and another one if its last restart failed.
pub(super) fn table(status: &Status) -> String {
    let Status { version, pid, started, generation, restart, hosts, services } = status;
    let mut text = format!("tieline {version}, process {pid}, since {started:.0}, generation {generation}\n");
    if let Some(failure) = restart.failure() {
        text.push_str(&failure);
        text.push('\n');
    }
    text.push_str(&aligned(COLUMNS, hosts.iter().map(row), LEFT));
    if !services.is_empty() {
        text.push('\n');
        text.push_str(&aligned(SERVICE_COLUMNS, services.iter().map(service_row), SERVICE_LEFT));
    }
    text
}

/// Rows under their columns.
fn aligned<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [String; N]>, left: [usize; 3]) -> String {
    let rows: Vec<_> = std::iter::once(columns.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<_> = (0..N).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(
            |(at, (cell, &width))| {
                if left.contains(&at) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            },
        );
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn service_row(service: &ServiceStatus) -> [String; 15] {
    let ServiceStatus { processes, outcomes, latency_us, .. } = service;
    [
        service.role.title(&service.name),
        service.state.to_string(),
        service.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        format!("{}/{}/{}", processes.busy, processes.idle, processes.max),
        service.requesters.to_string(),
        service.queued.to_string(),
        service.in_flight.to_string(),
        outcomes.replies.to_string(),
        outcomes.timeout.to_string(),
        outcomes.busy.to_string(),
        outcomes.failed.to_string(),
        latency(latency_us.p50),
        latency(latency_us.p99),
        service.restarts.to_string(),
        note(&service.reason, &service.last_log),
    ]
}

fn row(host: &HostStatus) -> [String; 17] {
    let connections = host.connections;
    let outcomes = host.outcomes;
    [
        host.name.clone(),
        host.state.to_string(),
        host.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
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
        spool(&host.spool),
        latency(host.latency_us.p50),
        latency(host.latency_us.p99),
        note(&host.reason, &host.last_log),
    ]
}

/// How many wait, and for how long the first one.
fn spool(spool: &SpoolNumbers) -> String {
    match spool.depth {
        0 => "0".to_owned(),
        depth => format!("{depth}, {}", age(spool.oldest_s)),
    }
}

/// What the table has no room for.
fn more(host: &HostStatus) -> String {
    let Sessions { open, max } = host.sessions;
    let sessions = if open > 0 { format!("sessions: {open} of {max} connections open\n") } else { String::new() };
    sessions + &stored(host)
}

/// All about the spool in a few lines; nothing if nothing is in it.
fn stored(host: &HostStatus) -> String {
    let SpoolNumbers { depth, bytes, oldest_s, in_doubt, held, dead, damaged, last_error } = &host.spool;
    let mut text = String::new();
    if depth + held + dead + damaged > 0 {
        let oldest = if *depth > 0 { format!(" (the first for {})", age(*oldest_s)) } else { String::new() };
        text = format!(
            "spool: {depth} wait{oldest}, {in_doubt} in doubt, {held} held, {dead} dead, {damaged} damaged, {}\n",
            amount(*bytes)
        );
    }
    if !last_error.is_empty() {
        let last_error: String = last_error.chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
        text.push_str(&format!("spool: last error: {last_error}\n"));
    }
    text
}

/// Why it is as it is, or else what its child logged last.
fn note(reason: &str, last_log: &str) -> String {
    let text = if reason.is_empty() { last_log } else { reason };
    let mut note: String = text.chars().filter(|each| !each.is_control()).take(LONGEST_NOTE).collect();
    if text.chars().count() > LONGEST_NOTE {
        note.push('…');
    }
    note
}

/// Three digits at most, with the unit that fits.
pub(super) fn latency(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let us_f = us as f64;
    match us {
        0 => "-".to_owned(),
        1..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{:.1} ms", us_f / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", us_f / 1e3),
        _ => format!("{:.1} s", us_f / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"version":"0.1.0","pid":4711,"generation":1,"started":"2026-01-02T03:04:05.678Z",
        "restart":{"asked":2,"ended":2,"at":"2026-01-02T03:05:00Z","complaint":"","fault":"","replacing":0,"waiting":""},"hosts":[
        {"name":"cache","address":"127.0.0.1:6379","dialect":"resp","pid":4712,"generation":1,"version":"0.1.0","state":"up","reason":"","next_probe":null,
         "attempts":7,"connections":{"busy":1,"idle":3,"max":4},"sessions":{"open":2,"max":32},"requesters":12,"queued":0,"in_flight":1,"replies":1234567,"lost":0,
         "timeout":0,"unknown":1,"busy":0,"refused":0,"delayed":0,"failed":0,
         "spool":{"depth":0,"bytes":0,"oldest_s":0,"in_doubt":0,"held":0,"dead":0,"damaged":0,"last_error":""},
         "latency_us":{"p50":85,"p99":1240,"p999":20000,"max":2500000},"restarts":0,"last_log":"serving"},
        {"name":"ledger","address":"[::1]:7000","dialect":"line","pid":null,"generation":1,"version":"0.1.0","state":"crashed",
         "reason":"exit code 70; started again in 0.1 s","next_probe":"2026-01-02T03:04:06Z",
         "attempts":7,"connections":{"busy":0,"idle":0,"max":10},"sessions":{"open":0,"max":32},"requesters":0,"queued":0,"in_flight":0,"replies":0,"lost":40,
         "timeout":0,"unknown":0,"busy":0,"refused":0,"delayed":0,"failed":0,
         "spool":{"depth":42,"bytes":6789,"oldest_s":190,"in_doubt":1,"held":2,"dead":3,"damaged":0,"last_error":"the disk is full"},
         "latency_us":{"p50":0,"p99":0,"p999":0,"max":0},"restarts":3,"last_log":""}],
        "services":[{"role":"registry","name":"registry","pid":4713,"generation":1,"version":"0.1.0","state":"up","reason":"",
         "processes":{"busy":0,"idle":0,"max":0},"requesters":3,"queued":0,"in_flight":0,"replies":0,"lost":0,"timeout":0,"unknown":0,
         "busy":0,"refused":0,"delayed":0,"failed":0,"latency_us":{"p50":0,"p99":0,"p999":0,"max":0},"restarts":0,"last_log":"serving names"},
        {"role":"serve","name":"cache","pid":4714,"generation":1,"version":"0.1.0","state":"down",
         "reason":"the ledger is full","processes":{"busy":3,"idle":1,"max":4},"requesters":7,"queued":2,"in_flight":3,"replies":120,"lost":0,
         "timeout":5,"unknown":0,"busy":6,"refused":0,"delayed":0,"failed":8,"latency_us":{"p50":2100,"p99":40000,"p999":41000,"max":41000},
         "restarts":12,"last_log":""}]}"#;

    #[test]
    fn the_table_is_aligned_and_shows_why_a_host_is_not_up() {
        let status = serde_json::from_str(STATUS).unwrap();
        insta::assert_snapshot!(table(&status), @r"
        tieline 0.1.0, process 4711, since 2026-01-02T03:04:05Z, generation 1
        HOST    STATE     PID  BUSY/IDLE/MAX  REQUESTERS  QUEUED  IN FLIGHT  REPLIES  LOST  TIMEOUT  UNKNOWN  BUSY  DELAYED      SPOOL    P50     P99  NOTE
        cache   up       4712          1/3/4          12       0          1  1234567     0        0        1     0        0          0  85 µs  1.2 ms  serving
        ledger  crashed     -         0/0/10           0       0          0        0    40        0        0     0        0  42, 3 min      -       -  exit code 70; started again in 0.1 s

        SERVICE      STATE   PID  BUSY/IDLE/MAX  REQUESTERS  QUEUED  IN FLIGHT  REPLIES  TIMEOUT  BUSY  FAILED     P50    P99  RESTARTS  NOTE
        registry     up     4713          0/0/0           3       0          0        0        0     0       0       -      -         0  serving names
        serve cache  down   4714          3/1/4           7       2          3      120        5     6       8  2.1 ms  40 ms        12  the ledger is full
        ");
    }

    #[test]
    fn a_failed_restart_is_told_in_a_line_of_its_own() {
        let mut status: Status = serde_json::from_str(STATUS).unwrap();
        status.restart.complaint = "hosts.tab:1:7: `x` is no address\n  far x line".to_owned();
        let text = table(&status);
        let second = text.lines().nth(1).unwrap();
        assert_eq!(second, "restart failed at 2026-01-02T03:05:00Z: hosts.tab:1:7: `x` is no address");
    }

    #[test]
    fn what_is_stored_is_told_in_full_to_who_asks_for_one_host() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        assert_eq!(stored(&status.hosts[0]), "");
        insta::assert_snapshot!(stored(&status.hosts[1]), @r"
        spool: 42 wait (the first for 3 min), 1 in doubt, 2 held, 3 dead, 0 damaged, 6.6 KiB
        spool: last error: the disk is full
        ");
    }

    #[test]
    fn open_sessions_are_told_to_who_asks_for_one_host() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        assert_eq!(more(&status.hosts[0]), "sessions: 2 of 32 connections open\n");
        assert!(more(&status.hosts[1]).starts_with("spool: "));
    }

    #[test]
    fn the_json_is_as_documented() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        let (ours, documented) = (serde_json::to_value(status).unwrap(), serde_json::from_str(STATUS).unwrap());
        let documented: serde_json::Value = documented;
        assert_eq!(ours, documented);
    }

    #[test]
    fn latencies_have_the_unit_that_fits() {
        let shown = [0, 999, 1_000, 9_900, 12_400, 999_000, 1_500_000].map(latency);
        assert_eq!(shown, ["-", "999 µs", "1.0 ms", "9.9 ms", "12 ms", "999 ms", "1.5 s"]);
    }
}
