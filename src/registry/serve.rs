//! The registry's child: assembles store, desk and sessions into one event loop.
//!
//! Enters: a listener, a store with its news, orders. Leaves: when it is told to: accepting ends at once, commands that
//! were begun are carried out, the store is closed, and who still listens sees the end of the connection. Promised: nobody
//! is accepted before what the store keeps is known, or known to be out of reach: until then programs wait in the backlog.

use std::future::Future;
use std::io;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tracing::{info, warn};

pub use super::desk::Bounds;
use super::desk::Desk;
use super::directory::Directory;
use super::nats::NatsStore;
use super::row::{Lease, Row};
use super::session;
use super::sqlite::Sqlite;
use super::store::{News, Store};
use crate::child::serve::Inheritance;
use crate::child::service::{self, Order};
use crate::config::RegistrySettings;
use crate::heritage::{Heritage, HostRow, Role};
use crate::requester::listener::Inherited;
use crate::snapshot::{Outcomes, Reach, Snapshot};
use crate::system::limits::open_files;

/// How long accepting pauses after an error, which is nearly always a lack of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// How long changes that were begun may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long programs may take to be given their last answers.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long nobody is accepted because the hosts are not known yet.
const FIRST_HOSTS: Duration = Duration::from_secs(2);
/// Descriptors that are not for requesters.
const OWN_FILES: usize = 64;

/// Runs the registry's child until the parent wants it no more.
///
/// # Errors
/// Those of the event loop.
pub(crate) fn run(heritage: Heritage, control: UnixStream, inheritance: Inheritance) -> io::Result<()> {
    let Role::Registry(settings) = heritage.role else {
        return Err(io::Error::other("this is not the registry's heritage; this is a fault of tieline"));
    };
    let (orders, obeyed) = unbounded_channel();
    let listener = inheritance.listeners.into_iter().find_map(|listener| match listener {
        Inherited::Unix(listener) => Some(listener),
        Inherited::Tcp(_) | Inherited::Deferred(_) => None,
    });
    let listener = listener.ok_or_else(|| io::Error::other("no listener was inherited; this is a fault of tieline"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let (told, news) = unbounded_channel();
        let desk = Rc::new(Desk::new(Bounds::default(), open(*settings, told)?));
        let counted = Rc::clone(&desk);
        let control = service::serve(control, heritage.debug, move || numbers(&counted), orders);
        let control = spawn_local(control);
        let (first, hosts) = oneshot::channel();
        let room = Room::open(desk, news, listener, hosts)?;
        room.obey(obeyed, first).await;
        control.await.map_err(io::Error::other)?
    })
}

/// The store that is configured. That one on other machines cannot be reached is no error: it is news.
fn open(settings: RegistrySettings, told: UnboundedSender<News>) -> io::Result<Box<dyn Store>> {
    Ok(match settings.nats {
        Some(nats) => Box::new(NatsStore::start(nats, Some(settings.file.with_file_name("nats-copy.json")), told)),
        None => Box::new(Sqlite::start(&settings.file, told)?),
    })
}

/// What the status says of the registry.
fn numbers(desk: &Desk) -> Snapshot {
    let away = desk.away();
    Snapshot {
        reach: if away.is_none() { Reach::Up } else { Reach::Down },
        reason: away.unwrap_or_default(),
        requesters: u64::try_from(desk.requesters.get()).unwrap_or(u64::MAX),
        outcomes: Outcomes { replies: desk.answered.get(), ..Outcomes::default() },
        ..Snapshot::default()
    }
}

/// A host as a row; its owner is whoever tieline runs as.
fn host_row(host: HostRow) -> Row {
    let HostRow { name, socket, deferred, dialect, state } = host;
    let pairs = [("dialect", dialect.name().to_owned()), ("state", state.to_string())];
    let pairs = pairs.into_iter().chain(deferred.map(|socket| ("deferred", socket)));
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value)).collect();
    Row { lease: Lease::of_host(&name), name, address: socket, ttl: None, owner: geteuid().as_raw(), pairs }
}

