//! Restarts in the middle of something: of a conversation at the control socket, of a status that is being gathered; and
//! one whose exec fails after all.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::crowd::assert_is_reply;
use super::stage::OneHost;
use crate::common::{Build, LONG, Place, host, wait_until};

/// One who talks to the parent.
struct Talk(BufReader<UnixStream>);

impl Talk {
    fn with(place: &Place) -> Self {
        let stream = UnixStream::connect(place.path("run/control.sock")).expect("the parent listens");
        stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the parent reads");
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the parent answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no answer: {error}"))
    }
}

#[test]
fn a_conversation_goes_on_over_a_restart_also_from_the_middle_of_a_request() {
    let stage = OneHost::new("");
    let mut talk = Talk::with(&stage.place);
    let mut started = Vec::new();
    for round in 1..=3 {
        talk.say("{\"status\":{\"host\":null}}\n{\"status\":");
        let status = &talk.answer()["ok"];
        assert_eq!(status["generation"], round, "{status}");
        started.push(status["started"].clone());
        assert_eq!(stage.daemon.restart(), round + 1);
        talk.say("{\"host\":\"far\"}}\n");
        assert_eq!(talk.answer()["ok"]["generation"], round + 1);
        // Else the first start may be in the same second as the restart.
        std::thread::sleep(std::time::Duration::from_millis(600));
    }
    assert!(started.iter().all(|each| *each == started[0]), "a restart is no start: {started:?}");
    stage.daemon.stop();
}

#[test]
fn a_status_file_that_is_asked_for_right_before_a_restart_is_written_after_it() {
    let stage = OneHost::new("");
    let child = stage.child();
    child.signal(Signal::SIGSTOP);
    // The child is waited for; the restart is faster.
    stage.daemon.signal(Signal::SIGUSR1);
    stage.daemon.signal(Signal::SIGHUP);
    wait_until("the status file is written", || stage.place.path("run/status.txt").exists().then_some(()));
    assert_eq!(stage.daemon.live_status()["generation"], 2);
    child.signal(Signal::SIGCONT);
    stage.daemon.stop();
}

#[test]
fn an_exec_that_fails_after_a_good_rehearsal_leaves_everything_as_it_was() {
    let mut stage = OneHost::new("deferred");
    let (mut requester, child) = (stage.requester(), stage.child());
    child.signal(Signal::SIGSTOP);
    // Somebody waits for an answer of the child, for five seconds: so long the exec is put off.
    let mut talk = Talk::with(&stage.place);
    talk.say("{\"spool\":{\"host\":\"far\",\"start\":false,\"command\":{}}}\n{\"status\":{\"host\":\"far\"}}\n");
    stage.daemon.live_status();
    stage.daemon.signal(Signal::SIGHUP);
    wait_until("it is rehearsed", || stage.place.log().contains("are fit to take over").then_some(()));
    fs::remove_file(stage.place.installed()).expect("the binary was there");
    assert!(talk.answer()["error"].is_string(), "who has asked is told");
    failed(&stage, &stage.place.installed());
    child.signal(Signal::SIGCONT);
    assert_is_reply(&requester.ask("<1>"), "<1>");
    wait_until("the child is heard", || {
        let status = stage.place.try_status()?;
        let far = host(&status, "far");
        (far["state"] == "up" && far["replies"] == 1).then_some(())
    });
    assert_eq!(stage.child(), child);
    assert_eq!(talk.answer()["ok"]["generation"], 1, "what was asked meanwhile is answered");
    stage.place.install(Build::This);
    stage.replace();
    assert_is_reply(&requester.ask("<2>"), "<2>");
    stage.daemon.stop();
}

/// The status says that the restart has failed because of this file.
fn failed(stage: &OneHost, binary: &Path) {
    let restart = wait_until("the restart has failed", || {
        let restart = stage.place.try_status()?["restart"].clone();
        (restart["ended"] == 1).then_some(restart)
    });
    assert_eq!(restart["fault"], "binary", "{restart}");
    assert!(restart["complaint"].as_str().expect("a complaint").contains(&binary.display().to_string()), "{restart}");
}
