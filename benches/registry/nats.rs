//! A server of NATS on this machine, with the same names in a bucket: what a program could ask instead.
//!
//! The server is that of `NATS_SERVER`, else the one that the tests have installed, else the first `nats-server` of PATH.
//! Without any it is left out, and said so.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::daemon::{INSTANCES, NAMES, name_of};
use crate::lookup::Lookup;

/// The server; gone when dropped.
pub(crate) struct Nats {
    process: Child,
    url: String,
    version: String,
    _data: TempDir,
}

impl Nats {
    /// Starts it, and fills a bucket: a key for each name, all its addresses as the value.
    pub(crate) fn start() -> Option<Self> {
        let (binary, version) = binary()?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).ok()?.port();
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).ok()?;
        let mut command = Command::new(binary);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(data.path());
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let nats = Self { process, url: format!("nats://127.0.0.1:{port}"), version, _data: data };
        nats.fill();
        Some(nats)
    }

    fn fill(&self) {
        let runtime = event_loop();
        runtime.block_on(async {
            let config = kv::Config { bucket: "names".into(), ..kv::Config::default() };
            let bucket = jetstream::new(self.connect().await).create_key_value(config).await.expect("a bucket");
            for name in 0..NAMES {
                let addresses = (1..=INSTANCES).map(|instance| format!("tcp:10.0.0.{instance}:7000"));
                let value = addresses.collect::<Vec<_>>().join(" ");
                bucket.put(name_of(name), value.into()).await.expect("it is written");
            }
        });
    }

    /// Waits for a server that is just being started.
    async fn connect(&self) -> async_nats::Client {
        let begun = Instant::now();
        loop {
            match async_nats::connect(&self.url).await {
                Ok(client) => return client,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A program with a connection of its own.
    pub(crate) fn program(&self) -> Box<dyn Lookup> {
        let runtime = event_loop();
        let bucket = runtime
            .block_on(async { jetstream::new(self.connect().await).get_key_value("names").await.expect("the bucket") });
        Box::new(Program { runtime, bucket })
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

struct Program {
    runtime: Runtime,
    bucket: kv::Store,
}

impl Lookup for Program {
    fn find(&mut self, name: &str) -> usize {
        let value = self.runtime.block_on(self.bucket.get(name)).expect("it answers").expect("the name is there");
        value.split(|byte| *byte == b' ').count()
    }
}

fn event_loop() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("an event loop")
}

/// A server that can be run, and its version.
fn binary() -> Option<(PathBuf, String)> {
    let given = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let of_tests = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("venv").join("bin/nats-server");
    let mut candidates = given.into_iter().chain([of_tests, PathBuf::from("nats-server")]);
    candidates.find_map(|binary| {
        let said = Command::new(&binary).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&said.stdout).trim().rsplit(' ').next()?.to_owned();
        // A path is found by its file, a bare name by PATH.
        (said.status.success()).then(|| (fs::canonicalize(&binary).unwrap_or(binary), version))
    })
}
