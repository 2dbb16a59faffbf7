//! Looks at a contender when the measuring begins and when it ends.
//!
//! Enters: [`Meter::begin`] and [`Meter::end`], called by the load. Leaves: a sample.

use std::time::Instant;

use nix::unistd::Pid;

use super::accounts::{self, Accounts};
use super::{Measure, Sample};
use crate::contender::Contender;
use crate::load::Run;

/// What was noted at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    proxy: Accounts,
    /// Of the contender, of the host and of this program, in seconds.
    known: f64,
    machine: f64,
}

/// See the head of this file.
pub(crate) struct Meter {
    proxy: Vec<Pid>,
    host: Vec<Pid>,
    begun: Option<Moment>,
    ended: Option<Moment>,
}

impl Meter {
    pub(crate) fn of(contender: &Contender) -> Self {
        Self { proxy: contender.proxy(), host: contender.host(), begun: None, ended: None }
    }

    pub(crate) fn begin(&mut self) {
        self.begun = Some(self.look());
    }

    pub(crate) fn end(&mut self) {
        self.ended = Some(self.look());
    }

    /// What the load has seen, and what the kernel has noted meanwhile.
    pub(crate) fn sample(&self, run: &Run) -> Sample {
        let Some((begun, ended)) = self.begun.zip(self.ended) else { return run.sample() };
        let time = (ended.at - begun.at).as_secs_f64();
        let busy = (ended.machine - begun.machine) / time;
        let others = busy - (ended.known - begun.known) / time;
        let cores = std::thread::available_parallelism().map_or(f64::NAN, |count| count.get() as f64);
        let sample = run.sample().with(Measure::Others, others.max(0.0)).with(Measure::Idle, (cores - busy).max(0.0));
        if self.proxy.is_empty() {
            return sample;
        }
        let (spent, answered) = (ended.proxy - begun.proxy, run.answered as f64);
        sample
            .with(Measure::Cpu, spent.cpu * 1e6 / answered)
            .with(Measure::Voluntary, spent.voluntary * 1e3 / answered)
            .with(Measure::Involuntary, spent.involuntary * 1e3 / answered)
            .with(Measure::Memory, accounts::memory_kb(&self.proxy))
    }

    fn look(&self) -> Moment {
        let proxy = Accounts::of(&self.proxy);
        let known = proxy.cpu + Accounts::of(&self.host).cpu + accounts::own_cpu();
        Moment { at: Instant::now(), proxy, known, machine: accounts::machine_cpu() }
    }
}
