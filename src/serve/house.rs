//! From the beginning of a far end to its end.
//!
//! Enters: settings, and where the far end finds its listener, its parent and the registry. Leaves: nothing, when all
//! that was owed is answered and all that was started has ended. Promised: at the end, requests under way have `drain`,
//! then their processes are ended like those that are late; no process is left.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tracing::{error, info, warn};

use super::control;
use super::door::{self, Door};
use super::far::{Far, Stage};
use super::reaper::Reaper;
use super::tagged::Once;
use super::{leftovers, registrar, tasks};
use crate::child::serve::Inheritance;
use crate::child::service;
use crate::config::serve::ServeSettings;
use crate::heritage::{Heritage, Role};
use crate::system::listen::ListenError;

/// Threads of the resolver, at most. A name server that does not answer must not collect threads.
const RESOLVERS: usize = 4;

/// How often the end looks whether it has come.
const LOOK: Duration = Duration::from_millis(5);

/// How long the end of the ledger is waited for.
const LEDGER: Duration = Duration::from_secs(5);

/// How long the end of a registration is waited for.
const UNREGISTER: Duration = Duration::from_secs(2);

/// Where a far end finds what it needs besides its settings.
#[derive(Debug)]
struct Place {
    /// Its listener; none: it opens its own.
    listener: Option<OwnedFd>,
    /// Its parent, and whether debug logging is on; none: it runs alone.
    parent: Option<(UnixStream, bool)>,
    /// The registry's socket; none: it is not registered.
    registry: Option<PathBuf>,
    /// Where it remembers transactions, if it does.
    spool: Option<PathBuf>,
    /// How long requests under way may take at the end.
    drain: Duration,
}

/// Why a far end cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its listener cannot be opened.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// Its listener has died, and is not its own.
    #[error("the inherited listener cannot be used any more: {0}")]
    Listener(io::Error),
    /// It was started for something else, or without its listener.
    #[error("there is no listener; this is a fault of tieline")]
    NoListener,
    /// It is to remember transactions, and was not told where.
    #[error("there is no directory to remember transactions in; this is a fault of tieline")]
    NoSpool,
    /// The system refuses something else.
    #[error("the event loop cannot be started: {0}; is the system short of memory or descriptors?")]
    Runtime(#[from] io::Error),
}

/// Serves under a parent.
///
/// # Errors
/// Why it cannot serve.
pub(crate) fn run(heritage: Heritage, control: UnixStream, inheritance: Inheritance) -> Result<(), ServeError> {
    let Role::Serve(settings) = heritage.role else { return Err(ServeError::NoListener) };
    let listener = inheritance.listeners.into_iter().next().ok_or(ServeError::NoListener)?;
    let (listener, parent) = (Some(listener.into()), Some((control, heritage.debug)));
    let Heritage { registry, spool, drain, .. } = heritage;
    serve(*settings, Place { listener, parent, registry, spool, drain })
}

/// Serves alone. `registry`: the registry's socket; `spool`: where it remembers transactions, if it does.
///
/// # Errors
/// Why it cannot serve.
pub(crate) fn alone(
    settings: ServeSettings,
    registry: PathBuf,
    spool: PathBuf,
    drain: Duration,
) -> Result<(), ServeError> {
    serve(settings, Place { listener: None, parent: None, registry: Some(registry), spool: Some(spool), drain })
}

/// Serves at a listener that was opened before, until what is done `beside` it is done.
///
/// # Errors
/// Why it cannot serve.
pub(crate) fn beside<F: Future<Output = ()> + 'static>(
    settings: ServeSettings,
    listener: OwnedFd,
    beside: impl FnOnce(Rc<Far>) -> F,
) -> Result<(), ServeError> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build()?;
    LocalSet::new().block_on(&runtime, async {
        let door = Door::adopt(listener, &settings.listen)?;
        let far = Far::new(settings, Reaper::begin()?, None, None);
        let door = spawn_local(keep_door(Rc::clone(&far), door, true));
        beside(Rc::clone(&far)).await;
        far.enter(Stage::Retiring);
        end(&far, Duration::ZERO, None).await;
        door.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ServeError::Listener)
    })
}

/// Serves until asked to stop. In the main thread: programs are killed when the thread ends that has started them.
fn serve(settings: ServeSettings, place: Place) -> Result<(), ServeError> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build()?;
    let served = LocalSet::new().block_on(&runtime, live(settings, place));
    // The resolver may hang in a thread of its own; the process does not wait for it.
    runtime.shutdown_background();
    served
}

