//! A real memcached behind a socket: every kind of command, real libraries and tools, failures, chaos.

mod chaos;
mod commands;
mod failures;
mod sessions;
mod silent;
mod tools;

use crate::common::{Daemon, Memcached, Requester};
use tieline::dialect::Dialect;

fn memcached_behind_a_socket() -> (Memcached, Daemon) {
    let memcached = Memcached::start();
    let line = format!("cache {} memcache connections=4", memcached.address());
    let daemon = Daemon::start(&[&line]);
    (memcached, daemon)
}

fn requester(daemon: &Daemon) -> Requester {
    daemon.requester("cache", Dialect::Memcache)
}

/// Sends lines (`|` stands for CR LF) and checks the reply to each, which may be nothing.
fn converse(requester: &mut Requester, exchange: &[(&str, &str)]) {
    for (request, expected) in exchange {
        requester.send(&request.replace('|', "\r\n"));
        if !expected.is_empty() {
            let reply = requester.reply().replace("\r\n", "|");
            assert_eq!(reply, format!("{expected}|"), "{request}");
        }
    }
}
