//! A stand-in: it says that it is ready, answers snapshots, echoes lines, and ends at TERM or with its channel.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::cli::exit;
use crate::heritage::{Heritage, ToChild, ToParent};
use crate::snapshot::Snapshot;
use crate::system::descriptors::{inherited_control, inherited_listeners};

/// Serves.
#[must_use]
pub fn run() -> u8 {
    let control = match inherited_control() {
        Ok(control) => UnixStream::from(control),
        Err(error) => {
            writeln!(std::io::stderr(), "tieline: {error}").ok();
            return exit::USAGE;
        }
    };
    serve(control).unwrap_or(exit::SOFTWARE)
}

fn say(control: &mut UnixStream, message: &ToParent) -> Option<()> {
    let mut line = serde_json::to_vec(message).ok()?;
    line.push(b'\n');
    control.write_all(&line).ok()
}

fn serve(mut control: UnixStream) -> Option<u8> {
    let mut lines = BufReader::new(control.try_clone().ok()?);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let heritage: Heritage = serde_json::from_str(&line).ok()?;
    crate::logging::init(&heritage.log, Some(&heritage.host.name)).ok()?;
    crate::logging::set_debug(heritage.debug);
    if heritage.host.name.starts_with("crash") {
        say(&mut control, &ToParent::LastWords { text: "it was meant to".into() });
        return Some(exit::SOFTWARE);
    }
    if let Some(fd) = inherited_listeners(heritage.listeners.len()).ok()?.into_iter().next() {
        let listener = UnixListener::from(fd);
        listener.set_nonblocking(false).ok()?;
        std::thread::spawn(move || accept(&listener));
    }
    if heritage.host.start == crate::config::Start::Demand && heritage.host.idle.as_secs() < 60 {
        std::thread::spawn(move || {
            std::thread::sleep(heritage.host.idle);
            std::process::exit(0);
        });
    }
    tracing::info!("ready");
    say(&mut control, &ToParent::Ready)?;
    say(&mut control, &ToParent::Reach { up: true, reason: String::new() })?;
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return Some(exit::OK);
        }
        match serde_json::from_str(&line).ok()? {
            ToChild::Snapshot { ask } => {
                let snapshot = Snapshot {
                    reach: crate::snapshot::Reach::Up,
                    last_log: crate::logging::last_line(),
                    ..Snapshot::default()
                };
                say(&mut control, &ToParent::Snapshot { ask, snapshot: Box::new(snapshot) })?;
            }
            ToChild::Probe => tracing::info!("probed"),
            ToChild::Debug { on } => {
                crate::logging::set_debug(on);
                tracing::debug!("debug logging is on");
            }
        }
    }
}

fn accept(listener: &UnixListener) {
    while let Ok((stream, _)) = listener.accept() {
        std::thread::spawn(move || echo(stream));
    }
}

fn echo(mut stream: UnixStream) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..n]).is_err() {
            return;
        }
    }
}
