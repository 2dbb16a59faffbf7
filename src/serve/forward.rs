//! `forward`: another service answers.
//!
//! Enters: a place to open a connection in, its first request, and further ones from its [`Desk`]. Leaves: an answer to
//! each. Promised: a connection has one request under way; one that is out of step, or late, is never used again; what
//! it was given and has not sent goes to another one.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;

use super::clock::at;
use super::desk::{Desk, Place};
use super::far::Far;
use super::job::Job;
use super::talk::talk;
use super::wire::Failure;
use super::worker::REST;
use crate::pool::open::Opener;
use crate::system::stream::Stream;

/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(600);

/// Opens a connection for a request, and serves on it.
pub(super) async fn run(far: Rc<Far>, desk: Rc<Desk>, place: Place, opener: Rc<Opener>, first: Job) {
    let began = Instant::now();
    let opened = tokio::select! {
        opened = opener.open() => opened.map_err(|error| format!("cannot connect to {error}")),
        () = at(Some(first.deadline)) => Err("cannot connect: it takes longer than a request may".to_owned()),
    };
    match opened {
        Ok(opened) => Connection::new(far, desk, opened.stream).serve_all(first).await,
        Err(why) => {
            desk.failed(&why, began);
            first.answer(Err(Failure::NotBegun(why)));
        }
    }
    drop(place);
}

struct Connection {
    far: Rc<Far>,
    desk: Rc<Desk>,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    number: u64,
    jobs: UnboundedReceiver<Job>,
}

impl Connection {
    fn new(far: Rc<Far>, desk: Rc<Desk>, stream: Stream) -> Self {
        let ((number, jobs), (reader, writer)) = (desk.hire(), split(stream));
        Self { far, desk, reader, writer, number, jobs }
    }

    async fn serve_all(mut self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next.take() {
            if let Err(why) = self.serve(job).await {
                debug!("a connection of handler {} ends: {why}", self.desk.handler.matches);
                break;
            }
            next = self.next().await;
        }
        self.desk.dismiss(self.number);
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.far.again(&self.desk, job);
        }
    }

    /// The next request; none if the connection is not fit for one.
    async fn next(&mut self) -> Option<Job> {
        let mut unasked = [0];
        self.desk.is_nearly_done();
        let is_silent = tokio::time::timeout(REST, self.reader.read(&mut unasked)).await.is_err();
        if is_silent {
            self.desk.rests(self.number);
        }
        self.desk.is_done();
        if !is_silent {
            return None;
        }
        tokio::select! {
            // Whatever it says or does unasked, no request may follow it.
            biased;
            _ = self.reader.read(&mut unasked) => None,
            job = self.jobs.recv() => job,
            () = tokio::time::sleep(IDLE) => None,
        }
    }

    async fn serve(&mut self, job: Job) -> Result<(), String> {
        let limits = self.desk.handler.limits.clone();
        let deadline = job.deadline;
        let (frame, mut owed) = job.begin();
        let talked = tokio::select! {
            talked = talk(&mut self.reader, &mut self.writer, &frame, self.far.dialect(), limits.max_reply) => talked,
            () = at(Some(deadline)) => {
                owed.answer(Err(Failure::Timeout(limits.timeout)));
                return Err("no reply in time".to_owned());
            }
            () = self.far.halted() => {
                owed.answer(Err(Failure::InDoubt("the service stops".to_owned())));
                return Err("the service stops".to_owned());
            }
        };
        match talked {
            Ok(reply) => {
                self.desk.proven();
                owed.answer(Ok(reply));
                Ok(())
            }
            Err(broken) => {
                owed.answer(Err(broken.failure()));
                Err(broken.to_string())
            }
        }
    }
}
