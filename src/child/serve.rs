//! Assembles the event loops of a child: one per worker, the first with the control channel besides.
//!
//! Enters: heritage, control channel, listeners. Leaves: when the last requester has been given what it is owed, or the
//! drain time is over.

use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::dispatch::{Dispatch, Numbers};
use super::spooler::{self, Spooler, ToolResult};
use super::tally::Tally;
use super::worker::{Report, Worker};
use super::{ChildError, control, share};
use crate::config::HostSettings;
use crate::heritage::Heritage;
use crate::pool::{self, connect};
use crate::requester::listener::{self, Inherited, Listener};
use crate::snapshot::SpoolNumbers;
use crate::spool::keeper::Tool;
use crate::system::limits::open_files;
use tracing::warn;

/// Threads of the resolver, at most. A name server that does not answer must not collect threads.
const RESOLVERS: usize = 4;

/// What the child's control asks of each worker.
pub(super) enum Order {
    /// To tell its numbers.
    Tell(oneshot::Sender<Told>),
    /// To try the host now.
    Probe,
    /// To do something with the store.
    Tool(Tool, oneshot::Sender<ToolResult>),
    /// To let the replay go on at once.
    RetrySpool,
    /// To retire.
    Retire,
}

/// A worker's numbers.
pub(super) struct Told {
    pub(super) numbers: Numbers,
    pub(super) tally: Tally,
    pub(super) standing: pool::Standing,
    pub(super) reason: String,
    pub(super) next_attempt: Option<Duration>,
    pub(super) attempts: u64,
    pub(super) spool: Option<SpoolNumbers>,
}

/// Runs the child until it has retired.
pub(super) fn run(mut heritage: Heritage, control: UnixStream, listeners: Vec<Inherited>) -> Result<(), ChildError> {
    leave_descriptors_for_connections(&mut heritage.host);
    let (report, reports) = unbounded_channel();
    let (mut orders, mut threads) = (Vec::new(), Vec::new());
    let workers = heritage.host.workers.max(1);
    for index in 1..workers {
        let (order, receiver) = unbounded_channel();
        orders.push(order);
        let seat = Seat::new(&heritage, index, &listeners, receiver, report.clone())?;
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        threads.push(thread.spawn(move || seat.work(std::future::ready(()))).map_err(ChildError::Runtime)?);
    }
    let (order, receiver) = unbounded_channel();
    orders.push(order);
    let seat = Seat::new(&heritage, 0, &listeners, receiver, report)?;
    drop(listeners);
    let done = seat.work(control::serve(heritage, control, orders, reports));
    for thread in threads {
        // With panic = "abort" there is no such thing as a thread that ended otherwise.
        drop(thread.join());
    }
    done
}

fn leave_descriptors_for_connections(host: &mut HostSettings) {
    let files = open_files();
    let most = share::most_requesters(host, files);
    if most < host.requesters {
        let wanted = std::mem::replace(&mut host.requesters, most);
        warn!("only {files} files may be open: {most} requesters at once instead of {wanted}; raise LimitNOFILE");
    }
}

/// What one worker is started with.
struct Seat {
    index: usize,
    host: HostSettings,
    /// Where the store is: one worker alone has it.
    spool: Option<PathBuf>,
    drain: Duration,
    listeners: Vec<Inherited>,
    orders: UnboundedReceiver<Order>,
    reports: UnboundedSender<Report>,
}

impl Seat {
    fn new(
        heritage: &Heritage,
        index: u32,
        listeners: &[Inherited],
        orders: UnboundedReceiver<Order>,
        reports: UnboundedSender<Report>,
    ) -> Result<Self, ChildError> {
        let has_store = index == 0;
        let listeners = listeners.iter().filter(|each| has_store || !matches!(each, Inherited::Deferred(_)));
        let listeners = listeners.map(Inherited::try_clone).collect::<io::Result<_>>();
        Ok(Self {
            spool: heritage.spool.clone().filter(|_| has_store),
            index: index as usize,
            host: share::of(&heritage.host, index),
            drain: heritage.drain,
            listeners: listeners.map_err(ChildError::Listener)?,
            orders,
            reports,
        })
    }

    /// Runs the event loop, and `beside` in it, until the worker has retired.
    fn work(self, beside: impl Future<Output = ()> + 'static) -> Result<(), ChildError> {
        let runtime = runtime().map_err(ChildError::Runtime)?;
        let local = LocalSet::new();
        let done = local.block_on(&runtime, self.serve(beside));
        // The resolver may hang in a thread of its own; the process does not wait for it.
        runtime.shutdown_background();
        done
    }

