//! Measures while nobody else needs the machine.
//!
//! Enters: how many cores others may use. Promised: whoever is measured is treated alike; patience is bounded, and what
//! others took all the same stands in the table.

use std::io;
use std::time::{Duration, Instant};

use super::{Measure, Sample, accounts};
use crate::plan::Plan;

/// What others have disturbed is measured so often at most.
const TRIES: usize = 3;

/// One look takes so long. The kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_millis(200);

/// So long is waited for one measurement, and for all of a run together: who never rests cannot be waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const ALL_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Waits for calm, measures, and does so again if it was disturbed.
pub(crate) fn calmly(plan: &Plan, measure: impl Fn() -> io::Result<Sample>) -> io::Result<Sample> {
    let Some(cores) = plan.calm else { return measure() };
    for _ in 1..TRIES {
        wait_for_calm(plan);
        let sample = measure()?;
        if sample.get(Measure::Others).is_none_or(|others| others < cores) {
            return Ok(sample);
        }
    }
    wait_for_calm(plan);
    measure()
}

/// Until others use few cores. What is to be measured must have nothing to do now.
pub(crate) fn wait_for_calm(plan: &Plan) {
    let Some(cores) = plan.calm else { return };
    let begun = Instant::now();
    let patience = PATIENCE.min(ALL_PATIENCE.saturating_sub(plan.waited.get()));
    while begun.elapsed() < patience && busy() >= cores {
        std::thread::sleep(LOOK);
    }
    plan.waited.set(plan.waited.get() + begun.elapsed());
}

fn busy() -> f64 {
    let (before, begun) = (accounts::machine_cpu(), Instant::now());
    std::thread::sleep(LOOK);
    (accounts::machine_cpu() - before) / begun.elapsed().as_secs_f64()
}
