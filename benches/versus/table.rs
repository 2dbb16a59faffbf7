//! Figures of several rounds, side by side.
//!
//! Enters: contenders, and how one is measured. Leaves: a table to print, and aims that compare its rows. Promised: in
//! each round every contender is measured once, in the same order; who fails has no figure in that round, and why is said.

use std::collections::BTreeSet;
use std::io;

use crate::aim::{Aim, Bound};
use crate::contender::{Contender, DEFAULT, HAPROXY, NUTCRACKER, TIELINE};
use crate::measure::{Measure, Sample, calmly, count_syscalls};
use crate::{machine, plan::Plan};

/// System calls per request vary little: so many rounds are enough.
const COUNTED: usize = 3;

/// See the head of this file.
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
    /// The load averages between the measurements.
    averages: Vec<f64>,
    notes: Vec<String>,
    aims: Vec<Aim>,
}

struct Row {
    name: String,
    /// One for each round.
    samples: Vec<Sample>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        eprintln!("== {title}");
        Self { title, rows: Vec::new(), averages: Vec::new(), notes: Vec::new(), aims: Vec::new() }
    }

    /// Measures all contenders in turns.
    pub(crate) fn compare(
        title: impl Into<String>,
        plan: &Plan,
        contenders: &[Contender],
        measure: impl Fn(&Contender) -> io::Result<Sample>,
    ) -> Self {
        let title = title.into();
        let rounds = if plan.wants_table(&title) { plan.rounds } else { 0 };
        let mut table = Self::new(title);
        for round in 0..rounds {
            for contender in contenders.iter().filter(|contender| plan.wants_contender(&contender.name)) {
                table.add(&contender.name, round, || calmly(plan, || measure(contender)));
            }
        }
        table
    }

    /// Measures one thing once and adds its figures.
    pub(crate) fn add(&mut self, name: &str, round: usize, measure: impl FnOnce() -> io::Result<Sample>) {
        self.averages.push(machine::load_average());
        let sample = measure().unwrap_or_else(|error| {
            let note = format!("{name}, round {}: not measured: {error}", round + 1);
            eprintln!("{note}");
            self.notes.push(note);
            Sample::default()
        });
        self.averages.push(machine::load_average());
        eprintln!("   {}. {name}: {}", round + 1, summary(&sample));
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { name: name.to_owned(), samples: vec![sample] }),
        }
    }

    /// Counts system calls, in short runs of their own after the others, and adds them to the first rounds' figures.
    pub(crate) fn count_syscalls(
        mut self,
        plan: &Plan,
        contenders: &[Contender],
        load: impl Fn(&Contender) -> io::Result<u64>,
    ) -> Self {
        for round in 0..plan.rounds.min(COUNTED) {
            for contender in contenders {
                let Some(row) = self.rows.iter_mut().find(|row| row.name == contender.name) else { continue };
                let Some(sample) = row.samples.get_mut(round) else { continue };
                match count_syscalls(contender, sample.clone(), || load(contender)) {
                    Ok(counted) => *sample = counted,
                    Err(error) => self.notes.push(format!("{}: system calls not counted: {error}", contender.name)),
                }
            }
        }
        self
    }

    /// No peer may be ahead by more than 5 %, in these figures. Each meets the tieline that has as many connections as it:
    /// HAProxy has one for each requester, so it meets the one that may have more than one.
    pub(crate) fn no_peer_wins(mut self, measures: &[Measure]) -> Self {
        let default = if self.row(DEFAULT).is_some() { DEFAULT } else { TIELINE };
        for (ours, peer) in [(TIELINE, NUTCRACKER), (default, HAPROXY)] {
            for measure in measures {
                let bound = if measure.more_is_better() { Bound::AtLeast(0.95) } else { Bound::AtMost(1.05) };
                let known = self.aims.len();
                self = self.aim(*measure, ours, peer, bound);
                self.aims[known..].iter_mut().for_each(|aim| aim.of_peer = true);
            }
        }
        self
    }

    /// Something to be said below the table.
    pub(crate) fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// An aim: the figure of `row` divided by that of `other`, round by round. Nothing if one of them is missing.
    pub(crate) fn aim(mut self, measure: Measure, row: &str, other: &str, bound: Bound) -> Self {
        let (Some(ours), Some(theirs)) = (self.row(row), self.row(other)) else { return self };
        let pairs = ours.samples.iter().zip(&theirs.samples);
        let ratios = pairs.filter_map(|(ours, theirs)| Some(ours.get(measure)? / theirs.get(measure)?)).collect();
        let what = format!("{}: {}, {row} / {other}", self.title, measure.title());
        self.aims.push(Aim { what, ratios, bound, of_peer: false });
        self
    }

    /// An aim for the figure itself.
    pub(crate) fn aim_of(mut self, measure: Measure, row: &str, bound: Bound) -> Self {
        let Some(ours) = self.row(row) else { return self };
        let ratios = ours.samples.iter().filter_map(|sample| sample.get(measure)).collect();
        let what = format!("{}: {}, {row}", self.title, measure.title());
        self.aims.push(Aim { what, ratios, bound, of_peer: false });
        self
    }

    pub(crate) fn into_aims(self) -> Vec<Aim> {
        self.aims
    }

    pub(crate) fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n## {}\n", self.title);
        let samples = self.rows.iter().flat_map(|row| &row.samples);
        let columns: BTreeSet<Measure> = samples.flat_map(Sample::measures).collect();
        let titles: String = columns.iter().map(|measure| format!(" {} |", measure.title())).collect();
        println!("| contender |{titles}\n| --- |{}", " --- |".repeat(columns.len()));
        for row in &self.rows {
            let cells: String = columns.iter().map(|measure| format!(" {} |", row.cell(*measure))).collect();
            println!("| {} |{cells}", row.name);
        }
        let (low, high) = bounds(&self.averages);
        println!("\nLoad average between the measurements: {low:.1}-{high:.1}.");
        for note in &self.notes {
            println!("\n{note}");
        }
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    /// The median, and in brackets the lowest and the highest.
    fn cell(&self, measure: Measure) -> String {
        let figures: Vec<f64> = self.samples.iter().filter_map(|sample| sample.get(measure)).collect();
        let ((low, high), digits) = (bounds(&figures), measure.digits());
        match figures.len() {
            0 => "-".to_owned(),
            1 => format!("{low:.digits$}"),
            _ => format!("{:.digits$} ({low:.digits$}-{high:.digits$})", median(&figures)),
        }
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn bounds(figures: &[f64]) -> (f64, f64) {
    figures.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (number.min(low), number.max(high)))
}

/// For whoever watches.
fn summary(sample: &Sample) -> String {
    let figure = |measure: Measure| Some(format!("{} {:.2}", measure.title(), sample.get(measure)?));
    sample.measures().filter_map(figure).collect::<Vec<_>>().join(", ")
}
