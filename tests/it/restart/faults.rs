//! Restarts that cannot succeed: the service goes on, the status says why, and the next HUP after the fault was mended
//! works.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::far;
use super::trial::Trial;
use crate::common::{Build, ChaosHost, Place, host, pids, wait_until};

#[test]
fn a_mistake_in_hosts_tab() {
    let mut trial = Trial::new();
    let line = far(&trial.stage.host, "conections=3");
    trial.stage.place.set_hosts(&["# one line before it".to_owned(), line]);
    trial.fails_with(&["hosts.tab:2:", "conections"]);
    trial.fails_with(&["hosts.tab:2:"]);
    trial.stage.change();
    trial.works_again();
}

#[test]
fn a_missing_tieline_toml() {
    let mut trial = Trial::new();
    let (file, away) = (trial.stage.place.path("tieline.toml"), trial.stage.place.path("away.toml"));
    fs::rename(&file, &away).expect("it was there");
    trial.fails_with(&["tieline.toml"]);
    fs::rename(&away, &file).expect("it is back");
    trial.works_again();
}

#[test]
fn a_binary_that_was_removed() {
    let mut trial = Trial::new();
    let binary = trial.stage.place.installed();
    fs::remove_file(&binary).expect("it was there");
    trial.fails_with(&[&binary.display().to_string()]);
    trial.stage.place.install(Build::This);
    trial.works_again();
}

#[test]
fn a_binary_that_may_not_be_executed() {
    let mut trial = Trial::new();
    trial.stage.place.install_file(|new| {
        fs::copy(Build::Next.path(), new)?;
        fs::set_permissions(new, Permissions::from_mode(0o644))
    });
    trial.fails_with(&[&trial.stage.place.installed().display().to_string()]);
    trial.stage.place.install(Build::Next);
    trial.works_again();
}

/// Without `#!` the kernel runs no text, though some libraries would give it to a shell, which would be content.
#[test]
fn a_binary_that_is_a_text() {
    let mut trial = Trial::new();
    trial.stage.place.install_file(|new| {
        fs::write(new, "exit 0\n")?;
        fs::set_permissions(new, Permissions::from_mode(0o755))
    });
    trial.fails_with(&[&trial.stage.place.installed().display().to_string()]);
    trial.stage.place.install(Build::This);
    trial.works_again();
}

#[test]
fn a_binary_that_was_copied_in_part() {
    let mut trial = Trial::new();
    let whole = fs::read(Build::This.path()).expect("the binary");
    trial.stage.place.install_file(|new| {
        // What lies behind may be needed by a debugger only.
        fs::write(new, &whole[..whole.len() / 50])?;
        fs::set_permissions(new, Permissions::from_mode(0o755))
    });
    trial.fails_with(&[&trial.stage.place.installed().display().to_string()]);
    trial.stage.place.install(Build::Next);
    trial.works_again();
}

#[test]
fn a_build_that_crashes_in_its_rehearsal() {
    let mut trial = Trial::new();
    trial.stage.place.set_mood("rehearsal-crashes");
    trial.stage.place.install(Build::Next);
    trial.fails_with(&["ABRT"]);
    trial.stage.place.set_mood("");
    trial.works_again();
}

#[test]
fn a_build_whose_rehearsal_does_not_end() {
    let mut trial = Trial::new();
    trial.stage.place.set_mood("rehearsal-hangs");
    trial.stage.place.install(Build::Next);
    trial.fails_with(&["rehears"]);
    trial.stage.place.set_mood("");
    trial.works_again();
}

/// What the rehearsal left behind holds the pipe in which its last words would come.
#[test]
fn a_rehearsal_that_leaves_a_process_behind() {
    let mut trial = Trial::new();
    trial.stage.place.install_file(|new| {
        fs::write(new, "#!/bin/sh\nsleep 20 &\nexit 0\n")?;
        fs::set_permissions(new, Permissions::from_mode(0o755))
    });
    trial.fails_with(&["the rehearsal of"]);
    trial.stage.place.install(Build::Next);
    trial.works_again();
}

/// The build takes over, but its children never serve: those of before serve on, and status says why.
fn children_fail(mood: &str, reason: &str) {
    let mut trial = Trial::new();
    let before = pids(&trial.stage.daemon.live_status());
    trial.stage.place.set_mood(mood);
    trial.stage.place.install(Build::Next);
    trial.stage.daemon.restart();
    let told = wait_until("the status says what is wrong", || {
        trial.ask();
        let status = trial.stage.place.try_status()?;
        let far = host(&status, "far").clone();
        far["reason"].as_str()?.contains(reason).then_some((status, far))
    });
    let (status, far) = told;
    assert_eq!(pids(&status), before, "the child of before serves on");
    assert_eq!((&far["version"], &status["version"]), (&Build::This.version().into(), &Build::Next.version().into()));
    assert_eq!(far["state"], "up", "{far}");
    trial.ask();
    trial.stage.place.set_mood("");
    trial.stage.place.install(Build::This);
    trial.works_again();
}

#[test]
fn a_build_whose_children_crash_at_start() {
    children_fail("child-crashes", "exit code 101");
}

#[test]
fn a_build_whose_children_never_say_ready() {
    children_fail("child-hangs", "not get ready");
}

#[test]
fn a_first_start_whose_children_crash_shows_crashed_and_rests_twice_as_long_each_time() {
    let chaos_host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&far(&chaos_host, "")]);
    place.set_mood("child-crashes");
    place.install(Build::Next);
    let daemon = place.start();
    let far = wait_until("it has crashed often and rests", || {
        let status = place.try_status()?;
        let far = host(&status, "far");
        (far["restarts"].as_u64()? >= 3 && far["state"] == "crashed").then(|| far.clone())
    });
    assert!(far["reason"].as_str().is_some_and(|reason| reason.contains("exit code 101")), "{far}");
    let log = place.log();
    for rest in ["the next one starts in 100", "the next one starts in 200", "the next one starts in 400"] {
        assert!(log.contains(rest), "{rest:?} is not in the log: {log}");
    }
    place.set_mood("");
    let mut requester = daemon.requester("far", Dialect::Line);
    assert_is_reply(&requester.ask("<1>"), "<1>");
    daemon.stop();
}