    async fn serve(self, beside: impl Future<Output = ()> + 'static) -> Result<(), ChildError> {
        let spooler = self.spool.map(|dir| Spooler::new(dir, &self.host));
        let worker = Rc::new(Worker::new(self.index, Dispatch::new(self.host, fastrand::u64(..)), self.reports));
        begin(&worker, spooler, self.listeners).map_err(ChildError::Listener)?;
        tokio::task::spawn_local(beside);
        let mut orders = self.orders;
        while obey(&worker, orders.recv().await) {}
        worker.retire();
        worker.with(|dispatch| dispatch.close_spool(Instant::now()));
        // What is owed after the drain time is owed no longer.
        let drained = tokio::time::timeout(self.drain, until_done(&worker));
        let mut drained = std::pin::pin!(drained);
        while let Some(order) = tokio::select! { _ = &mut drained => None, order = orders.recv() => Some(order) } {
            if order.is_none() {
                drop(drained.await);
                break;
            }
            obey(&worker, order);
        }
        Ok(())
    }
}

/// Begins all that a worker does by itself, in tasks of the current event loop.
fn begin(worker: &Rc<Worker>, spooler: Option<Spooler>, listeners: Vec<Inherited>) -> io::Result<()> {
    if let Some(spooler) = spooler {
        open_spool(worker, spooler);
    }
    for inherited in listeners {
        tokio::task::spawn_local(listener::accept(Rc::clone(worker), Listener::adopt(inherited)?));
    }
    tokio::task::spawn_local(connect::serve(Rc::clone(worker)));
    tokio::task::spawn_local(connect::serve_sessions(Rc::clone(worker)));
    tokio::task::spawn_local(expire(Rc::clone(worker)));
    Ok(())
}

fn open_spool(worker: &Rc<Worker>, spooler: Spooler) {
    worker.with(|dispatch| {
        let host = dispatch.host();
        let (window, hold, longest) = (host.replay_window as usize, host.hold_in_doubt, host.replay_backoff);
        dispatch.open_spool(window, hold, longest);
    });
    let spooler = Rc::new(spooler);
    worker.set_spooler(Rc::clone(&spooler));
    tokio::task::spawn_local(spooler::serve(Rc::clone(worker), spooler));
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build()
}

/// Carries out an order. Returns whether the worker goes on: not if it is to retire, or if nobody can order it to any more.
fn obey(worker: &Worker, order: Option<Order>) -> bool {
    match order {
        Some(Order::Tell(answer)) => drop(answer.send(tell(worker))),
        Some(Order::Tool(tool, answer)) => match worker.spooler() {
            Some(spooler) => spooler.tool(tool, answer),
            None => drop(answer.send(Err("this host has no deferred requests".to_owned()))),
        },
        Some(Order::RetrySpool) => worker.with(|dispatch| dispatch.retry_spool(Instant::now())),
        Some(Order::Probe) => worker.with(|dispatch| dispatch.probe(Instant::now())),
        Some(Order::Retire) | None => return false,
    }
    true
}

fn tell(worker: &Worker) -> Told {
    worker.look(|dispatch| {
        let (reach, now) = (dispatch.reach(), Instant::now());
        Told {
            numbers: dispatch.numbers(),
            tally: dispatch.tally.clone(),
            standing: reach.standing(),
            reason: reach.reason().to_owned(),
            attempts: dispatch.attempts,
            spool: worker.spooler().map(|spooler| spooler.numbers()),
            next_attempt: reach.not_before().map(|at| at.saturating_duration_since(now)),
        }
    })
}

/// Waits until nobody is owed anything and the store is closed.
async fn until_done(worker: &Worker) {
    until_empty(worker).await;
    let Some(spooler) = worker.spooler() else { return };
    poll_fn(|cx| until(spooler, cx, || worker.look(Dispatch::is_spool_quiet))).await;
    spooler.stop();
    poll_fn(|cx| until(spooler, cx, || spooler.has_stopped())).await;
}

/// Looks again at every answer of the store.
fn until(spooler: &Spooler, cx: &Context<'_>, is_so: impl Fn() -> bool) -> Poll<()> {
    loop {
        if is_so() {
            return Poll::Ready(());
        }
        if spooler.answered.poll_rung(cx).is_pending() {
            return Poll::Pending;
        }
    }
}

async fn until_empty(worker: &Worker) {
    poll_fn(|cx| {
        loop {
            if worker.look(Dispatch::requesters) == 0 {
                return Poll::Ready(());
            }
            if worker.bells.emptied.poll_rung(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// Lets time end what it ends: sleeps until the dispatch's alarm, which may be moved to an earlier time.
async fn expire(worker: Rc<Worker>) {
    loop {
        let alarm = worker.look(Dispatch::alarm);
        let rung = poll_fn(|cx| worker.bells.timer.poll_rung(cx));
        let passed = match alarm {
            None => {
                rung.await;
                false
            }
            Some(at) => tokio::time::timeout_at(at.into(), rung).await.is_err(),
        };
        if passed {
            worker.with(|dispatch| dispatch.expire(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests;
