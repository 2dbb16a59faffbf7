//! How fast a name is resolved: `cargo bench --bench registry`.
//!
//! Enters: nothing, or `BENCH_DIR`, a directory on the disk in question. Leaves: a table on standard output. Promised: what
//! is compared reads the same rows, of the same running registry, in turns (A B C, A B C, …), once while nothing else
//! happens and once while leases are renewed all the time.
//!
//! Beside `RESOLVE` stands what a program could do instead: read the registry's table by the `sqlite3` library, in its own
//! process, with a connection and a statement that it keeps, or with one that it opens for each read, as a short script does.

#![expect(clippy::print_stdout, reason = "a benchmark's tables are what it is for")]

#[path = "registry/daemon.rs"]
mod daemon;
#[path = "registry/lookup.rs"]
mod lookup;
#[path = "registry/measure.rs"]
mod measure;

use std::time::Duration;

use daemon::Daemon;
use lookup::Contender;
use measure::{Figures, Rounds};

/// How often everything is measured, and for how long.
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(1);

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this word: nobody waits for them then.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let daemon = Daemon::start();
    let rows = daemon.register();
    daemon::describe();
    println!("- {rows} rows: {} names with {} instances each\n", daemon::NAMES, daemon::INSTANCES);
    for (title, renewals) in [("nothing else happens", false), ("leases are renewed all the time", true)] {
        println!("## Reading one name while {title}\n\nMedian of {ROUNDS} rounds (lowest-highest); times in µs.\n");
        println!("| programs | what | reads/s | p50 | p99 |\n| --- | --- | --- | --- | --- |");
        let renewing = renewals.then(|| daemon.renew());
        let all = Contender::all();
        let mut figures = vec![Rounds::default(); all.len()];
        for _ in 0..ROUNDS {
            for (contender, rounds) in all.iter().zip(&mut figures) {
                rounds.push(measure::run(&daemon, contender, TIME));
            }
        }
        for (contender, rounds) in all.iter().zip(&figures) {
            print_row(contender, rounds);
        }
        println!();
        if let Some(renewing) = renewing {
            println!("{:.0} renewals/s meanwhile.\n", renewing.stop());
        }
    }
}

fn print_row(contender: &Contender, rounds: &Rounds) {
    let column = |of: fn(&Figures) -> f64, digits| rounds.show(of, digits);
    let Contender { programs, what, .. } = contender;
    println!(
        "| {programs} | {what} | {} | {} | {} |",
        column(|figures| figures.rate, 0),
        column(|figures| figures.p50, 1),
        column(|figures| figures.p99, 1),
    );
}
