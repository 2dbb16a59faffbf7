//! One measurement: programs that look names up, one after the other, for a while.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::daemon::{Daemon, NAMES, name_of};
use crate::lookup::{Contender, Lookup};

/// What one measurement gave: reads per second, and times in µs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Those of each round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rounds(Vec<Figures>);

impl Rounds {
    pub(crate) fn push(&mut self, figures: Figures) {
        self.0.push(figures);
    }

    /// The median of one figure, and in brackets the lowest and the highest.
    pub(crate) fn show(&self, of: fn(&Figures) -> f64, digits: usize) -> String {
        let mut sorted: Vec<f64> = self.0.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let (low, median, high) = (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)));
        format!("{median:.digits$} ({low:.digits$}-{high:.digits$})")
    }
}

pub(crate) fn run(daemon: &Daemon, contender: &Contender, time: Duration) -> Figures {
    let lookups: Vec<_> = (0..contender.programs).map(|_| (contender.begin)(daemon)).collect();
    let together = Barrier::new(contender.programs);
    let mut all = histogram();
    std::thread::scope(|scope| {
        let threads: Vec<_> = lookups
            .into_iter()
            .map(|lookup| {
                let together = &together;
                scope.spawn(move || look_up(lookup, time, together))
            })
            .collect();
        for thread in threads {
            all.add(thread.join().expect("every name was found")).expect("they have the same bounds");
        }
    });
    let micros = |quantile: f64| all.value_at_quantile(quantile) as f64 / 1000.0;
    Figures { rate: all.len() as f64 / time.as_secs_f64(), p50: micros(0.5), p99: micros(0.99) }
}

/// In nanoseconds, up to ten seconds.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("these are bounds")
}

fn look_up(mut lookup: Box<dyn Lookup>, time: Duration, together: &Barrier) -> Histogram<u64> {
    let (mut times, mut random) = (histogram(), fastrand::Rng::new());
    let names: Vec<String> = (0..NAMES).map(name_of).collect();
    together.wait();
    let end = Instant::now() + time;
    loop {
        let begun = Instant::now();
        if begun >= end {
            return times;
        }
        lookup.find(&names[random.usize(..NAMES)]);
        times.saturating_record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
}
