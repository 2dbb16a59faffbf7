//! Requesters: they join, take their replies, may be read or not, and leave.

use std::time::Instant;

use super::{Dispatch, MOST_UNREAD};
use crate::dialect::Voice;
use crate::requester::{Account, Standing, Way};
use crate::work::{RequesterId, key};

impl Dispatch {
    /// A requester joins.
    pub fn join(&mut self) -> RequesterId {
        if let Some(index) = self.free_accounts.pop() {
            self.accounts[index as usize] = Some(Account::default());
            return RequesterId(index);
        }
        self.accounts.push(Some(Account::default()));
        RequesterId(key(self.accounts.len() - 1))
    }

    /// A requester has left: what waits for it leaves the queue, what is in flight will be read and dropped.
    pub fn leave(&mut self, requester: RequesterId) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::take) else { return };
        for queued in self.queue.take_all_of(requester) {
            self.deadlines.remove(queued.0);
            self.transactions.remove(queued);
        }
        self.drop_held_of(requester);
        self.leave_session(&account);
        self.queue.speak(requester, Voice::default());
        self.drop_early_of(requester);
        for id in account.awaited() {
            // One that was cut still awaits a transaction that has ended; its number may be somebody else's by now.
            if let Some(transaction) = self.transactions.get_mut(id)
                && transaction.requester == Some(requester)
            {
                transaction.requester = None;
            }
        }
        self.intakes.remove(requester.0);
        self.unread.remove(requester.0);
        if let Some(connection) = account.bound {
            self.let_read(connection);
        }
        self.free_accounts.push(requester.0);
        self.transactions.shrink();
    }

    /// A requester's account.
    #[must_use]
    pub fn account(&self, requester: RequesterId) -> Option<&Account> {
        self.accounts.get(requester.index())?.as_ref()
    }

    /// How many requesters there are.
    #[must_use]
    pub fn requesters(&self) -> usize {
        self.accounts.len() - self.free_accounts.len() - usize::from(self.spool.is_some())
    }

    /// A requester took `count` bytes of its replies; called after every attempt to write, also with 0.
    #[inline]
    pub fn took(&mut self, requester: RequesterId, count: usize, now: Instant) {
        let limit = usize::try_from(self.host.unread).unwrap_or(usize::MAX);
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        account.wrote(count, &mut self.spares);
        let (unread, bound) = (account.unread(), account.bound);
        if account.way == Way::Own {
            // It holds up nobody else: its connection is not read on, for as long as it likes.
            if let Some(connection) = bound.filter(|_| unread <= limit) {
                self.let_read(connection);
            }
        } else if unread > MOST_UNREAD {
            account.standing = Standing::Cut;
        } else if unread > limit {
            if self.unread.at(requester.0).is_none() {
                let at = now + self.host.timeout;
                self.unread.insert(requester.0, at);
                self.need(at);
            }
        } else if self.unread.remove(requester.0)
            && let Some(connection) = bound
        {
            self.let_read(connection);
        }
    }

    /// Whether a requester may be read now. If not, it is woken when it may.
    #[inline]
    pub fn may_read(&mut self, requester: RequesterId, now: Instant) -> bool {
        let (window, unread) = (self.host.window as usize, self.host.unread);
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return false };
        if matches!(account.way, Way::Waiting | Way::Own) {
            return self.may_read_aside(requester, now);
        }
        // Half a window must be free again before a paused requester goes on, so that it wakes once for many replies.
        let most = if account.paused { window / 2 } else { window.saturating_sub(1) };
        account.paused = account.outstanding() > most || account.unread() as u64 > unread;
        !account.paused
    }

    /// As [`Dispatch::may_read`], for one that waits for a connection of its own, or has one.
    fn may_read_aside(&mut self, requester: RequesterId, now: Instant) -> bool {
        self.do_pending(requester, now);
        let window = self.host.window as usize;
        let Some(account) = self.account(requester) else { return false };
        let paused = match account.way {
            Way::Waiting => true,
            Way::Own => {
                let own = account.bound.and_then(|connection| self.own(connection));
                own.is_none_or(|own| !own.takes_more(window))
            }
            _ => false,
        };
        if let Some(account) = self.account_mut(requester) {
            account.paused = paused;
        }
        !paused
    }

    /// The beginning of a request has come, or (`within` false) its end.
    pub fn within_request(&mut self, requester: RequesterId, within: bool, now: Instant) {
        if !within {
            self.intakes.remove(requester.0);
        } else if self.intakes.at(requester.0).is_none() {
            let at = now + self.host.timeout;
            self.intakes.insert(requester.0, at);
            self.need(at);
        }
    }

    /// A requester sends no more: it is closed when it is owed nothing.
    pub fn close(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.standing = account.standing.max(Standing::Closing);
            self.dirty(requester);
        }
    }

    /// Puts a requester into the list of those to be flushed.
    #[inline]
    pub(super) fn dirty(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut)
            && !std::mem::replace(&mut account.dirty, true)
        {
            self.errands.flush.push(requester);
        }
    }

    /// Says that a requester is being flushed, so that it may be put into the list again.
    pub fn flushing(&mut self, requester: RequesterId) {
        if let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) {
            account.dirty = false;
        }
    }

    /// One transaction of `requester` is in flight no longer.
    #[inline]
    pub(super) fn landed(&mut self, requester: RequesterId) {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return };
        account.in_flight = account.in_flight.saturating_sub(1);
        if account.in_flight == 0 {
            account.bound = None;
            self.queue.bind(requester, None);
            self.release_later(requester);
        }
    }
}
