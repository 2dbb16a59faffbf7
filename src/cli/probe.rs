//! `tieline probe HOST`: has the host tried now, and says what came of it.
//!
//! Enters: a host's name. Leaves: a line with its state; exit code 0 if it is up, 69 if not.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::daemon::{AskError, Daemon};
use super::{complain, exit, print};
use crate::parent::control::Request;
use crate::parent::status::HostStatus;
use crate::parent::table::entry::State;

/// How long to wait for what comes of a probe: somewhat more than the usual `connect_timeout`.
const PATIENCE: Duration = Duration::from_secs(6);

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
        // With every connection open there is nothing to try: they are the proof.
        let is_full = found.connections.busy + found.connections.idle >= found.connections.max;
        let is_decided = found.attempts > before.attempts || found.pid != before.pid || is_full;
        if is_decided || Instant::now() >= until {
            return Ok(found);
        }
        sleep(PAUSE);
    }
}

fn status(daemon: &mut Daemon, host: &str) -> Result<HostStatus, AskError> {
    let status = daemon.status(Some(host.to_owned()))?;
    let gone = || AskError::Refused(format!("the daemon says nothing about {host}"));
    status.hosts.into_iter().next().ok_or_else(gone)
}
