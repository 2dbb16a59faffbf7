//! Restarts after which the daemon itself lives elsewhere: other directories, files, addresses, rights, log.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::Value;
use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::{OneHost, far, settings};
use super::tcp::TcpRequester;
use super::trial::Trial;
use crate::common::{ChaosHost, Daemon, Place, Process, Requester, host, pids, tag, wait_until};

/// Writes `tieline.toml` anew: directories and files in `[daemon]`, and what follows it.
fn configure(place: &Place, daemon: &str, rest: &str) {
    place.replace("tieline.toml", &format!("[daemon]\nhosts_tab = \"hosts.tab\"\n{daemon}\n{rest}\n"));
}

/// HUP, after which the control socket is in `run`; the status as soon as the host `far` has a new child there.
fn move_to(daemon: &Daemon, run: &str) -> Value {
    let before = pids(&daemon.live_status());
    daemon.signal(Signal::SIGHUP);
    wait_until("the new child serves at the new place, and the old one is gone", || {
        let status = daemon.place().try_status_in(run)?;
        let is_new = pids(&status).get("far").is_some_and(|pid| *pid != before["far"]);
        (is_new && !Process(before["far"] as i32).is_alive()).then_some(status)
    })
}

/// A deferred request arrives, now or later.
fn deliver(host: &ChaosHost, requester: &mut Requester, number: u64) {
    let reply = requester.ask(&tag(number));
    assert!(reply.starts_with("con_delayed:") || reply.contains(&tag(number)), "{reply}");
    wait_until("it arrives", || host.received().get(&number).copied());
}

