//! The outlet: where a child puts what its successor is to have.
//!
//! Enters: sockets, each with a [`Parcel`] and unread bytes. Leaves: packets on the way. Promised: those who wait for room
//! are served in the order in which they came; who gives up waiting leaves nothing half done.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::libc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Sleep;
use tracing::warn;

use super::Parcel;
use crate::system::handover::{End, in_memory};

/// How long to wait when the system is short of something, of which nobody says when there is more.
const PAUSE: Duration = Duration::from_millis(10);

/// Nobody will take what is put into the outlet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no successor is there to take anything over")]
pub struct NobodyThere;

/// See the head of this file.
#[derive(Debug)]
pub struct Outlet {
    way: End,
    /// Whose turn it is. The event loop knows of one task that waits for room.
    turn: Arc<Mutex<()>>,
}

/// The place of somebody who puts something into the outlet. Dropped, it makes room for the next.
#[derive(Default)]
pub struct Berth(Option<Box<Waiting>>);

struct Waiting {
    turn: Pin<Box<dyn Future<Output = OwnedMutexGuard<()>>>>,
    mine: Option<OwnedMutexGuard<()>>,
    /// The unread bytes, once it is their turn.
    unread: Option<OwnedFd>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Outlet {
    /// Takes an outlet into the current event loop. Every worker may have a copy.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn new(outlet: OwnedFd) -> io::Result<Self> {
        Ok(Self { way: End::new(outlet)?, turn: Arc::default() })
    }
}

impl Berth {
    /// Puts a socket into the outlet, when it is its turn and there is room. Afterwards the successor has the socket; the
    /// caller's own descriptor is only to be closed, without ending the connection.
    ///
    /// # Errors
    /// When nobody will take it.
    pub fn poll_send(
        &mut self,
        outlet: &Outlet,
        cx: &mut Context<'_>,
        parcel: &Parcel,
        socket: BorrowedFd<'_>,
        unread: &[u8],
    ) -> Poll<Result<(), NobodyThere>> {
        let waiting = self.0.get_or_insert_with(|| Box::new(Waiting::new(outlet)));
        let sent = ready!(waiting.poll_send(outlet, cx, parcel, socket, unread));
        self.0 = None;
        Poll::Ready(sent.map_err(|error| {
            if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
                warn!("nothing can be handed over to the successor: {error}");
            }
            NobodyThere
        }))
    }
}

impl Waiting {
    fn new(outlet: &Outlet) -> Self {
        let turn = Box::pin(Arc::clone(&outlet.turn).lock_owned());
        Self { turn, mine: None, unread: None, pause: None }
    }

    fn poll_send(
        &mut self,
        outlet: &Outlet,
        cx: &mut Context<'_>,
        parcel: &Parcel,
        socket: BorrowedFd<'_>,
        unread: &[u8],
    ) -> Poll<io::Result<()>> {
        if self.mine.is_none() {
            self.mine = Some(ready!(self.turn.as_mut().poll(cx)));
        }
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.poll_try(outlet, cx, parcel, socket, unread) {
                Poll::Ready(Err(error)) if is_scarcity(&error) => {
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
                polled => return polled,
            }
        }
    }

    fn poll_try(
        &mut self,
        outlet: &Outlet,
        cx: &mut Context<'_>,
        parcel: &Parcel,
        socket: BorrowedFd<'_>,
        unread: &[u8],
    ) -> Poll<io::Result<()>> {
        if !unread.is_empty() && self.unread.is_none() {
            self.unread = Some(in_memory(unread)?);
        }
        let header = serde_json::to_vec(parcel)?;
        match &self.unread {
            Some(unread) => outlet.way.poll_send(cx, &header, &[socket, unread.as_fd()]),
            None => outlet.way.poll_send(cx, &header, &[socket]),
        }
    }
}

/// Whether the system lacks memory, descriptors, or room for descriptors under way, which pass.
fn is_scarcity(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETOOMANYREFS | libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EINTR)
    )
}

impl fmt::Debug for Berth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Berth(waiting)" } else { "Berth" })
    }
}
