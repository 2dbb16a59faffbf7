//! How many instructions the pure rooms need for one turn of their work: `cargo bench --bench rooms`.
//!
//! Enters: nothing; `benches/rooms/limits.txt` says what was needed before. Leaves: a table on standard output, and exit
//! code 1 if a room needs over 5 % more than is written there. Promised: instructions are counted by valgrind's callgrind,
//! so that the machine may be as busy as it likes; what is not the turn itself (start, warming up) is subtracted.
//!
//! A change that makes a room cheaper, or dearer for a good reason, writes its figure into the file. The figures are of one
//! compiler (named there): another one gives others.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's table is what it is for")]

mod rooms;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};

/// Turns of a short run and of a long one; the difference is what is looked at.
const TURNS: [u64; 2] = [2_000, 6_000];

/// A room may need so much more than its limit says.
const SLACK: f64 = 1.05;

/// Says to this program that it is counted, and how often it is to do what.
const COUNTED: &str = "TIELINE_ROOMS_TURNS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(turns) = std::env::var(COUNTED).ok().and_then(|turns| turns.parse().ok()) {
        return run(&words, turns);
    }
    // `cargo test --all-targets` runs benchmarks without this word, and nobody waits for them then.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let Ok(limits) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rooms/limits.txt")) else {
        eprintln!("benches/rooms/limits.txt cannot be read");
        return ExitCode::FAILURE;
    };
    compare(&read(&limits))
}

fn run(words: &[String], turns: u64) -> ExitCode {
    let Some(room) = rooms::ALL.iter().find(|room| words.contains(&room.name.to_owned())) else {
        return ExitCode::FAILURE;
    };
    (room.turns)(turns);
    ExitCode::SUCCESS
}

/// The limits, by room: lines of a name and a number; `#` begins a comment.
fn read(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(char::is_whitespace))
        .filter_map(|(name, number)| Some((name, number.trim().parse().ok()?)))
        .collect()
}

fn compare(limits: &BTreeMap<&str, f64>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    println!("| room | instructions | before | what |\n| --- | --- | --- | --- |");
    for room in rooms::ALL {
        let counts = TURNS.map(|turns| count(room.name, turns));
        let [Some(few), Some(many)] = counts else {
            eprintln!("{}: not counted; is valgrind installed?", room.name);
            return ExitCode::FAILURE;
        };
        let each = (many - few) / (TURNS[1] - TURNS[0]) as f64;
        let limit = limits.get(room.name);
        let over = limit.is_none_or(|limit| each > limit * SLACK);
        let before = limit.map_or_else(|| "-".to_owned(), |limit| format!("{limit:.0}"));
        println!("| {} | {each:.0}{} | {before} | {} |", room.name, if over { " **more**" } else { "" }, room.about);
        if over {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// All instructions of this program while it does so many turns.
fn count(name: &str, turns: u64) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(this).arg(name);
    let output = command.env(COUNTED, turns.to_string()).stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // `==4711== Collected : 123456`
    let line = said.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok().filter(|_| output.status.success())
}
