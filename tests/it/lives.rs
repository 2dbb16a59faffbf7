//! Deaths and second lives: of a child, of the parent; a second daemon; children on demand; the loopback listener.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{Bystander, ChaosHost, Daemon, LONG, Place, Requester, tag, wait_for_service, wait_until};

/// Asks without a pause; whenever it is closed it connects again, which must never be refused.
fn ask_through_closures(daemon: &Daemon, enough: &AtomicBool, closed: &AtomicU64) {
    let mut number = 0;
    let mut requester = daemon.requester("far", Dialect::Line);
    while !enough.load(Ordering::Relaxed) {
        number += 1;
        let sent = requester.stream.write_all(format!("{}\n", tag(number)).as_bytes());
        match sent.ok().and_then(|()| requester.next_reply().expect("an answer in time")) {
            Some(reply) => assert!(reply.contains(&tag(number)), "{number} was answered {reply}"),
            None => {
                closed.fetch_add(1, Ordering::Relaxed);
                requester = daemon.requester("far", Dialect::Line);
            }
        }
    }
}

#[test]
fn the_death_of_a_child_costs_its_host_the_requests_in_flight_and_nothing_else() {
    let (host, other) = (ChaosHost::start(Dialect::Line), ChaosHost::start(Dialect::Line));
    let lines = [format!("far {} line", host.address()), format!("other {} line", other.address())];
    let mut daemon = Daemon::start(&[&lines[0], &lines[1]]);
    let bystander = Bystander::start(daemon.socket("other"), Dialect::Line);
    let (first, other_child) = (daemon.child("far"), daemon.child("other"));
    let (enough, closed) = (AtomicBool::new(false), AtomicU64::new(0));
    let service_back = thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| ask_through_closures(&daemon, &enough, &closed));
        }
        wait_until("they are at it", || (host.received().len() > 50).then_some(()));
        first.signal(Signal::SIGKILL);
        let killed = Instant::now();
        wait_for_service(&daemon.socket("far"), Dialect::Line);
        let service_back = killed.elapsed();
        let at_least_all = || (closed.load(Ordering::Relaxed) >= 20).then_some(());
        wait_until("each of the twenty was closed", at_least_all);
        enough.store(true, Ordering::Relaxed);
        service_back
    });
    bystander.finish();
    println!("service was back {service_back:?} after kill -9");
    assert!(service_back < Duration::from_secs(5), "service was back after {service_back:?}");
    assert_eq!(closed.into_inner(), 20, "each requester was closed once");
    assert_ne!(daemon.child("far"), first);
    assert_eq!(daemon.child("other"), other_child);
    assert_eq!(daemon.host_status("far")["restarts"], 1);
    assert_eq!(daemon.host_status("other")["restarts"], 0);
    daemon.stop();
}

#[test]
fn a_child_ended_by_a_signal_from_outside_starts_again_at_once_every_time() {
    let host = ChaosHost::start(Dialect::Line);
    let mut daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        wait_for_service(&daemon.socket("far"), Dialect::Line);
        let child = daemon.child("far");
        let start = Instant::now();
        child.signal(signal);
        wait_until("another child", || daemon.try_child("far").filter(|new| *new != child));
        wait_for_service(&daemon.socket("far"), Dialect::Line);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "after {signal} it took {took:?}");
    }
    daemon.stop();
}

#[test]
fn the_death_of_the_parent_takes_its_children_along_and_hinders_no_new_start() {
    let host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&format!("far {} line", host.address())]);
    let mut first = place.start();
    assert!(first.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    let children = first.children_seen();
    assert!(!children.is_empty());
    first.signal(Signal::SIGKILL);
    first.wait();
    assert!(place.socket("far").exists(), "the socket is stale");

    let second = place.start();
    assert!(second.requester("far", Dialect::Line).ask("<2>").contains("<2>"));
    for child in children {
        wait_until("the children of the dead are gone", || (!child.is_alive()).then_some(()));
    }
    assert!(second.requester("far", Dialect::Line).ask("<3>").contains("<3>"));
    second.stop();
    assert!(!place.socket("far").exists());
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_with_the_pid_of_the_first() {
    let host = ChaosHost::start(Dialect::Line);
    let daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    let output = daemon.place().tieline(&["run"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(69 | 75)), "{} {complaint}", output.status);
    assert!(complaint.contains(&daemon.parent().0.to_string()), "{complaint}");
    assert!(daemon.requester("far", Dialect::Line).ask("<1>").contains("<1>"));
    daemon.stop();
}

#[test]
fn a_child_on_demand_starts_with_the_first_requester_and_leaves_when_idle() {
    let host = ChaosHost::start(Dialect::Line);
    let line = format!("far {} line start=demand idle=1s", host.address());
    let mut daemon = Daemon::start(&[&line]);
    assert_eq!(daemon.try_child("far"), None);
    assert_eq!(daemon.host_status("far")["state"], "idle");
    for number in 1..=2 {
        let mut requester = daemon.requester("far", Dialect::Line);
        assert!(requester.ask(&tag(number)).contains(&tag(number)));
        let child = daemon.child("far");
        drop(requester);
        wait_until("the idle child has left", || (!child.is_alive()).then_some(()));
        wait_until("nobody follows", || daemon.try_child("far").is_none().then_some(()));
    }
    daemon.stop();
}

#[test]
fn programs_that_cannot_use_a_unix_socket_use_the_loopback_listener() {
    let host = ChaosHost::start(Dialect::Line);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let line = format!("far {} line listen={address}", host.address());
    let daemon = Daemon::start(&[&line]);
    let mut stream = TcpStream::connect(address).expect("the loopback listener accepts");
    stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
    stream.write_all(b"<1>\n").expect("it reads");
    let mut reply = String::new();
    BufReader::new(&stream).read_line(&mut reply).expect("it answers");
    assert_eq!(reply, "<1>  <1>\n");
    daemon.stop();
}

#[test]
fn connections_are_accepted_while_no_child_lives() {
    let host = ChaosHost::start(Dialect::Line);
    let mut daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    daemon.child("far").signal(Signal::SIGKILL);
    let socket = daemon.socket("far");
    let connect = |_| UnixStream::connect(&socket).expect("the socket never refuses");
    let _many: Vec<UnixStream> = (0..300).map(connect).collect();
    let mut requester = Requester::connect(&socket, Dialect::Line);
    assert!(requester.ask("<1>").contains("<1>"));
    daemon.stop();
}
