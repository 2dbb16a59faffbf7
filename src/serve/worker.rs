//! `worker`: a process that lives on, and answers one request after the other.
//!
//! Enters: a place to start it in, its first request, and further ones from its [`Desk`]. Leaves: an answer to each.
//! Promised: who is not wholly in step (says more than it was asked for, says nothing, is late) is never asked again; what
//! it was given and has not begun goes to another one; its place is free when it is gone, with all of its group.
//!
//! After a reply it rests until it sleeps, at least for [`REST`] and at most for [`LONGEST_REST`], before it is asked
//! again. A second reply that it is about to give is noticed, and cannot be taken for the reply to the next request.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{debug, warn};

use super::clock::at;
use super::desk::{Desk, Place};
use super::far::Far;
use super::job::Job;
use super::life::{Due, Life};
use super::once::with_tag;
use super::process::Process;
use super::talk::{Broken, talk};
use super::wire::Failure;

/// See the head of this file.
pub(super) const REST: Duration = Duration::from_millis(1);

/// See the head of this file. A worker that never sleeps is trusted after so long.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// How long the exit status of a worker is waited for that has closed its output.
const STATUS: Duration = Duration::from_millis(100);

/// The same, where much depends on whether it has ended by a signal: the machine may be busy.
const TAGGED_STATUS: Duration = Duration::from_secs(2);

/// Starts a worker for a request, and lets it live.
pub(super) async fn run(far: Rc<Far>, desk: Rc<Desk>, place: Place, command: Vec<String>, first: Job) {
    match far.start(&command, None) {
        Ok(process) => Worker::new(far, desk, process).live_and_die(first).await,
        Err(unstarted) => {
            desk.failed(&unstarted.to_string(), Instant::now());
            // Whatever became of it, it was not told the request.
            first.answer(Err(Failure::NotBegun(unstarted.to_string())));
        }
    }
    drop(place);
}

struct Worker {
    far: Rc<Far>,
    desk: Rc<Desk>,
    process: Process,
    life: Life,
    number: u64,
    jobs: UnboundedReceiver<Job>,
    began: Instant,
    served: u32,
}

/// Why a worker is asked no more.
#[derive(Debug)]
enum Parting {
    /// It has served enough, or is needed no more.
    Kind,
    /// It is out of step, or late.
    Forced(String),
    /// It has ended.
    Ended(String),
}

impl Worker {
    fn new(far: Rc<Far>, desk: Rc<Desk>, process: Process) -> Self {
        let (number, jobs) = desk.hire();
        let life = Life::new(desk.handler.limits.grace);
        Self { far, desk, process, life, number, jobs, began: Instant::now(), served: 0 }
    }

