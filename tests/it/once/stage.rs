//! Two daemons with a link between them: the sender, whose host is the far end of the other one.

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::{Daemon, Place, Process, Relay, wait_until};

const HANDLER: &str = include_str!("handler.py");

/// A replay that stands still for so long is a failure.
const STANDSTILL: Duration = Duration::from_secs(60);

/// A port that is free also while its far end is away for a moment: the kernel gives it to nobody who connects (the
/// ports that it gives begin at 32,768 unless it is told otherwise, ip(7)).
fn lasting_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..30_000));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("one of them is free")
}

/// The far end's daemon, with one worker that notes what it does.
pub(super) struct Far {
    pub(super) place: Arc<Place>,
    pub(super) daemon: Option<Daemon>,
    address: String,
}

impl Far {
    /// `worker`: the words of its handler's settings besides the command; `kind`: what the command remembers.
    pub(super) fn start(settings: &str, worker: &str, kind: &str) -> Self {
        let place = Place::new(&[]);
        let address = format!("127.0.0.1:{}", lasting_port());
        let (script, file) = (place.path("handler.py"), place.path("executed"));
        fs::write(&script, HANDLER).expect("the handler can be written");
        let toml = format!(
            "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[defaults]\ndrain = \"5s\"\n\
             [serve.far]\nlisten = \"tcp:{address}\"\ndialect = \"line\"\nprocesses = 1\n{settings}\n\
             [[serve.far.handler]]\nworker = [\"python3\", \"{}\", \"{}\", \"{kind}\"]\n{worker}\n",
            script.display(),
            file.display()
        );
        fs::write(place.path("tieline.toml"), toml).expect("tieline.toml can be written");
        let daemon = Some(place.start());
        Self { place, daemon, address }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The child, when it is ready: one that dies before that is started again later and later.
    pub(super) fn child(&mut self) -> Process {
        let daemon = self.daemon.as_mut().expect("one runs");
        wait_until("the far end's child is ready", || {
            let status = daemon.status();
            let services = status["services"].as_array().expect("the status has services");
            services.iter().any(|each| each["name"] == "far" && each["state"] == "up").then_some(())
        });
        daemon.child("serve far")
    }

    /// The workers of now.
    pub(super) fn workers(&self) -> Vec<Process> {
        let all = self.place.processes().into_iter();
        all.filter(|each| each.command_line().contains("handler.py")).collect()
    }

    /// Kills the parent, and its child with it or not, and starts another.
    pub(super) fn kill_parent(&mut self, with_child: bool) {
        self.daemon = Some(kill_parent(self.daemon.take().expect("one runs"), with_child.then_some("serve far")));
    }

    /// The numbers of the requests that were executed, in that order.
    pub(super) fn executed(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.place.path("executed")).unwrap_or_default();
        text.lines().map(|line| number(line).unwrap_or_else(|| panic!("{line:?} was executed"))).collect()
    }

    /// How many requests the worker was asked for again.
    pub(super) fn asked_again(&self) -> usize {
        fs::read_to_string(self.place.path("executed.again")).unwrap_or_default().lines().count()
    }
}

/// Kills a parent, and its child with it or not, and starts another.
pub(super) fn kill_parent(mut daemon: Daemon, child: Option<&str>) -> Daemon {
    let place = Arc::clone(daemon.place());
    if let Some(child) = child.and_then(|name| daemon.try_child(name)) {
        child.kill();
    }
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    daemon.leave();
    place.start()
}

/// The sender's daemon, over a relay to the far end.
pub(super) struct Sender {
    pub(super) place: Arc<Place>,
    pub(super) daemon: Option<Daemon>,
    pub(super) link: Relay,
}

impl Sender {
    pub(super) fn start(far: &Far, options: &str) -> Self {
        let link = Relay::to(far.address().to_owned());
        let place = Place::new(&[&format!(
            "far {} line deferred dedupe connections=3 retries=1 connect_timeout=1s timeout=20s replay_backoff=50ms {options}",
            link.address()
        )]);
        let daemon = Some(place.start());
        Self { place, daemon, link }
    }

    pub(super) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("one runs")
    }

    pub(super) fn kill_parent(&mut self, with_child: bool) {
        self.daemon = Some(kill_parent(self.daemon.take().expect("one runs"), with_child.then_some("far")));
    }

    /// Waits until all is replayed.
    pub(super) fn drain(&mut self) {
        let (mut progress, mut depth) = (Instant::now(), u64::MAX);
        loop {
            let status = self.daemon().host_status("far");
            let now = status["spool"]["depth"].as_u64().unwrap_or(u64::MAX);
            // A child that has not opened its store yet knows of nothing that waits: the list waits for that.
            if now == 0 && self.listed("waiting").is_empty() {
                return;
            }
            // It may rest for a minute after a long time without the far end.
            if status["state"] == "down" {
                self.place.tieline(&["probe", "far"]);
            }
            if now < depth {
                (progress, depth) = (Instant::now(), now);
            }
            assert!(progress.elapsed() < STANDSTILL, "the replay stands still: {status}");
            sleep(Duration::from_millis(20));
        }
    }

    /// The rows of a state.
    fn listed(&self, state: &str) -> Vec<serde_json::Value> {
        let words: &[&str] = match state {
            "dead" => &["spool", "dead", "far", "--json"],
            _ => &["spool", "list", "far", "--json"],
        };
        let output = wait_until("the spool can be listed", || {
            let output = self.place.tieline(words);
            output.status.success().then_some(output)
        });
        let text = String::from_utf8(output.stdout).expect("it is text");
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    }

    /// The numbers of the dead; they must all be in doubt.
    pub(super) fn doubted(&self) -> HashSet<u64> {
        let number_of = |row: &serde_json::Value| {
            let why = row["last_error"].as_str().unwrap_or_default();
            assert!(why.contains("it was begun"), "it died of something else: {row}");
            number(row["body"].as_str().unwrap_or_default()).unwrap_or_else(|| panic!("no number: {row}"))
        };
        self.listed("dead").iter().map(number_of).collect()
    }
}

/// The number in a request, between `<` and `>`.
fn number(text: &str) -> Option<u64> {
    text.split_once('<')?.1.split_once('>')?.0.parse().ok()
}
