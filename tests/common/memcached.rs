//! A real memcached on a port of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::{LONG, Process, free_port, wait_until};

/// A running memcached; gone when dropped.
pub(crate) struct Memcached {
    process: Child,
    port: u16,
}

impl Memcached {
    /// Starts one that takes values up to 2 MiB, and waits until it answers.
    pub(crate) fn start() -> Self {
        loop {
            let port = free_port();
            let process = Command::new("memcached")
                .args(["-u", "nobody", "-l", "127.0.0.1", "-p", &port.to_string(), "-I", "2m", "-m", "256"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("memcached is needed: run ./test, or `apt-get install memcached`");
            let mut memcached = Self { process, port };
            if memcached.answers() {
                return memcached;
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

    /// Asks past the daemon.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("memcached accepts");
        stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
        stream.write_all(format!("{request}\r\n").as_bytes()).expect("memcached takes a request");
        let (mut bytes, mut chunk) = (Vec::new(), [0; 64 * 1024]);
        loop {
            if let Some(length) = reply_length(&bytes) {
                return String::from_utf8_lossy(&bytes[..length]).into_owned();
            }
            let count = stream.read(&mut chunk).expect("memcached answers");
            assert!(count > 0, "memcached closed the connection instead of answering {request}");
            bytes.extend_from_slice(&chunk[..count]);
        }
    }

    /// A number of `stats`.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stats = self.ask("stats");
        let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    fn answers(&mut self) -> bool {
        wait_until("memcached answers", || {
            if self.process.try_wait().expect("memcached can be waited for").is_some() {
                return Some(false);
            }
            TcpStream::connect(self.address()).ok()?;
            self.ask("version").starts_with("VERSION ").then_some(true)
        })
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// How many bytes the first reply has, if it is whole.
pub(crate) fn reply_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = at + bytes[at..].iter().position(|&byte| byte == b'\n')? + 1;
        let line = String::from_utf8_lossy(&bytes[at..end]).into_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let length = |index: usize| words[index].parse::<usize>().expect("a length");
        match words.first() {
            Some(&"VALUE") => at = end + length(3) + 2,
            Some(&"STAT") => at = end,
            Some(&"VA") => {
                let whole = end + length(1) + 2;
                return (whole <= bytes.len()).then_some(whole);
            }
            _ => return Some(end),
        }
        if at > bytes.len() {
            return None;
        }
    }
}
