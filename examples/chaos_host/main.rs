//! A host that misbehaves on command: the far end of the integration tests, in a process of its own.
//!
//! Enters: requests `TAG word…` in one of the dialects, and commands on standard input. Leaves: replies that begin and
//! end with the request's tag, so that a foreign reply is recognized; a list of all it has received.
//! Promised: a request is in the list before the first byte of its reply is written; the requests of one connection are
//! answered in order; the process ends when its standard input does, so none is left behind.
//!
//! ```text
//! chaos_host DIALECT ADDRESS LIST       dialect: line, len32, resp · address: ip:port, [v6]:port, unix:/path
//!
//! stdout   `listening ADDRESS`, then one line `ok…` per command
//! stdin    mood [NAME=P…]  how replies go wrong from now on, each with probability P: see mood.rs
//!          refuse          close the listener and all connections
//!          listen          listen again at the same address
//!          drop            close all connections
//!          unasked         write a reply on every connection that nobody has asked for
//!          connections     answers `ok NOW MOST`; MOST counts from the start
//! ```

mod connection;
mod door;
mod frames;
mod list;
mod mood;

use std::io::{BufRead, Write};
use std::sync::Arc;

use connection::Connections;
use door::Door;
use frames::Frames;
use list::List;
use mood::Mood;

/// What all threads of the host share.
struct Host {
    frames: Frames,
    list: List,
    mood: Mood,
    connections: Connections,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dialect, address, list] = words.as_slice() else {
        return Err("usage: chaos_host DIALECT ADDRESS LIST".into());
    };
    let host = Arc::new(Host {
        frames: Frames::named(dialect)?,
        list: List::create(list.as_ref())?,
        mood: Mood::default(),
        connections: Connections::default(),
    });
    let mut door = Door::open(address, &host)?;
    say(&format!("listening {}", door.address()))?;
    for line in std::io::stdin().lock().lines() {
        say(&obey(&line?, &mut door, &host)?)?;
    }
    std::process::exit(0) // the threads of open connections end with us
}

/// Carries out one command and returns the answer.
fn obey(line: &str, door: &mut Door, host: &Arc<Host>) -> Result<String, Box<dyn std::error::Error>> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match command {
        "mood" => host.mood.set(rest)?,
        "refuse" => {
            door.close()?;
            host.connections.close_all();
        }
        "listen" => door.reopen(host)?,
        "drop" => host.connections.close_all(),
        "unasked" => host.connections.write_all(&host.frames.reply("<unasked>", 0)),
        "connections" => {
            let (now, most) = host.connections.count();
            return Ok(format!("ok {now} {most}"));
        }
        _ => return Err(format!("unknown command: {line}").into()),
    }
    Ok("ok".to_owned())
}

/// Writes one line to the test.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
