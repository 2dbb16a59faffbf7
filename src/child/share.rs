//! Shares: how the bounds of a host are divided among its workers. Pure.
//!
//! Enters: a host's settings. Leaves: one worker's. Promised: all shares together are the whole, but that nobody gets
//! less than one, sessions aside.

use crate::config::HostSettings;

/// Descriptors that a child needs besides those of requesters and connections: listeners, log, event loops, the resolver.
const OWN: u64 = 32;

/// How many requesters a process that may open `files` files can have besides its connections: accepting more would
/// leave no descriptor to connect to the host with, and the host would look dead.
#[must_use]
pub(super) fn most_requesters(host: &HostSettings, files: u64) -> u32 {
    let connections = u64::from(host.connections) + u64::from(host.sessions);
    let left = files.saturating_sub(connections + OWN * u64::from(host.workers.max(1))).max(1);
    u32::try_from(left).unwrap_or(u32::MAX).min(host.requesters)
}

/// The settings of worker `index`, counted from 0.
#[must_use]
pub(super) fn of(host: &HostSettings, index: u32) -> HostSettings {
    let workers = host.workers.max(1);
    let part = |whole: u32| (whole / workers + u32::from(index < whole % workers)).max(1);
    HostSettings {
        connections: part(host.connections),
        // One event loop may well be without: its requesters are answered busy.
        sessions: host.sessions / workers + u32::from(index < host.sessions % workers),
        queue: part(host.queue),
        requesters: part(host.requesters),
        ..host.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::dialect::Dialect;

    fn host() -> HostSettings {
        HostSettings::with_defaults("host", Address::Unix { path: "/s".into() }, Dialect::Line)
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let host = HostSettings { workers: 3, connections: 10, ..host() };
        let shares: Vec<_> = (0..3).map(|index| of(&host, index).connections).collect();
        assert_eq!(shares, [4, 3, 3]);
    }

    #[test]
    fn requesters_leave_descriptors_for_the_connections() {
        assert_eq!(most_requesters(&host(), 1_000_000), 4096);
        assert_eq!(most_requesters(&host(), 1024), 1024 - 10 - 32 - 32);
        assert_eq!(most_requesters(&host(), 8), 1);
    }
}
