//! Measures while nobody else needs the machine.
//!
//! Enters: how many cores others may use. Promised: whoever is measured is treated alike; patience is bounded, and what
//! others took all the same stands in the table.

use std::io;
use std::time::{Duration, Instant};

use super::{Measure, Sample, accounts};
use crate::plan::Plan;

/// What others have disturbed is measured so often at most.
const TRIES: usize = 5;

/// One look takes so long. The kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_millis(200);

/// Who is built beside us is ready after this time.
const PATIENCE: Duration = Duration::from_secs(180);

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
    while begun.elapsed() < PATIENCE && busy() >= cores {
        std::thread::sleep(LOOK);
    }
}

fn busy() -> f64 {
    let (before, begun) = (accounts::machine_cpu(), Instant::now());
    std::thread::sleep(LOOK);
    (accounts::machine_cpu() - before) / begun.elapsed().as_secs_f64()
}
