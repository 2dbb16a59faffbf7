//! Assembles the event loops of a child: one per worker, the first with the control channel besides.
//!
//! Enters: heritage, control channel, listeners, the ways from predecessors and to a successor. Leaves: when the last
//! requester has been given what it is owed, or was handed over, or the drain time is over.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::dispatch::Dispatch;
use super::handing::{self, Arrival, Inlet, Outlet};
use super::report::{Report, Told};
use super::spooler::{self, Spooler, ToolResult};
use super::worker::Worker;
use super::{ChildError, control, ending, share};
use crate::config::HostSettings;
use crate::heritage::Heritage;
use crate::pool::{connect, named};
use crate::requester::listener::{self, Inherited, Listener};
use crate::spool::keeper::Tool;
use crate::spool::once::{Once, Word};
use crate::system::limits::open_files;
use crate::system::memory;
use crate::system::random::random;
use tracing::warn;

/// Memory is given back when nothing has wanted much of it for so long.
const REST: Duration = Duration::from_millis(500);

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
    /// To hand over to the successor.
    HandOver,
    /// To retire.
    Retire,
}

/// The descriptors that a child is started with, or one worker's copies of them.
#[derive(Default)]
pub(crate) struct Inheritance {
    /// What requesters are accepted on.
    pub(crate) listeners: Vec<Inherited>,
    /// The way to a successor.
    pub(crate) outlet: Option<OwnedFd>,
    /// The ways from predecessors.
    pub(crate) inlets: Vec<OwnedFd>,
}

impl Inheritance {
    /// Copies for one worker. Deferred requesters are accepted by the one that has the store, and by no other.
    fn share(&self, has_store: bool) -> io::Result<Self> {
        let listeners = self.listeners.iter().filter(|each| has_store || !matches!(each, Inherited::Deferred(_)));
        Ok(Self {
            listeners: listeners.map(Inherited::try_clone).collect::<io::Result<_>>()?,
            outlet: self.outlet.as_ref().map(OwnedFd::try_clone).transpose()?,
            inlets: self.inlets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?,
        })
    }
}

/// Runs the child until it has handed over or retired.
pub(super) fn run(
    mut host: HostSettings,
    heritage: &Heritage,
    control: UnixStream,
    inheritance: Inheritance,
) -> Result<(), ChildError> {
    leave_descriptors_for_connections(&mut host);
    let (report, reports) = unbounded_channel();
    let (order, receiver) = unbounded_channel();
    let (mut orders, mut threads) = (vec![order], Vec::new());
    let mut seat = Seat::new(&host, heritage, 0, &inheritance, receiver, report.clone())?;
    let to_store = seat.take_deferred();
    for index in 1..host.workers.max(1) {
        let (order, receiver) = unbounded_channel();
        orders.push(order);
        let mut seat = Seat::new(&host, heritage, index, &inheritance, receiver, report.clone())?;
        seat.to_store = to_store.clone();
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        threads.push(thread.spawn(move || seat.work(std::future::ready(()))).map_err(ChildError::Runtime)?);
    }
    drop((inheritance, to_store, report));
    let done = seat.work(control::serve(host, heritage.debug, control, orders, reports));
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
    /// Where names are looked up.
    registry: Option<PathBuf>,
    drain: Duration,
    inheritance: Inheritance,
    orders: UnboundedReceiver<Order>,
    reports: UnboundedSender<Report>,
    /// Where deferred requesters go that this worker receives and cannot serve.
    to_store: Option<handing::ToStore>,
    /// Where those arrive, at the worker that can.
    deferred: Option<UnboundedReceiver<Arrival>>,
}

impl Seat {
    fn new(
        host: &HostSettings,
        heritage: &Heritage,
        index: u32,
        inheritance: &Inheritance,
        orders: UnboundedReceiver<Order>,
        reports: UnboundedSender<Report>,
    ) -> Result<Self, ChildError> {
        let has_store = index == 0;
        Ok(Self {
            spool: heritage.spool.clone().filter(|_| has_store),
            registry: heritage.registry.clone(),
            index: index as usize,
            host: share::of(host, index),
            drain: heritage.drain,
            inheritance: inheritance.share(has_store).map_err(ChildError::Listener)?,
            orders,
            reports,
            to_store: None,
            deferred: None,
        })
    }

