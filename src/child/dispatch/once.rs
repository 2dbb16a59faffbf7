//! Once: what the spool adds for a host that remembers what it has executed.
//!
//! A deferred request gets its tag when it comes, and is sent with it at the first try and at every replay. Of the host's
//! words about a tag, *again* is treated as a transient refusal, and *doubt* like a broken connection at the first try, of
//! which the requester hears, and like a refusal at a replay, which nobody but the operator can end.

use std::borrow::Cow;
use std::time::Instant;

use super::Dispatch;
use crate::dialect::Failure;
use crate::spool::once::Told;
use crate::spool::replay::End;
use crate::work::{Deferral, RequesterId, Tagged, TransactionId};

impl Dispatch {
    /// A deferred request, with a tag if the host wants one.
    pub(super) fn tagged(&mut self, body: &[u8]) -> Tagged {
        let once = self.spool.as_mut().and_then(|spool| spool.once.as_mut());
        Tagged { tag: once.map(|once| once.tag()).unwrap_or_default(), body: body.into() }
    }

    /// A deferred request as the host is to get it.
    pub(super) fn as_sent<'r>(&self, tag: &str, body: &'r [u8]) -> Cow<'r, [u8]> {
        let once = self.spool.as_ref().and_then(|spool| spool.once.as_ref());
        once.map_or(Cow::Borrowed(body), |once| once.sent(tag, body))
    }

    /// What the host's reply to a deferred request means.
    pub(super) fn told(&self, reply: &[u8]) -> Told {
        let once = self.spool.as_ref().and_then(|spool| spool.once.as_ref());
        once.map_or(Told::Reply, |once| once.told(reply))
    }

    /// The host does not know whether it has executed a deferred request.
    pub(super) fn doubted(
        &mut self,
        requester: RequesterId,
        id: TransactionId,
        deferral: &Deferral,
        why: String,
        now: Instant,
    ) {
        match deferral {
            // To the dead: repeating it would say the same, and those behind it wait.
            Deferral::Replay(row) => {
                self.replayed(id, *row, End::Rejected(format!("doubt {why}").into_bytes(), why), now);
            }
            _ => self.fail(requester, id, None, Failure::Unknown, &why),
        }
    }
}

#[cfg(test)]
mod tests;
