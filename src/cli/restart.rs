//! `tieline restart`: the daemon takes its configuration, and the binary on disk, without a stop; says what came of it.
//!
//! Enters: nothing but the place of the daemon. Leaves: which generation serves, or why not. Exit code 0 once every child
//! that had to be replaced is; 78 for a wrong configuration and 70 for an unusable binary, when the daemon goes on as it
//! was; 75 if some children are not replaced yet.
//!
//! Only what is needed is read of the daemon's status: after an upgrade this program and the daemon that it asks are
//! different builds for a moment.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::daemon::{AskError, Daemon};
use super::{complain, exit, print};
use crate::parent::control::Request;
use crate::parent::status::{RestartFault, RestartStatus};

/// How often to look.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the daemon may check the configuration, rehearse, and exec. With [`REPLACED_WITHIN`] it is less than the 90 s
/// that systemd allows for a reload.
const ENDED_WITHIN: Duration = Duration::from_secs(40);

/// How long the replacement of the children may take: more than one needs to get ready, or to be given up.
const REPLACED_WITHIN: Duration = Duration::from_secs(40);

/// How long nobody may answer at the control socket before the daemon counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// What came of it, if it is not well.
#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the daemon was asked to restart, and is gone since then ({0}); its log says why")]
    Gone(AskError),
    #[error("not restarted, generation {generation} serves on:{complaint}")]
    Failed { generation: u64, complaint: String, fault: RestartFault },
    #[error("the daemon was asked to restart, and has not got to it yet{because}; `tieline status` tells when it has")]
    NotEnded { because: String },
    #[error(
        "generation {generation} serves, but {replacing} of {count} hosts and services have not got their new child yet, \
         and the old one serves on: {waiting}"
    )]
    NotReplaced { generation: u64, count: usize, replacing: usize, waiting: String },
}

impl Trouble {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Gone(_) => exit::UNAVAILABLE,
            Self::Failed { fault: RestartFault::Configuration, .. } => exit::CONFIG,
            Self::Failed { .. } => exit::SOFTWARE,
            Self::NotEnded { .. } | Self::NotReplaced { .. } => exit::TEMPFAIL,
        }
    }
}

/// What is read of a status.
#[derive(Debug, Deserialize)]
struct Seen {
    version: String,
    generation: u64,
    restart: RestartStatus,
    hosts: Vec<ChildSeen>,
    #[serde(default)]
    services: Vec<ChildSeen>,
}

/// Of a host or a service.
#[derive(Debug, Deserialize)]
struct ChildSeen {
    pid: Option<i32>,
    generation: u64,
}

fn summed_up(what: &str, count: usize, new: usize) -> String {
    match (count, new) {
        (1, 0) => format!("1 {what}, with the child it had"),
        (1, _) => format!("1 {what}, with a new child"),
        (count, 0) => format!("{count} {what}s, none of them with a new child"),
        (count, new) => format!("{count} {what}s, {new} of them with a new child"),
    }
}

impl Seen {
    /// Whether the restart of this number has succeeded or failed.
    fn has_ended(&self, asked: u64) -> bool {
        self.restart.ended >= asked
    }

    fn is_replaced(&self) -> bool {
        self.restart.replacing == 0
    }

    fn summary(&self) -> String {
        let Self { version, generation, hosts, services, .. } = self;
        let is_new = |child: &&ChildSeen| child.pid.is_some() && child.generation == *generation;
        let hosts = summed_up("host", hosts.len(), hosts.iter().filter(is_new).count());
        let services = match services.iter().filter(is_new).count() {
            // Mostly the registry alone, of which nobody has thought.
            0 => String::new(),
            new => format!("; {}", summed_up("service", services.len(), new)),
        };
        format!("generation {generation} serves: {hosts}{services} (tieline {version})\n")
    }

    fn failed(self) -> Trouble {
        let RestartStatus { complaint, fault, .. } = self.restart;
        // A complaint about a configuration has several lines, which should begin at the left.
        let gap = if complaint.contains('\n') { '\n' } else { ' ' };
        let complaint = format!("{gap}{complaint}");
        Trouble::Failed { generation: self.generation, complaint, fault }
    }

    fn not_replaced(self) -> Trouble {
        let RestartStatus { replacing, waiting, .. } = self.restart;
        let count = self.hosts.len() + self.services.len();
        Trouble::NotReplaced { generation: self.generation, count, replacing, waiting }
    }
}

pub(super) fn run(config: Option<&Path>) -> u8 {
    match restart(config) {
        Ok(seen) => print(&seen.summary()),
        Err(trouble) => {
            complain(&trouble.to_string());
            trouble.exit_code()
        }
    }
}

fn restart(config: Option<&Path>) -> Result<Seen, Trouble> {
    let mut line = Line { config, daemon: Some(Daemon::find(config)?), lost: None };
    let asked = line.ask_restart()?;
    let ended = line.wait(ENDED_WITHIN, |seen| seen.has_ended(asked))?.ok_or_else(|| line.not_ended())?;
    if !ended.restart.complaint.is_empty() {
        return Err(ended.failed());
    }
    line.wait(REPLACED_WITHIN, Seen::is_replaced)?.ok_or_else(|| {
        // What it waits for is as of now, if the daemon can be reached.
        line.look().ok().flatten().unwrap_or(ended).not_replaced()
    })
}

/// The line to the daemon, which the exec cuts.
struct Line<'a> {
    config: Option<&'a Path>,
    daemon: Option<Daemon>,
    /// Since when nobody answers.
    lost: Option<Instant>,
}

