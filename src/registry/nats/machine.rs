//! Which machine this is, and which addresses mean something on one machine only.
//!
//! Enters: the host name and `/etc/machine-id`. Leaves: a word that other machines do not have. Promised: it stays the same
//! as long as both stay; the machine's ID itself is told to nobody.

use std::fs;
use std::net::IpAddr;

/// A word for this machine: its name, and a checksum of its ID in case that two machines have the same name.
#[must_use]
pub fn this_machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let id = fs::read("/etc/machine-id").unwrap_or_default();
    format!("{}-{:08x}", name.trim(), crc32fast::hash(id.trim_ascii()))
}

/// Whether an address can be connected to on its own machine only: a UNIX socket, or a loopback address.
#[must_use]
pub fn is_local(address: &str) -> bool {
    let Some(tcp) = address.strip_prefix("tcp:") else { return true };
    let host = tcp.rsplit_once(':').map_or(tcp, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_machines_cannot_reach_is_local() {
        for address in ["unix:/run/a.sock", "tcp:127.0.0.1:1", "tcp:127.9.9.9:1", "tcp:[::1]:1", "tcp:LocalHost:1", "?"]
        {
            assert!(is_local(address), "{address}");
        }
        for address in ["tcp:10.0.0.1:1", "tcp:[2001:db8::1]:1", "tcp:db.example.net:1", "tcp:localhost.example.net:1"]
        {
            assert!(!is_local(address), "{address}");
        }
    }

    #[test]
    fn this_machine_is_always_the_same() {
        assert_eq!(this_machine(), this_machine());
    }
}
