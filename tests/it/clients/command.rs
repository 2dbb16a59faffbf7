//! `tieline register`, `resolve`, `list` and `watch` with the real registry.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::registering::{addresses, registry};
use crate::common::{Place, Process, wait_until};

#[test]
fn a_lease_that_is_renewed_lives_on_and_one_whose_program_was_killed_ends() {
    let (daemon, options) = registry();
    let kept = Registering::start(daemon.place(), &["ledger", "tcp:127.0.0.1:7", "--ttl", "2s", "zone=b"]);
    let killed = Registering::start(daemon.place(), &["ledger", "tcp:127.0.0.1:8", "--ttl", "1s"]);
    assert_eq!(addresses(&options, "ledger").len(), 2);
    killed.signal(Signal::SIGKILL);
    let start = Instant::now();
    wait_until("the lease of a killed program ends", || (addresses(&options, "ledger").len() == 1).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
    // Longer than twice its lease's time.
    wait_until("time passes", || {
        assert_eq!(addresses(&options, "ledger"), ["127.0.0.1:7"]);
        (start.elapsed() > Duration::from_secs(5)).then_some(())
    });
    kept.signal(Signal::SIGTERM);
    assert_eq!(kept.end(), Some(0));
    assert_eq!(addresses(&options, "ledger"), Vec::<String>::new());
    daemon.stop();
}

/// `tieline register`, running; gone when dropped.
struct Registering(Child);

impl Registering {
    fn start(place: &Place, words: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tieline"))
            .args(["register", "--config"])
            .arg(place.path("tieline.toml"))
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built binary can be started");
        let mut lease = String::new();
        let output = process.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut lease).expect("it can be read");
        assert!(!lease.trim().is_empty(), "it prints its lease");
        Self(process)
    }

    fn signal(&self, signal: Signal) {
        Process(self.0.id() as i32).signal(signal);
    }

    fn end(mut self) -> Option<i32> {
        self.0.wait().expect("it can be waited for").code()
    }
}

impl Drop for Registering {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn names_are_resolved_and_listed_and_mistakes_have_their_exit_codes() {
    let (daemon, _) = registry();
    let place = std::sync::Arc::clone(daemon.place());
    let said = |words: &[&str]| {
        let output = place.tieline(words);
        assert_eq!(code(&output), Some(0), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let lease = said(&["register", "--once", "ledger", "tcp:h.example:7", "dialect=line"]);
    assert_eq!(said(&["resolve", "ledger"]), "tcp:h.example:7\n");
    assert_eq!(said(&["resolve", "cache"]), format!("unix:{}\n", place.socket("cache").display()));
    let rows: Vec<Value> =
        said(&["list", "--json"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&rows[0]["name"], &rows[0]["pairs"]["dialect"], &rows[0]["ttl_ms"]),
        (&"cache".into(), &"resp".into(), &Value::Null)
    );
    assert_eq!((&rows[1]["lease"], &rows[1]["ttl_ms"]), (&lease.trim().into(), &30_000.into()));
    assert_eq!(said(&["list", "led"]).lines().count(), 2, "a line of titles and a row");

    for (words, expected) in [
        (&["resolve", "nobody"][..], 69),
        (&["resolve", "../x"], 64),
        (&["register", "ledger", "h:7"], 64),
        (&["register", "ledger", "tcp:h:7", "--ttl", "30"], 64),
        (&["register", "ledger", "tcp:h:7", "zone"], 64),
        (&["register", "cache", &format!("unix:{}", place.socket("cache").display())], 77),
        (&["watch", "after=3"], 64),
    ] {
        let output = place.tieline(words);
        assert_eq!(code(&output), Some(expected), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    daemon.stop();
    for words in [&["resolve", "ledger"][..], &["list"], &["watch"], &["register", "ledger", "tcp:h:7"]] {
        assert_eq!(code(&place.tieline(words)), Some(69), "{words:?} without a registry");
    }
}
