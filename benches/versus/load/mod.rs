//! Requesters at work, and what they see.
//!
//! Enters: a door, an exchange, how many requesters do what. Leaves: how many requests were answered, and how long each
//! took. Promised: every byte of every reply is compared with the one that is expected; all contenders get the same load.

mod alone;
mod crowd;
mod oneshot;
mod paced;
pub(crate) mod redis_benchmark;
pub(crate) mod relay;
pub(crate) mod resp;
mod saturate;
mod stream;

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use oneshot::oneshot;
pub(crate) use paced::paced;
pub(crate) use relay::Relay;
pub(crate) use saturate::{idle, saturate};
pub(crate) use stream::Stream;

use crate::measure::{Measure, Sample};

/// What is sent, and what must come back.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Vec<u8>,
}

/// How many do how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requesters: usize,
    /// Requests that a requester sends at once, and whose replies it awaits before it sends more.
    pub(crate) pipeline: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What the requesters have seen while they were measured.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) answered: u64,
    pub(crate) time: Duration,
    /// Answered before, while and after it was measured.
    pub(crate) in_all: u64,
    /// In nanoseconds.
    latencies: Histogram<u64>,
}

impl Exchange {
    /// The same so many times.
    pub(crate) fn times(&self, count: usize) -> Self {
        Self { request: self.request.repeat(count), reply: self.reply.repeat(count) }
    }
}

impl Run {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new(3).expect("three digits are allowed");
        Self { answered: 0, time: Duration::ZERO, in_all: 0, latencies }
    }

    /// So many requests were answered after this time.
    pub(crate) fn note(&mut self, latency: Duration, requests: u64) {
        self.answered += requests;
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
        // It grows as needed, and so takes everything.
        self.latencies.record_n(nanoseconds, requests).ok();
    }

    /// Rate and latencies.
    pub(crate) fn sample(&self) -> Sample {
        let percentile = |share| self.latencies.value_at_quantile(share) as f64 / 1e3;
        let sample = Sample::default().with(Measure::Rate, self.answered as f64 / self.time.as_secs_f64());
        if self.latencies.is_empty() {
            return sample;
        }
        sample
            .with(Measure::P50, percentile(0.5))
            .with(Measure::P99, percentile(0.99))
            .with(Measure::P999, percentile(0.999))
    }
}
