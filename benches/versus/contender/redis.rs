//! A real Redis, on TCP, on a UNIX socket, and by TLS if openssl is there. It keeps nothing on disk.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::unistd::Pid;

use super::{Door, Running, certificate, free_port};
use crate::load::resp;

pub(crate) struct Redis {
    running: Running,
    port: u16,
    tls_port: Option<u16>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_on(free_port())
    }

    /// Where a Redis was expected before.
    pub(crate) fn start_on(port: u16) -> Self {
        let dir = Running::directory();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--protected-mode", "no"]);
        command.args(["--port", &port.to_string(), "--maxclients", "15000", "--tcp-backlog", "4096"]);
        command.arg("--dir").arg(dir.path()).arg("--unixsocket").arg(dir.path().join("redis.sock"));
        let tls_port = certificate::make(dir.path()).then(free_port);
        if let Some(port) = tls_port {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(dir.path().join("tls.crt"));
            command.arg("--tls-key-file").arg(dir.path().join("tls.key"));
            command.arg("--tls-ca-cert-file").arg(dir.path().join("tls.crt"));
        }
        let mut running = Running::start(command, dir);
        let socket = running.path("redis.sock");
        running.wait_until("Redis answers", || UnixStream::connect(&socket).is_ok());
        Self { running, port, tls_port }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn unix(&self) -> Door {
        Door::Unix(self.running.path("redis.sock"))
    }

    pub(crate) fn tls(&self) -> Option<Door> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.tls_port?));
        Some(Door::Tls(address, certificate::trust(&self.running.path("tls.crt"))))
    }

    pub(crate) fn pids(&self) -> Vec<Pid> {
        vec![self.running.pid()]
    }

    /// Sets a key to `size` bytes, past every proxy.
    pub(crate) fn set(&self, key: &str, size: usize) {
        let mut stream = TcpStream::connect(self.address()).expect("Redis takes requesters");
        stream.write_all(&resp::command(&["SET", key, &"x".repeat(size)])).expect("Redis takes a request");
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).expect("Redis answers");
        assert_eq!(&reply, b"+OK\r\n");
    }

    /// The number that a key holds; 0 if there is none.
    pub(crate) fn number(&self, key: &str) -> u64 {
        let mut stream = TcpStream::connect(self.address()).expect("Redis takes requesters");
        stream.write_all(&resp::command(&["GET", key])).expect("Redis takes a request");
        let mut reply = [0; 64];
        let count = stream.read(&mut reply).expect("Redis answers");
        // `$5\r\n12345\r\n`, or `$-1\r\n`
        let text = String::from_utf8_lossy(&reply[..count]);
        text.lines().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}
