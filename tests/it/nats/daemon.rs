//! Whole daemons on one bucket: what programs hear at `registry.sock` while NATS is there, away, and back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde_json::Value;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, LONG, Nats, Place, Relay, private, wait_until};

/// A connection to a registry.
struct Names(BufReader<UnixStream>);

impl Names {
    fn of(place: &Place) -> Self {
        let stream = UnixStream::connect(place.socket("registry")).expect("registry.sock");
        stream.set_read_timeout(Some(LONG)).expect("a bound");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the registry reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.line()
    }

    /// Registers, and gives the lease.
    fn register(&mut self, words: &str) -> String {
        let answer = self.ask(&format!("REGISTER {words}"));
        answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{words}: {answer}")).to_owned()
    }

    /// Waits until a question is answered so.
    fn hears(&mut self, question: &str, wanted: &str) {
        let mut last = String::new();
        let mut answers = || {
            last = self.ask(question);
            (last == wanted).then_some(())
        };
        wait_until(&format!("{question} → {wanted}"), &mut answers);
    }
}

fn place(hosts: &[&str], servers: &[String]) -> Arc<Place> {
    Place::with_settings(hosts, &format!("[registry]\nnats = {servers:?}\n[log]\nlevel = \"debug\""))
}

/// The registry in the status.
fn registry(daemon: &Daemon) -> Value {
    let status = daemon.status();
    let services = status["services"].as_array().expect("there are services").clone();
    services.into_iter().find(|service| service["role"] == "registry").expect("one of them is the registry")
}

fn wait_for_state(daemon: &Daemon, state: &str) -> Value {
    wait_until(&format!("the registry is {state}"), || {
        Some(registry(daemon)).filter(|service| service["state"] == state)
    })
}

#[test]
fn two_daemons_on_one_cluster_see_each_others_registrations() {
    let cluster = Nats::cluster();
    let servers: Vec<String> = cluster.iter().map(Nats::url).collect();
    let (one, two) = (place(&[], &servers), place(&[], &servers));
    let (first, second) = (one.start(), two.start());
    wait_for_state(&first, "up");
    wait_for_state(&second, "up");
    let (mut here, mut there, mut watcher) = (Names::of(&one), Names::of(&two), Names::of(&two));
    assert!(watcher.ask("WATCH led").starts_with("ok "));
    assert_eq!(watcher.line(), "", "nothing is registered so far");
    let lease = here.register("ledger tcp:192.0.2.1:7000 ttl=60s dialect=line");
    let change = watcher.line();
    assert!(change.contains(&format!("+ ledger tcp:192.0.2.1:7000 lease={lease} ttl=1m left=")), "{change}");
    assert_eq!(there.ask("RESOLVE ledger"), "ok tcp:192.0.2.1:7000");
    there.register("ledger tcp:192.0.2.2:7000 ttl=60s");
    here.hears("RESOLVE ledger", "ok tcp:192.0.2.2:7000 tcp:192.0.2.1:7000");
    assert!(watcher.line().contains("+ ledger tcp:192.0.2.2:7000"));
    assert_eq!(there.ask(&format!("RENEW {lease}")), "ok", "a lease is known on every machine");
    assert_eq!(there.ask(&format!("UNREGISTER {lease}")), "ok");
    assert!(watcher.line().contains(&format!("- ledger tcp:192.0.2.1:7000 lease={lease}")));
    here.hears("RESOLVE ledger", "ok tcp:192.0.2.2:7000");
    first.stop();
    // Who registered there is known on.
    assert_eq!(there.ask("RESOLVE ledger"), "ok tcp:192.0.2.2:7000");
    second.stop();
}

#[test]
fn while_the_cluster_is_away_names_are_resolved_and_listed_and_afterwards_they_are_true() {
    let nats = Nats::start();
    let relay = Relay::to(nats.address());
    let host = ChaosHost::start(Dialect::Line);
    let one = place(&[&format!("far {} line", host.address())], &[format!("nats://{}", relay.address())]);
    let two = place(&[], &[nats.url()]);
    let (cut_off, other) = (one.start(), two.start());
    wait_for_state(&cut_off, "up");
    wait_for_state(&other, "up");
    let (mut here, mut there, mut watcher) = (Names::of(&one), Names::of(&two), Names::of(&one));
    let stays = there.register("stays tcp:192.0.2.1:1 ttl=60s");
    let goes = there.register("goes tcp:192.0.2.1:2 ttl=60s");
    there.register("ends tcp:192.0.2.1:3 ttl=5s");
    for name in ["stays tcp:192.0.2.1:1", "goes tcp:192.0.2.1:2", "ends tcp:192.0.2.1:3"] {
        let (name, address) = name.split_once(' ').expect("two words");
        here.hears(&format!("RESOLVE {name}"), &format!("ok {address}"));
    }
    relay.hold();
    let refused = here.ask("REGISTER mine tcp:192.0.2.1:4 ttl=60s");
    assert!(refused.starts_with("error unavailable "), "{refused}");
    let status = wait_for_state(&cut_off, "down");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("n1"), "the status says which server: {status}");
    wait_until("the log says so", || one.log().contains("the registry's store is away").then_some(()));
    // Now nothing waits for the network any more.
    assert!(here.ask(&format!("RENEW {stays}")).starts_with("error unavailable "));
    assert_eq!(there.ask(&format!("UNREGISTER {goes}")), "ok");
    let new = there.register("new tcp:192.0.2.1:5 ttl=60s");
    there.hears("RESOLVE ends", "error unknown nobody is registered as ends");

    // What was known is served, to those who come now, too; and so is the host, whatever NATS does.
    assert_eq!(here.ask("RESOLVE goes"), "ok tcp:192.0.2.1:2");
    assert_eq!(here.ask("RESOLVE ends"), "ok tcp:192.0.2.1:3");
    let mut listed = listing(&mut Names::of(&one), "LIST");
    listed.sort();
    let names: Vec<&str> = listed.iter().filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(names, ["ends", "far", "goes", "stays"]);
    assert_eq!(listing(&mut watcher, "WATCH").len(), 4);
    let mut requester = cut_off.requester("far", Dialect::Line);
    let tag = crate::common::tag(1);
    assert!(requester.ask(&format!("{tag} echo")).contains(&tag), "traffic goes on");

    relay.release();
    wait_for_state(&cut_off, "up");
    // The host has changed its state when it was used; and what was answered as unavailable may have been done.
    let is_told = |change: &String| !change.contains(" + far ") && !change.contains(" + mine ");
    let of_others = std::iter::from_fn(|| Some(watcher.line())).filter(is_told);
    let mut changes: Vec<String> = of_others.take(3).collect();
    changes.sort_by_key(|change| change.split(' ').nth(2).map(str::to_owned));
    assert!(changes[0].contains(" - ends "), "{changes:?}");
    assert!(changes[1].contains(&format!(" - goes tcp:192.0.2.1:2 lease={goes}")), "{changes:?}");
    assert!(changes[2].contains(&format!(" + new tcp:192.0.2.1:5 lease={new}")), "{changes:?}");
    assert_eq!(here.ask("RESOLVE ends"), "error unknown nobody is registered as ends");
    assert_eq!(here.ask(&format!("RENEW {stays}")), "ok", "what lived all the time lives");
    assert!(one.log().contains("the registry's store is back"));
    cut_off.stop();
    other.stop();
}

