//! Outcomes, in the order of their requests. Pure.
//!
//! Enters: requests that are opened and settled. Leaves: each outcome once, to who asks for it by its ticket or for the
//! next one. Promised: what is settled twice keeps its first outcome; what is taken or abandoned is forgotten.

use std::collections::VecDeque;

use super::Outcome;

/// Names a request of one client, in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
enum Slot {
    Open,
    Settled(Outcome),
    /// Taken, or nobody wants it.
    Closed,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// The ticket of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
}

impl Results {
    pub(super) fn open(&mut self) -> Ticket {
        self.slots.push_back(Slot::Open);
        Ticket(self.first + self.slots.len() as u64 - 1)
    }

    pub(super) fn settle(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(slot @ Slot::Open) = self.slot(ticket) {
            *slot = Slot::Settled(outcome);
        }
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Outcome> {
        let slot = self.slot(ticket).filter(|slot| matches!(slot, Slot::Settled(_)))?;
        let Slot::Settled(outcome) = std::mem::replace(slot, Slot::Closed) else { return None };
        self.tidy();
        Some(outcome)
    }

    pub(super) fn take_next(&mut self) -> Option<(Ticket, Outcome)> {
        // The first one is never closed: what is closed is tidied away.
        let ticket = Ticket(self.first);
        self.take(ticket).map(|outcome| (ticket, outcome))
    }

    pub(super) fn abandon(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slot(ticket) {
            *slot = Slot::Closed;
            self.tidy();
        }
    }

    /// Whether anything is neither taken nor abandoned.
    pub(super) fn has_any(&self) -> bool {
        !self.slots.is_empty()
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let at = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }

    fn tidy(&mut self) {
        while let Some(Slot::Closed) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: u64) -> Outcome {
        Outcome::Delayed(id)
    }

    #[test]
    fn outcomes_are_given_once_in_the_order_of_their_requests() {
        let mut results = Results::default();
        let tickets: Vec<_> = (0..4).map(|_| results.open()).collect();
        results.settle(tickets[1], outcome(1));
        assert_eq!(results.take_next(), None, "the first one is not there yet");
        results.settle(tickets[0], outcome(0));
        results.settle(tickets[0], outcome(9));
        results.abandon(tickets[2]);
        assert_eq!(results.take(tickets[1]), Some(outcome(1)));
        assert_eq!(results.take_next(), Some((tickets[0], outcome(0))));
        assert_eq!(results.take(tickets[0]), None);
        results.settle(tickets[2], outcome(2));
        results.settle(tickets[3], outcome(3));
        assert_eq!(results.take_next(), Some((tickets[3], outcome(3))));
        assert!(!results.has_any() && results.slots.is_empty());
    }
}
