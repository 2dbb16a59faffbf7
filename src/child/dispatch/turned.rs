//! Turned away: requesters whose command needed a connection of its own, which they were not given.
//!
//! What was answered busy or lost had not been sent, and neither must be what its requester had already sent behind it:
//! the rest of a transaction of the host's, what was meant for another database or user. Such a requester is *turned*
//! away: whatever it sends is answered with the same failure, until the transaction has ended, or it tries again, or has
//! been silent for a second; at most for `timeout`.

use std::time::{Duration, Instant};

use super::Dispatch;
use crate::dialect::{Act, Failure};
use crate::requester::{Account, Pending, Turned, Way};
use crate::work::RequesterId;

/// A requester that was turned away and then silent for so long has read why.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

impl Dispatch {
    /// A request of somebody that goes another way than most.
    pub(super) fn request_aside(&mut self, requester: RequesterId, request: &[u8], now: Instant) {
        match self.account(requester).map(|account| account.way) {
            Some(Way::Own) => self.send_own(requester, Act::Plain, request),
            Some(Way::Turned) if !self.has_calmed_down(requester, now) && !is_nothing(self, request) => {
                self.answer_turned(requester, request, now);
            }
            Some(Way::Turned) => {
                if self.has_calmed_down(requester, now) {
                    self.forgive(requester);
                }
                self.request_shared(requester, request.into(), now);
            }
            _ => self.request_shared(requester, request.into(), now),
        }
    }

    /// Answers why a requester is not given a connection of its own.
    pub(super) fn turn_away(&mut self, requester: RequesterId, failure: Failure, why: &str, now: Instant) {
        let Some(account) = self.account_mut(requester) else { return };
        let aside = account.aside_mut();
        aside.opening = None;
        let Some(Pending::Session { command, act, request }) = aside.pending.take() else { return };
        let transaction = act == Act::Multi;
        let has_followers = transaction || matches!(act, Act::Rules | Act::Raw);
        if has_followers {
            let why = format!("it follows {command}, and {why}");
            aside.turned = Some(Turned { failure, why, transaction, since: now, last: now });
            account.way = Way::Turned;
        } else {
            account.step_back();
        }
        let expect = self.host.dialect.expect(&request);
        self.decline(requester, expect, failure, why);
    }

    /// Answers a request as those before it, if it wants a reply.
    pub(super) fn answer_turned(&mut self, requester: RequesterId, request: &[u8], now: Instant) {
        let turned = self.account_mut(requester).and_then(|account| account.aside_mut().turned.as_mut());
        let Some(turned) = turned else { return };
        turned.last = now;
        let (failure, why) = (turned.failure, turned.why.clone());
        self.decline(requester, self.host.dialect.expect(request), failure, &why);
    }

    /// Whether a requester that was turned away must have noticed by now.
    pub(super) fn has_calmed_down(&self, requester: RequesterId, now: Instant) -> bool {
        let turned = self.account(requester).and_then(Account::aside).and_then(|aside| aside.turned.as_ref());
        turned.is_none_or(|turned| {
            now.saturating_duration_since(turned.last) >= SILENCE
                || now.saturating_duration_since(turned.since) >= self.host.timeout
        })
    }

    /// A requester is turned away no longer.
    pub(super) fn forgive(&mut self, requester: RequesterId) {
        if let Some(account) = self.account_mut(requester)
            && account.way == Way::Turned
        {
            account.aside_mut().turned = None;
            account.step_back();
        }
    }
}

pub(super) fn is_transaction(account: &Account) -> bool {
    account.aside().and_then(|aside| aside.turned.as_ref()).is_some_and(|turned| turned.transaction)
}

/// Whether a request does nothing, so that it may be sent whatever its requester believes to be bound.
fn is_nothing(dispatch: &Dispatch, request: &[u8]) -> bool {
    dispatch.host.dialect.nothing().is_some_and(|nothing| nothing.eq_ignore_ascii_case(request))
}
