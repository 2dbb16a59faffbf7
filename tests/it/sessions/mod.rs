//! Sessions with a real Redis: what binds a connection has one of its own, and nobody else notices.

mod bounds;
mod chaos;
mod ends;
mod hosts;
mod private;
mod python;
mod state;
mod tools;
mod voices;

use std::time::Duration;

use tieline::dialect::Dialect;

use crate::common::{Daemon, Redis, Requester, encode_command, wait_until};

/// Time for what must not happen to happen.
const MOMENT: Duration = Duration::from_millis(50);

fn cache(options: &str) -> (Redis, Daemon) {
    let redis = Redis::start();
    let daemon = Daemon::start(&[&format!("cache {} resp {options}", redis.address())]);
    (redis, daemon)
}

fn requester(daemon: &Daemon) -> Requester {
    daemon.requester("cache", Dialect::Resp)
}

fn send(requester: &mut Requester, line: &str) {
    requester.send_bytes(&encode_command(&line.split(' ').collect::<Vec<_>>()));
}

fn ask(requester: &mut Requester, line: &str) -> String {
    send(requester, line);
    requester.reply()
}

/// Asks every line at once; the replies must be these.
fn assert_all(requester: &mut Requester, lines: &[&str], replies: &[&str]) {
    lines.iter().for_each(|line| send(requester, line));
    for (line, reply) in lines.iter().zip(replies) {
        assert_eq!(requester.reply().trim_end(), *reply, "to {line} of {lines:?}");
    }
}

/// Connections of the daemon that Redis has, one line of CLIENT LIST each.
fn connections(redis: &Redis) -> Vec<String> {
    let mut direct = redis.requester();
    direct.send_bytes(&encode_command(&["CLIENT", "LIST"]));
    direct.reply().lines().filter(|line| line.contains(" addr=127.0.0.1:")).map(str::to_owned).collect()
}

/// Waits until Redis has no connection of the daemon whose line contains `text`.
fn wait_until_gone(redis: &Redis, text: &str) {
    wait_until(&format!("no connection with {text}"), || {
        (!connections(redis).iter().any(|line| line.contains(text))).then_some(())
    });
}

/// Waits until Redis has one whose line contains `text`.
fn wait_until_there(redis: &Redis, text: &str) {
    wait_until(&format!("a connection with {text}"), || {
        connections(redis).iter().any(|line| line.contains(text)).then_some(())
    });
}

/// How many connections for sessions there are, as the status says.
fn sessions_open(daemon: &Daemon) -> u64 {
    daemon.host_status("cache")["sessions"]["open"].as_u64().expect("the status counts sessions")
}
