//! `exec`: a process for one request.
//!
//! Enters: a request, and a place to start a process in. Leaves: its one answer. Promised: the answer comes when the
//! process has ended, or at the deadline; the place is free when the process is gone, with all of its group.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::clock::at;
use super::desk::{Desk, Place};
use super::far::Far;
use super::job::{Job, Owed};
use super::life::{Due, Life};
use super::output::Output;
use super::process::Process;
use super::wire::{Failure, for_program};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Runs `command` for a request.
pub(super) async fn run(far: Rc<Far>, desk: Rc<Desk>, place: Place, command: Vec<String>, job: Job) {
    match far.start(&command, job.tag.as_deref()) {
        Ok(process) => Run::new(&far, &desk, process, job).live_and_die(&far).await,
        Err(unstarted) => job.answer(Err(unstarted.failure())),
    }
    drop(place);
}

struct Run {
    process: Process,
    life: Life,
    output: Output,
    /// Whether its output is still listened to.
    listens: bool,
    /// The request, and how much of it the process has taken.
    input: Vec<u8>,
    written: usize,
    owed: Owed,
    limit: Duration,
}

enum Event {
    Wrote(io::Result<usize>),
    Read(io::Result<usize>),
    Ended,
    Time,
    Halt,
}

impl Run {
    fn new(far: &Far, desk: &Desk, process: Process, job: Job) -> Self {
        let limits = &desk.handler.limits;
        let mut life = Life::new(limits.grace);
        life.bind(job.deadline);
        let (frame, owed) = job.begin();
        let (input, output) = (for_program(far.dialect(), frame), Output::new(far.dialect(), limits.max_reply));
        Self { process, life, output, listens: true, input, written: 0, owed, limit: limits.timeout }
    }

    async fn live_and_die(mut self, far: &Far) {
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.next(far, &mut chunk).await {
                Event::Wrote(Ok(count @ 1..)) => self.written += count,
                // It need not read what it is told.
                Event::Wrote(_) => self.process.input = None,
                Event::Read(Ok(count @ 1..)) => self.heard(&chunk[..count]),
                Event::Read(_) => self.listens = false,
                Event::Time => self.time_passed(),
                Event::Halt => self.must_end(Failure::InDoubt("the service stops".to_owned())),
                Event::Ended => break,
            }
        }
        self.hear_the_rest(&mut chunk);
        let exit = self.process.end.wait().await;
        self.owed.answer(self.output.reply(exit));
    }

    async fn next(&mut self, far: &Far, chunk: &mut [u8]) -> Event {
        if self.written == self.input.len() {
            self.process.input = None;
        }
        let Process { input: pipe, output, end, .. } = &mut self.process;
        let rest = self.input.get(self.written..).unwrap_or_default();
        tokio::select! {
            count = output.read(chunk), if self.listens => Event::Read(count),
            count = write(pipe, rest) => Event::Wrote(count),
            _ = end.wait() => Event::Ended,
            () = at(self.life.alarm()) => Event::Time,
            () = far.halted(), if !self.life.is_ending() => Event::Halt,
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        if self.output.push(bytes).is_err() {
            self.listens = false;
            self.must_end(Failure::Handler("its reply is too large".to_owned()));
        }
    }

    /// What it had written before it ended is in the pipe, whether or not the event loop knows that already. What others
    /// write there is nobody's reply.
    fn hear_the_rest(&mut self, chunk: &mut [u8]) {
        while self.listens
            && let Ok(count @ 1..) = nix::unistd::read(self.process.output.as_fd(), chunk)
        {
            self.heard(&chunk[..count]);
        }
    }

    fn time_passed(&mut self) {
        let Some(due) = self.life.due(Instant::now()) else { return };
        if due == Due::Overrun {
            self.owed.answer(Err(Failure::Timeout(self.limit)));
        }
        self.process.suffer(due);
    }

    fn must_end(&mut self, why: Failure) {
        self.owed.answer(Err(why));
        if self.life.end(Instant::now()) {
            self.process.suffer(Due::Term);
        }
    }
}

async fn write(pipe: &mut Option<pipe::Sender>, rest: &[u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.write(rest).await,
        None => pending().await,
    }
}
