//! `tieline restart`: what it prints, and its exit code.

use std::fs;

use super::stage::far;
use super::trial::Trial;
use crate::common::Build;

#[test]
fn the_command_restart_says_which_generation_serves() {
    let mut trial = Trial::new();
    trial.stage.place.install(Build::Next);
    let output = trial.stage.place.tieline(&["restart"]);
    let (out, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out} {complaints}");
    assert!(out.contains("generation 2") && out.contains(&Build::Next.version()), "{out}");
    trial.ask();
    trial.works_again();
}

#[test]
fn the_command_restart_says_what_is_wrong_with_the_configuration_and_ends_with_78() {
    let mut trial = Trial::new();
    let line = far(&trial.stage.host, "timeout=never");
    trial.stage.place.set_hosts(std::slice::from_ref(&line));
    let output = trial.stage.place.tieline(&["restart"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    let column = line.find("never").expect("it is there") + 1;
    assert!(complaint.contains(&format!("hosts.tab:1:{column}")), "{complaint}");
    trial.ask();
    trial.stage.change();
    trial.works_again();
}

#[test]
fn the_command_restart_says_what_is_wrong_with_the_binary_and_ends_with_70() {
    let mut trial = Trial::new();
    let binary = trial.stage.place.installed();
    fs::remove_file(&binary).expect("it was there");
    let output = trial.stage.place.tieline(&["restart"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{complaint}");
    assert!(complaint.contains(&binary.display().to_string()), "{complaint}");
    trial.ask();
    trial.stage.place.install(Build::This);
    trial.works_again();
}
