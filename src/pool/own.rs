//! A connection of one requester's own, as the dispatch sees it: what is to be written, what is owed, what is bound. Pure.
//!
//! Enters: the requests of its requester, bytes that the host sent. Leaves: pieces for the requester, as they come and of
//! any size; whether the session is over, and whether the connection may serve another one. Promised: nothing that the
//! host sends is held here; what was said on behalf of tieline itself is answered to nobody.
//!
//! ```text
//! strict ──subscribed, or a reply that nobody asked for──▶ loose ──+RESET──▶ strict
//!   └──────CLIENT REPLY, SYNC, bytes that are no reply───────┴──▶ raw
//! ```
//!
//! *Strict*: each request owes one reply, push messages aside. *Loose*: replies can no longer be counted, and only the
//! answer to `RESET` is looked for. *Raw*: nothing is looked at; the session ends with its requester.

use std::collections::VecDeque;
use std::time::Instant;

use super::Outgoing;
use crate::dialect::{Act, Binding, Dialect, Fed, ReplyFramer, Voice};
use crate::work::RequesterId;

/// A requester is read no further while so much of what it sent is still unsent (bytes).
const UNSENT: usize = 256 * 1024;

/// Bytes of a reply's beginning that are looked at.
const HEAD: usize = 12;

/// See the head of this file.
#[derive(Debug)]
pub struct Own {
    /// What is to be written.
    pub outgoing: Outgoing,
    /// Whose it is; nobody's between two sessions.
    pub requester: Option<RequesterId>,
    /// Whether it is not read for now, because its requester does not read.
    pub stalled: bool,
    /// When it was last used.
    pub used: Instant,
    /// The protocol's version that it was told to speak.
    pub voice: Voice,
    /// The notes that it was given on behalf of a requester.
    notes: Box<[u8]>,
    mode: Mode,
    framer: ReplyFramer,
    /// How the reply begins that is coming.
    head: ([u8; HEAD], usize),
    /// Whether a reply has begun and not ended.
    within: bool,
    /// Whether its requester sends no more, and may be owed something that cannot be counted.
    listens: bool,
    /// Whether its requester has said good-bye: the host closes the connection, and executes nothing more.
    parted: bool,
    owed: VecDeque<Debt>,
    /// How many of them are the requester's.
    asked: usize,
    binding: Binding,
}

/// How what the host sends is understood; see the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Strict,
    Loose,
    Raw,
}

/// A request that has not been answered.
#[derive(Debug, Clone, Copy)]
struct Debt {
    for_whom: Asker,
    act: Act,
    /// The position of the request.
    start: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Requester,
    /// Said by tieline itself; the answer is dropped.
    Nobody,
}

/// So many bytes of what the host sent, and whether they are the requester's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many.
    pub length: usize,
    /// Whether the requester is given them.
    pub passes: bool,
    /// The voice that the requester speaks from now on, if they say so.
    pub voice: Option<Voice>,
    /// Whether a reply to the requester ends with them.
    pub replies: bool,
}

/// What a session that broke owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// So many replies to requests that were sent, then so many to those of which not one byte was.
    Replies(usize, usize),
    /// The rest of a reply whose beginning has been passed on, or nothing that could be counted.
    Untold,
}

impl Own {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(dialect: Dialect, now: Instant) -> Self {
        Self {
            outgoing: Outgoing::default(),
            requester: None,
            stalled: false,
            used: now,
            voice: Voice::default(),
            notes: Box::default(),
            mode: if dialect.counts_replies() { Mode::Strict } else { Mode::Raw },
            framer: ReplyFramer::of_session(dialect),
            head: ([0; HEAD], 0),
            within: false,
            listens: false,
            parted: false,
            owed: VecDeque::new(),
            asked: 0,
            binding: Binding::default(),
        }
    }

    /// A session begins: with a greeting in tieline's own name, whose answers are dropped.
    pub fn begin(&mut self, requester: RequesterId, dialect: Dialect, voice: Voice, notes: &[Box<[u8]>]) {
        self.requester = Some(requester);
        self.stalled = false;
        if self.voice != voice
            && let Some(hello) = dialect.hello(voice)
        {
            self.say(Act::Hello(voice), hello);
        }
        let told = notes.concat();
        if !told.is_empty() && *told != *self.notes {
            notes.iter().for_each(|note| self.say(Act::Plain, note));
            self.notes = told.into();
        }
    }

    /// Says something in tieline's own name; the answer is dropped.
    pub fn say(&mut self, act: Act, request: &[u8]) {
        let start = self.outgoing.append(request.into());
        self.owed.push_back(Debt { for_whom: Asker::Nobody, act, start });
    }

    /// Sends a request of the requester.
    pub fn send(&mut self, act: Act, request: &[u8]) {
        let start = self.outgoing.append(request.into());
        self.binding.sent(act);
        match (self.mode, act) {
            (Mode::Raw, _) => return,
            (_, Act::Raw) => return self.loosen(Mode::Raw),
            (_, Act::Subscribes) => return self.loosen(Mode::Loose),
            (Mode::Loose, act) if act != Act::Reset => return,
            _ => {}
        }
        self.owed.push_back(Debt { for_whom: Asker::Requester, act, start });
        self.asked += 1;
    }

