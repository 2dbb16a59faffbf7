//! Ways to a host, side by side: past every proxy, or through one.
//!
//! Enters: a host. Leaves: contenders, each with the doors that requesters knock at and the processes that are counted.
//! Promised: what a contender has started ends with it.

mod certificate;
mod haproxy;
mod memcached;
mod nutcracker;
mod redis;
mod running;
mod tieline;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

pub(crate) use haproxy::haproxy;
pub(crate) use memcached::Memcached;
pub(crate) use nutcracker::{Protocol, nutcracker};
pub(crate) use redis::Redis;
pub(crate) use running::Running;
pub(crate) use tieline::{Tieline, tieline, try_build, try_tieline};

/// Names that aims refer to.
pub(crate) const TIELINE: &str = "tieline, 1 connection";
pub(crate) const DEFAULT: &str = "tieline, default";
pub(crate) const NUTCRACKER: &str = "nutcracker, 1 connection";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const DIRECT: &str = "direct, TCP";
pub(crate) const DIRECT_UNIX: &str = "direct, UNIX socket";
pub(crate) const DIRECT_TLS: &str = "direct, TLS";

/// Where requesters knock.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Tls(SocketAddr, Arc<tokio_rustls::rustls::ClientConfig>),
}

/// See the head of this file.
pub(crate) struct Contender {
    pub(crate) name: String,
    /// One for each host.
    pub(crate) doors: Vec<Door>,
    /// The proxy; none if there is no proxy in between.
    running: Option<Running>,
    host: Vec<Pid>,
}

impl Contender {
    pub(crate) fn direct(name: &str, door: Door, host: Vec<Pid>) -> Self {
        Self { name: name.to_owned(), doors: vec![door], running: None, host }
    }

    pub(crate) fn proxied(name: &str, doors: Vec<Door>, running: Running, host: Vec<Pid>) -> Self {
        Self { name: name.to_owned(), doors, running: Some(running), host }
    }

    /// The door of the first host.
    pub(crate) fn door(&self) -> &Door {
        &self.doors[0]
    }

    /// The proxy's processes, as they are now.
    pub(crate) fn proxy(&self) -> Vec<Pid> {
        self.running.as_ref().map_or_else(Vec::new, Running::family)
    }

    /// The processes of the host.
    pub(crate) fn host(&self) -> Vec<Pid> {
        self.host.clone()
    }
}

/// The ways to a Redis over UNIX sockets: directly, through each peer that is installed, through tieline. The proxies
/// reach the host at `address`.
pub(crate) fn ways_to(redis: &Redis, address: SocketAddr) -> Vec<Contender> {
    let mut ways = vec![Contender::direct(DIRECT, Door::Tcp(address), redis.pids())];
    ways.extend(proxies_to(address, redis.pids()));
    ways
}

/// The proxies alone.
pub(crate) fn proxies_to(address: SocketAddr, host: Vec<Pid>) -> Vec<Contender> {
    let mut ways = Vec::new();
    ways.extend(nutcracker(Protocol::Redis, &[address], host.clone()));
    ways.extend(haproxy(&[address], host.clone()));
    ways.push(tieline(TIELINE, &[address], "resp requesters=20000 connections=1", host.clone()));
    ways.push(tieline(DEFAULT, &[address], "resp requesters=20000", host.clone()));
    ways.extend(beside(address, host));
    ways
}

/// Another build of tieline, if the environment names one: what a change has gained is seen in one run.
fn beside(address: SocketAddr, host: Vec<Pid>) -> Option<Contender> {
    let binary = PathBuf::from(std::env::var_os("TIELINE_BESIDE")?);
    let options = "resp requesters=20000 connections=1";
    let contender = try_build(&binary, "tieline, 1 connection, other build", &[address], options, host);
    Some(contender.unwrap_or_else(|complaint| panic!("{}: {complaint}", binary.display())))
}

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

pub(crate) fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
