//! Storms of HUPs under load: with nothing changed, and with another build each time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::crowd::Crowd;
use super::hups;
use super::stage::{DRAIN, Stage};
use crate::common::{Build, Machine, Process, pids, wait_until};

#[test]
fn hups_without_a_change_are_noticed_by_no_requester_and_replace_no_child() {
    let _machine = Machine::alone();
    let stage = Stage::new();
    let children = pids(&stage.daemon.settle());
    let crowd = Crowd::start(&stage.doors());
    crowd.storm_begins();
    let start = Instant::now();
    for _ in 0..hups() {
        stage.daemon.restart();
        crowd.assert_well();
    }
    println!("{} HUPs in {:.1?}", hups(), start.elapsed());
    crowd.wait_for_answers(1_000);
    let figures = crowd.finish();
    println!("{figures}");
    assert_eq!(pids(&stage.daemon.settle()), children, "the children stay");
    stage.finish(&figures);
}

#[test]
fn hups_with_another_build_each_are_noticed_by_no_requester_and_replace_every_child() {
    let _machine = Machine::alone();
    let stage = Stage::new();
    let crowd = Crowd::start(&stage.doors());
    crowd.storm_begins();
    let (mut build, mut longest, start) = (Build::This, Duration::ZERO, Instant::now());
    for _ in 0..hups() {
        build = build.other();
        let before = stage.daemon.live_status();
        stage.place.install(build);
        let restarted = Instant::now();
        stage.daemon.restart();
        // The others are restarted again while their children are still being replaced.
        if fastrand::u8(0..3) == 0 {
            wait_for_new_children(&stage, &before, build);
            longest = longest.max(restarted.elapsed());
        }
        crowd.assert_well();
    }
    println!("{} HUPs in {:.1?}; all children were new after at most {longest:.1?}", hups(), start.elapsed());
    crowd.wait_for_answers(1_000);
    let figures = crowd.finish();
    println!("{figures}");
    stage.finish(&figures);
}

/// Every host is served by a new child of this build, and those of before are gone within the drain time.
fn wait_for_new_children(stage: &Stage, before: &Value, build: Build) {
    let start = Instant::now();
    wait_until("every host is served by a new child", || {
        let status = stage.place.try_status()?;
        assert_eq!(status["version"], build.version(), "{status}");
        let hosts = status["hosts"].as_array().expect("hosts");
        let is_new = |host: &Value| host["version"] == build.version() && host["generation"] == status["generation"];
        hosts.iter().all(is_new).then_some(())
    });
    wait_until("the children of before are gone", || {
        pids(before).values().all(|pid| !Process(*pid as i32).is_alive()).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(DRAIN + 5), "it took {:?}", start.elapsed());
}

#[test]
fn a_storm_of_hups_that_nobody_waits_for_ends_in_one_that_serves() {
    let stage = Stage::new();
    let crowd = Crowd::start(&stage.doors());
    let mut build = Build::This;
    for number in 0..200 {
        if number % 20 == 0 {
            build = build.other();
            stage.place.install(build);
        }
        stage.daemon.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..20)));
    }
    stage.daemon.hup();
    let status = stage.daemon.settle();
    assert_eq!((&status["version"], &status["restart"]["complaint"]), (&build.version().into(), &"".into()));
    crowd.wait_for_answers(1_000);
    let figures = crowd.finish();
    stage.finish(&figures);
}
