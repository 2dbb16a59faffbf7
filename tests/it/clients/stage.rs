//! What the clients meet: a daemon with hosts of all moods, and others who use it.
//!
//! Enters: rows of the table. Leaves: nothing; what is not as expected is a failure of the test. Promised: at the end the host
//! is asked what it has really received.

use std::collections::HashMap;
use std::sync::Arc;

use tieline::dialect::Dialect;

use super::driver::Driver;
use super::table::Row;
use crate::common::{ChaosHost, Daemon, Place, Requester, name, wait_until};

/// See the head of this file.
pub(super) struct Stage {
    dialect: Dialect,
    host: ChaosHost,
    place: Arc<Place>,
    daemon: Option<Daemon>,
    /// Others, who have asked something and wait.
    others: Vec<Requester>,
    /// What the clients were told of each tag.
    told: HashMap<u64, String>,
}

impl Stage {
    pub(super) fn new(dialect: Dialect, has_registry: bool) -> Self {
        let host = ChaosHost::start(dialect);
        let line = |host_name: &str, options: &str| {
            format!("{host_name} {} {} retries=1 pipeline=1 {options}", host.address(), name(dialect))
        };
        let lines = [
            line("calm", "deferred"),
            line("small", "max_request=4KiB"),
            line("slow", "connections=1 timeout=2s"),
            line("full", "connections=1 queue=1"),
        ];
        let settings = if has_registry { "" } else { "[registry]\nenabled = false" };
        let place = Place::with_settings(&lines.each_ref().map(String::as_str), settings);
        let daemon = Some(place.start());
        Self { dialect, host, place, daemon, others: Vec::new(), told: HashMap::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Does what the row says, and compares.
    pub(super) fn carry_out(&mut self, row: &Row, driver: &mut Driver) {
        match row.verb.as_str() {
            "ask" | "deferred" | "pipeline" => {
                driver.tell(&row.verb, &row.name, &self.worded(row));
                self.compare(row, driver);
            }
            "doomed" => {
                driver.tell("ask", &row.name, &self.worded(row));
                self.wait_for_arrival(row);
                self.kill_the_daemon();
                self.compare(row, driver);
            }
            "hold" => {
                self.ask_as_another(row);
                self.wait_for_arrival(row);
            }
            "queue" => {
                self.ask_as_another(row);
                wait_until("it waits in the queue", || (self.status(&row.name)["queued"] == 1).then_some(()));
            }
            "host" => drop(self.host.command(&row.requests[0])),
            "daemon" => self.daemon = Some(self.place.start()),
            "probe" => wait_until("the daemon finds the host", || {
                self.place.tieline(&["probe", &row.name]).status.success().then_some(())
            }),
            "replayed" => wait_until("nothing is stored", || {
                // The child that has the spool open says so: before that nobody knows.
                let listed = self.place.tieline(&["spool", "list", &row.name, "--json"]);
                (listed.status.success() && listed.stdout.is_empty()).then_some(())
            }),
            other => panic!("no such step: {other}"),
        }
    }

    /// Its requests as its dialect has them: in `resp` they are arguments of a command.
    fn worded(&self, row: &Row) -> Vec<String> {
        let echo = if self.dialect == Dialect::Resp { "ECHO " } else { "" };
        row.requests.iter().map(|request| format!("{echo}{request}")).collect()
    }

    fn compare(&mut self, row: &Row, driver: &mut Driver) {
        for (request, expected) in row.requests.iter().zip(&row.expected) {
            let (kind, body) = driver.outcome();
            let place = format!("{:?}, {request}", self.dialect);
            assert_eq!(kind, expected.kind, "{place}: {body}");
            let is_met = expected.is_met_by(&body, self.dialect == Dialect::Resp);
            assert!(is_met, "{place}: {body:?} is not {:?}", expected.body);
            self.told.insert(number(request), kind);
        }
    }

    /// Nobody is left who might still accept.
    fn kill_the_daemon(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let children = daemon.children_seen();
        drop(daemon);
        wait_until("all children are gone", || children.iter().all(|child| !child.is_alive()).then_some(()));
    }

    fn ask_as_another(&mut self, row: &Row) {
        let mut other = Requester::connect(&self.place.socket(&row.name), self.dialect);
        other.send(&row.requests[0]);
        self.others.push(other);
    }

    fn wait_for_arrival(&self, row: &Row) {
        let number = number(&row.requests[0]);
        wait_until("the host has the request", || self.host.received().get(&number).copied());
    }

    fn status(&self, host: &str) -> serde_json::Value {
        self.daemon.as_ref().expect("a daemon").host_status(host)
    }

    /// What the host has received must be what the clients were told.
    pub(super) fn judge(self) {
        assert!(!self.told.is_empty(), "something was asked");
        let received = self.host.received();
        for (number, kind) in &self.told {
            let times = received.get(number).copied().unwrap_or(0);
            let is_true = match kind.as_str() {
                "reply" | "unknown" => times == 1,
                // What was delivered right before the daemon was killed may have been in doubt.
                "delayed" => times >= 1,
                _ => times == 0,
            };
            assert!(is_true, "{:?}: <{number}> was {kind}, and received {times} times", self.dialect);
        }
        self.daemon.expect("the table ends with a daemon").stop();
    }
}

/// The number of the tag in a request.
fn number(request: &str) -> u64 {
    let tag = request.split('<').nth(1).and_then(|rest| rest.split('>').next());
    tag.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{request} has no tag"))
}