fn files(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).expect("the directory").flatten();
    let mut names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_changed_run_dir_moves_all_sockets_and_closes_nobody() {
    let stage = OneHost::new("deferred");
    let (daemon, place) = (&stage.daemon, &stage.place);
    let (mut requester, mut deferred) = (stage.requester(), daemon.deferred("far", Dialect::Line));
    assert_is_reply(&requester.ask("<1>"), "<1>");
    deliver(&stage.host, &mut deferred, 2);
    requester.send_bytes(b"<3> half");
    configure(place, "run_dir = \"moved\"\nspool_dir = \"spool\"", &settings());
    let status = move_to(daemon, "moved");
    assert_eq!((&status["pid"], &status["generation"]), (&daemon.parent().0.into(), &2.into()));
    requester.send_bytes(b" of it\n");
    assert_is_reply(&requester.reply(), "<3>");
    deliver(&stage.host, &mut deferred, 4);
    let newcomer = |file: &str| Requester::connect(&place.path(file), Dialect::Line);
    assert_is_reply(&newcomer("moved/far.sock").ask("<5>"), "<5>");
    deliver(&stage.host, &mut newcomer("moved/far.deferred.sock"), 6);
    assert_eq!(files(&place.path("run")), [""; 0], "nothing is left behind");
    let there = ["control.sock", "far.deferred.sock", "far.sock", "registry.sock", "tieline.pid"];
    assert_eq!(files(&place.path("moved")), there);
    let printed = place.tieline(&["status"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("generation 2"), "{printed:?}");
    stage.daemon.stop();
    assert_eq!(files(&stage.place.path("moved")), [""; 0]);
}

#[test]
fn a_run_dir_where_another_daemon_lives_is_refused() {
    let mut trial = Trial::new();
    let other = Daemon::start(&[&far(&trial.stage.host, "")]);
    let run = other.place().path("run").display().to_string();
    configure(&trial.stage.place, &format!("run_dir = \"{run}\"\nspool_dir = \"spool\""), &settings());
    trial.fails_with(&["another tieline", &run]);
    assert_is_reply(&other.requester("far", Dialect::Line).ask("<1>"), "<1>");
    configure(&trial.stage.place, "run_dir = \"run\"\nspool_dir = \"spool\"", &settings());
    trial.works_again();
    other.stop();
}

#[test]
fn a_socket_file_that_somebody_has_removed_is_made_again_and_served() {
    let stage = OneHost::new("");
    let mut requester = stage.requester();
    fs::remove_file(stage.place.socket("far")).expect("it was there");
    stage.daemon.restart_and_settle();
    assert_is_reply(&stage.requester().ask("<1>"), "<1>");
    assert_is_reply(&requester.ask("<2>"), "<2>");
    stage.daemon.stop();
}

#[test]
fn a_pid_file_that_somebody_has_removed_is_made_again() {
    let stage = OneHost::new("");
    let file = stage.place.path("run/tieline.pid");
    fs::remove_file(&file).expect("it was there");
    stage.daemon.restart_and_settle();
    let text = fs::read_to_string(&file).expect("it is there again");
    assert_eq!(text.trim(), stage.daemon.parent().0.to_string());
    stage.daemon.stop();
    assert!(!file.exists());
}

#[test]
fn a_changed_spool_dir_is_used_and_a_backlog_in_the_old_one_is_warned_of_and_not_lost() {
    let mut stage = OneHost::new("deferred retries=1 replay_backoff=200ms");
    let mut requester = stage.daemon.deferred("far", Dialect::Line);
    stage.host.command("refuse");
    assert!(requester.ask("<1>").starts_with("con_delayed:"));
    let directories = |spool: &str| format!("run_dir = \"run\"\nspool_dir = \"{spool}\"");
    configure(&stage.place, &directories("other"), &settings());
    stage.daemon.restart_and_settle();
    let log = stage.place.log();
    let warning = log.lines().find(|line| line.contains("WARN") && line.contains("requests may be stored in"));
    let old = stage.place.path("spool/far").display().to_string();
    assert!(warning.is_some_and(|line| line.contains(&old)), "{log}");
    assert!(requester.ask("<2>").starts_with("con_delayed:"));
    stage.host.command("listen");
    stage.place.tieline(&["probe", "far"]);
    wait_until("the new backlog arrives", || (stage.host.tags() == [2]).then_some(()));
    configure(&stage.place, &directories("spool"), &settings());
    stage.daemon.restart();
    wait_until("the old backlog arrives", || (stage.host.tags() == [2, 1]).then_some(()));
    wait_until("nothing waits any more", || (stage.daemon.host_status("far")["spool"]["depth"] == 0).then_some(()));
    deliver(&stage.host, &mut requester, 3);
    stage.daemon.stop();
}

#[test]
fn a_changed_pid_file_is_held_from_then_on_and_one_that_somebody_else_holds_is_left_alone() {
    let stage = OneHost::new("");
    let (daemon, place, child) = (&stage.daemon, &stage.place, stage.child());
    let pid_file = |file: &str| {
        configure(place, &format!("run_dir = \"run\"\nspool_dir = \"spool\"\npid_file = \"{file}\""), &settings());
        daemon.hup()["restart"]["complaint"].as_str().expect("a text").to_owned()
    };
    assert_eq!(pid_file("other.pid"), "");
    assert!(!place.path("run/tieline.pid").exists(), "the old one is removed");
    let found = fs::read_to_string(place.path("other.pid")).expect("the new one");
    assert_eq!(found.trim(), daemon.parent().0.to_string());
    let second = place.tieline(&["run"]);
    assert_eq!(second.status.code(), Some(69), "its lock is held: {second:?}");

    let file = File::create(place.path("held.pid")).expect("a file");
    let _lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("nobody else holds it");
    let complaint = pid_file("held.pid");
    assert!(complaint.contains("held.pid") && complaint.contains("other.pid, is kept"), "{complaint}");
    assert!(place.path("other.pid").exists(), "the one before is kept");
    assert!(place.log().contains(&complaint), "the log says it as well: {}", place.log());
    assert_eq!(stage.child(), child, "a child has nothing to do with it");
    stage.daemon.stop();
    assert!(!stage.place.path("other.pid").exists());
}

#[test]
fn changed_rights_are_those_of_the_files_and_the_child_stays() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root may give files away");
        return;
    }
    let stage = OneHost::new("deferred");
    let (place, child) = (&stage.place, stage.child());
    let files = [place.socket("far"), place.deferred_socket("far")];
    let rights = || files.each_ref().map(|file| fs::metadata(file).expect("the socket"));
    let shown = || rights().map(|found| (found.mode() & 0o777, found.uid(), found.gid()));
    let (before, inodes) = (shown(), rights().map(|found| found.ino()));
    for (options, expected) in [
        ("mode=600", [(0o600, 0, 0); 2]),
        ("owner=64001 group=64002", [(0o660, 64001, 64002); 2]),
        ("mode=622 group=64003", [(0o622, 0, 64003); 2]),
        ("", before),
    ] {
        place.set_hosts(&[far(&stage.host, &format!("deferred {options}"))]);
        stage.daemon.restart_and_settle();
        assert_eq!(shown(), expected, "{options}");
    }
    assert_eq!(rights().map(|found| found.ino()), inodes, "they are the same sockets");
    assert_eq!(stage.child(), child);
    stage.daemon.stop();
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address")
}

