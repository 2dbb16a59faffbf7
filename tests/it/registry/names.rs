//! Hosts whose address is a name of the registry.

use std::time::Instant;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::program::{Program, socket};
use crate::common::{ChaosHost, Daemon, LONG, Place, tag, wait_until};

/// As it is registered.
fn at(host: &ChaosHost) -> String {
    let address = host.address();
    if address.starts_with("unix:") { address.to_owned() } else { format!("tcp:{address}") }
}

/// How many connections an instance has.
fn connections(host: &mut ChaosHost) -> usize {
    host.connections().0
}

#[test]
fn a_host_is_found_by_its_name_and_work_is_spread_over_the_instances() {
    let mut hosts = [ChaosHost::start(Dialect::Line), ChaosHost::start(Dialect::Line)];
    let daemon = Daemon::start(&["far @far line connections=4"]);
    let mut program = Program::connect(&socket(daemon.place()));
    for host in &hosts {
        program.register(&format!("far {} ttl=60s", at(host)));
    }
    // As many requesters as there are connections, each with a request on its way.
    let mut requesters: Vec<_> = (0..4).map(|_| daemon.requester("far", Dialect::Line)).collect();
    for round in 0..50 {
        requesters.iter_mut().enumerate().for_each(|(n, requester)| requester.send(&tag(round * 10 + n as u64)));
        requesters.iter_mut().for_each(|requester| drop(requester.reply()));
    }
    for host in &mut hosts {
        assert!(connections(host) > 0, "one instance has no connection");
        assert!(host.list_length() > 0, "one instance has no work");
    }
    daemon.stop();
}

#[test]
fn an_instance_that_cannot_be_reached_is_passed_over() {
    let host = ChaosHost::start(Dialect::Line);
    // Its child starts when all are registered, and one failed attempt is enough to answer lost.
    let daemon = Daemon::start(&["far @far line retries=1 start=demand"]);
    let mut program = Program::connect(&socket(daemon.place()));
    // Handed out first; nobody listens there.
    program.register("far unix:/nowhere/at.all ttl=60s");
    program.register("far tcp:127.0.0.1:1 ttl=60s");
    program.register(&format!("far {} ttl=60s", at(&host)));
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    daemon.stop();
}

#[test]
fn a_name_that_nobody_has_is_said_and_its_host_is_tried_at_once_when_somebody_registers_it() {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = Daemon::start(&["far @elsewhere line retries=1"]);
    assert_eq!(daemon.requester("far", Dialect::Line).ask("<1>"), "con_lost");
    let reason = daemon.host_status("far")["reason"].as_str().unwrap_or_default().to_owned();
    assert!(
        reason.starts_with("@elsewhere: nobody is registered under this name; start what registers it"),
        "{reason}"
    );
    // Failures in a row, until the pause between two attempts is long.
    wait_until("the next attempt is far away", || {
        daemon.place().tieline(&["probe", "far"]);
        let next = daemon.host_status("far")["next_probe"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        (next.duration_since(jiff::Timestamp::now()).as_secs() > 8).then_some(())
    });
    let registered = Instant::now();
    let mut program = Program::connect(&socket(daemon.place()));
    program.register(&format!("elsewhere {} ttl=60s", at(&host)));
    wait_until("the host is up", || (daemon.host_status("far")["state"] == "up").then_some(()));
    assert!(registered.elapsed().as_secs() < 5, "it was found by chance");
    assert!(daemon.requester("far", Dialect::Line).ask("<2>").contains("<2>"));
    daemon.stop();
}

#[test]
fn what_was_known_last_is_tried_while_the_registry_is_away() {
    let mut host = ChaosHost::start(Dialect::Line);
    let mut daemon = Daemon::start(&["far @far line idle=1s"]);
    let mut program = Program::connect(&socket(daemon.place()));
    program.register(&format!("far {} ttl=60s", at(&host)));
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    let registry = daemon.child("registry");
    registry.signal(Signal::SIGSTOP);
    wait_until("the connection has been idle", || (connections(&mut host) == 0).then_some(()));
    assert!(daemon.requester("far", Dialect::Line).ask("<2>").contains("<2>"));
    registry.signal(Signal::SIGCONT);
    daemon.stop();
}

#[test]
fn a_connection_to_an_instance_that_has_left_ends_and_work_goes_to_the_other_one() {
    let (mut old, new) = (ChaosHost::start(Dialect::Line), ChaosHost::start(Dialect::Line));
    let daemon = Place::new(&["far @far line connections=1"]).start();
    let mut program = Program::connect(&socket(daemon.place()));
    let lease = program.register(&format!("far {} ttl=60s", at(&old)));
    let mut requester = daemon.requester("far", Dialect::Line);
    assert!(requester.ask("<1>").contains("<1>"));
    program.register(&format!("far {} ttl=60s", at(&new)));
    assert_eq!(program.ask(&format!("UNREGISTER {lease}")), "ok");
    let begin = Instant::now();
    while connections(&mut old) > 0 {
        assert!(begin.elapsed() < LONG, "it keeps its connection");
    }
    assert!(requester.ask("<2>").contains("<2>"));
    assert_eq!((old.received().get(&2), new.received().get(&2)), (None, Some(&1)));
    let told = format!("connected to @far at {}", new.address());
    assert_eq!(daemon.host_status("far")["last_log"], told, "it is said where it leads now");
    daemon.stop();
}
