//! What is measured: figures with names, of one contender in one round.
//!
//! Enters: processes, and the time in which the load was at work. Leaves: a sample. Promised: a figure that could not be
//! had is absent.

mod accounts;
mod calm;
mod meter;
mod syscalls;

use std::collections::BTreeMap;

pub(crate) use accounts::{memory_kb, private_kb};
pub(crate) use calm::{calmly, wait_for_calm};
pub(crate) use meter::Meter;
pub(crate) use syscalls::count_syscalls;

/// A figure's name. They are shown in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Requests answered per second.
    Rate,
    /// Bytes of values per second, in MB (10^6).
    Megabytes,
    /// Wall time per request of a requester that does one after the other, in µs.
    Each,
    /// Latencies in µs.
    P50,
    P99,
    P999,
    /// Processor time of the proxy alone per request, user and system, all its processes, in µs.
    Cpu,
    /// Context switches of the proxy per 1000 requests: it waited.
    Voluntary,
    /// It had to give way.
    Involuntary,
    /// Of the proxy, per request, all and those that are not on a connection to the host.
    Syscalls,
    RequesterSyscalls,
    /// Proportional set size of the proxy's processes, in KiB.
    Memory,
    /// The same for each host.
    MemoryEach,
    /// What belongs to these processes alone, in KiB.
    Private,
    /// User memory per idle requester, in bytes.
    PerRequester,
    /// Until it was ready, in ms.
    Start,
    /// Processor time of everything else on the machine, and what nobody used, in cores.
    Others,
    Idle,
}

impl Measure {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "requests/s",
            Self::Megabytes => "MB/s",
            Self::Each => "µs per request",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::Cpu => "proxy CPU µs/request",
            Self::Voluntary => "waits /1000",
            Self::Involuntary => "preempted /1000",
            Self::Syscalls => "syscalls/request",
            Self::RequesterSyscalls => "syscalls/request, requester side",
            Self::Memory => "PSS KiB",
            Self::MemoryEach => "PSS KiB per host",
            Self::Private => "private KiB",
            Self::PerRequester => "bytes per idle requester",
            Self::Start => "start ms",
            Self::Others => "others' cores",
            Self::Idle => "idle cores",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Megabytes)
    }

    /// Digits behind the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Cpu | Self::Syscalls | Self::RequesterSyscalls | Self::Others | Self::Idle => 2,
            Self::P50 | Self::Each => 1,
            _ => 0,
        }
    }
}

/// The figures of one contender in one round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(BTreeMap<Measure, f64>);

impl Sample {
    pub(crate) fn with(mut self, measure: Measure, figure: f64) -> Self {
        if figure.is_finite() {
            self.0.insert(measure, figure);
        }
        self
    }

    pub(crate) fn get(&self, measure: Measure) -> Option<f64> {
        self.0.get(&measure).copied()
    }

    pub(crate) fn measures(&self) -> impl Iterator<Item = Measure> + '_ {
        self.0.keys().copied()
    }
}
