//! How fast the spool takes and how fast it gives back: `cargo bench --bench spool`.
//!
//! Enters: nothing, or `BENCH_DIR`, a directory on the disk in question, and after `--` the word `accept` or `replay` for
//! that half alone. Leaves: tables on standard output, and whether
//! the aims are reached. Promised: everything that is compared is measured in the same run, on the same file system, in
//! turns (A B C, A B C, …), each time with a fresh process in an empty directory; what is not installed is named.

#![expect(clippy::print_stdout, reason = "a benchmark's tables are what it is for")]

#[path = "spool/accept.rs"]
mod accept;
#[path = "spool/host.rs"]
mod host;
#[path = "spool/load.rs"]
mod load;
#[path = "spool/machine.rs"]
mod machine;
#[path = "spool/raw.rs"]
mod raw;
#[path = "spool/replay.rs"]
mod replay;
#[path = "spool/rival.rs"]
mod rival;
#[path = "spool/table.rs"]
mod table;
#[path = "spool/tieline.rs"]
mod tieline;

/// How often everything is measured.
const ROUNDS: usize = 3;

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this word: nobody waits for them then.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let says = |word: &str| words.iter().any(|other| other == word);
    if !says("--bench") {
        return;
    }
    machine::describe();
    let mut aims = Vec::new();
    if !says("replay") {
        aims.extend(accept::measure());
    }
    if !says("accept") {
        aims.extend(replay::measure());
    }
    table::print_aims(&aims);
}
