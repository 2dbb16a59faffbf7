//! The signals of a child.
//!
//! Enters: signals. Leaves: what each one wants. QUIT is not among them: it ends the process at once, which the parent
//! sees and logs.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caught {
    /// That the child retires.
    Retire,
    /// That debug logging is toggled.
    ToggleDebug,
    /// That the child logs its status.
    TellLog,
}

/// Those that are caught.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.term.recv() => Caught::Retire,
            _ = self.int.recv() => Caught::ToggleDebug,
            _ = self.usr2.recv() => Caught::ToggleDebug,
            _ = self.hup.recv() => Caught::TellLog,
            _ = self.usr1.recv() => Caught::TellLog,
        }
    }
}
