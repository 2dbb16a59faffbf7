//! What is aimed at, and whether it is reached.
//!
//! Promised: a verdict is given from the ratio of each round, for only what was measured within one round has met the same
//! machine: reached if all rounds say so, not reached if none does, else unclear.

use crate::table::{bounds, median};

/// What a ratio must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

pub(crate) struct Aim {
    pub(crate) what: String,
    /// One for each round.
    pub(crate) ratios: Vec<f64>,
    pub(crate) bound: Bound,
    /// One of the many that say only that no peer is ahead.
    pub(crate) of_peer: bool,
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }
}

impl Aim {
    fn is_reached(&self) -> bool {
        !self.ratios.is_empty() && self.ratios.iter().all(|ratio| self.bound.holds(*ratio))
    }

    fn figures(&self) -> String {
        if self.ratios.is_empty() {
            return "-".to_owned();
        }
        let (low, high) = bounds(&self.ratios);
        format!("{:.2} ({low:.2}-{high:.2})", median(&self.ratios))
    }

    fn verdict(&self) -> String {
        let reached = self.ratios.iter().filter(|ratio| self.bound.holds(**ratio)).count();
        match (reached, self.ratios.len()) {
            (_, 0) => "not measured".to_owned(),
            (0, _) => "**not reached**".to_owned(),
            (some, all) if some < all => format!("unclear: in {some} of {all} rounds"),
            _ => "reached".to_owned(),
        }
    }
}

/// Of those that say only that no peer is ahead, what is reached is only counted.
pub(crate) fn print(aims: &[Aim]) {
    let (of_peers, own): (Vec<&Aim>, Vec<&Aim>) = aims.iter().partition(|aim| aim.of_peer);
    if !own.is_empty() {
        print_table("Aims", own.into_iter());
    }
    if of_peers.is_empty() {
        return;
    }
    let reached = of_peers.iter().filter(|aim| aim.is_reached()).count();
    print_table("No peer ahead by more than 5 %", of_peers.iter().copied().filter(|aim| !aim.is_reached()));
    println!("\nReached in all rounds by {reached} of {} comparisons, which are not listed.", of_peers.len());
}

fn print_table<'a>(title: &str, aims: impl Iterator<Item = &'a Aim>) {
    println!("\n## {title}\n\n| figure, or ratio of two figures of one round | median (range) | aim | verdict |");
    println!("| --- | --- | --- | --- |");
    for aim in aims {
        println!("| {} | {} | {} | {} |", aim.what, aim.figures(), aim.bound.words(), aim.verdict());
    }
}
