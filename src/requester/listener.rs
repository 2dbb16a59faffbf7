//! Listeners: accept requesters, as many as there may be at once.
//!
//! Enters: an inherited listener. Leaves: a session for each accepted socket. Promised: at the bound, and when the process
//! has no descriptor left, accepting pauses: newcomers wait in the listener's backlog. Who may not come is told so.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tracing::warn;

use super::Rights;
use super::session::Session;
use super::turned_away::TurnedAway;
use crate::child::bells::Bell;
use crate::child::worker::Worker;
use crate::heritage::ListenerKind;
use crate::system::stream::{Acceptor, Stream};

/// How long accepting pauses after an error, which is nearly always a lack of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener in an event loop.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    /// Whether its requesters' requests are deferred ones.
    deferred: bool,
}

/// A listener as it was inherited, not yet in any event loop.
#[derive(Debug)]
pub enum Inherited {
    /// `NAME.sock`.
    Unix(std::os::unix::net::UnixListener),
    /// The loopback listener of `listen=`.
    Tcp(std::net::TcpListener),
    /// `NAME.deferred.sock`.
    Deferred(std::os::unix::net::UnixListener),
}

impl Inherited {
    /// Takes a listener of the given kind.
    #[must_use]
    pub fn new(listener: OwnedFd, kind: ListenerKind) -> Self {
        match kind {
            ListenerKind::Unix => Self::Unix(listener.into()),
            ListenerKind::Deferred => Self::Deferred(listener.into()),
            ListenerKind::Tcp => Self::Tcp(listener.into()),
        }
    }

    /// A copy for another event loop.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Deferred(listener) => listener.try_clone().map(Self::Deferred),
        }
    }
}

impl From<Inherited> for OwnedFd {
    fn from(inherited: Inherited) -> Self {
        match inherited {
            Inherited::Unix(listener) | Inherited::Deferred(listener) => listener.into(),
            Inherited::Tcp(listener) => listener.into(),
        }
    }
}

impl Listener {
    /// Takes a listener into the current event loop.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn adopt(inherited: Inherited) -> io::Result<Self> {
        let (deferred, is_tcp) = (matches!(inherited, Inherited::Deferred(_)), matches!(inherited, Inherited::Tcp(_)));
        let listener: OwnedFd = match inherited {
            Inherited::Unix(listener) | Inherited::Deferred(listener) => {
                listener.set_nonblocking(true)?;
                listener.into()
            }
            Inherited::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                listener.into()
            }
        };
        Ok(Self { acceptor: Acceptor::new(listener, is_tcp)?, deferred })
    }
}

/// Accepts requesters until the worker hands over or retires. The listener is dropped at once then: newcomers are for the
/// successor alone.
pub async fn accept(worker: Rc<Worker>, listener: Listener) {
    let bell = worker.stop_bell();
    let turned_away = TurnedAway::default();
    let mut rights = Rights::new(worker.look(|dispatch| dispatch.host().allow.clone()));
    while worker.is_serving() {
        let next = std::future::poll_fn(|cx| poll_next(&worker, &listener, &bell, cx));
        let next = match rights.due() {
            None => next.await,
            Some(due) => tokio::time::timeout_at(due.into(), next).await.unwrap_or(Next::Look),
        };
        match next {
            Next::Accepted(stream) => match rights.check(&stream, Instant::now()) {
                Ok(()) => {
                    let session = Session::new(&worker, stream, listener.deferred);
                    tokio::task::spawn_local(session);
                }
                Err(why) => turned_away.tell(&worker, stream, &why),
            },
            Next::Look => rights.overdue(Instant::now()),
            Next::Failed(error) => {
                warn!(%error, "cannot accept a requester; trying again in 100 ms");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

enum Next {
    Accepted(Stream),
    Failed(io::Error),
    /// Something has changed: perhaps the worker serves no longer, perhaps there is room again.
    Look,
}

fn poll_next(worker: &Worker, listener: &Listener, bell: &Bell, cx: &mut Context<'_>) -> Poll<Next> {
    if bell.poll_rung(cx).is_ready() {
        return Poll::Ready(Next::Look);
    }
    if worker.look(|dispatch| dispatch.requesters() >= dispatch.host().requesters as usize) {
        return Poll::Pending;
    }
    listener.acceptor.poll_accept(cx).map(|accepted| accepted.map_or_else(Next::Failed, Next::Accepted))
}
