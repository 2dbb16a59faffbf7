//! How a worker ends: what it waits for when it hands over or retires, in which order.
//!
//! Enters: the worker's bells. Leaves: nothing. Promised: the store is closed as soon as no deferred requester needs it, for
//! a successor waits for its lock; connections go last, for they may be needed until then.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use super::bells::Bell;
use super::dispatch::Dispatch;
use super::spooler::Spooler;
use super::worker::{Stage, Worker};

/// Waits until nobody is owed anything, the store is closed, and the connections are handed over. `arrivals`: ends when
/// no other worker has deferred requesters for this one any more.
pub(super) async fn until_done(worker: &Worker, arrivals: impl Future<Output = ()>) {
    let emptied = async {
        arrivals.await;
        until(&worker.bells.emptied, || worker.look(Dispatch::requesters) == 0).await;
    };
    tokio::join!(close_store(worker), emptied);
    if worker.stage() == Stage::HandingOver {
        worker.depart();
        let is_over = || worker.stage() != Stage::HandingOver || worker.look(Dispatch::connections) == 0;
        until(&worker.bells.parted, is_over).await;
    }
}

/// Waits until the store is needed no more, and closes it.
async fn close_store(worker: &Worker) {
    let Some(spooler) = worker.spooler() else { return };
    poll_fn(|cx| poll_calm(worker, spooler, cx)).await;
    spooler.stop();
    until(&spooler.answered, || spooler.has_stopped()).await;
}

/// Ready when no deferred requester will need the store, no replay is under way, and every end is recorded. Who is owed
/// nothing is read no more while handing over, and until it has gone when retiring.
fn poll_calm(worker: &Worker, spooler: &Spooler, cx: &Context<'_>) -> Poll<()> {
    loop {
        let idle_too = worker.stage() != Stage::HandingOver;
        if worker.look(|dispatch| !dispatch.needs_store(idle_too) && dispatch.is_spool_quiet()) {
            return Poll::Ready(());
        }
        let rung = [&spooler.answered, &worker.bells.calm].map(|bell| bell.poll_rung(cx).is_ready());
        if rung == [false, false] {
            return Poll::Pending;
        }
    }
}

/// Waits until something is so; looks again whenever the bell is rung.
async fn until(bell: &Bell, is_so: impl Fn() -> bool) {
    poll_fn(|cx| {
        while !is_so() {
            if bell.poll_rung(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}
