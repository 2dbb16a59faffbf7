//! Harnesses that try to break the store: power loss, failing writes and syncs, a full disk, damaged files.
//!
//! `TIELINE_LONG=1` for many more rounds of each. Those that watch or break system calls run this program again with a
//! library (`faultio.c`, built with cc) loaded before the system's.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests may, and so may their helpers")]

mod bitrot;
mod faults;
#[path = "../../src/spool/store/tests/first.rs"]
mod first;
mod format;
mod full_disk;
mod power;
mod preload;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tieline::spool::store::{Limits, New};

/// Rounds of a harness: some, or many if the environment asks for them.
fn rounds(some: usize, many: usize) -> usize {
    if std::env::var_os("TIELINE_LONG").is_some_and(|long| long != "0") { many } else { some }
}

/// Seconds since a day in 2026.
fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

fn limits() -> Limits {
    Limits { ballast: 64 << 10, free_floor_percent: 0, ..Limits::default() }
}

/// A body that says which one it is; sizes from a few bytes to several pages.
fn body(number: u64) -> Vec<u8> {
    let length = match number % 7 {
        0 => 5000,
        1 => 9000,
        other => 20 + 40 * other,
    };
    let mut body = format!("request {number} ").into_bytes();
    body.resize(usize::try_from(length).unwrap(), b'a' + u8::try_from(number % 26).unwrap());
    body
}

/// Which one a body is.
fn number(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let number = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a body of ours");
    assert_eq!(bytes, body(number), "a body is whole");
    number
}

/// The tag of each request.
const TAG: &str = "5e81.1f";

fn new(body: &[u8]) -> New<'_> {
    New { body, tag: TAG, accepted_ms: 1_790_000_000_000, in_doubt: false }
}

/// A directory in memory where there is one: what is tested here is what reaches the disk, not how fast.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
