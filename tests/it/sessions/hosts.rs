//! What the host says of itself: its replicas, and its commands.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use nix::sys::signal::Signal;

use super::{ask, cache, requester, sessions_open};
use crate::common::{Daemon, Redis, wait_until};

#[test]
fn wait_is_about_what_its_requester_wrote_over_shared_connections() {
    let (redis, daemon) = cache("");
    let (_, port) =
        redis.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).expect("a port");
    let replica = Redis::start_with("--port", &["--replicaof", "127.0.0.1", &port]);
    let mut one = requester(&daemon);
    wait_until("the replica follows", || {
        ask(&mut one, "SET k 1");
        (ask(&mut one, "WAIT 1 1000") == ":1\r\n").then_some(())
    });
    replica.signal(Signal::SIGSTOP);
    assert_eq!(ask(&mut one, "SET k 2"), "+OK\r\n");
    assert_eq!(ask(&mut one, "WAIT 1 200"), ":0\r\n", "no replica has this write");
    replica.signal(Signal::SIGCONT);
    assert_eq!(ask(&mut one, "WAIT 1 20000"), ":1\r\n");
    daemon.stop();
}

/// A host with two commands of its own, of which it says that one may wait; it answers every other with its name.
fn strange_host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream)))));
    address
}

fn answer(request: &str) -> &'static str {
    match request {
        text if text.contains("COMMAND") => {
            "*2\r\n*3\r\n$8\r\nmod.wait\r\n:-2\r\n*2\r\n+write\r\n+blocking\r\n\
             *3\r\n$7\r\nmod.get\r\n:-2\r\n*1\r\n+readonly\r\n"
        }
        // It waits for as long as its requester likes.
        text if text.contains("mod.wait") || text.contains("MOD.wait") => "",
        _ => "+here\r\n",
    }
}

fn serve(mut stream: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        let text = String::from_utf8_lossy(&chunk[..length]).into_owned();
        let reply: String = text.split('*').skip(1).map(answer).collect();
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn a_command_that_the_host_says_may_wait_gets_a_session_although_nobody_has_heard_of_it() {
    let daemon = Daemon::start(&[&format!("cache {} resp connections=1 timeout=500ms", strange_host())]);
    let (mut one, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut other, "mod.get a"), "+here\r\n");
    assert_eq!(sessions_open(&daemon), 0);
    super::send(&mut one, "MOD.wait a");
    wait_until("a session", || (sessions_open(&daemon) == 1).then_some(()));
    for _ in 0..20 {
        assert_eq!(ask(&mut other, "mod.get a"), "+here\r\n");
        thread::sleep(super::MOMENT);
    }
    assert!(!one.wait_for_reply(super::MOMENT), "it has no deadline");
    daemon.stop();
}
