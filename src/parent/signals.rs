//! The signals that the parent hears.
//!
//! Enters: signals. Leaves: one [`Caught`] at a time. Promised: a signal that arrives after [`Signals::catch`] is not
//! lost, though several of a kind may count as one.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal means to the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caught {
    /// TERM, INT: stop gracefully, the second one at once.
    Stop,
    /// QUIT: stop at once.
    StopNow,
    /// HUP: restart.
    Restart,
    /// USR1: write the status file.
    WriteStatus,
    /// USR2: toggle debug logging.
    ToggleDebug,
    /// CHLD: a child has ended.
    ChildEnded,
}

/// All of them, caught.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    chld: Signal,
}

impl Signals {
    /// From now on no signal has its default effect, which for most would be the parent's death.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            chld: signal(SignalKind::child())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.term.recv() => Caught::Stop,
            _ = self.int.recv() => Caught::Stop,
            _ = self.quit.recv() => Caught::StopNow,
            _ = self.hup.recv() => Caught::Restart,
            _ = self.usr1.recv() => Caught::WriteStatus,
            _ = self.usr2.recv() => Caught::ToggleDebug,
            _ = self.chld.recv() => Caught::ChildEnded,
        }
    }
}
