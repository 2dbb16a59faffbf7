//! nutcracker (twemproxy): one thread, one connection to each host, as it is by default.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::unistd::Pid;

use super::{Contender, Door, NUTCRACKER, Running, free_port};
use crate::machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Redis,
    Memcache,
}

/// One with a socket for each host, if it is installed.
pub(crate) fn nutcracker(protocol: Protocol, hosts: &[SocketAddr], pids: Vec<Pid>) -> Option<Contender> {
    if !machine::has("nutcracker") {
        return None;
    }
    let dir = Running::directory();
    let sockets: Vec<_> = (0..hosts.len()).map(|number| dir.path().join(format!("{number}.sock"))).collect();
    let mut text = String::new();
    for (number, (host, socket)) in hosts.iter().zip(&sockets).enumerate() {
        write!(
            text,
            "h{number}:\n  listen: {} 0666\n  redis: {}\n  hash: fnv1a_64\n  distribution: ketama\n  \
             auto_eject_hosts: false\n  preconnect: true\n  backlog: 4096\n  server_connections: 1\n  \
             servers:\n   - {host}:1\n",
            socket.display(),
            protocol == Protocol::Redis
        )
        .expect("a string takes everything");
    }
    fs::write(dir.path().join("nutcracker.yml"), text).expect("nutcracker.yml can be written");
    let mut command = Command::new("nutcracker");
    command.arg("-c").arg(dir.path().join("nutcracker.yml"));
    command.args(["-a", "127.0.0.1", "-s", &free_port().to_string(), "-i", "3600000", "-v", "0"]);
    let mut running = Running::start(command, dir);
    running
        .wait_until("nutcracker takes requesters", || sockets.iter().all(|socket| UnixStream::connect(socket).is_ok()));
    Some(Contender::proxied(NUTCRACKER, sockets.into_iter().map(Door::Unix).collect(), running, pids))
}
