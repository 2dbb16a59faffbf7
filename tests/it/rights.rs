//! Who may be a requester: `allow=`, as the kernel knows the other end of a socket.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, wait_until};

/// A user and groups that are nobody's.
const STRANGER: &str = "64321";

/// A daemon whose host `far` lets in who is named here, and whose sockets everybody can reach.
fn daemon(host: &ChaosHost, allow: &str) -> Daemon {
    let daemon = Daemon::start(&[&format!("far {} line mode=0666 deferred allow={allow}", host.address())]);
    for path in ["", "run"] {
        fs::set_permissions(daemon.place().path(path), Permissions::from_mode(0o755)).expect("rights");
    }
    daemon
}

/// What a program hears that runs as this user, with this group and these further ones.
fn heard(daemon: &Daemon, user: &str, group: &str, groups: &[&str]) -> String {
    let groups = match groups {
        [] => "--clear-groups".to_owned(),
        groups => format!("--groups={}", groups.join(",")),
    };
    let socket = daemon.socket("far").display().to_string();
    let script = format!("echo '<1>' | nc -N -U {socket}");
    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", group, &groups, "sh", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .expect("setpriv can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Whether other users can be tried at all.
fn is_root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        println!("skipped: only root can be somebody else");
    }
    is
}

#[test]
fn users_and_groups_that_are_allowed_are_served_and_others_are_told_and_logged() {
    if !is_root() {
        return;
    }
    let host = ChaosHost::start(Dialect::Line);
    let daemon = daemon(&host, "64001,@64002");
    assert!(heard(&daemon, "64001", STRANGER, &[]).contains("<1>"), "the user");
    assert!(heard(&daemon, STRANGER, "64002", &[]).contains("<1>"), "the group");
    let many: Vec<String> = (100..200).chain([64002]).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(heard(&daemon, STRANGER, STRANGER, &many).contains("<1>"), "a further group, the last of many");
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"), "root");
    assert!(daemon.deferred("far", Dialect::Line).ask("<1>").contains("<1>"), "root, deferred");

    for (user, group, groups) in [(STRANGER, STRANGER, &[][..]), ("64002", "64001", &["64001"])] {
        assert_eq!(heard(&daemon, user, group, groups), "con_refused", "{user} {group} {groups:?}");
    }
    let log = daemon.place().log();
    let line = log.lines().find(|line| line.contains("refused a requester")).unwrap_or_else(|| panic!("{log}"));
    for part in ["WARN far: ", "pid ", " (nc)", &format!("uid {STRANGER}")] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert_eq!(daemon.host_status("far")["refused"], 2);
    daemon.stop();
}

#[test]
fn a_storm_of_strangers_costs_a_line_a_second_and_takes_no_requesters_place() {
    if !is_root() {
        return;
    }
    let host = ChaosHost::start(Dialect::Line);
    let daemon = daemon(&host, "64001");
    let socket = daemon.socket("far").display().to_string();
    let start = Instant::now();
    let storm = format!("for i in $(seq 60); do nc -U {socket} </dev/null >/dev/null & done; wait");
    let status = Command::new("setpriv")
        .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "sh", "-c", &storm])
        .status();
    assert!(status.expect("setpriv can be run").success());
    assert_eq!(daemon.host_status("far")["requesters"], 0);
    // Every refusal is counted in some line, at the latest a second after the last one.
    let counted = wait_until("all refusals are said", || {
        let log = daemon.place().log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN far: refused ")).collect();
        (lines.iter().map(|line| refusals(line)).sum::<u64>() == 60).then_some(lines.len())
    });
    let most = start.elapsed().div_duration_f64(Duration::from_secs(1)).ceil() as usize + 1;
    assert!(counted <= most, "{counted} lines in {:?}", start.elapsed());
    daemon.stop();
}

/// How many refusals a line is about.
fn refusals(line: &str) -> u64 {
    let words: Vec<&str> = line.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
    let before = |word: &str| words.iter().position(|each| *each == word).and_then(|at| words[at - 1].parse().ok());
    match line.contains("refused a requester") {
        true => 1 + before("others").unwrap_or(0),
        false => before("further").expect("a number"),
    }
}
