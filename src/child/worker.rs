//! A worker: one event loop with its share of the pool. It carries the dispatch's decisions to the sockets.
//!
//! Enters: calls of the tasks of this loop. Leaves: bytes in requesters' sockets, and wake-ups. Promised: after every
//! call into the dispatch its errands are done at once, each requester is written to once, and no borrow of the dispatch
//! outlives the call.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::bells::{Bell, Bells};
use super::dispatch::Dispatch;
use super::handing::Outlet;
use super::report::{Report, Told};
use super::spooler::Spooler;
use crate::pool::open::Opener;
use crate::requester::Standing;
use crate::spool::once::Word;
use crate::system::stream::WriteHalf;
use crate::work::{ConnectionId, RequesterId};

/// Bytes that are read at once from any socket: a value of 64 KiB comes whole, with its frame. One buffer serves all
/// sockets of a worker, for nothing stays in it.
const SCRATCH: usize = 128 * 1024;

/// How far a worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// It accepts and serves.
    #[default]
    Serving,
    /// A successor is ready: each requester goes there as soon as it is owed nothing.
    HandingOver,
    /// Each requester is closed as soon as it is owed nothing.
    Retiring,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    dispatch: RefCell<Dispatch>,
    scratch: RefCell<Vec<u8>>,
    requesters: RefCell<Vec<Option<Line>>>,
    connections: RefCell<Vec<Option<Waker>>>,
    /// The tasks that there is one of each.
    pub bells: Bells,
    opener: Opener,
    stage: Cell<Stage>,
    /// Whether its connections go as well, for nobody needs them here any more.
    departing: Cell<bool>,
    outlet: OnceCell<Outlet>,
    spooler: OnceCell<Rc<Spooler>>,
    reports: UnboundedSender<Report>,
}

/// The way to one requester.
#[derive(Debug)]
struct Line {
    write: WriteHalf,
    session: Option<Waker>,
}

impl Worker {
    /// A worker that does what `dispatch` decides.
    #[must_use]
    pub fn new(index: usize, dispatch: Dispatch, reports: UnboundedSender<Report>) -> Self {
        Self {
            index,
            opener: Opener::new(dispatch.host(), None),
            dispatch: RefCell::new(dispatch),
            scratch: RefCell::default(),
            requesters: RefCell::default(),
            connections: RefCell::default(),
            bells: Bells::default(),
            stage: Cell::default(),
            departing: Cell::new(false),
            outlet: OnceCell::new(),
            spooler: OnceCell::new(),
            reports,
        }
    }

    /// Lets names be looked up at this socket of the registry, and connections agree on this word.
    #[must_use]
    pub fn opening(mut self, registry: Option<PathBuf>, word: Option<Word>) -> Self {
        self.opener = self.look(|dispatch| Opener::new(dispatch.host(), registry).with_word(word));
        self
    }

    /// Opens connections to the host.
    #[must_use]
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Calls the dispatch and does its errands.
    pub fn with<T>(&self, call: impl FnOnce(&mut Dispatch) -> T) -> T {
        let mut dispatch = self.dispatch.borrow_mut();
        let result = call(&mut dispatch);
        self.run_errands(&mut dispatch);
        result
    }

    /// Gives the dispatch what a connection's host has sent, and does its errands.
    ///
    /// # Errors
    /// As [`Dispatch::received`].
    pub fn receive(&self, connection: ConnectionId, bytes: &[u8], now: Instant) -> Result<(), String> {
        self.with(|dispatch| {
            dispatch.received(connection, bytes, now, &mut |requester, piece| {
                self.bells.much.ring();
                let requesters = self.requesters.borrow();
                let line = requesters.get(requester.index()).and_then(Option::as_ref);
                // An error here is the requester's end; its session meets it when what was not taken is written.
                line.map_or(0, |line| line.write.try_write(piece).unwrap_or(0))
            })
        })
    }

    /// Looks at the dispatch.
    pub fn look<T>(&self, call: impl FnOnce(&Dispatch) -> T) -> T {
        call(&self.dispatch.borrow())
    }

    /// Lends the buffer for one read. Between borrowing and giving back nothing else of this loop runs.
    pub fn with_scratch<T>(&self, call: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.is_empty() {
            // Not filled: pages that are never read into are never there.
            *scratch = vec![0; SCRATCH];
        }
        call(&mut scratch)
    }

    /// A requester joins, with the way to it.
    pub fn join(&self, write: WriteHalf) -> RequesterId {
        let id = self.with(Dispatch::join);
        put(&mut self.requesters.borrow_mut(), id.index(), Line { write, session: None });
        id
    }