#[test]
fn a_changed_loopback_listener_closes_nobody() {
    let (first, second) = (free_address(), free_address());
    let stage = OneHost::new(&format!("listen={first}"));
    let mut requester = TcpRequester::connect(first);
    assert_is_reply(&requester.ask("<1>"), "<1>");
    for (address, options) in [(Some(second), format!("listen={second}")), (None, String::new())] {
        stage.place.set_hosts(&[far(&stage.host, &options)]);
        stage.daemon.restart_and_settle();
        assert_is_reply(&requester.ask("<2>"), "<2>");
        for listener in [first, second] {
            assert_eq!(std::net::TcpStream::connect(listener).is_ok(), address == Some(listener), "{listener}");
        }
        if let Some(address) = address {
            assert_is_reply(&TcpRequester::connect(address).ask("<3>"), "<3>");
        }
    }
    stage.daemon.stop();
}

#[test]
fn a_loopback_address_that_somebody_else_has_is_refused_at_the_rehearsal() {
    let mut trial = Trial::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    trial.stage.place.set_hosts(&[far(&trial.stage.host, &format!("listen={address}"))]);
    trial.fails_with(&[&address.to_string(), "in use"]);
    let printed = trial.stage.place.tieline(&["status"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let second = printed.lines().nth(1).unwrap_or_default();
    assert!(second.starts_with("restart failed") && second.contains(&address.to_string()), "{printed}");
    drop(taken);
    trial.works_again();
}

#[test]
fn a_changed_log_and_a_changed_drain_give_every_host_a_new_child() {
    let stage = OneHost::new("");
    let lines = [far(&stage.host, ""), far(&stage.host, "").replacen("far", "near", 1)];
    stage.place.set_hosts(&lines);
    let mut known = pids(&stage.daemon.restart_and_settle());
    let mut requesters = ["far", "near"].map(|name| stage.daemon.requester(name, Dialect::Line));
    fs::create_dir(stage.place.path("logs")).expect("a directory");
    let log = "[log]\nfile = \"logs/tieline.log\"\n";
    for rest in [format!("{log}{}", settings()), format!("{log}[defaults]\ndrain = \"7s\""), settings()] {
        configure(&stage.place, "run_dir = \"run\"\nspool_dir = \"spool\"", &rest);
        let now = pids(&stage.daemon.restart_and_settle());
        assert!(now.iter().all(|(name, pid)| known[name] != *pid), "{known:?} {now:?} {rest}");
        known = now;
        requesters.iter_mut().for_each(|requester| assert_is_reply(&requester.ask("<1>"), "<1>"));
    }
    let written = files(&stage.place.path("logs"));
    let text = fs::read_to_string(stage.place.path("logs").join(&written[0])).expect("the log");
    for name in ["far", "near"] {
        assert!(text.contains(&format!("{name}: serving ")), "{written:?}: {text}");
    }
    assert_eq!(host(&stage.daemon.live_status(), "far")["restarts"], 0);
    stage.daemon.stop();
}
