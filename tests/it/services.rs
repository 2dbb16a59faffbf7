//! Children that serve no host: the registry, and what is served by name. They are supervised as hosts' children are.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Place, Process, free_port, wait_until};

/// A registry, and `[serve.far]`, which has the name of a host, at a TCP port.
struct World {
    _host: ChaosHost,
    place: Arc<Place>,
    daemon: Daemon,
    port: u16,
}

/// What one that is served says besides where it listens.
const ECHO: &str = "\nregister = false\nhandler = [{ echo = true }]";

const LOG: &str = "[log]\nlevel = \"debug\"";

fn toml(services: &str) -> String {
    let daemon = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"";
    format!("{daemon}\n{LOG}\n{services}\n")
}

impl World {
    fn new() -> Self {
        let (host, port) = (ChaosHost::start(Dialect::Line), free_port());
        let settings = format!("{LOG}\n[serve.far]\nlisten = \"0.0.0.0:{port}\"{ECHO}");
        let place = Place::with_settings(&[&format!("far {} line", host.address())], &settings);
        let daemon = place.start();
        Self { _host: host, place, daemon, port }
    }

    /// Configures what there is besides hosts, and restarts.
    fn configure(&self, services: &str) -> Value {
        self.place.replace("tieline.toml", &toml(services));
        self.daemon.restart_and_settle()
    }
}

/// One of the `services` of a status.
fn service<'a>(status: &'a Value, role: &str, name: &str) -> &'a Value {
    let services = status["services"].as_array().expect("the status has services");
    let mut found = services.iter().filter(|each| each["role"] == role && each["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {role} {name} in {status}"))
}

fn names(status: &Value) -> Vec<String> {
    let services = status["services"].as_array().expect("the status has services");
    services.iter().map(|each| format!("{} {}", each["role"], each["name"]).replace('"', "")).collect()
}

fn pid(service: &Value) -> i32 {
    service["pid"].as_i64().unwrap_or_else(|| panic!("no child in {service}")) as i32
}

fn inode(place: &Place, socket: &str) -> u64 {
    fs::metadata(place.path(socket)).expect("the socket is there").ino()
}

/// The process that serves now, once it is not `before`.
fn next(daemon: &Daemon, role: &str, name: &str, before: i32) -> i32 {
    wait_until("it has another child, which is in order", || {
        let status = daemon.place().try_status()?;
        let service = service(&status, role, name);
        (service["state"] == "up").then(|| pid(service)).filter(|now| *now != before)
    })
}

#[test]
fn the_registry_and_what_is_served_have_children_and_sockets_of_their_own() {
    let mut world = World::new();
    let status = world.daemon.status();
    assert_eq!(names(&status), ["registry registry", "serve far"]);
    for (role, name, title) in [("registry", "registry", "registry"), ("serve", "far", "serve far")] {
        let service = service(&status, role, name);
        assert_eq!((&service["state"], &service["restarts"]), (&"up".into(), &0.into()), "{status}");
        assert_eq!(Some(Process(pid(service))), world.daemon.try_child(title), "{status}");
    }
    assert_eq!(status["hosts"].as_array().map(Vec::len), Some(1), "hosts are hosts: {status}");
    let socket = fs::metadata(world.place.socket("registry")).expect("registry.sock is there");
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    UnixStream::connect(world.place.socket("registry")).expect("somebody listens");
    TcpStream::connect(("127.0.0.1", world.port)).expect("somebody listens");

    let table = world.place.tieline(&["status"]);
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(table.contains("\n\nSERVICE") && table.contains("\nserve far  up"), "{table}");
    let one = world.place.tieline(&["status", "far"]);
    assert!(!String::from_utf8_lossy(&one.stdout).contains("SERVICE"), "only the host was asked for");

    let children = world.daemon.children_seen();
    assert_eq!(children.len(), 3);
    let place = Arc::clone(&world.place);
    world.daemon.stop();
    assert!(children.iter().all(|child| !child.is_alive()));
    assert!(!place.socket("registry").exists(), "it is removed at a stop");
}

#[test]
fn a_registry_that_dies_is_started_again_by_the_rules_and_touches_nobody_else() {
    let world = World::new();
    let before = world.daemon.status();
    let others = |status: &Value| (status["hosts"][0]["pid"].clone(), service(status, "serve", "far")["pid"].clone());
    let socket = inode(&world.place, "run/registry.sock");
    let mut process = pid(service(&before, "registry", "registry"));
    for rest in ["100.0ms", "200.0ms", "400.0ms"] {
        Process(process).signal(Signal::SIGQUIT);
        let gone = format!("registry: child {process} is gone: ended by signal QUIT; the next one starts in {rest}");
        wait_until(&gone, || world.place.log().contains(&gone).then_some(()));
        process = next(&world.daemon, "registry", "registry", process);
    }
    let after = world.daemon.status();
    assert_eq!(service(&after, "registry", "registry")["restarts"], 3, "{after}");
    assert_eq!(others(&after), others(&before), "nobody else was touched");
    assert_eq!(inode(&world.place, "run/registry.sock"), socket, "the parent holds the socket");
    UnixStream::connect(world.place.socket("registry")).expect("somebody listens");
    world.daemon.stop();
}