    /// A requester has left.
    pub fn leave(&self, requester: RequesterId) {
        let line = self.requesters.borrow_mut().get_mut(requester.index()).and_then(Option::take);
        drop(line);
        self.with(|dispatch| dispatch.leave(requester));
        self.bells.much.ring();
        for acceptor in self.bells.acceptors.borrow().iter() {
            acceptor.ring();
        }
        if self.look(Dispatch::requesters) == 0 {
            self.bells.emptied.ring();
        }
        if !self.is_serving() {
            self.bells.calm.ring();
        }
    }

    /// The successor has a requester's socket now: ours is only dropped. The session ends after this.
    pub fn let_go(&self, requester: RequesterId) {
        drop(self.requesters.borrow_mut().get_mut(requester.index()).and_then(Option::take));
    }

    /// A connection's task has ended.
    pub fn release(&self, connection: ConnectionId) {
        self.with(|dispatch| dispatch.released(connection));
        self.bells.parted.ring();
    }

    /// Lets the dispatch wake this session when something about its requester changes.
    pub fn attend(&self, requester: RequesterId, cx: &Context<'_>) {
        if let Some(Some(line)) = self.requesters.borrow_mut().get_mut(requester.index()) {
            renew(&mut line.session, cx);
        }
    }

    /// Lets the dispatch wake this connection's task.
    pub fn attend_connection(&self, connection: ConnectionId, cx: &Context<'_>) {
        let mut connections = self.connections.borrow_mut();
        if let Some(Some(waker)) = connections.get_mut(connection.index())
            && waker.will_wake(cx.waker())
        {
            return;
        }
        put(&mut connections, connection.index(), cx.waker().clone());
    }

