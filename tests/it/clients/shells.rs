//! The functions for shells, in `sh` and in `bash`: options and variables of the program that uses them, instances of which
//! some are dead, or do not close.

use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::socket::Backlog;
use tieline::client::{Offer, Options, Registration, Registry};

use super::instance::Instance;
use super::program::{Program, command, said};
use super::registering::registry;
use crate::common::{Daemon, LONG, free_port};

const SHELLS: [&str; 2] = ["sh", "bash"];

fn register(options: &Options, address: &str) -> Registration {
    let offer = Offer::new("ledger", address).pair("dialect", "line");
    Registry::open(options).expect("a run directory").register(&offer).expect("it is registered")
}

/// A line, then more than the request has asked for.
fn ok(request: &[u8]) -> Option<Vec<u8>> {
    Some([b"ok ", request, b"more\n"].concat())
}

/// Four requests: with four instances each of them is the first once.
const FOUR: &str =
    "for number in 1 2 3 4; do tieline_request ledger book; echo \"$tieline_outcome $tieline_reply\"; done";

#[test]
fn instances_are_tried_one_after_the_other_and_none_need_close() {
    let (daemon, options) = registry();
    let instance = Instance::tcp(ok);
    let dead = |_| register(&options, &format!("tcp:127.0.0.1:{}", free_port()));
    let absent = register(&options, &format!("unix:{}", daemon.place().path("absent.sock").display()));
    let _registrations = (register(&options, &instance.address), [1, 2].map(dead), absent);
    let start = Instant::now();
    for shell in SHELLS {
        assert_eq!(said(shell, FOUR, daemon.place()), "reply ok book\n".repeat(4), "{shell}");
        // One of two has a dead instance before it.
        let text = "export TIELINE_DEADLINE=1; for number in 1 2; do echo book | tieline_pipe ledger; done";
        assert_eq!(said(shell, text, daemon.place()), "ok book\nmore\n".repeat(2), "{shell}");
    }
    assert_eq!(instance.requests(), 2 * 6);
    // The deadline of a single request is longer.
    assert!(start.elapsed() < LONG, "it took {:?}", start.elapsed());
    daemon.stop();
}

/// An address that neither takes a connection nor refuses it, as long as what comes with it is held: there is no room before
/// its listener.
fn silent() -> (String, (TcpListener, Vec<TcpStream>)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    nix::sys::socket::listen(&listener, Backlog::new(0).expect("none")).expect("it listens");
    let address = listener.local_addr().expect("its address");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        assert!(waiting.len() < 100, "there is always room");
        waiting.push(stream);
    }
    (format!("tcp:{address}"), (listener, waiting))
}

#[test]
fn an_instance_that_is_silent_leaves_time_for_the_next() {
    let (daemon, options) = registry();
    let instance = Instance::tcp(ok);
    let (address, _full) = silent();
    let _registrations = (register(&options, &address), register(&options, &instance.address));
    let start = Instant::now();
    let text = format!("TIELINE_DEADLINE=20\n{FOUR}");
    assert_eq!(said("sh", &text, daemon.place()), "reply ok book\n".repeat(4));
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    daemon.stop();
}

#[test]
fn what_was_sent_is_not_sent_to_another_instance() {
    let (daemon, options) = registry();
    let instances = [1, 2, 3, 4].map(|_| Instance::tcp(|_| None));
    let _registrations = instances.each_ref().map(|instance| register(&options, &instance.address));
    for shell in SHELLS {
        let before: usize = instances.iter().map(Instance::requests).sum();
        assert_eq!(said(shell, FOUR, daemon.place()), "unknown \n".repeat(4), "{shell}");
        assert_eq!(instances.iter().map(Instance::requests).sum::<usize>(), before + 4, "{shell}");
    }
    daemon.stop();
}

