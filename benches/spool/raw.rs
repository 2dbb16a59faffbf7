//! What the disk itself can do: `write` and `fdatasync` of the same bytes, without anything around it.
//!
//! All threads append to one file under a lock, each waiting for its own sync: what a home-made outbox does.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::load::{REQUEST, Sample};

/// So many threads append for so long.
pub(crate) fn measure(threads: usize, time: Duration) -> Sample {
    let dir = crate::machine::on_disk();
    let file = Mutex::new(File::create(dir.path().join("outbox")).expect("a file on the disk"));
    let end = Instant::now() + time;
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| append_until(&file, end))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it has appended")).collect()
    });
    Sample { latencies, time }
}

fn append_until(file: &Mutex<File>, end: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return latencies;
        }
        let mut file = file.lock().expect("nobody panicked");
        file.write_all(&[b'x'; REQUEST]).expect("it can be written");
        file.sync_data().expect("it can be synced");
        drop(file);
        latencies.push(begun.elapsed());
    }
}
