//! Integration tests: real processes, real sockets, the built binary. One file per theme, one binary to link.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod dead;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod greeting;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod large;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod memcache;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod nats;
#[cfg(test)]
mod once;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod send;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod services;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod spool_kills;
#[cfg(test)]
mod spool_limits;
#[cfg(test)]
mod spool_links;
#[cfg(test)]
mod spool_tools;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod tls;
