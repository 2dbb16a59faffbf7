//! What is to be measured, and how long.
//!
//! Enters: the arguments. Leaves: a plan. Promised: an unknown word ends the program with the list of those that are known.

use std::cell::Cell;
use std::time::Duration;

use crate::workload::{self, Workload};

/// How often everything is measured, unless `--rounds` says otherwise.
const ROUNDS: usize = 5;

/// How long each measurement takes, unless `--seconds` says otherwise.
const SECONDS: f64 = 2.0;

pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one measurement, the warming up not included.
    pub(crate) time: Duration,
    /// Others may use so many cores: each measurement waits for that, and is repeated if it was not so.
    pub(crate) calm: Option<f64>,
    /// So long that was waited for.
    pub(crate) waited: Cell<Duration>,
    names: Vec<String>,
    /// Only tables and only contenders in whose name this stands; all if it is empty.
    table: String,
    contenders: Vec<String>,
}

impl Plan {
    /// Nothing if there is nothing to do: `cargo test --all-targets` runs benchmarks without the word `--bench`, and
    /// nobody waits for them then.
    pub(crate) fn from_arguments() -> Option<Self> {
        let mut words: Vec<String> = std::env::args().skip(1).collect();
        let asked = words.iter().any(|word| word == "--bench");
        words.retain(|word| word != "--bench");
        if !asked {
            return None;
        }
        if words.iter().any(|word| word == "--list") {
            list();
            return None;
        }
        Some(Self::read(words).unwrap_or_else(|complaint| quit(&complaint)))
    }

    pub(crate) fn workloads(&self) -> impl Iterator<Item = &'static Workload> + '_ {
        let wanted =
            |workload: &&Workload| self.names.is_empty() || self.names.iter().any(|name| name == workload.name);
        workload::ALL.iter().filter(wanted)
    }

    pub(crate) fn wants_table(&self, title: &str) -> bool {
        title.contains(&self.table)
    }

    pub(crate) fn wants_contender(&self, name: &str) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|wanted| name.contains(wanted))
    }

    /// The words that say this again.
    pub(crate) fn command(&self) -> String {
        let names = self.names.iter().map(|name| format!(" {name}")).collect::<String>();
        let (rounds, seconds) = (self.rounds, self.time.as_secs_f64());
        let calm = self.calm.map_or_else(String::new, |cores| format!(" --calm {cores}"));
        let table = if self.table.is_empty() { String::new() } else { format!(" --table {:?}", self.table) };
        let contenders = self.contenders.iter().map(|name| format!(" --contender {name:?}")).collect::<String>();
        format!("cargo bench --bench versus --{names} --rounds {rounds} --seconds {seconds}{calm}{table}{contenders}")
    }

    /// The load warms up for so long before it is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        (self.time / 4).min(Duration::from_millis(500))
    }

    fn read(words: Vec<String>) -> Result<Self, String> {
        let time = Duration::from_secs_f64(SECONDS);
        let mut plan = Self {
            rounds: ROUNDS,
            time,
            calm: None,
            waited: Cell::default(),
            names: Vec::new(),
            table: String::new(),
            contenders: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => plan.rounds = number(&word, words.next())?,
                "--seconds" => plan.time = seconds(number(&word, words.next())?)?,
                "--calm" => plan.calm = Some(number(&word, words.next())?),
                "--table" => plan.table = text(&word, words.next())?,
                "--contender" => plan.contenders.push(text(&word, words.next())?),
                name if workload::ALL.iter().any(|workload| workload.name == name) => plan.names.push(word),
                _ => return Err(format!("there is no workload and no option {word:?}")),
            }
        }
        if plan.rounds == 0 {
            return Err("--rounds needs a number above 0".to_owned());
        }
        Ok(plan)
    }
}

fn number<T: std::str::FromStr>(option: &str, word: Option<String>) -> Result<T, String> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| format!("{option} needs a number"))
}

fn text(option: &str, word: Option<String>) -> Result<String, String> {
    word.ok_or_else(|| format!("{option} needs a text"))
}

fn seconds(number: f64) -> Result<Duration, String> {
    let time = Duration::try_from_secs_f64(number).ok().filter(|time| *time >= Duration::from_millis(100));
    time.ok_or_else(|| "--seconds needs a number from 0.1 on".to_owned())
}

fn list() {
    for workload in workload::ALL {
        println!("{:12} {}", workload.name, workload.about);
    }
}

fn quit(complaint: &str) -> ! {
    eprintln!(
        "{complaint}\n\nUsage: cargo bench --bench versus -- [--list] [--rounds N] [--seconds S] [--calm CORES] [--table TEXT] \
         [--contender TEXT] [WORKLOAD…]\n"
    );
    list();
    std::process::exit(64);
}
