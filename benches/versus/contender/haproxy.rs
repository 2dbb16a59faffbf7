//! HAProxy in TCP mode with one thread: a connection to the host for each requester.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::unistd::Pid;

use super::{Contender, Door, HAPROXY, Running};
use crate::machine;

const HEAD: &str = "global\n  maxconn 8000\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
                    timeout client 1h\n  timeout server 1h\n";

/// One with a socket for each host, if it is installed.
pub(crate) fn haproxy(hosts: &[SocketAddr], pids: Vec<Pid>) -> Option<Contender> {
    if !machine::has("haproxy") {
        return None;
    }
    let dir = Running::directory();
    let sockets: Vec<_> = (0..hosts.len()).map(|number| dir.path().join(format!("{number}.sock"))).collect();
    let mut text = HEAD.to_owned();
    for (number, (host, socket)) in hosts.iter().zip(&sockets).enumerate() {
        let socket = socket.display();
        write!(
            text,
            "frontend f{number}\n  bind unix@{socket} mode 666\n  default_backend b{number}\n\
             backend b{number}\n  server s {host}\n"
        )
        .expect("a string takes everything");
    }
    fs::write(dir.path().join("haproxy.cfg"), text).expect("haproxy.cfg can be written");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(dir.path().join("haproxy.cfg"));
    let mut running = Running::start(command, dir);
    running.wait_until("haproxy takes requesters", || sockets.iter().all(|socket| UnixStream::connect(socket).is_ok()));
    Some(Contender::proxied(HAPROXY, sockets.into_iter().map(Door::Unix).collect(), running, pids))
}
