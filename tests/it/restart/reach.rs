//! Restarts of a daemon whose host speaks TLS, and of one that lets in not everybody.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::{OneHost, far, settings};
use crate::common::{Build, Ca, Daemon, Place, Redis, Requester, encode_command, host, tag, wait_until};

/// A user and group that are nobody's.
const STRANGER: &str = "64321";

/// A place whose host `cache` is a Redis behind TLS.
struct Tls {
    place: Arc<Place>,
    ca: Ca,
    redis: Redis,
}

impl Tls {
    /// `clients`: whether the Redis wants to be shown certificates.
    fn new(clients: &str) -> Self {
        let place = Place::with_settings(&[], &settings());
        let ca = Ca::new(&place.path("."), "test");
        ca.sign("host", &["127.0.0.1"], 2099);
        let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", clients]);
        place.install(Build::This);
        Self { place, ca, redis }
    }

    fn describe(&self, options: &str) {
        let line = format!("cache {} resp retries=1 tls ca=test.ca {options}", self.redis.address());
        self.place.set_hosts(&[line]);
    }
}

/// Asks until `over`; how often.
fn ask_until(requester: &mut Requester, over: &AtomicBool) -> u64 {
    let mut asked = 0;
    while !over.load(Ordering::Relaxed) {
        asked += 1;
        assert_is_reply(&requester.ask(&tag(asked)), &tag(asked));
    }
    asked
}

#[test]
fn requesters_of_a_host_behind_tls_notice_neither_a_change_nor_another_build() {
    let tls = Tls::new("no");
    tls.describe("");
    let daemon = tls.place.start();
    let mut idle = daemon.requester("cache", Dialect::Resp);
    assert_is_reply(&idle.ask("<1>"), "<1>");
    let mut busy = [0; 4].map(|_| daemon.requester("cache", Dialect::Resp));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = busy.iter_mut().map(|each| scope.spawn(|| ask_until(each, &over))).collect();
        // Also when a restart fails: the threads must end.
        let restarts = thread::scope(|inner| inner.spawn(|| replace_twice(&tls, &daemon, &mut idle)).join());
        over.store(true, Ordering::Relaxed);
        let asked: u64 = threads.into_iter().map(|thread| thread.join().expect("all was right")).sum();
        restarts.expect("every restart succeeded");
        println!("{asked} requests");
    });
    let cache = daemon.host_status("cache");
    for outcome in ["lost", "timeout", "unknown", "busy", "refused"] {
        assert_eq!(cache[outcome], 0, "{outcome} in {cache}");
    }
    daemon.stop();
}

/// Another option, then another build: each gives the host a new child, with a connection of its own.
fn replace_twice(tls: &Tls, daemon: &Daemon, idle: &mut Requester) {
    let mut child = daemon.host_status("cache")["pid"].clone();
    for build in [Build::This, Build::Next] {
        tls.describe("idle=30m");
        tls.place.install(build);
        let status = daemon.restart_and_settle();
        let cache = host(&status, "cache");
        assert_ne!(cache["pid"], child, "it is another child");
        assert_eq!(cache["version"], build.version());
        assert_is_reply(&idle.ask("<2>"), "<2>");
        let cache = daemon.host_status("cache");
        assert!(cache["attempts"].as_u64().expect("a number") >= 1, "it has a connection of its own: {cache}");
        child = cache["pid"].clone();
    }
}

#[test]
fn changed_certificates_count_after_a_hup_and_broken_ones_let_none_happen() {
    let tls = Tls::new("yes");
    Ca::new(&tls.place.path("."), "other").sign("ours", &["strange"], 2099);
    tls.describe("cert=ours.crt key=ours.key");
    let daemon = tls.place.start();
    let mut requester = daemon.requester("cache", Dialect::Resp);
    let ping = |requester: &mut Requester| {
        requester.send_bytes(&encode_command(&["PING"]));
        requester.reply()
    };
    assert!(ping(&mut requester).contains("UnknownCA"));
    fs::write(tls.place.path("ours.crt"), "no certificate").expect("a broken file");
    let complaint = daemon.fail_to_restart();
    assert!(complaint.contains("ours.crt: has no certificate"), "{complaint}");
    tls.ca.sign("ours", &["ours"], 2099);
    let child = daemon.host_status("cache")["pid"].clone();
    daemon.restart();
    wait_until("the new certificate is shown", || {
        tls.place.tieline(&["probe", "cache"]);
        (ping(&mut requester) == "+PONG\r\n").then_some(())
    });
    assert_eq!(daemon.host_status("cache")["pid"], child, "its line is the same, and so is its child");
    daemon.stop();
}

/// A requester that runs as somebody else and stays connected.
struct Stranger {
    process: Child,
    replies: BufReader<ChildStdout>,
}

impl Stranger {
    fn connect(daemon: &Daemon) -> Self {
        let mut process = Command::new("setpriv")
            .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "nc", "-U"])
            .arg(daemon.socket("far"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv can be run");
        let replies = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        Self { process, replies }
    }

    fn send(&mut self, text: &str) {
        let input = self.process.stdin.as_mut().expect("it is not closed yet");
        input.write_all(format!("{text}\n").as_bytes()).expect("it listens");
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("its output can be read");
        line.trim_end().to_owned()
    }

    /// What it hears until it is closed, which must happen though it shuts down nothing itself.
    fn rest(mut self) -> String {
        drop(self.process.stdin.take());
        wait_until("it is closed", || self.process.try_wait().expect("it can be waited for"));
        let mut rest = String::new();
        self.replies.read_to_string(&mut rest).expect("its output can be read");
        rest
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn who_is_allowed_no_more_gets_what_is_owed_and_is_closed_and_others_notice_nothing() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let stage = OneHost::new(&format!("mode=0666 allow={STRANGER}"));
    for path in ["", "run"] {
        fs::set_permissions(stage.place.path(path), Permissions::from_mode(0o755)).expect("rights");
    }
    let (mut root, mut idle) = (stage.requester(), Stranger::connect(&stage.daemon));
    let mut owed = Stranger::connect(&stage.daemon);
    assert_is_reply(&root.ask("<1>"), "<1>");
    idle.send("<2>");
    assert_is_reply(&idle.reply(), "<2>");
    owed.send("<3> after=1500");
    wait_until("it is at the host", || stage.host.received().get(&3).copied());
    stage.place.set_hosts(&[far(&stage.host, "mode=0666 allow=64001")]);
    stage.daemon.restart();
    assert_eq!(idle.rest(), "", "it is closed");
    assert_is_reply(&owed.reply(), "<3>");
    assert_eq!(owed.rest(), "", "it is closed, too");
    assert_eq!(Stranger::connect(&stage.daemon).rest(), "con_refused\n", "newcomers are told");
    assert_is_reply(&root.ask("<4>"), "<4>");
    let log = stage.place.log();
    assert!(log.contains("is not in `allow` any more; closed"), "{log}");
    stage.daemon.stop();
}