impl Line<'_> {
    /// Gives the number of the restart.
    fn ask_restart(&mut self) -> Result<u64, AskError> {
        let answer = self.ask(&Request::Restart {})?;
        let number = answer.get("asked").and_then(Value::as_u64);
        number.ok_or_else(|| AskError::Refused(format!("the daemon does not say which restart it begins: {answer}")))
    }

    /// The first status that is `enough`; none if there is none within this time.
    fn wait(&mut self, within: Duration, enough: impl Fn(&Seen) -> bool) -> Result<Option<Seen>, Trouble> {
        let until = Instant::now() + within;
        loop {
            match self.look()? {
                Some(seen) if enough(&seen) => return Ok(Some(seen)),
                _ if Instant::now() >= until => return Ok(None),
                _ => sleep(PAUSE),
            }
        }
    }

    /// The status; none if the daemon cannot be reached at the moment.
    fn look(&mut self) -> Result<Option<Seen>, Trouble> {
        match self.ask(&Request::Status { host: None }) {
            Ok(answer) => {
                self.lost = None;
                let seen = serde_json::from_value(answer);
                Ok(Some(
                    seen.map_err(|error| AskError::Refused(format!("the daemon's status is not understood: {error}")))?,
                ))
            }
            Err(error) => {
                self.daemon = None;
                if self.lost.get_or_insert_with(Instant::now).elapsed() >= GONE_AFTER {
                    return Err(Trouble::Gone(error));
                }
                Ok(None)
            }
        }
    }

    fn not_ended(&mut self) -> Trouble {
        let waiting = self.look().ok().flatten().map(|seen| seen.restart.waiting).unwrap_or_default();
        let because = if waiting.is_empty() { waiting } else { format!(": {waiting}") };
        Trouble::NotEnded { because }
    }

    fn ask(&mut self, request: &Request) -> Result<Value, AskError> {
        let daemon = match &mut self.daemon {
            Some(daemon) => daemon,
            none => none.insert(Daemon::find(self.config)?),
        };
        daemon.ask(request)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(restart: &Value, hosts: &[(Option<i32>, u64)]) -> Seen {
        let hosts: Vec<_> =
            hosts.iter().map(|(pid, generation)| json!({ "pid": pid, "generation": generation })).collect();
        let mut whole = json!({ "asked": 3, "ended": 3, "at": null, "complaint": "", "fault": "", "replacing": 0,
            "waiting": "" });
        for (key, value) in restart.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let status = json!({ "version": "0.2.0", "generation": 7, "restart": whole, "hosts": hosts, "more": 1 });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn one_waits_for_the_own_restart_and_then_for_the_children() {
        let earlier = seen(&json!({ "ended": 2, "complaint": "of an earlier one" }), &[]);
        assert!(!earlier.has_ended(3) && earlier.has_ended(2));
        assert!(!seen(&json!({ "replacing": 2 }), &[]).is_replaced());
        let done = seen(&json!({}), &[]);
        assert!(done.has_ended(3) && done.is_replaced());
    }

    #[test]
    fn it_is_said_which_generation_serves_and_how_many_children_are_new() {
        let said = |hosts: &[_]| seen(&json!({}), hosts).summary();
        let (new, old, none) = ((Some(1), 7), (Some(2), 6), (None, 7));
        assert_eq!(
            said(&[new, old, none]),
            "generation 7 serves: 3 hosts, 1 of them with a new child (tieline 0.2.0)\n"
        );
        assert_eq!(said(&[old, none]), "generation 7 serves: 2 hosts, none of them with a new child (tieline 0.2.0)\n");
        assert_eq!(said(&[new]), "generation 7 serves: 1 host, with a new child (tieline 0.2.0)\n");
        assert_eq!(said(&[old]), "generation 7 serves: 1 host, with the child it had (tieline 0.2.0)\n");
        assert_eq!(said(&[]), "generation 7 serves: 0 hosts, none of them with a new child (tieline 0.2.0)\n");
        let mut served = seen(&json!({}), &[old]);
        served.services = seen(&json!({}), &[new, old, none]).hosts;
        let services = "1 host, with the child it had; 3 services, 1 of them with a new child";
        assert_eq!(served.summary(), format!("generation 7 serves: {services} (tieline 0.2.0)\n"));
    }

    #[test]
    fn a_failure_is_told_with_its_exit_code() {
        let config = seen(&json!({ "fault": "configuration", "complaint": "a:1:2: no\n  a" }), &[]).failed();
        assert_eq!(config.exit_code(), exit::CONFIG);
        assert_eq!(config.to_string(), "not restarted, generation 7 serves on:\na:1:2: no\n  a");
        let binary = seen(&json!({ "fault": "binary", "complaint": "it is gone" }), &[]).failed();
        assert_eq!(binary.exit_code(), exit::SOFTWARE);
        assert_eq!(binary.to_string(), "not restarted, generation 7 serves on: it is gone");
    }

    #[test]
    fn children_that_are_not_replaced_are_named() {
        let restart = json!({ "replacing": 1, "waiting": "far: exit code 1; the next one starts in 3.2 s" });
        let trouble = seen(&restart, &[(Some(1), 6), (Some(2), 7)]).not_replaced();
        assert_eq!(trouble.exit_code(), exit::TEMPFAIL);
        assert_eq!(
            trouble.to_string(),
            "generation 7 serves, but 1 of 2 hosts and services have not got their new child yet, and the old one serves on: \
             far: exit code 1; the next one starts in 3.2 s"
        );
    }
}
