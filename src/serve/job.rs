//! A request on its way through a handler, and the one answer that it is owed.
//!
//! Enters: a frame. Leaves: one answer. Promised: there is never a second one, and never none: who drops a request
//! without an answer has it answered as the handler's fault.

use std::time::Instant;

use tokio::sync::oneshot;

use super::wire::Failure;

/// A reply as a frame, or why there is none.
pub(super) type Answer = Result<Vec<u8>, Failure>;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Job {
    /// The whole request.
    pub(super) frame: Vec<u8>,
    /// What it is known by, if who asked has said so.
    pub(super) tag: Option<String>,
    /// When its time is over.
    pub(super) deadline: Instant,
    owed: oneshot::Sender<Answer>,
}

/// The answer that somebody is owed.
#[derive(Debug)]
pub(super) struct Owed(Option<oneshot::Sender<Answer>>);

impl Job {
    /// A request, and where its answer will come.
    pub(super) fn new(frame: Vec<u8>, tag: Option<String>, deadline: Instant) -> (Self, oneshot::Receiver<Answer>) {
        let (owed, answer) = oneshot::channel();
        (Self { frame, tag, deadline, owed }, answer)
    }

    /// Takes it apart: what was asked, and what is owed.
    pub(super) fn begin(self) -> (Vec<u8>, Owed) {
        (self.frame, Owed(Some(self.owed)))
    }

    /// Answers it at once.
    pub(super) fn answer(self, answer: Answer) {
        // Who asked may be gone.
        drop(self.owed.send(answer));
    }
}

impl Owed {
    /// Gives the answer, unless it was given.
    pub(super) fn answer(&mut self, answer: Answer) {
        if let Some(owed) = self.0.take() {
            // Who asked may be gone.
            drop(owed.send(answer));
        }
    }
}
