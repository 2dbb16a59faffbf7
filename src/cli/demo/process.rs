//! A process that the demo has started.
//!
//! Promised: it is gone when its [`Process`] is dropped.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::trouble::Trouble;

/// See the head of this file.
pub(super) struct Process(Child);

impl Process {
    /// The own binary with other words, in a process group of its own: a terminal's Ctrl-C reaches the demo alone, which
    /// then ends the others.
    pub(super) fn of_own_binary(words: &[&str]) -> Result<Command, Trouble> {
        let binary = std::env::current_exe().map_err(Trouble::system("name the own binary"))?;
        let mut command = Command::new(binary);
        command.args(words).process_group(0).stdin(Stdio::null());
        // What a service manager told the demo is not meant for the demo's daemon.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("JOURNAL_STREAM");
        Ok(command)
    }

    pub(super) fn start(command: &mut Command, what: &str) -> Result<Self, Trouble> {
        command.spawn().map(Self).map_err(Trouble::system(format!("start {what}")))
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Signals it and waits for its end.
    pub(super) fn end(&mut self, signal: Signal, bound: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.ended()? {
            return Ok(Some(status));
        }
        // It has not been waited for, so that the number is still its own.
        kill(Pid::from_raw(self.id().cast_signed()), signal)?;
        let until = Instant::now() + bound;
        loop {
            match self.ended()? {
                None if Instant::now() < until => sleep(Duration::from_millis(2)),
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Process {
    /// Politely, then at once: a daemon that hears QUIT still ends its children; one that is killed cannot.
    fn drop(&mut self) {
        let ways = [(Signal::SIGTERM, 4), (Signal::SIGQUIT, 2), (Signal::SIGKILL, 2)];
        for (signal, seconds) in ways {
            if !matches!(self.end(signal, Duration::from_secs(seconds)), Ok(None)) {
                return;
            }
        }
    }
}
