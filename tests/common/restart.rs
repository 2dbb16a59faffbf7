//! Restarts of a daemon, from the test's side.
//!
//! Enters: HUPs. Leaves: what the live daemon says of them at its control socket, which is asked directly: a storm cannot
//! wait for a command to be started for each question.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Daemon, LONG, Place, Process, wait_until};

/// In the environment of every process of a place: which one.
pub(crate) const PLACE_VARIABLE: &str = "TIELINE_TEST_PLACE";

impl Place {
    /// Writes `hosts.tab` anew, in one step.
    pub(crate) fn set_hosts(&self, lines: &[String]) {
        self.replace("hosts.tab", &(lines.join("\n") + "\n"));
    }

    /// Replaces a file of the configuration, in one step.
    pub(crate) fn replace(&self, file: &str, text: &str) {
        let new = self.path("configuration.new");
        fs::write(&new, text).expect("the configuration can be written");
        fs::rename(new, self.path(file)).expect("the configuration can be replaced");
    }

    /// The status, if the parent answers just now: between two images it may not.
    pub(crate) fn try_status(&self) -> Option<Value> {
        self.try_status_in("run")
    }

    /// As `try_status`, with the control socket in another directory of this place.
    pub(crate) fn try_status_in(&self, run: &str) -> Option<Value> {
        let answer = self.ask_parent(run, &json!({"status": {"host": null}})).ok()?;
        assert!(answer["ok"].is_object(), "the parent was asked for its status and answered {answer}");
        Some(answer["ok"].clone())
    }

    fn ask_parent(&self, run: &str, question: &Value) -> io::Result<Value> {
        let mut stream = UnixStream::connect(self.path(run).join("control.sock"))?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(format!("{question}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(io::Error::other)
    }

    /// Every process of this place, parents first; zombies are none.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mark = format!("{PLACE_VARIABLE}={}", self.path("").display());
        Process::all().into_iter().filter(|process| process.has_in_environment(&mark)).collect()
    }
}

impl Daemon {
    /// The status, as soon as the parent answers.
    pub(crate) fn live_status(&self) -> Value {
        wait_until("the parent tells its status", || self.place().try_status())
    }

    /// Sends HUP, and waits until that restart has ended in one way or the other; the status after it.
    pub(crate) fn hup(&self) -> Value {
        let before = ended(&self.live_status());
        self.signal(Signal::SIGHUP);
        wait_until("the restart has ended", || self.place().try_status().filter(|status| ended(status) > before))
    }

    /// Restarts it, which must succeed; the generation that serves now.
    pub(crate) fn restart(&self) -> u64 {
        let before = generation(&self.live_status());
        let status = self.hup();
        assert_eq!(status["restart"]["complaint"], "", "the restart failed: {status}");
        assert_eq!(generation(&status), before + 1, "{status}");
        assert_eq!(status["pid"], self.parent().0, "the parent stays the same process");
        before + 1
    }

    /// Restarts it, which must fail; the complaint.
    pub(crate) fn fail_to_restart(&self) -> String {
        let before = self.live_status();
        let status = self.hup();
        assert_eq!(generation(&status), generation(&before), "{status}");
        assert_eq!((&status["pid"], &status["version"]), (&before["pid"], &before["version"]));
        let complaint = status["restart"]["complaint"].as_str().expect("a complaint").to_owned();
        assert_ne!(complaint, "", "the restart should have failed: {status}");
        complaint
    }

    /// Waits until every host, and whatever else has a child, is served by its newest one and all others are gone; the status then.
    pub(crate) fn settle(&self) -> Value {
        wait_until("every host has one child, which serves", || {
            let status = self.place().try_status()?;
            is_settled(self.parent(), &status).then_some(status)
        })
    }

    /// Restarts it and waits until all that follows from it is done.
    pub(crate) fn restart_and_settle(&self) -> Value {
        self.restart();
        self.settle()
    }
}

fn is_settled(parent: Process, status: &Value) -> bool {
    let served =
        |host: &Value| host["pid"].is_number() && !["starting", "crashed", "hung"].iter().any(|s| host["state"] == *s);
    let restart = &status["restart"];
    let hosts = status["hosts"].as_array().expect("the status has hosts");
    let services = status["services"].as_array().expect("the status has services");
    restart["asked"] == restart["ended"]
        && restart["replacing"] == 0
        && hosts.iter().chain(services).all(served)
        && parent.children().len() == hosts.len() + services.len()
}

fn generation(status: &Value) -> u64 {
    status["generation"].as_u64().expect("a generation")
}

fn ended(status: &Value) -> u64 {
    status["restart"]["ended"].as_u64().expect("a number of restarts")
}

/// The child that serves each host.
pub(crate) fn pids(status: &Value) -> BTreeMap<String, i64> {
    let hosts = status["hosts"].as_array().expect("the status has hosts").iter();
    hosts.filter_map(|host| Some((host["name"].as_str()?.to_owned(), host["pid"].as_i64()?))).collect()
}

/// One host of a status.
pub(crate) fn host<'a>(status: &'a Value, name: &str) -> &'a Value {
    let hosts = status["hosts"].as_array().expect("the status has hosts");
    hosts.iter().find(|host| host["name"] == name).unwrap_or_else(|| panic!("no host {name} in {status}"))
}