#[test]
fn nothing_is_sent_where_no_instance_can_be_reached() {
    let (daemon, options) = registry();
    let _registrations = [1, 2].map(|_| register(&options, &format!("tcp:127.0.0.1:{}", free_port())));
    let text = "tieline_request ledger book; echo \"$? $tieline_outcome\"; tieline_deferred ledger book; echo \"$? $tieline_outcome\"\n\
                echo book | tieline_pipe ledger; echo \"$?\"; tieline_request nobody book; echo \"$? $tieline_outcome\"";
    for shell in SHELLS {
        assert_eq!(said(shell, text, daemon.place()), "75 lost\n64 refused\n1\n75 lost\n", "{shell}");
    }
    daemon.stop();
}

#[test]
fn a_program_that_ends_at_the_first_error_gets_its_reply_without_a_registry() {
    let (daemon, _) = registry();
    let place = std::sync::Arc::clone(daemon.place());
    daemon.stop();
    // As the socket of a daemon whose registry is off.
    let _instance = Instance::unix(&place.socket("ledger"), ok);
    let text =
        "tieline_request ledger book; echo \"$tieline_outcome $tieline_reply\"; tieline_address ledger; echo end";
    let expected = format!("reply ok book\nunix:{}\nend\n", place.socket("ledger").display());
    for (shell, options) in [("sh", "set -eu"), ("bash", "set -euo pipefail"), ("bash", "set -o posix; set -eu")] {
        assert_eq!(said(shell, &format!("{options}\n{text}"), &place), expected, "{shell}: {options}");
    }
}

#[test]
fn words_are_joined_by_blanks_whatever_parts_the_programs_own() {
    let (daemon, options) = registry();
    let instance = Instance::tcp(ok);
    let _registration = register(&options, &instance.address);
    let text = "for IFS in : 1 ''; do tieline_request ledger 'book  12' '' '*'; echo \"$tieline_reply [$IFS]\"; done";
    for shell in SHELLS {
        let expected = [":", "1", ""].map(|own| format!("ok book  12  * [{own}]\n")).concat();
        assert_eq!(said(shell, text, daemon.place()), expected, "{shell}");
    }
    daemon.stop();
}

/// By the command: what it is given, and what it says on standard error.
fn by_the_command(daemon: &Daemon, tieline: &str, text: &str) -> (String, String) {
    let mut command = command("sh", text, daemon.place());
    let errors = daemon.place().path("errors");
    command.env("TIELINE_TOOL", "tieline").env("TIELINE_COMMAND", tieline).stdin(Stdio::null());
    command.stderr(std::fs::File::create(&errors).expect("a file for errors"));
    (Program::start(command).end(), std::fs::read_to_string(errors).expect("what it has said"))
}

#[test]
fn the_command_is_not_asked_when_it_may_reach_another_daemon() {
    let host = crate::common::ChaosHost::start(tieline::client::Dialect::Line);
    let daemon = Daemon::start(&[&format!("far {} line", host.address())]);
    let text = "tieline_request far '<1>'; echo \"$? $tieline_outcome\"; echo '<2>' | tieline_pipe far; echo \"$?\"";
    // If it were asked, what it prints would be a reply.
    let (said, errors) = by_the_command(&daemon, "echo", text);
    assert_eq!(said, "64 refused\n64\n");
    assert_eq!(errors.matches("give TIELINE_COMMAND its --config").count(), 2, "{errors}");
    let config = daemon.place().path("tieline.toml");
    let tieline = format!("{} --config {}", env!("CARGO_BIN_EXE_tieline"), config.display());
    // Its words are the program's, whatever they look like.
    let text = "IFS=:; tieline_request far --deferred '<3>'; echo \"$tieline_reply\"; tieline_request far '<3>' -n; echo \"$? $tieline_outcome $tieline_reply\"; echo '<4>' | tieline_pipe far\n\
                unset TIELINE_RUN_DIR; tieline_request far '<5>'; echo \"$tieline_outcome\"";
    let (said, errors) = by_the_command(&daemon, &tieline, text);
    assert_eq!((said.as_str(), errors.as_str()), ("--deferred  --deferred\n0 reply <3>  <3>\n<4>  <4>\nreply\n", ""));
    assert_eq!(host.tags(), [3, 4, 5]);
    daemon.stop();
}
