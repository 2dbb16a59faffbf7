//! Shares: how the bounds of a host are divided among its workers. Pure.
//!
//! Enters: a host's settings. Leaves: one worker's. Promised: all shares together are the whole, and nobody gets nothing.

use crate::config::HostSettings;

/// The settings of worker `index`, counted from 0.
#[must_use]
pub(super) fn of(host: &HostSettings, index: u32) -> HostSettings {
    let workers = host.workers.max(1);
    let part = |whole: u32| (whole / workers + u32::from(index < whole % workers)).max(1);
    HostSettings {
        connections: part(host.connections),
        queue: part(host.queue),
        requesters: part(host.requesters),
        ..host.clone()
    }
}
