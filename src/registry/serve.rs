//! The registry's child: assembles store, desk and sessions into one event loop.
//!
//! Enters: a listener, a store with its news, orders. Leaves: when it is told to: accepting ends at once, commands that
//! were begun are carried out, the store is closed, and who still listens sees the end of the connection. Promised: nobody
//! is accepted before what the store keeps is known, or known to be out of reach: until then programs wait in the backlog.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tracing::{info, warn};

pub use super::desk::Bounds;
use super::desk::Desk;
use super::directory::Directory;
use super::session;
use super::sqlite::Sqlite;
use super::store::News;
use crate::system::limits::open_files;

/// How long accepting pauses after an error, which is nearly always a lack of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// How long commands that were begun may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// Descriptors that are not for requesters.
const OWN_FILES: usize = 64;

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
        let room = Room::open(desk, news, listener)?;
        stop.await;
        room.close().await;
        Ok(())
    })
}

/// An event loop's tasks.
pub(super) struct Room {
    pub(super) desk: Rc<Desk>,
    over: watch::Sender<bool>,
    sessions: tokio::task::JoinHandle<JoinSet<()>>,
}

impl Room {
    /// Begins to serve.
    pub(super) fn open(desk: Rc<Desk>, news: UnboundedReceiver<News>, listener: StdUnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let (over, ends) = watch::channel(false);
        let (first, heard) = oneshot::channel();
        spawn_local(Rc::clone(&desk).hear(news, move || {
            first.send(()).ok();
        }));
        spawn_local(Rc::clone(&desk).sweep());
        let accepting = accept(Rc::clone(&desk), listener, heard, ends);
        Ok(Self { desk, over, sessions: spawn_local(accepting) })
    }

    /// Ends what was begun, and the store.
    pub(super) async fn close(self) {
        // Nobody has to be there to see it.
        self.over.send(true).ok();
        let ended = tokio::time::timeout(DRAIN, async {
            if let Ok(mut sessions) = self.sessions.await {
                while sessions.join_next().await.is_some() {}
            }
        });
        if ended.await.is_err() {
            warn!("some commands are not done after {} s; they are left", DRAIN.as_secs());
        }
        self.desk.close_store();
    }
}

/// Accepts programs until it is over, as many as there may be at once. Returns those that are still there.
async fn accept(
    desk: Rc<Desk>,
    listener: UnixListener,
    heard: oneshot::Receiver<()>,
    mut over: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut sessions = JoinSet::new();
    let files = usize::try_from(open_files()).unwrap_or(usize::MAX);
    let most = desk.bounds.requesters.min(files.saturating_sub(OWN_FILES).max(1));
    tokio::select! {
        _ = heard => info!("serving names: {} leased rows", desk.look(Directory::leased)),
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
