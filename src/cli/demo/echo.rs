//! `tieline demo-host`: the small host of the demo, a process of its own so that it can be killed for real. It is a far end
//! ([`crate::serve`]): questions are echoed, orders are taken by a worker ([`super::clerk`]).
//!
//! Enters: lines over TCP. Leaves: each line `question WORDS` as it came; what the clerk says to any other. On standard
//! output: `listening PORT`, then `connections OPEN` whenever that number has changed. Promised: it ends when its standard
//! input does, so that it outlives no demo.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;

use tokio::sync::oneshot;

use crate::cli::{complain, exit};
use crate::config::serve::{Action, HandlerSettings, Limits, Listen, Match, ServeSettings};
use crate::serve;
use crate::serve::far::Far;

/// Ports that Linux gives to nobody who does not ask for them by number (`ip_local_port_range` begins at 32768). From
/// the others a port may be taken while the host is down, even by who wants to connect to it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How many ports are tried.
const ATTEMPTS: usize = 50;

/// Listens at `port`, or at some port if it is 0; gives the exit code when standard input has ended.
pub(in crate::cli) fn run(port: u16) -> u8 {
    match listen(port).and_then(serve) {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("the demo's host cannot serve: {error}"));
            exit::IOERR
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    if port != 0 {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    }
    let mut tried = (0..ATTEMPTS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))));
    tried.find(Result::is_ok).unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn serve(listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let settings = settings(address)?;
    tell(&format!("listening {}", address.port()));
    serve::beside(settings, listener.into(), count_until_the_end).map_err(io::Error::other)
}

/// Questions are echoed; there is one clerk for all else, so that orders are in one hand.
fn settings(address: SocketAddr) -> io::Result<ServeSettings> {
    let binary = std::env::current_exe()?.to_string_lossy().into_owned();
    let handler = |matches, action| {
        let limits = Limits { processes: 1, ..Limits::default() };
        HandlerSettings::new(matches, action, limits)
    };
    Ok(ServeSettings {
        register: None,
        handlers: vec![
            handler(Match::Word("question".to_owned()), Action::Echo),
            handler(Match::Default, Action::Worker(vec![binary, "demo-clerk".to_owned()])),
        ],
        ..ServeSettings::with_defaults("demo", Listen::Tcp(address))
    })
}

/// Tells how many connections there are, until standard input has ended.
async fn count_until_the_end(far: Rc<Far>) {
    let (end, mut ended) = oneshot::channel();
    thread::spawn(move || {
        // Nobody writes here: this waits for the end of the demo.
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        // Nobody waits for it if the host has ended otherwise.
        end.send(()).ok();
    });
    let mut requesters = far.watch_requesters();
    loop {
        tokio::select! {
            _ = &mut ended => return,
            // The far end lives as long as this does.
            _ = requesters.changed() => tell(&format!("connections {}", *requesters.borrow_and_update())),
        }
    }
}

fn tell(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
