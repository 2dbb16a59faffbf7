//! The signals that the parent hears.
//!
//! Enters: signals, read from a descriptor. Leaves: one [`Caught`] at a time. Promised: none is lost and none is fatal from
//! the first line of `tieline run` on, restarts included, though several of a kind may count as one.

use std::io;

use nix::sys::signal::Signal;

use crate::system::signals;

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
pub(super) struct Signals(signals::Signals);

impl Signals {
    /// Reads what [`signals::block`] has blocked.
    pub(super) fn catch() -> io::Result<Self> {
        signals::Signals::open().map(Self)
    }

    /// The next one that means something.
    pub(super) async fn next(&mut self) -> Caught {
        loop {
            match self.0.next().await {
                Ok(arrived) => {
                    if let Some(caught) = meaning(arrived.number) {
                        tell(caught, arrived);
                        return caught;
                    }
                    tracing::debug!("signal {} means nothing to tieline", arrived.number);
                }
                Err(error) => {
                    tracing::error!("signals cannot be read any more: {error}; stopping");
                    return Caught::StopNow;
                }
            }
        }
    }
}

/// Who stops or restarts a service is worth a line.
fn tell(caught: Caught, arrived: signals::Arrived) {
    if matches!(caught, Caught::Stop | Caught::StopNow | Caught::Restart) {
        let name = Signal::try_from(arrived.number).map_or("a signal", Signal::as_str);
        tracing::info!("{name} from process {}", arrived.sender);
    }
}

fn meaning(number: i32) -> Option<Caught> {
    match Signal::try_from(number).ok()? {
        Signal::SIGTERM | Signal::SIGINT => Some(Caught::Stop),
        Signal::SIGQUIT => Some(Caught::StopNow),
        Signal::SIGHUP => Some(Caught::Restart),
        Signal::SIGUSR1 => Some(Caught::WriteStatus),
        Signal::SIGUSR2 => Some(Caught::ToggleDebug),
        Signal::SIGCHLD => Some(Caught::ChildEnded),
        _ => None,
    }
}
