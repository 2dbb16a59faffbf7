//! One connection's task: what the host sends to the dispatch, what the dispatch wants sent to the host.
//!
//! Enters: an open socket. Leaves: bytes both ways. Promised: what many requesters sent in one turn of the loop leaves in
//! one write; reading comes before writing, so that bytes which came unasked are noticed before a request could be taken
//! for their cause.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tracing::{debug, warn};

use super::open::{Opened, plain};
use crate::child::dispatch::{Cost, Dispatch};
use crate::child::handing::Berth;
use crate::child::worker::Worker;
use crate::config::Address;
use crate::system::stream::{ReadHalf, Stream, WriteHalf};
use crate::work::ConnectionId;

/// Serves a connection that was just opened.
pub fn start(worker: &Rc<Worker>, opened: Opened) {
    let connection = worker.with(|dispatch| dispatch.opened(Instant::now()));
    serve(worker, connection, opened);
}

/// Serves a connection that was opened for a session, by this attempt.
pub fn start_own(worker: &Rc<Worker>, opened: Opened, attempt: u64) {
    let connection = worker.with(|dispatch| dispatch.opened_own(attempt, Instant::now()));
    serve(worker, connection, opened);
}

/// Serves a connection that a predecessor has handed over, if it leads to where this host is, was opened as this host's
/// are, and there is room for it.
pub fn adopt(worker: &Rc<Worker>, stream: Stream, address: &Address, opening: &[String], proven: bool) {
    // What was agreed on a connection is known to the worker alone that has opened it.
    if worker.look(|dispatch| dispatch.host().dedupe || crate::config::opening(dispatch.host()) != opening) {
        return debug!("a connection that was handed over was opened in another way than this host's; closed");
    }
    if worker.look(|dispatch| dispatch.host().address != *address) {
        return debug!(
            "a connection that was handed over leads to {address}, which is not this host's address; closed"
        );
    }
    match worker.with(|dispatch| dispatch.adopted(proven, Instant::now())) {
        // Which instance of a name it leads to is not told.
        Some(connection) => serve(worker, connection, Opened { stream, instance: None }),
        None => debug!("a connection that was handed over is not needed; closed"),
    }
}

fn serve(worker: &Rc<Worker>, connection: ConnectionId, opened: Opened) {
    let Opened { stream, instance } = opened;
    worker.opener().numbered(connection, instance);
    let (read, write) = stream.into_split();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(Exchange { worker, connection, read, write, berth: Berth::default() });
}

/// See the head of this file.
struct Exchange {
    worker: Rc<Worker>,
    connection: ConnectionId,
    read: ReadHalf,
    write: WriteHalf,
    berth: Berth,
}

impl Exchange {
    /// Ready when the connection has ended.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let broken = match self.poll_replies(cx) {
            Poll::Pending => self.poll_requests(cx),
            broken => broken,
        };
        if let Poll::Ready(reason) = broken {
            self.worker.with(|dispatch| dispatch.broke(self.connection, &reason, Instant::now()));
        }
        let ended = |dispatch: &Dispatch| dispatch.ended(self.connection).map(|(why, cost)| (why.to_owned(), cost));
        let Some((reason, Cost { unknown, requeued })) = self.worker.look(ended) else { return self.poll_depart(cx) };
        if unknown > 0 {
            warn!("a connection ended ({reason}): {unknown} transactions unknown, {requeued} to be sent again");
        } else {
            debug!("a connection ended ({reason}): {requeued} transactions to be sent again");
        }
        Poll::Ready(())
    }

    /// Ready when nobody needs the connection here any more and it was handed over, or cannot be.
    fn poll_depart(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.worker.is_departing() {
            return Poll::Pending;
        }
        let parcel = self.worker.look(|dispatch| dispatch.parcel_of(self.connection));
        if !self.read.is_plain() {
            return Poll::Ready(());
        }
        let (Some(outlet), Some(parcel)) = (self.worker.outlet(), parcel) else { return Poll::Ready(()) };
        if ready!(self.berth.poll_send(outlet, cx, &parcel, self.read.as_fd(), &[])).is_err() {
            debug!("nobody takes over an idle connection; closed");
        }
        Poll::Ready(())
    }

    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let (worker, connection) = (Rc::clone(&self.worker), self.connection);
        loop {
            if !worker.with(|dispatch| dispatch.may_receive(connection)) {
                return Poll::Pending;
            }
            let received = worker.with_scratch(|scratch| {
                let count = ready!(self.read.poll_read(cx, scratch)).map_err(|error| plain(&error))?;
                if count == 0 {
                    return Poll::Ready(Err("the host closed it".to_owned()));
                }
                Poll::Ready(worker.receive(connection, &scratch[..count], Instant::now()))
            });
            if let Err(reason) = ready!(received) {
                return Poll::Ready(reason);
            }
        }
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let (worker, connection, write) = (&self.worker, self.connection, &mut self.write);
        loop {
            let written = worker.with(|dispatch| {
                let bytes = dispatch.outgoing(connection);
                if bytes.is_empty() {
                    // What TLS still holds. There is nothing else to do but to wait, whether that is done or not.
                    ready!(write.poll_flush(cx))?;
                    return Poll::Pending;
                }
                let count = ready!(write.poll_write(cx, bytes))?;
                dispatch.wrote(connection, count, Instant::now());
                Poll::Ready(io::Result::Ok(()))
            });
            if let Err(error) = ready!(written) {
                return Poll::Ready(plain(&error));
            }
        }
    }
}

impl Future for Exchange {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.worker.attend_connection(self.connection, cx);
        self.poll_exchange(cx)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.worker.release(self.connection);
    }
}

#[cfg(test)]
mod tests;
