//! A group: what came while the thread was busy, to be done together.
//!
//! Enters: questions in the order in which they were asked. Leaves: a [`Group`], within the bounds of one commit.

use std::sync::mpsc::Receiver;

use super::Question;
use crate::spool::store::{Id, New, Settled};

/// Rows of one commit.
pub(super) const GROUP_ROWS: usize = 256;
/// Bytes of bodies of one commit, but for the last row.
pub(super) const GROUP_BYTES: usize = 1 << 20;

/// A request to be stored.
pub(super) struct Append {
    pub(super) ticket: u64,
    body: Vec<u8>,
    tag: String,
    accepted_ms: u64,
    in_doubt: bool,
}

impl Append {
    /// For the store.
    pub(super) fn for_store(&self) -> New<'_> {
        New { body: &self.body, tag: &self.tag, accepted_ms: self.accepted_ms, in_doubt: self.in_doubt }
    }
}

/// Appends and settlements that are done together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) appends: Vec<Append>,
    bytes: usize,
    pub(super) settles: Vec<(u64, Vec<Settled>, Id)>,
    pub(super) nexts: Vec<(Id, usize, usize)>,
    /// What ended the group.
    pub(super) wall: Option<Question>,
}

/// Everything that is there already, within bounds.
pub(super) fn collect(first: Question, asked: &Receiver<Question>) -> Group {
    let mut group = Group::default();
    let mut next = Some(first);
    while let Some(question) = next {
        match question {
            Question::Append { ticket, body, tag, accepted_ms, in_doubt } => {
                group.bytes += body.len();
                group.appends.push(Append { ticket, body, tag, accepted_ms, in_doubt });
            }
            Question::Settle { ticket, settled, sent_up_to } => group.settles.push((ticket, settled, sent_up_to)),
            Question::Next { after, rows, bytes } => group.nexts.push((after, rows, bytes)),
            wall => {
                group.wall = Some(wall);
                break;
            }
        }
        let full = group.appends.len() >= GROUP_ROWS || group.bytes >= GROUP_BYTES || group.settles.len() >= GROUP_ROWS;
        next = if full { None } else { asked.try_recv().ok() };
    }
    group
}