async fn live(settings: ServeSettings, place: Place) -> Result<(), ServeError> {
    let is_inherited = place.listener.is_some();
    let door = match place.listener {
        Some(listener) => Door::adopt(listener, &settings.listen)?,
        None => Door::open(&settings)?,
    };
    leftovers::kill_all(&settings.name);
    let once = remember(&settings, place.spool.as_deref())?;
    let far = Far::new(settings, Reaper::begin()?, place.registry.as_deref(), once);
    let door = spawn_local(keep_door(Rc::clone(&far), door, is_inherited));
    let registered = place.registry.map(|socket| spawn_local(registrar::keep(Rc::clone(&far), socket)));
    spawn_local(tasks::keep(Rc::clone(&far)));
    info!("serving {} on {}", far.dialect().name(), far.settings().listen);
    let end = end(&far, place.drain, registered);
    match place.parent {
        Some((channel, debug)) => under_parent(&far, channel, debug, end).await?,
        None => {
            spawn_local(control::listen(Rc::clone(&far)));
            end.await;
        }
    }
    door.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ServeError::Listener)
}

/// What is remembered of tagged requests.
fn remember(settings: &ServeSettings, spool: Option<&Path>) -> Result<Option<Once>, ServeError> {
    let Some(keep) = settings.dedupe else { return Ok(None) };
    let dir = spool.ok_or(ServeError::NoSpool)?;
    Ok(Some(Once::open(dir, &settings.name, keep)?))
}

/// Lives as the parent wants it to, until the `end`.
async fn under_parent(
    far: &Rc<Far>,
    channel: UnixStream,
    debug: bool,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (order, mut orders) = unbounded_channel();
    let numbers = {
        let far = Rc::clone(far);
        move || far.snapshot()
    };
    let told = spawn_local(service::serve(channel, debug, numbers, order));
    tokio::select! {
        () = end => {}
        () = control::obey(far, &mut orders) => {}
    }
    // That nobody is there to be ordered about is how it is told.
    drop(orders);
    told.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Keeps the door, and retires when it cannot be kept.
async fn keep_door(far: Rc<Far>, door: Door, is_inherited: bool) -> io::Result<()> {
    let kept = door::keep(Rc::clone(&far), door, is_inherited).await;
    if let Err(why) = &kept {
        error!("the listener has died: {why}; retiring");
        far.enter(Stage::Retiring);
    }
    kept
}

/// Waits until the far end retires, and ends it in order.
async fn end(far: &Rc<Far>, drain: Duration, registered: Option<JoinHandle<()>>) {
    far.reached(Stage::Retiring).await;
    let forgotten = spawn_local(give_up_ledger(Rc::clone(far)));
    if let Some(registered) = registered {
        // Said while requests are still answered.
        drop(tokio::time::timeout(UNREGISTER, registered).await);
    }
    tokio::select! {
        () = until(|| far.requesters() == 0) => {}
        () = tokio::time::sleep(drain) => warn!("what is still under way after {} s is ended", drain.as_secs()),
        () = far.reached(Stage::Halted) => {}
    }
    far.dismiss_workers();
    let grace = far.settings().handlers.iter().map(|handler| handler.limits.grace).max().unwrap_or_default();
    tokio::select! {
        () = until(|| far.requesters() == 0 && far.reaper().count() == 0) => {}
        () = tokio::time::sleep(grace) => far.enter(Stage::Halted),
        () = far.reached(Stage::Halted) => {}
    }
    // Twice the grace: a process is sent TERM, then KILL.
    let gone = until(|| far.requesters() == 0 && far.reaper().count() == 0);
    drop(tokio::time::timeout(grace * 2, gone).await);
    far.reaper().finish().await;
    // A disk that hangs must not keep it from its end.
    drop(tokio::time::timeout(LEDGER, forgotten).await);
    info!("ended");
}

/// Gives up as early as possible what a successor waits for.
async fn give_up_ledger(far: Rc<Far>) {
    let Some(once) = &far.once else { return };
    once.rests().await;
    if far.stage() == Stage::Halted {
        // What was under way was cut off, and must be gone before a successor may begin it again.
        until(|| far.reaper().count() == 0).await;
    }
    once.close().await;
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(LOOK).await;
    }
}
