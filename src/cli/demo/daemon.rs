//! The demo's daemon, from outside: `tieline run`, and the commands that talk to it.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::home::Home;
use super::process::Process;
use super::trouble::Trouble;
use crate::cli::daemon::Daemon as Asked;
use crate::parent::status::{HostStatus, Status};
use crate::parent::table::entry::State;

/// How long it may take to start, and each command.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to stop: its `drain` and a little.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);

/// The running daemon.
pub(super) struct Daemon {
    process: Process,
    config: PathBuf,
}

impl Daemon {
    /// Starts it; its log goes to a file.
    pub(super) fn start(home: &Home) -> Result<Self, Trouble> {
        let what = || Trouble::system(format!("write {}", home.log().display()));
        let log = File::create(home.log()).map_err(what())?;
        let mut command = Process::of_own_binary(&["run", "--config"])?;
        command.arg(home.config()).stdout(log.try_clone().map_err(what())?).stderr(log);
        Ok(Self { process: Process::start(&mut command, "the daemon")?, config: home.config() })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its one host has a child that is ready.
    pub(super) async fn is_ready(&mut self) -> Result<HostStatus, Trouble> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.ended().map_err(Trouble::system("look after the daemon"))? {
                return Err(Trouble::Untrue(format!("the daemon has ended at its start: {status}")));
            }
            if let Ok(Some(host)) = self.host().await
                && host.state == State::Idle
                && host.pid.is_some()
            {
                return Ok(host);
            }
            if start.elapsed() >= PATIENCE {
                return Err(Trouble::Late { what: "the daemon is ready".to_owned(), bound: PATIENCE });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the daemon says of its one host.
    pub(super) async fn host(&self) -> Result<Option<HostStatus>, Trouble> {
        let config = self.config.clone();
        let ask = move || Asked::find(Some(&config)).and_then(|mut daemon| daemon.status(None));
        let status: Status = blocking("the status", ask).await?.map_err(|error| Trouble::Untrue(error.to_string()))?;
        Ok(status.hosts.into_iter().next())
    }

    /// Runs `tieline WORDS…` as a user would; gives what it printed.
    pub(super) async fn command(&self, words: &[&str]) -> Result<String, Trouble> {
        let name = format!("`tieline {}`", words.join(" "));
        let mut command = Process::of_own_binary(&["--config"])?;
        command.arg(&self.config).args(words);
        let output = blocking(&name, move || command.output()).await?;
        let output = output.map_err(Trouble::system(format!("run {name}")))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        Trouble::unless(output.status.success(), || format!("{name} ended with {}: {complaint}", output.status))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Stops it gracefully; it must end with exit code 0. Returns how long it took.
    pub(super) fn stop(mut self) -> Result<Duration, Trouble> {
        let start = Instant::now();
        let ended =
            self.process.end(Signal::SIGTERM, PATIENCE_AT_THE_END).map_err(Trouble::system("stop the daemon"))?;
        match ended {
            Some(status) if status.success() => Ok(start.elapsed()),
            Some(status) => Err(Trouble::Untrue(format!("the daemon was told to stop and ended with {status}"))),
            None => Err(Trouble::Late { what: "the daemon stops".to_owned(), bound: PATIENCE_AT_THE_END }),
        }
    }
}

/// Does something beside the event loop that may take a while.
async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    match timeout(PATIENCE, spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Trouble::Untrue(format!("{what}: {error}"))),
        Err(_) => Err(Trouble::Late { what: what.to_owned(), bound: PATIENCE }),
    }
}
