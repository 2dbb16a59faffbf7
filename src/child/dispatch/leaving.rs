//! Leaving a connection off: it ends when it owes nothing, and gets no new work until then.

use super::{Dispatch, Place};
use crate::work::ConnectionId;

impl Dispatch {
    /// Lets a connection end as soon as nothing is in flight on it: where it leads, nobody should go any more. Sessions
    /// keep theirs.
    pub fn leave_off(&mut self, connection: ConnectionId, reason: &'static str) {
        if let Some(slot) = self.slot(connection) {
            slot.leaving = Some(reason);
        }
        self.end_left_off(connection);
    }

    /// Ends it, if it is left off and owes nothing.
    pub(super) fn end_left_off(&mut self, connection: ConnectionId) {
        if let Some(Place::Open(slot)) = self.slots.get(connection.index())
            && let Some(reason) = slot.leaving
            && slot.flights.is_empty()
        {
            self.retire_connection(connection, reason);
        }
    }
}
