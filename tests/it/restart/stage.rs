//! What the storms have in common: a chaos host (`far`, lines) and a Redis (`cache`) behind one daemon that was started
//! from a binary of its own.

use std::sync::Arc;

use serde_json::Value;
use tieline::dialect::Dialect;

use super::crowd::{Door, Figures};
use crate::common::{Build, ChaosHost, Daemon, Place, Process, Redis, Requester, host, wait_until};

/// How long a child may take to hand over, in seconds.
pub(super) const DRAIN: u64 = 10;

/// Hosts and daemon.
pub(super) struct Stage {
    pub(super) host: ChaosHost,
    pub(super) redis: Redis,
    pub(super) place: Arc<Place>,
    pub(super) daemon: Daemon,
}

impl Stage {
    pub(super) fn new() -> Self {
        let (host, redis) = (ChaosHost::start(Dialect::Line), Redis::start());
        let place = Place::with_settings(&[], &settings());
        place.install(Build::This);
        place.set_hosts(&[far(&host, ""), cache(&redis, "")]);
        let daemon = place.start();
        Self { host, redis, place, daemon }
    }

    pub(super) fn doors(&self) -> [Door; 2] {
        let door = |host: &str, dialect| Door { host: host.to_owned(), socket: self.place.socket(host), dialect };
        [door("far", Dialect::Line), door("cache", Dialect::Resp)]
    }

    /// The daemon has counted what the crowd has seen, no more and no less, over all its children; ends it.
    pub(super) fn finish(self, figures: &Figures) {
        let status = self.daemon.settle();
        for (name, answered) in &figures.answered {
            assert_all_answered(host(&status, name), *answered);
        }
        self.daemon.stop();
    }
}

/// Only replies, and so many.
pub(super) fn assert_all_answered(host: &Value, answered: u64) {
    for outcome in ["lost", "timeout", "unknown", "busy", "refused", "delayed", "failed"] {
        assert_eq!(host[outcome], 0, "{outcome} in {host}");
    }
    assert_eq!(host["replies"], answered, "the numbers of all children together: {host}");
    assert_eq!(host["restarts"], 0, "a child that was replaced has not crashed: {host}");
}

pub(super) fn settings() -> String {
    format!("[defaults]\ndrain = \"{DRAIN}s\"")
}

/// The line of the host `far`.
pub(super) fn far(host: &ChaosHost, options: &str) -> String {
    format!("far {} line connections=8 {options}", host.address())
}

/// The line of the host `cache`.
pub(super) fn cache(redis: &Redis, options: &str) -> String {
    format!("cache {} resp connections=4 {options}", redis.address())
}

/// One host, whose child is replaced at will.
pub(super) struct OneHost {
    pub(super) host: ChaosHost,
    pub(super) place: Arc<Place>,
    pub(super) daemon: Daemon,
    options: String,
    changes: u64,
}

impl OneHost {
    /// A chaos host that speaks lines, with these options.
    pub(super) fn new(options: &str) -> Self {
        Self::with_settings(options, &settings())
    }

    /// With settings of its own besides.
    pub(super) fn with_settings(options: &str, settings: &str) -> Self {
        let host = ChaosHost::start(Dialect::Line);
        let place = Place::with_settings(&[], settings);
        place.install(Build::This);
        place.set_hosts(&[far(&host, options)]);
        let daemon = place.start();
        Self { host, place, daemon, options: options.to_owned(), changes: 0 }
    }

    /// Changes an option that means nothing here, and restarts: a new child, which serves when this returns.
    pub(super) fn replace(&mut self) {
        let before = self.child();
        self.change();
        self.daemon.restart();
        wait_until("the new child serves", || (self.child() != before).then_some(()));
    }

    /// Only changes the option.
    pub(super) fn change(&mut self) {
        self.changes += 1;
        let idle = format!("{} idle={}m", self.options, 10 + self.changes);
        self.place.set_hosts(&[far(&self.host, &idle)]);
    }

    /// Who serves now.
    pub(super) fn child(&self) -> Process {
        wait_until("the host has a child", || {
            let status = self.place.try_status()?;
            host(&status, "far")["pid"].as_i64().map(|pid| Process(pid as i32))
        })
    }

    pub(super) fn requester(&self) -> Requester {
        self.daemon.requester("far", Dialect::Line)
    }
}