/// Runs a registry that has no parent and knows no hosts, over `file`, until `stop`: for tests and measurements.
///
/// # Errors
/// Those of the event loop.
pub fn alone(
    listener: StdUnixListener,
    file: &Path,
    bounds: Bounds,
    stop: impl Future<Output = ()> + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let file = file.to_owned();
    LocalSet::new().block_on(&runtime, async move {
        let (told, news) = unbounded_channel();
        let desk = Rc::new(Desk::new(bounds, Box::new(Sqlite::start(&file, told)?)));
        let (_, no_hosts) = oneshot::channel();
        let room = Room::open(desk, news, listener, no_hosts)?;
        stop.await;
        room.close().await;
        Ok(())
    })
}

/// An event loop's tasks.
struct Room {
    desk: Rc<Desk>,
    over: watch::Sender<bool>,
    sessions: tokio::task::JoinHandle<JoinSet<()>>,
}

impl Room {
    /// Begins to serve, when the store has told something, and `hosts` that the hosts are known or will not be.
    fn open(
        desk: Rc<Desk>,
        news: UnboundedReceiver<News>,
        listener: StdUnixListener,
        hosts: oneshot::Receiver<()>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let (over, ends) = watch::channel(false);
        let (first, heard) = oneshot::channel();
        spawn_local(Rc::clone(&desk).hear(news, move || {
            first.send(()).ok();
        }));
        spawn_local(Rc::clone(&desk).sweep());
        let known = async {
            // A sender that is gone will not tell.
            heard.await.ok();
            tokio::time::timeout(FIRST_HOSTS, hosts).await.ok();
        };
        let accepting = accept(Rc::clone(&desk), listener, known, ends);
        Ok(Self { desk, over, sessions: spawn_local(accepting) })
    }

    /// Does what the parent wants, until that is the end.
    async fn obey(self, mut orders: UnboundedReceiver<Order>, first: oneshot::Sender<()>) {
        let mut first = Some(first);
        while let Some(Order::Hosts(hosts)) = orders.recv().await {
            self.desk.hosts(hosts.into_iter().map(host_row).collect());
            first.take().map(|first| first.send(()));
        }
        self.close().await;
    }

    /// Ends what was begun, and the store. Nobody waits for programs that do not read.
    async fn close(self) {
        // Nobody has to be there to see it.
        self.over.send(true).ok();
        let sessions = self.sessions.await;
        if tokio::time::timeout(DRAIN, self.desk.calm()).await.is_err() {
            warn!("some changes are not done after {} s; they are left", DRAIN.as_secs());
        }
        self.desk.close_store();
        let Ok(mut sessions) = sessions else { return };
        let told = async { while sessions.join_next().await.is_some() {} };
        // Those that are left see the end of the connection, and nothing more.
        tokio::time::timeout(LAST_WORDS, told).await.ok();
    }
}

/// Accepts programs until it is over, as many as there may be at once. Returns those that are still there.
async fn accept(
    desk: Rc<Desk>,
    listener: UnixListener,
    known: impl Future<Output = ()>,
    mut over: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut sessions = JoinSet::new();
    let files = usize::try_from(open_files()).unwrap_or(usize::MAX);
    let most = desk.bounds.requesters.min(files.saturating_sub(OWN_FILES).max(1));
    tokio::select! {
        () = known => info!("serving names: {} leased rows", desk.look(Directory::leased)),
        _ = over.wait_for(|over| *over) => return sessions,
    }
    loop {
        let ends = over.clone();
        tokio::select! {
            _ = over.wait_for(|over| *over) => return sessions,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept(), if sessions.len() < most => match accepted {
                Ok((stream, _)) => drop(sessions.spawn_local(session::serve(Rc::clone(&desk), stream, ends))),
                Err(error) => {
                    warn!(%error, "cannot accept a requester of the registry; trying again in 100 ms");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
        desk.requesters.set(sessions.len());
    }
}

#[cfg(test)]
mod tests;
