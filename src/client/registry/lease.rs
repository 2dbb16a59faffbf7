//! Keeping a lease: when to renew it, and what to do when that fails. Pure.
//!
//! Enters: the registry's answers, the time. Leaves: what to say next, and when. Promised: a lease is renewed after a third
//! of its time; one that the registry has forgotten is registered anew at once; while the registry is away there is an
//! attempt at least every tenth of that time, and at least every five seconds.

use std::time::{Duration, Instant};

use super::answers::rest;
use super::error::RegistryError;

/// The longest pause between attempts while the registry is away.
const LONGEST: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) enum Step {
    /// Say this, and tell what was answered.
    Say(String),
    /// Nothing before this time.
    Wait(Instant),
}

/// See the head of this file.
#[derive(Debug)]
pub(in crate::client) struct Keeper {
    command: String,
    ttl: Duration,
    lease: Option<String>,
    next: Instant,
    /// Why the last attempt failed.
    trouble: Option<RegistryError>,
}

impl Keeper {
    /// Nothing is registered yet: `command` does that.
    pub(in crate::client) fn new(command: String, ttl: Duration, now: Instant) -> Self {
        Self { command, ttl, lease: None, next: now, trouble: None }
    }

    /// The lease, as far as is known.
    pub(in crate::client) fn lease(&self) -> Option<&str> {
        self.lease.as_deref()
    }

    /// Why the last attempt failed; nothing if it did not.
    pub(in crate::client) fn trouble(&self) -> Option<&RegistryError> {
        self.trouble.as_ref()
    }

    pub(in crate::client) fn step(&self, now: Instant) -> Step {
        match &self.lease {
            _ if now < self.next => Step::Wait(self.next),
            Some(lease) => Step::Say(format!("RENEW {lease}")),
            None => Step::Say(self.command.clone()),
        }
    }

    /// The registry's line in answer to the last step; `jitter` is from 0.0 to 1.0.
    pub(in crate::client) fn heard(&mut self, line: &Result<String, RegistryError>, now: Instant, jitter: f64) {
        self.answered(line.as_deref().map_err(Clone::clone).and_then(rest), now, jitter);
    }

    fn answered(&mut self, answer: Result<&str, RegistryError>, now: Instant, jitter: f64) {
        let third = (self.ttl / 3).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 5.0);
        match answer {
            Ok(rest) => {
                self.lease.get_or_insert_with(|| rest.to_owned());
                (self.next, self.trouble) = (now + third, None);
            }
            Err(error) if error.is_unknown() && self.lease.take().is_some() => self.next = now,
            Err(error) => {
                self.next = now + (self.ttl / 10).min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
                self.trouble = Some(error);
            }
        }
    }

    /// What ends the lease, if there is one.
    pub(in crate::client) fn farewell(&self) -> Option<String> {
        self.lease.as_ref().map(|lease| format!("UNREGISTER {lease}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::registry::Kind;

    const TTL: Duration = Duration::from_secs(30);

    fn say(words: &str) -> Step {
        Step::Say(words.to_owned())
    }

    fn refused(kind: Kind) -> RegistryError {
        RegistryError::Refused { kind, text: String::new() }
    }

    #[test]
    fn a_lease_is_renewed_after_a_third_of_its_time() {
        let now = Instant::now();
        let mut keeper = Keeper::new("REGISTER …".to_owned(), TTL, now);
        assert_eq!((keeper.step(now), keeper.farewell()), (say("REGISTER …"), None));
        keeper.answered(Ok("l1"), now, 0.0);
        assert_eq!(keeper.step(now), Step::Wait(now + TTL / 3));
        assert_eq!(keeper.step(now + TTL / 3), say("RENEW l1"));
        keeper.answered(Ok(""), now + TTL / 3, 1.0);
        assert_eq!(keeper.lease(), Some("l1"));
        assert_eq!(keeper.step(now + TTL / 3), Step::Wait(now + TTL / 3 + Duration::from_secs(8)));
        assert_eq!(keeper.farewell().as_deref(), Some("UNREGISTER l1"));
    }

    #[test]
    fn a_forgotten_lease_is_registered_anew_at_once() {
        let now = Instant::now();
        let mut keeper = Keeper::new("REGISTER …".to_owned(), TTL, now);
        keeper.answered(Ok("l1"), now, 0.0);
        keeper.answered(Err(refused(Kind::Unknown)), now, 0.0);
        assert_eq!(keeper.step(now), say("REGISTER …"));
        keeper.answered(Ok("l2"), now, 0.0);
        assert_eq!(keeper.lease(), Some("l2"));
    }

    #[test]
    fn while_the_registry_is_away_it_is_asked_again_and_again_and_the_lease_is_kept() {
        let now = Instant::now();
        let mut keeper = Keeper::new("REGISTER …".to_owned(), TTL, now);
        keeper.answered(Ok("l1"), now, 0.0);
        let away = RegistryError::Away { path: "/x".into(), reason: "refused".to_owned() };
        keeper.answered(Err(away.clone()), now, 0.0);
        assert_eq!((keeper.step(now), keeper.trouble()), (Step::Wait(now + TTL / 10), Some(&away)));
        assert_eq!(keeper.step(now + TTL / 10), say("RENEW l1"));
        keeper.answered(Ok(""), now, 0.0);
        assert_eq!(keeper.trouble(), None);
    }

    #[test]
    fn a_refusal_to_register_does_not_turn_on_the_spot() {
        let now = Instant::now();
        let mut keeper = Keeper::new("REGISTER …".to_owned(), TTL, now);
        for kind in [Kind::Denied, Kind::Unknown, Kind::Busy] {
            keeper.answered(Err(refused(kind)), now, 0.5);
            assert!(matches!(keeper.step(now), Step::Wait(at) if at > now));
        }
    }
}
