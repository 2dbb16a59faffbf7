//! A real Redis on a port of its own, without persistence.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tieline::dialect::Dialect;

use super::{Process, Requester, encode_command, wait_until};

/// A running Redis; gone when dropped.
pub(crate) struct Redis {
    process: Child,
    port: u16,
    dir: TempDir,
    options: Vec<String>,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with("--port", &[])
    }

    /// One that speaks TLS, with the files `host.crt` and `host.key` and the CA `test.ca` of a directory.
    pub(crate) fn start_tls(files: &Path, more: &[&str]) -> Self {
        let file = |name: &str| files.join(name).display().to_string();
        let (cert, key, ca) = (file("host.crt"), file("host.key"), file("test.ca"));
        let tls = ["--port", "0", "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        Self::start_with("--tls-port", &[&tls, more].concat())
    }

    /// With these options besides; `port` is the one that takes the port.
    pub(crate) fn start_with(port_option: &str, more: &[&str]) -> Self {
        loop {
            let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
            let first = [port_option.to_owned(), port.to_string()].into_iter();
            let options: Vec<String> = first.chain(more.iter().map(|&option| option.to_owned())).collect();
            let mut redis = Self { process: spawn(&options, dir.path()), port, dir, options };
            if redis.answers() {
                return redis;
            }
            // Somebody else was faster at the port: try the next.
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        Process(self.process.id() as i32).signal(signal);
    }

    /// Kills it, and starts it again, empty, at the same port.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
        wait_until("redis-server is there again", || {
            self.process = spawn(&self.options, self.dir.path());
            self.answers().then_some(())
        });
    }

    /// A connection past the daemon; over a UNIX socket, so that it is told from the daemon's own.
    pub(crate) fn requester(&self) -> Requester {
        Requester::connect(&self.dir.path().join("redis.sock"), Dialect::Resp)
    }

    /// How many connections over TCP Redis has now.
    pub(crate) fn connections(&self, requester: &mut Requester) -> usize {
        requester.send_bytes(&encode_command(&["CLIENT", "LIST"]));
        requester.reply().lines().filter(|line| line.contains(" addr=127.0.0.1:")).count()
    }

    fn answers(&mut self) -> bool {
        wait_until("redis-server answers", || {
            if self.process.try_wait().expect("redis-server can be waited for").is_some() {
                return Some(false);
            }
            let socket = self.dir.path().join("redis.sock");
            let mut requester = Requester::try_connect(&socket, Dialect::Resp).ok()?;
            requester.send_bytes(b"PING\r\n");
            let reply = requester.next_reply().ok()??;
            (reply == "+PONG\r\n" || reply.starts_with("-NOAUTH")).then_some(true)
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(options: &[String], dir: &Path) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(["--protected-mode", "no", "--maxclients", "4000"])
        .args(options)
        .arg("--dir")
        .arg(dir)
        .arg("--unixsocket")
        .arg(dir.join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is needed: run ./test, or `apt-get install redis-server redis-tools`")
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed ({e}): ./test installs it"))
}

/// A TCP port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
