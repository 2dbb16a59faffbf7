//! The desk: where commands meet the directory and its store.
//!
//! Enters: commands with the user who gave them, news of the store, the hosts. Leaves: answers; a call to those who watch.
//! Promised: a change is answered `ok` when the store has written it and the directory has it; reading waits for nobody;
//! a lease ends at its time whatever else goes on, at most [`SWEEP`] of them in one go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{info, warn};

use super::directory::{Directory, Limits, Refusal, Way};
use super::grammar::Command;
use super::grammar::replies::{self, Kind};
use super::row::{Lease, Revision, Row};
use super::store::{News, Store, StoreError, Wish};
use super::turnstile::Turnstile;

/// Leases that end before others have their turn.
const SWEEP: usize = 256;

/// What there may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows and changes.
    pub directory: Limits,
    /// Connections at once; then accepting pauses.
    pub requesters: usize,
    /// Of these, how many watch.
    pub watchers: usize,
    /// How long a requester may leave unread what it is owed.
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { directory: Limits::default(), requesters: 4096, watchers: 512, patience: Duration::from_secs(30) }
    }
}

/// See the head of this file.
pub(super) struct Desk {
    pub(super) bounds: Bounds,
    directory: RefCell<Directory>,
    store: RefCell<Option<Box<dyn Store>>>,
    turnstile: Rc<Turnstile>,
    changed: Notify,
    away: RefCell<Option<String>>,
    pub(super) watchers: Cell<usize>,
    pub(super) requesters: Cell<usize>,
    pub(super) answered: Cell<u64>,
}

impl Desk {
    /// With nothing registered so far.
    pub(super) fn new(bounds: Bounds, store: Box<dyn Store>) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        // Above those of earlier lives, unless the clock was set back; the store may know better.
        let first = Revision(u64::try_from(clock.as_micros()).unwrap_or(0));
        Self {
            bounds,
            directory: RefCell::new(Directory::new(bounds.directory, store.sweeper(), first)),
            store: RefCell::new(Some(store)),
            turnstile: Rc::default(),
            changed: Notify::new(),
            away: RefCell::default(),
            watchers: Cell::default(),
            requesters: Cell::default(),
            answered: Cell::default(),
        }
    }

    /// Looks into the directory.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.directory.borrow())
    }

    /// Why the store cannot be reached; none if it can.
    pub(super) fn away(&self) -> Option<String> {
        self.away.borrow().clone()
    }

    /// The next change, counted from the making of this future, not from when it is first waited for.
    pub(super) fn next_change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        let mut directory = self.directory.borrow_mut();
        let before = directory.revision();
        let done = change(&mut directory);
        if directory.revision() != before {
            self.changed.notify_waiters();
        }
        done
    }

    /// Writes the answer to a command that has one line as its answer.
    pub(super) async fn answer(&self, command: Command, uid: u32, out: &mut String) {
        self.answered.set(self.answered.get() + 1);
        let done = match command {
            Command::Resolve { name, way } => return self.resolve(&name, way, out),
            Command::Register(wanted) => {
                let (name, lease) = (wanted.name.clone(), Lease::random());
                let given = lease.clone();
                let plan = |directory: &Directory| directory.may_register(wanted, uid, lease);
                self.carry_out(&name, plan).await.map(|()| format!("ok {given}\n"))
            }
            Command::Renew(lease) => {
                let plan = |directory: &Directory| directory.may_renew(&lease, uid, Instant::now());
                self.of_lease(&lease, plan).await
            }
            Command::Unregister(lease) => {
                let plan = |directory: &Directory| directory.may_unregister(&lease, uid);
                self.of_lease(&lease, plan).await
            }
            // These have more than one line: see `telling`.
            Command::List { .. } | Command::Watch { .. } => Ok(String::new()),
        };
        out.push_str(&done.unwrap_or_else(|answer| answer));
    }

    fn resolve(&self, name: &str, way: Way, out: &mut String) {
        let rows = self.directory.borrow_mut().resolve(name, way, Instant::now());
        if rows.is_empty() {
            return out.push_str(&replies::error(Kind::Unknown, &format!("nobody is registered as {name}")));
        }
        out.push_str("ok");
        for row in rows {
            out.push(' ');
            out.push_str(&row.address);
        }
        out.push('\n');
    }

    async fn of_lease(
        &self,
        lease: &Lease,
        plan: impl FnOnce(&Directory) -> Result<Wish, Refusal>,
    ) -> Result<String, String> {
        let name = self.look(|directory| directory.name_of(lease).map(str::to_owned));
        self.carry_out(&name.unwrap_or_default(), plan).await.map(|()| "ok\n".to_owned())
    }

    /// Has a change made, in its turn; else the answer that says why not.
    async fn carry_out(
        &self,
        name: &str,
        plan: impl FnOnce(&Directory) -> Result<Wish, Refusal>,
    ) -> Result<(), String> {
        let _turn = self.turnstile.enter(name).await;
        let wish = self.look(plan).map_err(|refusal| replies::refused(&refusal))?;
        let written = self.write(wish.clone()).await.map_err(|failure| replies::not_stored(&failure))?;
        let done = self.change(|directory| directory.wrote(&wish, written, Instant::now()));
        done.map_err(|refusal| replies::refused(&refusal))
    }

    async fn write(&self, wish: Wish) -> Result<super::store::Written, StoreError> {
        let closed = || StoreError::Unavailable { reason: "the registry is being stopped".to_owned() };
        let pending = self.store.borrow().as_ref().map(|store| store.ask(wish)).ok_or_else(closed)?;
        pending.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Ends leases at their times. Never ends.
    pub(super) async fn sweep(self: Rc<Self>) {
        loop {
            let changed = self.next_change();
            match self.look(Directory::next_due) {
                None => changed.await,
                Some(due) if due > Instant::now() => {
                    // Another lease may end sooner from now on.
                    drop(tokio::time::timeout_at(due.into(), changed).await);
                }
                Some(_) => self.sweep_some().await,
            }
        }
    }

    async fn sweep_some(&self) {
        let leases = self.change(|directory| directory.sweep(Instant::now(), SWEEP));
        if let Some(store) = self.store.borrow().as_ref()
            && !leases.is_empty()
        {
            // If this is not written, they are found to be over by the next life.
            drop(store.ask(Wish::Swept { leases }));
        }
        tokio::task::yield_now().await;
    }

    /// Takes over what the store tells; `first` is called when it has told something. Ends with the store.
    pub(super) async fn hear(self: Rc<Self>, mut news: UnboundedReceiver<News>, first: impl FnOnce()) {
        let mut first = Some(first);
        while let Some(told) = news.recv().await {
            match &told {
                News::Away { reason } => {
                    warn!("the registry's store is away: {reason}");
                    *self.away.borrow_mut() = Some(reason.clone());
                }
                News::Back => {
                    info!("the registry's store is back");
                    *self.away.borrow_mut() = None;
                }
                _ => {}
            }
            self.change(|directory| directory.told(told, Instant::now()));
            if let Some(first) = first.take() {
                first();
            }
        }
    }

    /// These are the hosts from now on.
    pub(super) fn hosts(&self, hosts: Vec<Row>) {
        self.change(|directory| directory.hosts(hosts));
    }

    /// Gives the store up: from now on nothing can be changed.
    pub(super) fn close_store(&self) {
        let store = self.store.borrow_mut().take();
        if let Some(store) = store {
            store.close();
        }
    }
}
