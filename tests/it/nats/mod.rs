//! The registry over NATS, with real servers.

mod access;
mod away;
mod cluster;
mod daemon;
mod jwts;
mod station;
mod store;
