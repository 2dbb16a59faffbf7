//! Attempts to connect: when the dispatch wants one, one at a time.
//!
//! Enters: the host's address. Leaves: an open socket and a task that serves it, or the reason why there is none.
//! Promised: the name is resolved anew at each attempt; an attempt takes at most `connect_timeout`, all its addresses
//! together.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tracing::{info, warn};

use super::{Standing, connection};
use crate::child::dispatch::Dispatch;
use crate::child::worker::Worker;
use crate::config::Address;
use crate::system::stream::Stream;

/// A silent connection is probed by TCP after this long (seconds), so that firewalls on the way do not forget it and a
/// host that has vanished is noticed.
const KEEPALIVE_S: u32 = 60;

/// Why an attempt failed. The host is to blame in all cases, and trying again is right.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("{name}: the name cannot be resolved: {}", Plain(error))]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The name has no address.
    #[error("{name}: the name has no address")]
    NoAddress {
        /// The name.
        name: String,
    },
    /// Every address refused or could not be reached; the last one's reason.
    #[error("{at}: {}", Plain(error))]
    Connect {
        /// The address that was tried last.
        at: String,
        /// What the system said.
        error: io::Error,
    },
    /// It took longer than `connect_timeout`.
    #[error("{address}: no connection within {} ms", patience.as_millis())]
    Timeout {
        /// The address as configured.
        address: Address,
        /// `connect_timeout`.
        patience: Duration,
    },
}

/// An I/O error without `(os error 111)`.
struct Plain<'a>(&'a io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

/// Opens connections whenever the dispatch wants one. Never ends.
pub async fn serve(worker: Rc<Worker>) {
    loop {
        wait_until_wanted(&worker).await;
        attempt(&worker).await;
    }
}

async fn attempt(worker: &Rc<Worker>) {
    let (address, patience) =
        worker.look(|dispatch| (dispatch.host().address.clone(), dispatch.host().connect_timeout));
    worker.with(Dispatch::attempt_begins);
    let was = worker.look(|dispatch| dispatch.reach().standing());
    match open(&address, patience).await {
        Ok(stream) => {
            if was != Standing::Up {
                info!("connected to {address}");
            }
            connection::start(worker, stream);
        }
        Err(error) => {
            worker.with(|dispatch| dispatch.attempt_failed(&error.to_string(), Instant::now()));
            let (standing, next) = worker.look(|dispatch| {
                let next = dispatch.reach().not_before().map(|at| at.saturating_duration_since(Instant::now()));
                (dispatch.reach().standing(), next.unwrap_or_default())
            });
            let consequence = match standing {
                Standing::Up => "the other connections serve on",
                Standing::Dead => "requests are answered as lost until it is back",
                _ => "requests wait",
            };
            warn!("cannot connect to {error}; {consequence}; next attempt in {} ms", next.as_millis());
        }
    }
}

/// Opens connections for sessions whenever a requester waits for one: as many at once as wait. Never ends.
pub async fn serve_sessions(worker: Rc<Worker>) {
    loop {
        std::future::poll_fn(|cx| worker.bells.sessions.poll_rung(cx)).await;
        while let Some(attempt) = worker.with(Dispatch::next_opening) {
            tokio::task::spawn_local(open_for_session(Rc::clone(&worker), attempt));
        }
    }
}

async fn open_for_session(worker: Rc<Worker>, attempt: u64) {
    let (address, patience) =
        worker.look(|dispatch| (dispatch.host().address.clone(), dispatch.host().connect_timeout));
    match open(&address, patience).await {
        Ok(stream) => connection::start_own(&worker, stream, attempt),
        Err(error) => {
            warn!("cannot connect to {error}; the requester that wanted a session is answered so");
            worker.with(|dispatch| dispatch.opening_failed(attempt, &error.to_string(), Instant::now()));
        }
    }
}

/// Waits until an attempt is wanted and allowed.
async fn wait_until_wanted(worker: &Worker) {
    loop {
        let at = worker.look(|dispatch| dispatch.next_attempt(Instant::now()));
        let rung = std::future::poll_fn(|cx| worker.bells.connector.poll_rung(cx));
        match at {
            None => rung.await,
            Some(at) if at <= Instant::now() => return,
            Some(at) => first_of(rung, tokio::time::sleep_until(at.into())).await,
        }
    }
}

/// Waits for the first of two.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if one.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn open(address: &Address, patience: Duration) -> Result<Stream, ConnectError> {
    let attempt = async {
        match address {
            Address::Tcp { host, port } => open_tcp(host, *port).await,
            Address::Unix { path } => {
                let opened = UnixStream::connect(path).await;
                opened
                    .map(Stream::Unix)
                    .map_err(|error| ConnectError::Connect { at: path.display().to_string(), error })
            }
        }
    };
    let timeout = || ConnectError::Timeout { address: address.clone(), patience };
    tokio::time::timeout(patience, attempt).await.unwrap_or_else(|_| Err(timeout()))
}

async fn open_tcp(host: &str, port: u16) -> Result<Stream, ConnectError> {
    let addresses = lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| ConnectError::Resolve { name: host.to_owned(), error })?;
    let mut failure = ConnectError::NoAddress { name: host.to_owned() };
    for address in addresses {
        match TcpStream::connect(address).await.and_then(not_to_itself).and_then(prepare) {
            Ok(stream) => return Ok(Stream::Tcp(stream)),
            Err(error) => failure = ConnectError::Connect { at: address.to_string(), error },
        }
    }
    Err(failure)
}

/// A TCP socket can connect to itself, if the host is on this machine, is down, and its port happens to be chosen as ours
/// (RFC 9293, simultaneous open): each request would come back as its own reply.
fn not_to_itself(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Small requests leave at once, and a vanished host is noticed.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    setsockopt(&stream, sockopt::TcpKeepIdle, &KEEPALIVE_S)?;
    Ok(stream)
}
