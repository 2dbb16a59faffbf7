//! The exchange with the daemon: requests there, replies back, both at once.
//!
//! Enters: a host's socket, and requests from the command line or standard input. Leaves: replies on standard output,
//! failures on standard error, a [`Verdict`]. Promised: one loop that writes and reads as either is possible, so that it
//! cannot wait for a daemon that waits for it; at most `window` requests are owed a reply at any time; a daemon that
//! owes something and lets nothing be heard for [`GRACE`] beyond the host's `timeout` is waited for no longer.

mod ending;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::replies::{self, Replies};
use super::requests::{CHUNK, Intake, Step};
use super::verdict::{Verdict, explain};
use crate::config::HostSettings;
use crate::dialect::Failure;

/// The daemon answers within the host's `timeout`; its child may have to be started again before it can.
const GRACE: Duration = Duration::from_secs(10);

/// Where requests come from.
pub(super) enum Source {
    /// One request, framed already.
    Words(Vec<u8>),
    /// A file that is read to its end.
    Input(File, Intake),
}

/// Where replies and failures go.
pub(super) struct Sinks<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    /// A person reads `out`.
    pub(super) to_terminal: bool,
}

/// A request without a reply yet.
struct Owed {
    /// The line of standard input in which it began, or 0.
    line: u64,
    /// How many bytes stood before it.
    start: u64,
}

/// See the head of this file.
pub(super) struct Exchange<'a> {
    host: &'a HostSettings,
    stream: UnixStream,
    input: Option<(File, Intake)>,
    /// Framed; the bytes before `sent` are with the daemon.
    outgoing: Vec<u8>,
    sent: usize,
    /// Bytes that were ever given to the daemon.
    given: u64,
    /// The requests that are owed a reply.
    owed: VecDeque<Owed>,
    replies: Replies,
    /// How long the daemon may let nothing be heard while it owes something.
    pub(super) patience: Duration,
    /// When the daemon last took or gave something.
    heard: Instant,
    /// It takes nothing more, although it may still say why.
    is_deaf: bool,
    /// Its last reply was a refusal.
    was_refused: bool,
    verdict: Verdict,
    sinks: Sinks<'a>,
}

