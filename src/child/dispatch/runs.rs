//! Runs: commands of one requester that have no reply, sent together. For dialects that have such commands.
//!
//! On a connection that many share a command without a reply has no end that could be seen. So those which one read
//! brought are held back until that read has been taken, and sent as one transaction that ends with a command which is
//! answered for certain ([`CLOSING`]). Until that answer has come the requester is bound to the connection like anybody
//! who is owed something: it reads its own writes.
//!
//! Promised: a run is at most [`MOST`] and one command long; nothing is held back beyond the read that brought it; what
//! fails silently is counted; what the host says within a run reaches nobody but its requester, and of a silent run
//! nobody.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Instant;

use tracing::debug;

use super::Dispatch;
use crate::dialect::{CLOSING, Expect};
use crate::pool::Flight;
use crate::work::{ConnectionId, Phase, RequesterId};

/// A run that has so many bytes is sent before a further command is added.
const MOST: usize = 64 * 1024;

/// Commands that are held back. There is one at a time: that of the requester that is being read.
#[derive(Debug)]
pub(super) struct Run {
    requester: RequesterId,
    expect: Expect,
    commands: Vec<u8>,
}

impl Default for Run {
    fn default() -> Self {
        Self { requester: RequesterId(0), expect: Expect::Any, commands: Vec::new() }
    }
}

impl Dispatch {
    /// Holds a command back.
    pub(super) fn hold(&mut self, requester: RequesterId, command: &[u8], expect: Expect, now: Instant) {
        let run = &self.run;
        let goes_on = run.requester == requester && run.expect == expect;
        if !goes_on || run.commands.len() + command.len() > MOST {
            self.end_run(now);
        }
        (self.run.requester, self.run.expect) = (requester, expect);
        self.run.commands.extend_from_slice(command);
    }

    /// Sends what is held back: a read has been taken, or a request comes that has a reply.
    #[inline]
    pub fn end_run(&mut self, now: Instant) {
        if !self.run.commands.is_empty() {
            self.send_run(now);
        }
    }

    fn send_run(&mut self, now: Instant) {
        let mut commands = std::mem::take(&mut self.run.commands);
        commands.extend_from_slice(CLOSING);
        self.undertake(self.run.requester, Cow::Borrowed(&commands), self.run.expect, now);
        if commands.capacity() <= 2 * MOST {
            commands.clear();
            self.run.commands = commands;
        }
    }

    /// A requester has hung up. Whether it must be kept until what it sent without wanting a reply is executed; nothing
    /// is given to it any more.
    pub fn outlives_its_socket(&mut self, requester: RequesterId) -> bool {
        let Some(account) = self.accounts.get_mut(requester.index()).and_then(Option::as_mut) else { return false };
        let must = account.awaits_silently();
        if must {
            account.mute();
        }
        must
    }

    /// The last bytes of a reply within a run.
    pub(super) fn part_of_reply(&mut self, connection: ConnectionId, piece: &[u8], now: Instant) {
        let Some(slot) = self.slot(connection) else { return };
        let held = std::mem::take(&mut slot.held);
        let Some(&Flight { transaction: id, expect, .. }) = slot.flights.front() else { return };
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let (requester, accepted) = (transaction.requester, transaction.accepted);
        if matches!(transaction.phase, Phase::Streaming(_)) {
            // The next reply is held again until it is whole.
            transaction.phase = Phase::InFlight(connection);
            self.passages.remove(connection.0);
            let at = now + self.host.timeout;
            self.deadlines.insert(id.0, at);
            self.need(at);
        }
        match (requester, expect) {
            (Some(requester), Expect::Quiet) => self.pass(requester, id, &[&held, piece]),
            _ => {
                let after_ms = now.saturating_duration_since(accepted).as_millis();
                debug!(bytes = held.len() + piece.len(), after_ms, "dropped a reply to a command that wants none");
            }
        }
    }
}
