//! Bounds: whatever a requester or a host sends, the child's memory stays small and the others are served.

mod hosts;
mod requesters;

use std::time::Duration;

use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Process, name, wait_until};

/// What a child may use beyond what it used before, while a requester does not read: `unread` (1 MiB) on top of a
/// window (1,024) of replies of 1,000 bytes, and as much again for buffers that have doubled.
const UNREAD_KB: u64 = 8 * 1024;
/// What it may use beyond that for a frame of at most 1 MiB, which is all that `max_request` and `max_reply` allow here.
const FRAME_KB: u64 = 4 * 1024;
/// What may remain afterwards: the allocator's pages, not the requests.
const REST_KB: u64 = 2 * 1024;
/// The median latency that others may see meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

/// A host, its daemon and its child, warmed up so that the memory of now is a base to compare with.
fn warm(dialect: Dialect, options: &str) -> (ChaosHost, Daemon, Process, u64) {
    let host = ChaosHost::start(dialect);
    let line = format!("far {} {} {options}", host.address(), name(dialect));
    let mut daemon = Daemon::start(&[&line]);
    let child = daemon.child("far");
    for _ in 0..100 {
        daemon.requester("far", dialect).ask("<0>");
    }
    let base = child.private_kb();
    (host, daemon, child, base)
}

fn assert_memory(child: Process, base: u64, allowance: u64) {
    let now = child.private_kb();
    assert!(now < base + allowance, "the child grew from {base} to {now} kB");
}

fn wait_until_given_back(child: Process, base: u64) {
    let mut now = 0;
    let given_back = || {
        now = child.private_kb();
        (now < base + REST_KB).then_some(now)
    };
    let now = wait_until("the child's memory is given back", given_back);
    println!("memory: {base} kB before, {now} kB afterwards");
}
