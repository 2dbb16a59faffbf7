//! Numbers of several rounds, and how they are shown.

use std::fmt;

/// One number per round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rounds(Vec<f64>);

/// What is aimed at: a ratio of two medians.
pub(crate) struct Aim {
    pub(crate) what: String,
    pub(crate) ratio: f64,
    pub(crate) at_least: f64,
}

impl Rounds {
    pub(crate) fn push(&mut self, number: f64) {
        self.0.push(number);
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn bounds(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, 0.0), |(low, high), number| (number.min(low), number.max(high)))
    }
}

/// The median, and in brackets the lowest and the highest.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.bounds();
        f.pad(&format!("{:.0} ({low:.0}-{high:.0})", self.median()))
    }
}

pub(crate) fn print_aims(aims: &[Aim]) {
    println!("\n## Aims\n\n| ratio of medians | is | aim | reached |\n| --- | --- | --- | --- |");
    for Aim { what, ratio, at_least } in aims {
        let reached = if ratio >= at_least { "yes" } else { "no" };
        println!("| {what} | {ratio:.2} | {at_least:.1} | {reached} |");
    }
}