#[test]
fn a_restart_replaces_exactly_those_whose_settings_have_changed() {
    let world = World::new();
    let listens = |port| format!("listen = \"0.0.0.0:{port}\"{ECHO}");
    let far = format!("[serve.far]\n{}", listens(world.port));
    let pids = |status: &Value| {
        let [registry, serve] =
            [("registry", "registry"), ("serve", "far")].map(|(role, name)| pid(service(status, role, name)));
        (status["hosts"][0]["pid"].clone(), registry, serve)
    };
    let first = pids(&world.daemon.live_status());
    assert_eq!(pids(&world.configure(&far)), first, "nothing has changed");

    let socket = inode(&world.place, "run/registry.sock");
    let second = pids(&world.configure(&format!("[registry]\nfile = \"names\"\n{far}")));
    assert_eq!((&second.0, second.2), (&first.0, first.2));
    assert_ne!(second.1, first.1, "the registry goes by its file");
    assert_eq!(inode(&world.place, "run/registry.sock"), socket);

    let third = pids(&world.configure(&format!("[registry]\nfile = \"names\"\nmode = \"0600\"\n{far}")));
    assert_eq!(third, second, "rights are the parent's business");
    let socket = fs::metadata(world.place.socket("registry")).expect("registry.sock is there");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let elsewhere = world.place.path("run/far.served");
    let there = format!("[registry]\nfile = \"names\"\n[serve.far]\nlisten = \"unix:{}\"{ECHO}", elsewhere.display());
    let fourth = pids(&world.configure(&there));
    assert_eq!((&fourth.0, fourth.1), (&first.0, second.1));
    assert_ne!(fourth.2, first.2, "it listens elsewhere");
    UnixStream::connect(&elsewhere).expect("somebody listens");
    TcpStream::connect(("127.0.0.1", world.port)).expect_err("nobody listens there any more");
    world.daemon.stop();
    assert!(!elsewhere.exists(), "it is removed at a stop");
}

#[test]
fn services_come_and_go_with_the_configuration() {
    let world = World::new();
    let host = world.daemon.live_status()["hosts"][0]["pid"].clone();
    let none = world.configure("[registry]\nenabled = false");
    assert_eq!(none["services"], Value::Array(Vec::new()), "{none}");
    assert!(!world.place.socket("registry").exists());

    let port = free_port();
    let again = world.configure(&format!("[serve.near]\nlisten = \"127.0.0.1:{port}\"{ECHO}"));
    assert_eq!(names(&again), ["registry registry", "serve near"]);
    assert_eq!(again["hosts"][0]["pid"], host, "the host's child stays: {again}");
    UnixStream::connect(world.place.socket("registry")).expect("somebody listens");
    TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");

    // What somebody else has cannot be had: everything stays as it is.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address");
    world.place.replace("tieline.toml", &toml(&format!("[serve.near]\nlisten = \"{address}\"{ECHO}")));
    let complaint = world.daemon.fail_to_restart();
    assert!(complaint.contains(&address.to_string()) && complaint.contains("another program has it"), "{complaint}");
    let now = world.daemon.live_status();
    assert_eq!(service(&now, "serve", "near")["pid"], service(&again, "serve", "near")["pid"]);
    world.daemon.stop();
}

/// What the registry was told last of the host `far`.
fn told(place: &Place) -> Option<Value> {
    let log = place.log();
    let (_, rows) = log.lines().rev().find_map(|line| line.split_once("registry: told how the hosts are: "))?;
    let rows: Value = serde_json::from_str(rows).unwrap_or_else(|error| panic!("{rows}: {error}"));
    rows.as_array().filter(|rows| rows.len() == 1).map(|rows| rows[0].clone())
}

#[test]
fn the_registry_is_told_how_the_hosts_are_when_it_is_ready_and_at_each_change() {
    let mut world = World::new();
    let wait_for = |place: &Place, state: &str| {
        wait_until(&format!("the registry is told of {state}"), || told(place).filter(|row| row["state"] == state))
    };
    let row = wait_for(&world.place, "idle");
    let socket = format!("unix:{}", world.place.socket("far").display());
    assert_eq!((&row["name"], &row["socket"], &row["dialect"]), (&"far".into(), &socket.into(), &"line".into()));
    assert_eq!(row["deferred"], Value::Null);
    world.daemon.requester("far", Dialect::Line).ask("<1>");
    wait_for(&world.place, "up");

    let registry = pid(service(&world.daemon.status(), "registry", "registry"));
    let messages = world.place.log().matches("told how the hosts are").count();
    Process(registry).signal(Signal::SIGKILL);
    next(&world.daemon, "registry", "registry", registry);
    wait_until("the next one is told anew", || {
        (world.place.log().matches("told how the hosts are").count() > messages).then_some(())
    });
    assert_eq!(told(&world.place).expect("it was told")["state"], "up");

    // Each time it rests for longer: a state that lasts is told in any case.
    wait_until("the registry is told of crashed", || {
        let child = world.daemon.try_child("far");
        child.map(|child| kill(Pid::from_raw(child.0), Signal::SIGQUIT).ok());
        told(&world.place).filter(|row| row["state"] == "crashed")
    });
    wait_for(&world.place, "idle");
    world.daemon.stop();
}
