//! Who may use the machine: tests that measure or load it run alone, the others side by side.
//!
//! Leaves: a lock on a file in the target directory, so it holds between threads of `cargo test` and between processes
//! of `cargo nextest` alike.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// The machine, as long as this lives.
pub(crate) struct Machine {
    lock: Option<Flock<File>>,
    alone: bool,
}

impl Machine {
    /// Waits until all others are done, and keeps them off. To be taken before any daemon is started.
    pub(crate) fn alone() -> Self {
        let machine = Self { lock: Some(lock(FlockArg::LockExclusive)), alone: true };
        ALONE.set(true);
        machine
    }

    /// Waits until nobody wants to be alone; does nothing for who already is.
    pub(crate) fn shared() -> Self {
        let lock = (!ALONE.get()).then(|| lock(FlockArg::LockShared));
        Self { lock, alone: false }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.alone {
            ALONE.set(false);
        }
        drop(self.lock.take());
    }
}

fn lock(how: FlockArg) -> Flock<File> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine.lock");
    let file = File::create(&path).expect("the lock of the machine can be created");
    Flock::lock(file, how).expect("the machine can be locked")
}

/// Lets this process open as many files as the system allows.
pub(crate) fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the limit can be raised");
}
