//! The demo's host, from outside: a process that runs [`super::echo`].

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::process::Process;
use super::trouble::Trouble;

/// How long it may take to start, or to die.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running host.
pub(super) struct Host {
    process: Process,
    port: u16,
    most: Arc<AtomicU64>,
}

impl Host {
    /// At this port of 127.0.0.1, or at any if it is 0.
    pub(super) async fn start(port: u16) -> Result<Self, Trouble> {
        let mut command = Process::of_own_binary(&["demo-host", "--port", &port.to_string()])?;
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()), "the host")?;
        let (most, (tell, told)) = (Arc::new(AtomicU64::new(0)), oneshot::channel());
        if let Some(out) = process.child().stdout.take() {
            let most = Arc::clone(&most);
            std::thread::spawn(move || listen(out, tell, &most));
        }
        match timeout(PATIENCE, told).await {
            Ok(Ok(port)) => Ok(Self { process, port, most }),
            Ok(Err(_)) => Err(Trouble::Untrue("the host has ended before it listened".to_owned())),
            Err(_) => Err(Trouble::Late { what: "the host listens".to_owned(), bound: PATIENCE }),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it had at once, at most.
    pub(super) fn most_connections(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Kills it: no goodbye, as when its machine has crashed.
    pub(super) fn kill(&mut self) -> Result<(), Trouble> {
        let ended = self.process.end(Signal::SIGKILL, PATIENCE).map_err(Trouble::system("kill the host"))?;
        ended.map(drop).ok_or_else(|| Trouble::Late { what: "the host dies".to_owned(), bound: PATIENCE })
    }
}

/// Reads what the host says: see [`super::echo`].
fn listen(out: ChildStdout, tell: oneshot::Sender<u16>, most: &AtomicU64) {
    let mut tell = Some(tell);
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("listening", port)) => {
                if let (Some(tell), Ok(port)) = (tell.take(), port.parse()) {
                    tell.send(port).ok();
                }
            }
            Some(("connections", open)) => {
                most.fetch_max(open.parse().unwrap_or_default(), Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
