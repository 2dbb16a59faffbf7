//! Handing over: how a child that is replaced gives its requesters and idle connections to its successor.
//!
//! Enters: sockets with the bytes that were read from them and not dealt with. Leaves: the same, in the successor.
//! Promised: each is in one child's hands at any time; no byte of a requester is lost or taken twice; who cannot be handed
//! over is treated as by a child that retires.
//!
//! A packet on the way is a [`Parcel`] in JSON, and one or two descriptors: the socket, and, if there are unread bytes, a
//! file in memory that holds them. Fields may be added to a parcel, with a default; a parcel that this build does not know
//! is closed.

mod inlet;
mod outlet;

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::{debug, info, warn};

pub use self::inlet::{Arrival, Inlet};
pub use self::outlet::{Berth, NobodyThere, Outlet};
use super::worker::Worker;
use crate::config::Address;
use crate::dialect::{Dialect, Voice};
use crate::pool::connection;
use crate::requester::may_come;
use crate::requester::session::Session;
use crate::system::stream::Stream;

/// What is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parcel {
    /// A requester that is owed nothing.
    Requester {
        /// How it speaks.
        dialect: Dialect,
        /// Whether its requests are deferred ones.
        #[serde(default)]
        deferred: bool,
        /// How many bytes it sent that were read and not dealt with.
        #[serde(default)]
        unread: u64,
        /// The protocol's version that it speaks.
        #[serde(default)]
        voice: Voice,
        /// What it said about itself.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// A connection that owes nothing.
    Connection {
        /// How it speaks.
        dialect: Dialect,
        /// Where it leads, as configured.
        address: Address,
        /// The options by which it was opened, as `config::opening` has them.
        #[serde(default)]
        opening: Vec<String>,
        /// Whether it has given a reply.
        #[serde(default)]
        proven: bool,
    },
}

/// The way from the other workers to the one that has the store, which alone can serve deferred requesters.
pub(super) type ToStore = UnboundedSender<Arrival>;

/// Takes what a predecessor hands over, until this child hands over itself or retires: what is in the way then is for the
/// next one.
pub(super) async fn take(worker: Rc<Worker>, inlet: Inlet, to_store: Option<ToStore>) {
    let bell = worker.stop_bell();
    while worker.is_serving() {
        let arrived = tokio::select! {
            biased;
            () = std::future::poll_fn(|cx| bell.poll_rung(cx)) => continue,
            arrived = inlet.next() => arrived,
        };
        let Some(arrival) = arrived else {
            debug!("a predecessor has handed over all it had");
            return;
        };
        match &to_store {
            Some(to_store) if arrival.is_deferred() => drop(to_store.send(arrival)),
            _ => adopt(&worker, arrival),
        }
    }
}

/// Adopts the deferred requesters that other workers have received.
pub(super) async fn take_deferred(worker: Rc<Worker>, mut arrivals: UnboundedReceiver<Arrival>) {
    while let Some(arrival) = arrivals.recv().await {
        adopt(&worker, arrival);
    }
}

/// Makes what has arrived part of this worker, or closes it.
fn adopt(worker: &Rc<Worker>, arrival: Arrival) {
    let Arrival { parcel, socket, unread } = arrival;
    let Some(stream) = Stream::adopt(socket) else {
        warn!("a predecessor handed over something that is no connected socket; closed");
        return;
    };
    let ours = worker.look(|dispatch| dispatch.host().dialect);
    match parcel {
        Parcel::Requester { dialect, .. } | Parcel::Connection { dialect, .. } if dialect != ours => {
            debug!("what was handed over speaks {}, and this host {}; closed", dialect.name(), ours.name());
        }
        Parcel::Requester { deferred: true, .. } if worker.spooler().is_none() => {
            warn!("a deferred requester was handed over, and this host has no deferred requests any more; closed");
        }
        Parcel::Requester { .. } if !worker.look(|dispatch| may_come(&dispatch.host().allow, &stream)) => {
            info!("a requester that was handed over is not in `allow` any more; closed");
        }
        Parcel::Requester { deferred, voice, notes, .. } => {
            let session = Session::adopt(worker, stream, deferred, unread);
            worker.with(|dispatch| dispatch.remember(session.requester(), voice, &notes));
            tokio::task::spawn_local(session);
        }
        Parcel::Connection { address, opening, proven, .. } => {
            connection::adopt(worker, stream, &address, &opening, proven);
        }
    }
}

#[cfg(test)]
mod tests;