    /// Whether its requester may send more.
    #[must_use]
    pub fn takes_more(&self, window: usize) -> bool {
        self.outgoing.length() < UNSENT && self.owed.len() < window && !self.is_ending() && !self.parted
    }

    /// How many replies its requester is owed, as far as they can be counted.
    #[must_use]
    pub fn owes(&self) -> usize {
        self.asked + usize::from(self.listens)
    }

    /// Its requester sends no more. What can be counted it is still owed; what cannot, it may be.
    pub fn listens_on(&mut self) {
        self.listens = self.mode != Mode::Strict;
    }

    /// As [`Own::owes`], if it can be counted and no reply has been passed on in part only.
    #[must_use]
    pub fn counted(&self) -> Option<usize> {
        (self.mode == Mode::Strict && !(self.within && self.asked == 0)).then_some(self.asked)
    }

    /// Whether its requester waits for a reply that may never come.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.mode != Mode::Strict || self.owed.iter().any(|debt| matches!(debt.act, Act::Waits | Act::Once))
    }

    /// Whether the session is over: nothing is owed, nothing is bound.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.mode == Mode::Strict && self.owed.is_empty() && !self.within && self.binding.is_free()
    }

    /// Whether the connection may serve another session. If so, it is nobody's now.
    pub fn release(&mut self, now: Instant) -> bool {
        self.used = now;
        self.requester = None;
        self.is_over() && self.binding.is_clean()
    }

    /// Looks at what the host sent, up to the end of a reply.
    pub fn read(&mut self, bytes: &[u8]) -> Part {
        let all = Part { length: bytes.len(), passes: true, voice: None, replies: false };
        if self.mode == Mode::Raw && self.owed.is_empty() {
            return all;
        }
        match self.framer.feed(bytes) {
            Fed::Partial => {
                self.look(bytes);
                Part { passes: self.passes(), ..all }
            }
            Fed::Complete(length) => {
                self.look(&bytes[..length]);
                self.within = false;
                let passes = self.passes();
                let voice = self.ended();
                Part { length, passes, voice, replies: passes }
            }
            Fed::Malformed(_) | Fed::TooLarge => {
                self.loosen(Mode::Raw);
                self.owed.clear();
                all
            }
        }
    }

    /// What its requester is owed now that the connection has ended.
    #[must_use]
    pub fn loss(&self) -> Loss {
        let begun = self.within && self.passes();
        if begun || self.mode != Mode::Strict {
            return Loss::Untold;
        }
        let owed = self.owed.iter().filter(|debt| debt.for_whom == Asker::Requester);
        let sent = owed.filter(|debt| debt.start < self.outgoing.position()).count();
        Loss::Replies(sent, self.asked - sent)
    }

    /// A request was sent after which it must be seen whether the session goes on.
    fn is_ending(&self) -> bool {
        self.owed.back().is_some_and(|debt| matches!(debt.act, Act::Reset | Act::Quit))
    }

    /// Replies are counted no longer, but for those to what tieline said itself, which all come before the requester's.
    fn loosen(&mut self, mode: Mode) {
        self.mode = mode;
        self.owed.retain(|debt| debt.for_whom == Asker::Nobody);
        self.asked = 0;
    }

    /// Keeps the beginning of a reply.
    fn look(&mut self, bytes: &[u8]) {
        if !self.within {
            (self.within, self.head.1) = (!bytes.is_empty(), 0);
        }
        let (head, length) = &mut self.head;
        let count = bytes.len().min(HEAD - *length);
        head[*length..*length + count].copy_from_slice(&bytes[..count]);
        *length += count;
    }

    fn head(&self) -> &[u8] {
        &self.head.0[..self.head.1]
    }

    fn is_push(&self) -> bool {
        self.head().first() == Some(&b'>')
    }

    /// Whether the reply that is coming is its requester's.
    fn passes(&self) -> bool {
        let said = self.owed.front().is_some_and(|debt| debt.for_whom == Asker::Nobody);
        !said || self.is_push()
    }

    /// A reply has ended. The voice that the requester has from now on, if that changes.
    fn ended(&mut self) -> Option<Voice> {
        if self.is_push() {
            // A connection that gets such messages may get one at any time.
            self.binding.sent(Act::Subscribes);
            return None;
        }
        let was_reset = self.head() == b"+RESET\r\n";
        if self.mode != Mode::Strict && !was_reset && self.passes() {
            return None;
        }
        let Some(debt) = self.owed.pop_front() else {
            self.binding.keep();
            self.loosen(Mode::Loose);
            return None;
        };
        self.asked -= usize::from(debt.for_whom == Asker::Requester);
        let (head, length) = self.head;
        self.parted |= debt.act == Act::Quit && head[0] == b'+';
        self.binding.replied(debt.act, &head[..length]);
        let voice = match debt.act {
            Act::Reset if was_reset => Voice::Two,
            Act::Hello(voice) if head[0] != b'-' && self.binding.is_free() => voice,
            _ => return None,
        };
        self.voice = voice;
        if debt.act == Act::Reset {
            self.mode = Mode::Strict;
        }
        (debt.for_whom == Asker::Requester).then_some(voice)
    }
}

#[cfg(test)]
mod tests;
