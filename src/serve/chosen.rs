//! Who answers a request, or why nobody does.
//!
//! Enters: whole requests. Leaves: a [`Chosen`], or a failure. Promised: a request that is refused here has reached no
//! handler, and never will as it stands.

use std::rc::Rc;

use super::desk::Desk;
use super::far::Far;
use super::wire::{Failure, first_word};
use crate::config::serve::Action;
use crate::dialect::Wish;

/// Who answers a request.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The handler's number, in the file's order.
    pub(super) number: usize,
    pub(super) desk: Rc<Desk>,
}

impl Far {
    /// Who answers a request, if it is one that somebody answers.
    pub(super) fn chosen(&self, frame: &[u8]) -> Result<Chosen, Failure> {
        let number = self.choice.pick(frame).ok_or_else(|| self.unknown(frame))?;
        let desk = self.desks.get(number).map(Rc::clone).ok_or_else(|| self.unknown(frame))?;
        let limits = &desk.handler.limits;
        if frame.len() as u64 > limits.max_request {
            return Err(Failure::Refused(format!("the request is larger than {} bytes", limits.max_request)));
        }
        if let Action::Forward(_) = &desk.handler.action {
            self.may_be_forwarded(frame)?;
        }
        Ok(Chosen { number, desk })
    }

    fn unknown(&self, frame: &[u8]) -> Failure {
        let word = first_word(self.dialect(), frame);
        let word: String = String::from_utf8_lossy(&word).chars().take(40).collect();
        Failure::Unknown(format!("no handler for \"{word}\""))
    }

    /// What binds something to its connection cannot be sent on one that others share.
    fn may_be_forwarded(&self, frame: &[u8]) -> Result<(), Failure> {
        let command = match self.dialect().wish(frame) {
            Wish::Session { command, .. } => command.into_owned(),
            Wish::Hello(_) => "HELLO".to_owned(),
            Wish::Quit => "QUIT".to_owned(),
            _ => return Ok(()),
        };
        Err(Failure::Refused(format!("{command} needs a connection of its own, which is not offered here")))
    }
}
