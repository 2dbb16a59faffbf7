//! The hundred requesters of the demo.
//!
//! Enters: the host's socket. Leaves: [`Figures`]. Promised: each has one connection to the socket from the beginning to
//! the end and asks one question after the other; every line it hears is judged; a socket that is closed, or says
//! nothing for [`PATIENCE`], is not passed over.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::figures::{Counts, Figures, Heard};
use super::trouble::Trouble;

/// How long a requester waits for an answer; longer than the `timeout` of the demo's host.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a polite program waits after a failure, in milliseconds; each time another, so that they do not march in step.
const PAUSE_MS: std::ops::Range<u64> = 5..15;

/// See the head of this file.
pub(super) struct Crowd {
    shared: Rc<Shared>,
    requesters: Vec<JoinHandle<Result<(), Trouble>>>,
}

struct Shared {
    figures: RefCell<Figures>,
    /// Everything up to the last [`Crowd::take`].
    before: RefCell<Counts>,
    is_enough: Cell<bool>,
}

impl Crowd {
    /// So many requesters connect and begin to ask.
    pub(super) async fn gather(socket: &Path, size: usize) -> Result<Self, Trouble> {
        let mut streams = Vec::new();
        for _ in 0..size {
            streams.push(UnixStream::connect(socket).await.map_err(Trouble::system("connect a requester"))?);
        }
        let (figures, before) = (RefCell::new(begin(Instant::now())?), RefCell::default());
        let shared = Rc::new(Shared { figures, before, is_enough: Cell::new(false) });
        let ask = |(number, stream)| spawn_local(ask_all(number, stream, Rc::clone(&shared)));
        let requesters = streams.into_iter().enumerate().map(ask).collect();
        Ok(Self { shared, requesters })
    }

    /// What was heard since the last time; counting begins anew.
    pub(super) fn take(&self) -> Result<Figures, Trouble> {
        let figures = self.shared.figures.replace(begin(Instant::now())?);
        self.shared.before.borrow_mut().add(&figures.counts);
        Ok(figures)
    }

    /// Lets them ask for so long.
    pub(super) async fn ask_for(&self, time: Duration) -> Result<(), Trouble> {
        sleep(time).await;
        self.all_are_well()
    }

    /// Waits until `found` finds something in the figures.
    pub(super) async fn wait_until<T>(
        &self,
        what: &str,
        bound: Duration,
        found: impl Fn(&Figures) -> Option<T>,
    ) -> Result<T, Trouble> {
        let start = Instant::now();
        loop {
            if let Some(found) = found(&self.shared.figures.borrow()) {
                return Ok(found);
            }
            self.all_are_well()?;
            if start.elapsed() >= bound {
                return Err(Trouble::Late { what: what.to_owned(), bound });
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Everybody hears the end of his question and leaves. What all of them have heard, from the beginning.
    pub(super) async fn leave(mut self) -> Result<Counts, Trouble> {
        self.shared.is_enough.set(true);
        for requester in self.requesters.drain(..) {
            requester.await.map_err(|error| Trouble::Untrue(format!("a requester of the demo died: {error}")))??;
        }
        self.take()?;
        let counts = *self.shared.before.borrow();
        Ok(counts)
    }

    /// Nobody has ended: they end early only in trouble.
    fn all_are_well(&self) -> Result<(), Trouble> {
        let ended = self.requesters.iter().filter(|requester| requester.is_finished()).count();
        Trouble::unless(ended == 0, || {
            format!("{ended} requesters had their socket closed, or no answer for {} s", PATIENCE.as_secs())
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for requester in &self.requesters {
            requester.abort();
        }
    }
}

fn begin(now: Instant) -> Result<Figures, Trouble> {
    Figures::begin(now).map_err(|error| Trouble::Untrue(format!("no histogram: {error:?}")))
}

async fn ask_all(number: usize, stream: UnixStream, shared: Rc<Shared>) -> Result<(), Trouble> {
    let (mut stream, mut line) = (BufReader::with_capacity(256, stream), String::new());
    for question in 1_u64.. {
        if shared.is_enough.get() {
            break;
        }
        let (words, start) = (format!("{number} {question}"), Instant::now());
        let asked = timeout(PATIENCE, ask(&mut stream, &words, &mut line)).await;
        let late = |_| Trouble::Late { what: "a requester's answer".to_owned(), bound: PATIENCE };
        asked.map_err(late)?.map_err(Trouble::system("talk to the host's socket"))?;
        let (heard, now) = (Heard::of(line.trim_end_matches('\n'), &words), Instant::now());
        shared.figures.borrow_mut().note(heard, now - start, now);
        if matches!(heard, Heard::Failure(_)) {
            sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
        }
    }
    Ok(())
}

async fn ask(stream: &mut BufReader<UnixStream>, words: &str, line: &mut String) -> io::Result<()> {
    stream.write_all(format!("question {words}\n").as_bytes()).await?;
    line.clear();
    match stream.read_line(line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
