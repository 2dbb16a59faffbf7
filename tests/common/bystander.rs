//! A bystander: a requester that asks all the time while something goes wrong elsewhere, and may not suffer from it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::{Requester, tag};

/// The tags of the next bystander begin here: each has its own, far above those of all other requesters.
static NEXT_TAGS: AtomicU64 = AtomicU64::new(1 << 40);

/// A thread that asks without a pause.
pub(crate) struct Bystander {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Bystander {
    /// Begins to ask at the socket.
    pub(crate) fn start(socket: PathBuf, dialect: Dialect) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&enough);
        let thread = spawn(move || ask_until(&flag, &mut Requester::connect(&socket, dialect)));
        Self { enough, thread }
    }

    /// Ends the asking; every reply must have been the right one. Returns the median latency.
    pub(crate) fn finish(self) -> Duration {
        self.enough.store(true, Ordering::Relaxed);
        let mut latencies = self.thread.join().expect("the bystander was served all the time");
        latencies.sort();
        latencies[latencies.len() / 2]
    }
}

fn ask_until(enough: &AtomicBool, requester: &mut Requester) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let first_tag = NEXT_TAGS.fetch_add(1 << 32, Ordering::Relaxed);
    while !enough.load(Ordering::Relaxed) || latencies.len() < 100 {
        let tag = tag(first_tag + latencies.len() as u64);
        let start = Instant::now();
        let reply = requester.ask(&tag);
        latencies.push(start.elapsed());
        assert!(reply.contains(&tag), "the bystander asked {tag} and heard {reply}");
    }
    latencies
}
