//! Signals as things to be read: blocked from the first moment, taken one by one from a descriptor (signalfd(2)).
//!
//! Enters: signals. Leaves: their numbers, with who sent them. Promised: after [`block`] no signal that can be blocked
//! has an effect of its own, and none is lost: it stays pending in the kernel until it is read, also across an exec
//! (several of a kind count as one). There is no handler, so there is no moment between two images in which a signal
//! would find none.
#![expect(unsafe_code, reason = "the runtime takes a descriptor's owner at its word")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What stays as it is: faults of the process itself, which must end it where they happen; the stops and goes of a
/// terminal; the limit of processor time, which its setter means to kill.
const LEFT_ALONE: [Signal; 12] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCONT,
    Signal::SIGXCPU,
];

fn blocked() -> SigSet {
    let mut set = SigSet::all();
    for signal in LEFT_ALONE {
        set.remove(signal);
    }
    set
}

/// Blocks signals in this thread and in those that it starts. To be called before there are others.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn block() -> io::Result<()> {
    Ok(blocked().thread_block()?)
}

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its number, see signal(7).
    pub number: i32,
    /// The process that sent it; 0 for the kernel.
    pub sender: u32,
}

/// The blocked signals, to be read. Needs the tokio runtime.
#[derive(Debug)]
pub struct Signals(AsyncFd<Readable>);

#[derive(Debug)]
struct Readable(SignalFd);

impl AsRawFd for Readable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Signals {
    /// From now on they are read from here.
    ///
    /// # Errors
    /// Those of signalfd(2) and of the event loop.
    pub fn open() -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&blocked(), flags)?;
        // SAFETY: a `SignalFd` stays the same open descriptor until it is dropped, and `AsyncFd` deregisters it before.
        Ok(Self(unsafe { AsyncFd::register_with_interest(Readable(fd), Interest::READABLE) }?))
    }

    /// The next one.
    ///
    /// # Errors
    /// Those of read(2) on the descriptor, which are not to be expected.
    pub async fn next(&mut self) -> io::Result<Arrived> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.get_inner().0.read_signal()? {
                Some(told) => {
                    let number = i32::try_from(told.ssi_signo).unwrap_or_default();
                    return Ok(Arrived { number, sender: told.ssi_pid });
                }
                None => ready.clear_ready(),
            }
        }
    }
}
