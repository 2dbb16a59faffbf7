//! A real memcached on TCP, if it is installed.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use nix::unistd::Pid;

use super::{Running, free_port};
use crate::machine;

pub(crate) struct Memcached {
    running: Running,
    port: u16,
}

impl Memcached {
    pub(crate) fn start() -> Option<Self> {
        if !machine::has("memcached") {
            return None;
        }
        let port = free_port();
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-U", "0", "-t", "1", "-c", "15000", "-u", "nobody", "-p", &port.to_string()]);
        let mut running = Running::start(command, Running::directory());
        running.wait_until("memcached answers", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Some(Self { running, port })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn pids(&self) -> Vec<Pid> {
        vec![self.running.pid()]
    }
}