    /// Writes to a requester when its socket takes bytes again. Ready once there is nothing to write.
    pub fn poll_flush(&self, requester: RequesterId, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.look(|dispatch| dispatch.account(requester).is_none_or(|account| account.unread() == 0)) {
                return Poll::Ready(Ok(()));
            }
            if let Some(Some(line)) = self.requesters.borrow().get(requester.index()) {
                std::task::ready!(line.write.poll_write_ready(cx))?;
            }
            // What was taken may let a connection read again that waited for this reader.
            let mut dispatch = self.dispatch.borrow_mut();
            let flushed = self.flush(&mut dispatch, requester);
            self.run_errands(&mut dispatch);
            flushed?;
        }
    }

    /// Ends the sending direction of a requester's socket.
    pub fn poll_shutdown(&self, requester: RequesterId, cx: &mut Context<'_>) -> Poll<()> {
        match self.requesters.borrow_mut().get_mut(requester.index()) {
            Some(Some(line)) => line.write.poll_shutdown(cx).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// Gives this worker the way to the store.
    pub fn set_spooler(&self, spooler: Rc<Spooler>) {
        // There is one at most, and it is given before anything runs.
        drop(self.spooler.set(spooler));
    }

    /// The way to the store, if the host has deferred requests and this is the worker that has it.
    #[must_use]
    pub fn spooler(&self) -> Option<&Rc<Spooler>> {
        self.spooler.get()
    }

    /// Tells whether stored requests wait to be replayed.
    pub fn report_backlog(&self, waiting: bool) {
        drop(self.reports.send(Report::Backlog(waiting)));
    }

    /// Tells that this worker has done all that it had to do.
    pub fn report_end(&self) {
        drop(self.reports.send(Report::Ended(Box::new(self.tell()))));
    }

    /// Its numbers.
    #[must_use]
    pub fn tell(&self) -> Told {
        self.look(|dispatch| {
            let (reach, now) = (dispatch.reach(), Instant::now());
            Told {
                worker: self.index,
                numbers: dispatch.numbers(),
                tally: dispatch.tally.clone(),
                standing: reach.standing(),
                reason: reach.reason().to_owned(),
                attempts: dispatch.attempts,
                spool: self.spooler().map(|spooler| spooler.numbers()),
                next_attempt: reach.not_before().map(|at| at.saturating_duration_since(now)),
            }
        })
    }

    /// Gives this worker the way to its successor.
    pub fn set_outlet(&self, outlet: Outlet) {
        // There is one at most, and it is given before anything runs.
        drop(self.outlet.set(outlet));
    }

    /// The way to its successor, while things are to be handed over.
    #[must_use]
    pub fn outlet(&self) -> Option<&Outlet> {
        self.outlet.get().filter(|_| self.stage() == Stage::HandingOver)
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Whether it accepts and serves, and is not on its way out.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.stage() == Stage::Serving
    }

    /// Whether its connections are to be let go.
    #[must_use]
    pub fn is_departing(&self) -> bool {
        self.departing.get()
    }

    /// A bell that is rung when this worker serves no longer, and now and then besides.
    #[must_use]
    pub fn stop_bell(&self) -> Rc<Bell> {
        let bell = Rc::new(Bell::default());
        self.bells.acceptors.borrow_mut().push(Rc::clone(&bell));
        bell
    }

    /// A successor is ready: acceptors stop, nobody is read any more, and each requester is handed over when it is owed
    /// nothing. Without a way to a successor this is a retirement.
    pub fn hand_over(&self) {
        if self.is_serving() {
            self.enter(if self.outlet.get().is_some() { Stage::HandingOver } else { Stage::Retiring });
        }
    }

    /// Retires: acceptors stop, each session ends when its requester is owed nothing. Ends a handover.
    pub fn retire(&self) {
        self.enter(Stage::Retiring);
    }

    /// Nobody needs the connections any more: they are handed over, or closed.
    pub fn depart(&self) {
        self.departing.set(true);
        self.wake_connections();
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        for acceptor in self.bells.acceptors.borrow().iter() {
            acceptor.ring();
        }
        for line in self.requesters.borrow_mut().iter_mut().flatten() {
            line.wake();
        }
        self.wake_connections();
        for bell in [&self.bells.emptied, &self.bells.calm, &self.bells.parted] {
            bell.ring();
        }
    }

    fn wake_connections(&self) {
        for connection in self.connections.borrow().iter().flatten() {
            connection.wake_by_ref();
        }
    }

    fn run_errands(&self, dispatch: &mut Dispatch) {
        // First, for what cannot be asked is answered at once.
        if !dispatch.errands.store.is_empty() {
            self.ask_store(dispatch);
        }
        while let Some(requester) = dispatch.errands.flush.pop() {
            dispatch.flushing(requester);
            // An error here is the requester's end; its session meets it when it is woken.
            if self.flush(dispatch, requester).is_err() {
                self.wake_session(requester);
            }
        }
        while let Some(connection) = dispatch.errands.wake.pop() {
            if let Some(Some(waker)) = self.connections.borrow().get(connection.index()) {
                waker.wake_by_ref();
            }
        }
        if std::mem::take(&mut dispatch.errands.connect) {
            self.bells.connector.ring();
        }
        if std::mem::take(&mut dispatch.errands.sessions) {
            self.bells.sessions.ring();
        }
        if std::mem::take(&mut dispatch.errands.timer) {
            self.bells.timer.ring();
        }
        if std::mem::take(&mut dispatch.errands.reach) {
            self.report(dispatch);
        }
    }

    fn ask_store(&self, dispatch: &mut Dispatch) {
        let Some(spooler) = self.spooler.get() else { return };
        let now = Instant::now();
        for errand in std::mem::take(&mut dispatch.errands.store) {
            if let Some(answer) = spooler.ask(errand) {
                dispatch.store_answered(answer, now);
            }
        }
    }

    /// Writes what a requester's socket takes at once, and wakes its session if that leaves it something to do.
    fn flush(&self, dispatch: &mut Dispatch, requester: RequesterId) -> io::Result<()> {
        let mut requesters = self.requesters.borrow_mut();
        let Some(Some(line)) = requesters.get_mut(requester.index()) else { return Ok(()) };
        let now = Instant::now();
        let written = loop {
            let Some(account) = dispatch.account(requester) else { return Ok(()) };
            if account.unread() == 0 {
                break Ok(());
            }
            match line.write.try_write(account.unsent()) {
                Ok(count) => dispatch.took(requester, count, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    dispatch.took(requester, 0, now);
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        let Some(account) = dispatch.account(requester) else { return written };
        if account.unread() > 0 {
            self.bells.much.ring();
        }
        if account.unread() > 0 || account.paused || account.standing != Standing::Open || !self.is_serving() {
            line.wake();
        }
        written
    }

    fn wake_session(&self, requester: RequesterId) {
        if let Some(Some(line)) = self.requesters.borrow_mut().get_mut(requester.index()) {
            line.wake();
        }
    }

    fn report(&self, dispatch: &Dispatch) {
        let reach = dispatch.reach();
        let report =
            Report::Reach { worker: self.index, standing: reach.standing(), reason: reach.reason().to_owned() };
        // The receiver is gone only when the child ends.
        drop(self.reports.send(report));
    }
}

impl Line {
    fn wake(&mut self) {
        if let Some(session) = &self.session {
            session.wake_by_ref();
        }
    }
}

fn renew(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

fn put<T>(table: &mut Vec<Option<T>>, index: usize, entry: T) {
    while table.len() <= index {
        table.push(None);
    }
    table[index] = Some(entry);
}
