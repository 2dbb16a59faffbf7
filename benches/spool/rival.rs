//! Redis and beanstalkd, each told to sync before it answers.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::load::{self, Exchange, REQUEST, Sample};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    Redis,
    Beanstalkd,
}

/// One that runs; gone when dropped.
struct Running {
    process: Child,
    socket: PathBuf,
    _dirs: [TempDir; 2],
}

impl Rival {
    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Beanstalkd => "beanstalkd",
        }
    }

    /// Whether it is installed.
    pub(crate) fn is_there(self) -> bool {
        let found = Command::new(self.program()).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok()
    }

    /// A fresh one, with so many requesters for so long.
    pub(crate) fn measure(self, requesters: usize, time: Duration) -> Sample {
        let running = self.start();
        let (request, answer) = self.words();
        let exchange = Exchange { socket: &running.socket, request: &request, answer };
        load::measure(requesters, time, exchange)
    }

    /// A request with a body of [`REQUEST`] bytes, and how the answer to it begins.
    fn words(self) -> (Vec<u8>, &'static [u8]) {
        let body = "x".repeat(REQUEST);
        match self {
            Self::Redis => (format!("*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n${REQUEST}\r\n{body}\r\n").into_bytes(), b":"),
            Self::Beanstalkd => (format!("put 0 0 60 {REQUEST}\r\n{body}\r\n").into_bytes(), b"INSERTED "),
        }
    }

    fn start(self) -> Running {
        let (data, sockets) = (crate::machine::on_disk(), crate::machine::for_sockets());
        let socket = sockets.path().join("s");
        let mut command = Command::new(self.program());
        match self {
            Self::Redis => {
                command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
                command.args(["--auto-aof-rewrite-percentage", "0", "--maxclients", "4000"]);
                command.arg("--dir").arg(data.path()).arg("--unixsocket").arg(&socket);
            }
            Self::Beanstalkd => {
                command.args(["-f0", "-b"]).arg(data.path());
                command.arg("-l").arg(format!("unix:{}", socket.display()));
            }
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("it can be started, for it is installed");
        let running = Running { process, socket, _dirs: [data, sockets] };
        running.wait();
        running
    }
}

impl Running {
    fn wait(&self) {
        let begun = Instant::now();
        while UnixStream::connect(&self.socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} is not there", self.socket.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