/// The rows up to the empty line.
fn listing(names: &mut Names, command: &str) -> Vec<String> {
    let answer = names.ask(command);
    assert!(answer.starts_with("ok "), "{answer}");
    std::iter::from_fn(|| Some(names.line()).filter(|line| !line.is_empty())).collect()
}

#[test]
fn a_daemon_starts_without_its_cluster_and_serves_its_hosts() {
    let mut nats = Nats::start();
    nats.kill();
    let host = ChaosHost::start(Dialect::Line);
    let place = place(&[&format!("far {} line", host.address())], &[nats.url()]);
    let daemon = place.start();
    let status = wait_for_state(&daemon, "down");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains(&nats.address())), "{status}");
    let mut names = Names::of(&place);
    assert_eq!(names.ask("RESOLVE far"), format!("ok unix:{}", place.socket("far").display()));
    assert!(names.ask("REGISTER a tcp:192.0.2.1:1 ttl=60s").starts_with("error unavailable "));
    nats.start_again();
    wait_for_state(&daemon, "up");
    names.register("a tcp:192.0.2.1:1 ttl=60s");
    daemon.stop();
}

#[test]
fn a_daemon_that_starts_without_its_cluster_knows_what_it_knew() {
    let mut nats = Nats::start();
    let place = place(&[], &[nats.url()]);
    let daemon = place.start();
    wait_for_state(&daemon, "up");
    let lease = Names::of(&place).register("ledger tcp:192.0.2.1:7000 ttl=60s");
    let copy = place.path("spool/.registry/nats-copy.json");
    wait_until("it is in the copy", || std::fs::read_to_string(&copy).ok()?.contains(&lease).then_some(()));
    daemon.stop();
    nats.kill();
    let daemon = place.start();
    wait_for_state(&daemon, "down");
    let mut names = Names::of(&place);
    assert_eq!(names.ask("RESOLVE ledger"), "ok tcp:192.0.2.1:7000");
    assert!(names.ask(&format!("RENEW {lease}")).starts_with("error unavailable "));
    nats.start_again();
    names.hears(&format!("RENEW {lease}"), "ok");
    daemon.stop();
}

#[test]
fn a_registry_moves_to_nats_with_a_restart() {
    let nats = Nats::start();
    let place = Place::new(&[]);
    let daemon = place.start();
    Names::of(&place).register("local tcp:192.0.2.1:1 ttl=60s");
    let text = std::fs::read_to_string(place.path("tieline.toml")).expect("tieline.toml");
    place.replace("tieline.toml", &format!("{text}\n[registry]\nnats = [\"{}\"]\n", nats.url()));
    daemon.restart_and_settle();
    wait_until("another registry serves", || {
        let mut names = Names::of(&place);
        names.say("RESOLVE local");
        // The one that retires closes the connection.
        let mut line = String::new();
        names.0.read_line(&mut line).ok();
        line.starts_with("error unknown ").then_some(())
    });
    Names::of(&place).register("shared tcp:192.0.2.1:2 ttl=60s");
    daemon.stop();
}

#[test]
fn why_it_is_away_is_said_once_however_often_it_is_tried() {
    let nats = Nats::start_with("authorization { token: t0ken }");
    let place = Place::with_settings(&[], &format!("[registry]\nnats = [\"{}\"]\ntoken_file = \"token\"", nats.url()));
    private(&place.path("token"), "other");
    let daemon = place.start();
    let attempts = || nats.log().matches("authentication error").count();
    wait_until("it has been refused four times", || (attempts() >= 4).then_some(()));
    let log = place.log();
    assert_eq!(log.matches("the server refuses the token in").count(), 1, "{log}");
    assert!(!log.contains("authorization violation"), "what the client says at each attempt: {log}");
    daemon.stop();
}

#[test]
fn what_is_missing_to_log_in_is_found_before_the_start() {
    let place = Place::with_settings(&[], "[registry]\nnats = [\"nats://127.0.0.1:4222\"]\ntoken_file = \"token\"");
    let said = place.tieline(&["check"]);
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(78), "{text}");
    assert!(text.contains(&place.path("token").display().to_string()), "{text}");
}