    /// Has this worker serve the deferred requesters that others receive; where they send them. None if it has no store.
    fn take_deferred(&mut self) -> Option<handing::ToStore> {
        self.spool.as_ref()?;
        let (to_store, deferred) = unbounded_channel();
        self.deferred = Some(deferred);
        Some(to_store)
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
        let spooler = self.spool.map(|dir| Spooler::new(dir, &self.host, self.drain));
        let once = self.host.dedupe.then(once).transpose().map_err(ChildError::Random)?;
        let word = once.as_ref().map(|once| once.word().clone());
        let worker = Worker::new(self.index, Dispatch::new(self.host, fastrand::u64(..)), self.reports);
        let worker = Rc::new(worker.opening(self.registry, word));
        let spool = spooler.map(|spooler| (spooler, once));
        begin(&worker, spool, self.inheritance, self.to_store).map_err(ChildError::Listener)?;
        let arrivals = self.deferred.map(|deferred| {
            // Begins at once, and is waited for at the end.
            tokio::task::spawn_local(handing::take_deferred(Rc::clone(&worker), deferred))
        });
        let beside = tokio::task::spawn_local(beside);
        let mut orders = self.orders;
        while worker.is_serving() {
            obey(&worker, orders.recv().await);
        }
        wind_up(&worker, &mut orders, self.drain, async move {
            if let Some(arrivals) = arrivals {
                drop(arrivals.await);
            }
        })
        .await;
        worker.report_end();
        // Who asks this worker for its numbers from now on has them already.
        drop(orders);
        drop(beside.await);
        Ok(())
    }
}

/// Ends what is owed, and obeys meanwhile. What is owed after the drain time is owed no longer.
async fn wind_up(
    worker: &Worker,
    orders: &mut UnboundedReceiver<Order>,
    drain: Duration,
    arrivals: impl Future<Output = ()>,
) {
    worker.with(|dispatch| dispatch.close_spool(Instant::now()));
    let done = tokio::time::timeout(drain, ending::until_done(worker, arrivals));
    let mut done = std::pin::pin!(done);
    let mut ordered = true;
    loop {
        tokio::select! {
            _ = &mut done => return,
            order = orders.recv(), if ordered => {
                ordered = order.is_some();
                obey(worker, order);
            }
        }
    }
}

/// Begins all that a worker does by itself, in tasks of the current event loop.
fn begin(
    worker: &Rc<Worker>,
    spool: Option<(Spooler, Option<Once>)>,
    inheritance: Inheritance,
    to_store: Option<handing::ToStore>,
) -> io::Result<()> {
    if let Some(outlet) = inheritance.outlet {
        worker.set_outlet(Outlet::new(outlet)?);
    }
    if let Some((spooler, once)) = spool {
        open_spool(worker, spooler, once);
    }
    for inherited in inheritance.listeners {
        tokio::task::spawn_local(listener::accept(Rc::clone(worker), Listener::adopt(inherited)?));
    }
    for inlet in inheritance.inlets {
        tokio::task::spawn_local(handing::take(Rc::clone(worker), Inlet::new(inlet)?, to_store.clone()));
    }
    // The worker that has the store waits until nobody can send it anything this way.
    drop(to_store);
    tokio::task::spawn_local(connect::serve(Rc::clone(worker)));
    tokio::task::spawn_local(connect::serve_sessions(Rc::clone(worker)));
    tokio::task::spawn_local(named::watch(Rc::clone(worker)));
    tokio::task::spawn_local(expire(Rc::clone(worker)));
    tokio::task::spawn_local(give_back(Rc::clone(worker)));
    Ok(())
}

/// For a host that remembers what it has executed.
fn once() -> Result<Once, Errno> {
    Ok(Once::new(Word::new(random()?), random()?))
}

fn open_spool(worker: &Rc<Worker>, spooler: Spooler, once: Option<Once>) {
    worker.with(|dispatch| {
        let host = dispatch.host();
        let (window, hold, longest) = (host.replay_window as usize, host.hold_in_doubt, host.replay_backoff);
        dispatch.open_spool(window, hold, longest, once);
    });
    let spooler = Rc::new(spooler);
    worker.set_spooler(Rc::clone(&spooler));
    tokio::task::spawn_local(spooler::serve(Rc::clone(worker), spooler));
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build()
}

/// Carries out an order. A worker that nobody can order about any more retires.
fn obey(worker: &Worker, order: Option<Order>) {
    match order {
        Some(Order::Tell(answer)) => drop(answer.send(worker.tell())),
        Some(Order::Tool(tool, answer)) => match worker.spooler() {
            Some(spooler) => spooler.tool(tool, answer),
            None => drop(answer.send(Err("this host has no deferred requests".to_owned()))),
        },
        Some(Order::RetrySpool) => worker.with(|dispatch| dispatch.retry_spool(Instant::now())),
        Some(Order::Probe) => worker.with(|dispatch| dispatch.probe(Instant::now())),
        Some(Order::HandOver) => worker.hand_over(),
        Some(Order::Retire) | None => worker.retire(),
    }
}

/// Gives memory back when what has used it has not come again for a while.
async fn give_back(worker: Rc<Worker>) {
    let rung = || poll_fn(|cx| worker.bells.much.poll_rung(cx));
    loop {
        rung().await;
        while tokio::time::timeout(REST, rung()).await.is_ok() {
            // One look per pause, however often it rings.
            tokio::time::sleep(REST).await;
        }
        memory::give_back();
    }
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