impl<'a> Exchange<'a> {
    /// With a stream that is connected to the host's socket.
    pub(super) fn new(
        host: &'a HostSettings,
        stream: UnixStream,
        source: Source,
        sinks: Sinks<'a>,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (outgoing, owed, input) = match source {
            Source::Words(request) => (request, VecDeque::from([Owed { line: 0, start: 0 }]), None),
            Source::Input(file, intake) => (Vec::new(), VecDeque::new(), Some((file, intake))),
        };
        Ok(Self {
            host,
            stream,
            input,
            outgoing,
            sent: 0,
            given: 0,
            owed,
            replies: Replies::new(host.dialect, host.max_reply),
            patience: host.timeout + GRACE,
            heard: Instant::now(),
            is_deaf: false,
            was_refused: false,
            verdict: Verdict::default(),
            sinks,
        })
    }

    /// Runs it to its end. An error is one of this machine, not of the daemon.
    pub(super) fn run(mut self) -> io::Result<Verdict> {
        loop {
            let wants_input = self.take_requests()?;
            if self.is_over() {
                return Ok(self.verdict);
            }
            let Some((has_input, has_replies, may_write)) = self.wait(wants_input)? else {
                self.end("lets nothing be heard")?;
                return Ok(self.verdict);
            };
            if may_write {
                self.write()?;
            }
            if has_replies && !self.read()? {
                return Ok(self.verdict);
            }
            if has_input {
                self.read_input()?;
            }
        }
    }

    /// Moves requests from the input to `outgoing`, as far as the window allows; whether more input is wanted.
    fn take_requests(&mut self) -> io::Result<bool> {
        let window = self.host.window as usize;
        while self.owed.len() < window && self.outgoing.len() - self.sent < CHUNK && !self.is_deaf {
            let Some((_, intake)) = &mut self.input else { return Ok(false) };
            if self.owed.is_empty() && self.outgoing.is_empty() {
                // Nobody owed anything: the daemon has from now on.
                self.heard = Instant::now();
            }
            let start = self.given + (self.outgoing.len() - self.sent) as u64;
            match intake.next(&mut self.outgoing) {
                Step::Request(line) => self.owed.push_back(Owed { line, start }),
                Step::Unfit(line, unfit) | Step::Hopeless(line, unfit) => {
                    self.complain(line, Failure::Refused, &unfit.to_string())?;
                }
                Step::More => return Ok(true),
                Step::Done => self.input = None,
            }
        }
        Ok(false)
    }

    fn is_over(&self) -> bool {
        self.input.is_none() && self.owed.is_empty() && self.sent == self.outgoing.len()
    }

    /// Waits until something can be done; `None` if it was in vain.
    fn wait(&self, wants_input: bool) -> io::Result<Option<(bool, bool, bool)>> {
        let mut of_stream = PollFlags::POLLIN;
        of_stream.set(PollFlags::POLLOUT, self.sent < self.outgoing.len());
        let mut fds = vec![PollFd::new(self.stream.as_fd(), of_stream)];
        if let Some((file, _)) = self.input.as_ref().filter(|_| wants_input) {
            fds.push(PollFd::new(file.as_fd(), PollFlags::POLLIN));
        }
        let patience = match self.patience_left() {
            Some(Duration::ZERO) => return Ok(None),
            // Rounded up, so that it does not turn on the spot during the last millisecond.
            Some(left) => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, patience) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = |at: usize| fds.get(at).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let may_write = events(0).contains(PollFlags::POLLOUT);
        Ok(Some((!events(1).is_empty(), !(events(0) - PollFlags::POLLOUT).is_empty(), may_write)))
    }

    /// How much longer to wait for the daemon; for ever, while it owes nothing.
    fn patience_left(&self) -> Option<Duration> {
        let is_its_turn = !self.owed.is_empty() || self.sent < self.outgoing.len();
        is_its_turn.then(|| self.patience.saturating_sub(self.heard.elapsed()))
    }

    fn write(&mut self) -> io::Result<()> {
        match self.stream.write(&self.outgoing[self.sent..]) {
            Ok(count) => {
                self.sent += count;
                self.given += count as u64;
                self.heard = Instant::now();
            }
            Err(error) if is_for_later(&error) => {}
            // What it said before it closed is still to be read.
            Err(_) => (self.is_deaf, self.sent) = (true, self.outgoing.len()),
        }
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Reads replies; false once the daemon has closed.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let bytes = match self.stream.read(&mut chunk) {
            Ok(count) => &chunk[..count],
            Err(error) if is_for_later(&error) => return Ok(true),
            Err(_) => &[],
        };
        if bytes.is_empty() {
            self.end("has closed the socket")?;
            return Ok(false);
        }
        self.heard = Instant::now();
        self.take(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let (dialect, to_terminal) = (self.host.dialect, self.sinks.to_terminal);
        let (mut shown, mut failures) = (Vec::new(), Vec::new());
        let (owed, was_refused) = (&mut self.owed, &mut self.was_refused);
        let taken = self.replies.feed(bytes, |reply| {
            let line = owed.pop_front().map_or(0, |owed| owed.line);
            let failure = dialect.failure_in(reply);
            *was_refused = matches!(failure, Some((Failure::Refused, _)));
            match failure {
                Some((failure, detail)) => failures.push((line, failure, detail)),
                None => replies::show(dialect, reply, to_terminal, &mut shown),
            }
        });
        self.sinks.out.write_all(&shown)?;
        self.sinks.out.flush()?;
        for (line, failure, detail) in failures {
            self.complain(line, failure, &explain(failure, &detail, self.host))?;
        }
        if let Err(what) = taken {
            self.end(&format!("sent what is no reply ({what})"))?;
        }
        Ok(taken.is_ok())
    }

    fn read_input(&mut self) -> io::Result<()> {
        let Some((file, intake)) = &mut self.input else { return Ok(()) };
        let mut chunk = [0; CHUNK];
        match file.read(&mut chunk) {
            Ok(count) => intake.feed(&chunk[..count]),
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn complain(&mut self, line: u64, failure: Failure, text: &str) -> io::Result<()> {
        self.verdict.note(failure);
        self.say(line, text)
    }

    /// Tells a person; a line of standard input is named.
    fn say(&mut self, line: u64, text: &str) -> io::Result<()> {
        match line {
            0 => writeln!(self.sinks.err, "tieline: {text}"),
            line => writeln!(self.sinks.err, "tieline: line {line}: {text}"),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
