//! `tieline probe HOST`: has the host tried now, and says what came of it.
//!
//! Enters: a host's name. Leaves: a line with its state; exit code 0 if it is up, 69 if not.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::daemon::{AskError, Daemon};
use super::{complain, exit, print};
use crate::parent::control::Request;
use crate::parent::status::HostStatus;
use crate::parent::table::entry::State;

/// How long to wait for what comes of a probe: somewhat more than the usual `connect_timeout`.
const PATIENCE: Duration = Duration::from_secs(6);

/// Two times closer than this are the same.
const ROUNDING: Duration = Duration::from_millis(5);

/// How often to look.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn run(config: Option<&Path>, host: &str) -> u8 {
    match probe(config, host) {
        Ok(found) if found.state == State::Up => print(&format!("{host} is up\n")),
        Ok(found) => {
            let next = found.next_probe.map(|at| format!("; next probe at {at:.0}")).unwrap_or_default();
            let reason = if found.reason.is_empty() { String::new() } else { format!(": {}", found.reason) };
            complain(&format!("{host} is {}{reason}{next}", found.state));
            exit::UNAVAILABLE
        }
        Err(error) => {
            complain(&error.to_string());
            error.exit_code()
        }
    }
}

fn probe(config: Option<&Path>, host: &str) -> Result<HostStatus, AskError> {
    let mut daemon = Daemon::find(config)?;
    let before = status(&mut daemon, host)?;
    daemon.ask(&Request::Probe { host: host.to_owned() })?;
    let until = Instant::now() + PATIENCE;
    loop {
        let found = status(&mut daemon, host)?;
        let is_decided = found.state == State::Up || has_failed(&before, &found, Timestamp::now());
        if is_decided || Instant::now() >= until {
            return Ok(found);
        }
        sleep(PAUSE);
    }
}

/// Whether the attempt that was asked for after `before` is over, and in vain: then the next one is planned for later.
/// While it is under way its own time stands there, which has passed.
fn has_failed(before: &HostStatus, found: &HostStatus, now: Timestamp) -> bool {
    let Some(next) = found.next_probe.filter(|_| found.state == State::Down) else { return false };
    // The same plan, told twice, may differ by a rounded millisecond or two.
    let is_another = before.next_probe.is_none_or(|planned| next.duration_since(planned).unsigned_abs() > ROUNDING);
    next > now && is_another
}

fn status(daemon: &mut Daemon, host: &str) -> Result<HostStatus, AskError> {
    let status = daemon.status(Some(host.to_owned()))?;
    let gone = || AskError::Refused(format!("the daemon says nothing about {host}"));
    status.hosts.into_iter().next().ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host in this state, to be tried again so many milliseconds after 1970.
    fn host(state: &str, next_probe_ms: Option<i64>) -> HostStatus {
        let next_probe = next_probe_ms.map(|ms| Timestamp::from_millisecond(ms).unwrap());
        let counts = ["replies", "lost", "timeout", "unknown", "busy", "refused", "delayed", "failed"];
        let mut value = serde_json::json!({
            "name": "x", "address": "h:1", "dialect": "line", "pid": 1, "state": state, "reason": "",
            "next_probe": next_probe, "connections": {"busy": 0, "idle": 0, "max": 4}, "requesters": 0, "queued": 0,
            "in_flight": 0, "spool": {"depth": 0, "bytes": 0, "oldest_s": 0, "in_doubt": 0, "held": 0, "dead": 0},
            "latency_us": {"p50": 0, "p99": 0, "p999": 0, "max": 0}, "restarts": 0, "last_log": ""
        });
        counts.iter().for_each(|count| value[count] = 0.into());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_attempt_has_failed_once_the_next_one_is_planned_and_not_while_it_is_under_way() {
        let now = Timestamp::from_millisecond(1_000_000).unwrap();
        let before = host("down", Some(1_030_000));
        for (state, next, has) in [
            ("down", Some(1_030_002), false), // as it was: the probe has not reached the child
            ("down", Some(999_999), false),   // under way: hurried to a time that has passed
            ("down", Some(1_008_000), true),
            ("up", None, false),
        ] {
            assert_eq!(has_failed(&before, &host(state, next), now), has, "{state} {next:?}");
        }
        assert!(has_failed(&host("idle", None), &host("down", Some(1_000_100)), now));
    }
}
