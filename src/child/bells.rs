//! Bells: how what happens in a worker wakes the tasks that there is one of each.
//!
//! Enters: a reason to look again. Leaves: a task that is woken. Promised: a bell that was rung before its task waits is
//! not missed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Wakers of the tasks that there is one of each.
#[derive(Debug, Default)]
pub struct Bells {
    /// Opens connections.
    pub connector: Bell,
    /// Opens connections for sessions.
    pub sessions: Bell,
    /// Calls [`super::dispatch::Dispatch::expire`].
    pub timer: Bell,
    /// Accept or take over requesters.
    pub acceptors: RefCell<Vec<Rc<Bell>>>,
    /// Waits for the last requester to leave.
    pub emptied: Bell,
    /// Waits until no deferred requester needs the store.
    pub calm: Bell,
    /// Waits for the last connection to be let go.
    pub parted: Bell,
    /// Rung when memory may have been used that is to be given back when there is no more such work: for large values, for
    /// replies that nobody read, for requesters that have left.
    pub much: Bell,
}

/// Wakes one task; rung before the task waits, it does not wait.
#[derive(Debug, Default)]
pub struct Bell {
    waker: RefCell<Option<Waker>>,
    rung: Cell<bool>,
}

impl Bell {
    /// Wakes the task.
    #[inline]
    pub fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready once the bell has been rung since the last time that it was ready.
    pub fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        if self.rung.take() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}