    async fn live_and_die(mut self, first: Job) {
        let parting = self.live(first).await;
        self.desk.dismiss(self.number);
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.far.again(&self.desk, job);
        }
        self.part(&parting);
        self.wind_up().await;
    }

    fn part(&mut self, parting: &Parting) {
        match parting {
            // It may be that none of its kind can live: the next one is not started at once.
            Parting::Ended(why) if self.served == 0 => self.desk.failed(why, self.began),
            Parting::Ended(why) | Parting::Forced(why) => {
                warn!("a worker of handler {} is replaced: {why}", self.desk.handler.matches);
            }
            Parting::Kind => return debug!("a worker goes after {} requests", self.served),
        }
        self.must_end();
    }

    async fn live(&mut self, first: Job) -> Parting {
        let mut next = Some(first);
        loop {
            let job = match next.take() {
                Some(job) => job,
                None => match self.wait().await {
                    Ok(job) if self.has_said_nothing() => job,
                    Ok(job) => {
                        // It has spoken, or ended, and the event loop does not know it yet.
                        self.far.again(&self.desk, job);
                        return Parting::Forced("it spoke unasked, or closed its output".to_owned());
                    }
                    Err(parting) => return parting,
                },
            };
            if let Err(parting) = self.serve(job).await {
                return parting;
            }
            if self.served >= self.desk.handler.limits.requests {
                return Parting::Kind;
            }
            self.desk.is_nearly_done();
            let rested = self.rest().await;
            if rested.is_ok() {
                self.desk.rests(self.number);
            }
            self.desk.is_done();
            if let Err(parting) = rested {
                return parting;
            }
        }
    }

    /// Waits for a request; looks at nothing else but its end, and what it says unasked.
    async fn wait(&mut self) -> Result<Job, Parting> {
        let (mut unasked, Process { output, end, .. }) = ([0], &mut self.process);
        tokio::select! {
            // What it says unasked comes first: no request may follow it.
            biased;
            () = self.far.halted() => Err(Parting::Kind),
            count = output.read(&mut unasked) => Err(match count {
                Ok(1..) => Parting::Forced("it spoke unasked".to_owned()),
                _ => Parting::Forced("it closed its output".to_owned()),
            }),
            exit = end.wait() => Err(Parting::Ended(exit.to_string())),
            job = self.jobs.recv() => job.ok_or(Parting::Kind),
        }
    }

    async fn serve(&mut self, job: Job) -> Result<(), Parting> {
        self.life.bind(job.deadline);
        let limits = self.desk.handler.limits.clone();
        let is_tagged = job.tag.is_some();
        let (frame, mut owed) = self.worded(job).begin();
        let Process { input: Some(input), output, .. } = &mut self.process else {
            return Err(Parting::Kind);
        };
        let talked = tokio::select! {
            talked = talk(output, input, &frame, self.far.dialect(), limits.max_reply) => talked,
            () = at(self.life.alarm()) => {
                owed.answer(Err(Failure::Timeout(limits.timeout)));
                return Err(Parting::Forced("it was late".to_owned()));
            }
            () = self.far.halted() => {
                owed.answer(Err(Failure::InDoubt("the service stops".to_owned())));
                return Err(Parting::Forced("the service stops".to_owned()));
            }
        };
        match talked {
            Ok(reply) => {
                self.life.release();
                self.served += 1;
                self.desk.proven();
                owed.answer(Ok(reply));
                Ok(())
            }
            Err(Broken::Closed) => {
                let (parting, failure) = self.without_reply(if is_tagged { TAGGED_STATUS } else { STATUS }).await;
                owed.answer(Err(failure));
                Err(parting)
            }
            Err(broken) => {
                // It lives, and speaks, though not as it should.
                self.desk.proven();
                owed.answer(Err(broken.failure()));
                Err(Parting::Forced(broken.to_string()))
            }
        }
    }

    /// A request as this worker reads it.
    fn worded(&self, mut job: Job) -> Job {
        if self.desk.handler.tagged {
            job.frame = with_tag(job.tag.as_deref(), &job.frame);
        }
        job
    }

    /// It has closed its output: has it ended?
    async fn without_reply(&mut self, patience: Duration) -> (Parting, Failure) {
        match tokio::time::timeout(patience, self.process.end.wait()).await {
            Ok(exit) => {
                let why = format!("{exit}, without a reply");
                (Parting::Ended(why.clone()), exit.failure(why))
            }
            Err(_) => {
                let why = Broken::Closed.to_string();
                (Parting::Forced(why.clone()), Failure::Handler(why))
            }
        }
    }

    async fn rest(&mut self) -> Result<(), Parting> {
        let (began, mut unasked) = (Instant::now(), [0]);
        loop {
            tokio::select! {
                biased;
                count = self.process.output.read(&mut unasked) => return Err(match count {
                    Ok(1..) => Parting::Forced("it gave more than one reply".to_owned()),
                    _ => Parting::Kind,
                }),
                () = tokio::time::sleep(REST) => {}
            }
            if began.elapsed() >= LONGEST_REST {
                return Ok(());
            }
            // What it has written before it fell asleep is there to be read.
            if self.process.is_asleep() && self.has_said_nothing() {
                return Ok(());
            }
        }
    }

    /// Whether nothing is there to be read. What is there is nobody's, and left there.
    fn has_said_nothing(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut asked = [PollFd::new(self.process.output.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO) == Ok(0)
    }

    fn must_end(&mut self) {
        if self.life.end(Instant::now()) {
            self.process.suffer(Due::Term);
        }
    }

    /// Lets it go: by itself, or by force.
    async fn wind_up(&mut self) {
        if let Some(mut input) = self.process.input.take() {
            // Nothing is held back in a pipe.
            input.shutdown().await.ok();
        }
        self.life.leave(Instant::now());
        let (mut nobody_looks, mut listens) = ([0; 4096], true);
        loop {
            let Process { output, end, .. } = &mut self.process;
            tokio::select! {
                _ = end.wait() => return,
                count = output.read(&mut nobody_looks), if listens => listens = matches!(count, Ok(1..)),
                () = self.far.halted(), if !self.life.is_ending() => self.must_end(),
                () = at(self.life.alarm()) => {
                    if let Some(due) = self.life.due(Instant::now()) {
                        self.process.suffer(due);
                    }
                }
            }
        }
    }
}
