//! Who may change what: the user is the one that the kernel knows.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::program::{Program, socket};
use crate::common::{Daemon, Place};

const ONE: &str = "64001";
const OTHER: &str = "64002";

/// What a program hears that runs as this user, line by line.
fn heard(daemon: &Daemon, user: &str, commands: &str) -> Vec<String> {
    let socket = socket(daemon.place()).display().to_string();
    let script = format!("printf '{commands}' | nc -N -U {socket}");
    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups", "sh", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .expect("setpriv can be run");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_row_and_a_name_are_changed_by_their_owner_and_by_root_alone() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can be somebody else");
    }
    let daemon = Place::with_settings(&["cache 127.0.0.1:1 resp"], "[registry]\nmode = \"0666\"").start();
    for path in ["", "run"] {
        fs::set_permissions(daemon.place().path(path), Permissions::from_mode(0o755)).expect("rights");
    }
    let registered = heard(&daemon, ONE, "REGISTER web tcp:a:1 ttl=60s\\n");
    let lease = registered[0].strip_prefix("ok ").expect("a lease").to_owned();
    let refused = [
        format!("RENEW {lease}"),
        format!("UNREGISTER {lease}"),
        "REGISTER web tcp:a:1 ttl=60s".to_owned(),
        "REGISTER web tcp:evil:1 ttl=60s".to_owned(),
        "REGISTER cache tcp:evil:1 ttl=60s".to_owned(),
    ];
    let answers = heard(&daemon, OTHER, &format!("{}\\n", refused.join("\\n")));
    assert_eq!(answers.len(), refused.len());
    for (command, answer) in refused.iter().zip(&answers) {
        assert!(answer.starts_with("error denied "), "{command}: {answer}");
    }
    assert!(answers[3].contains("the name web belongs to user 64001"), "{}", answers[3]);
    let mut root = Program::connect(&socket(daemon.place()));
    assert_eq!(root.ask("RESOLVE web"), "ok tcp:a:1", "nothing of it has happened");
    assert_eq!(root.ask("RESOLVE cache direct"), "error unknown nobody is registered as cache");
    // The owner, by another connection, and root.
    let more = heard(&daemon, ONE, &format!("RENEW {lease}\\nREGISTER web tcp:b:1 ttl=60s\\n"));
    assert!(more[0] == "ok" && more[1].starts_with("ok "), "{more:?}");
    assert_eq!(root.ask(&format!("RENEW {lease}")), "ok");
    assert_eq!(root.ask(&format!("UNREGISTER {lease}")), "ok");
    assert_eq!(root.ask("RESOLVE web"), "ok tcp:b:1");
    daemon.stop();
}

#[test]
fn hosts_are_listed_with_their_sockets_dialect_and_state_and_changed_by_nobody() {
    let daemon = Daemon::start(&["cache 127.0.0.1:1 resp", "ledger 127.0.0.1:1 line deferred"]);
    let mut program = Program::connect(&socket(daemon.place()));
    assert!(program.ask("LIST").starts_with("ok "));
    let rows: Vec<String> = (0..2).map(|_| program.hear().expect("a row")).collect();
    let run = daemon.place().path("run").display().to_string();
    assert!(rows[0].starts_with(&format!("cache unix:{run}/cache.sock lease=host:cache owner=")), "{}", rows[0]);
    assert!(rows[0].contains(" dialect=resp state="), "{}", rows[0]);
    assert!(rows[1].contains(&format!(" deferred=unix:{run}/ledger.deferred.sock dialect=line state=")), "{}", rows[1]);
    assert_eq!(program.hear().expect("the end of the list"), "");
    assert_eq!(program.ask("RESOLVE ledger"), format!("ok unix:{run}/ledger.sock"));
    for command in ["UNREGISTER host:cache", "RENEW host:cache"] {
        assert!(program.ask(command).starts_with("error denied cache at this address is a host of hosts.tab"));
    }
    daemon.stop();
}
