//! The daemon goes before all is done: what is known of what it owed.
//!
//! Leaves: words for people, and a [`Verdict`]. Promised: a request of which no byte was given to the daemon is never told
//! as one that may have been executed, and no other as one that was not sent, unless a refusal stands before it.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Exchange;
use crate::cli::send::requests::Step;
use crate::cli::send::verdict::Verdict;

impl Exchange<'_> {
    /// The daemon did `what`, and nothing more will come.
    pub(super) fn end(&mut self, what: &str) -> io::Result<()> {
        let name = &self.host.name;
        let sent = self.owed.iter().take_while(|owed| owed.start < self.given).count();
        let rest = if sent < self.owed.len() || self.input.is_some() { "; what stood behind was not sent" } else { "" };
        let first = self.owed.front().map_or(0, |owed| owed.line);
        let text = match sent {
            // After a refusal nothing that came behind it was looked at.
            1.. if self.was_refused => {
                return self.say(0, &format!("the daemon {what} after that; what stood behind was not sent to {name}"));
            }
            0 if self.owed.is_empty() => return self.leave_the_rest(what),
            0 => return self.not_sent(first, what),
            1 => format!("a request to {name} has no reply and may have been executed"),
            _ => format!("{sent} requests to {name} have no reply and may have been executed"),
        };
        self.verdict.note(Verdict::Unknown);
        self.say(first, &format!("the daemon {what}; {text}{rest}"))
    }

    /// The daemon owes nothing: all is well if the input has nothing more either.
    fn leave_the_rest(&mut self, what: &str) -> io::Result<()> {
        while let Some((file, intake)) = &mut self.input {
            match intake.next(&mut Vec::new()) {
                Step::Done => self.input = None,
                Step::More => {
                    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).ok();
                    self.read_input()?;
                }
                Step::Request(line) | Step::Unfit(line, _) | Step::Hopeless(line, _) => {
                    return self.not_sent(line, what);
                }
            }
        }
        Ok(())
    }

    /// No byte from this line on has been given to the daemon.
    fn not_sent(&mut self, line: u64, what: &str) -> io::Result<()> {
        self.verdict.note(Verdict::TryAgain);
        self.say(line, &format!("the daemon {what}; from here on nothing was sent to {}", self.host.name))
    }
}
