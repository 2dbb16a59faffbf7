//! What the integration tests share: a daemon in a directory of its own, hosts, requesters, and how to wait.
//!
//! Promised: nothing here waits for a fixed time; whatever a test has started is gone when the test is, also after a
//! panic; every wait is bounded and says what it has waited for.

mod build;
mod bystander;
mod ca;
mod chaos_host;
mod daemon;
mod machine;
mod manager;
mod memcached;
mod nats;
mod process;
mod python;
mod redis;
mod relay;
mod requester;
mod resp;
mod restart;
mod small_disk;

use std::time::{Duration, Instant};

pub(crate) use build::Build;
pub(crate) use bystander::Bystander;
pub(crate) use ca::{Ca, private};
pub(crate) use chaos_host::{ChaosHost, name, tag};
pub(crate) use daemon::{Daemon, Place};
pub(crate) use machine::{Machine, raise_file_limit};
pub(crate) use manager::Passed;
pub(crate) use memcached::Memcached;
pub(crate) use nats::{Nats, fake_nats};
pub(crate) use process::Process;
pub(crate) use python::python_venv;
pub(crate) use redis::{Redis, free_port, run};
pub(crate) use relay::Relay;
pub(crate) use requester::{Requester, encode, encode_command, wait_for_service};
pub(crate) use restart::{PLACE_VARIABLE, host, pids};
pub(crate) use small_disk::SmallDisk;

/// As long as any single step of a test may take on a slow and busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Polls until `ready` gives something; panics with `what` when `LONG` has passed.
pub(crate) fn wait_until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < LONG, "waited {LONG:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The median of what `measure` takes, over `count` calls.
pub(crate) fn median_time(count: usize, mut measure: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let start = Instant::now();
            measure();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[count / 2]
}
