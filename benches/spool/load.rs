//! Requesters: each sends a request, waits for the line that answers it, and sends the next.
//!
//! A single one is a plain blocking program; many are tasks of one event loop, so that a machine with few cores has them
//! left for what is measured. The same for all that are compared.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a request's body: what must be made durable.
pub(crate) const REQUEST: usize = 100;

/// How long requesters are at work before the measuring begins.
const WARM_UP: Duration = Duration::from_millis(300);

/// Latencies of everything that was answered within a time.
pub(crate) struct Sample {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) time: Duration,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// In microseconds; `share` from 0.0 to 1.0.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        self.latencies.sort_unstable();
        let place = (self.latencies.len() as f64 * share) as usize;
        let found = self.latencies.get(place.min(self.latencies.len().saturating_sub(1)));
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// What is sent, and how the line that answers it must begin.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) request: &'a [u8],
    pub(crate) answer: &'a [u8],
}

/// So many requesters at work for so long.
pub(crate) fn measure(requesters: usize, time: Duration, exchange: Exchange<'_>) -> Sample {
    let from = Instant::now() + WARM_UP;
    let until = from + time;
    let latencies = if requesters == 1 {
        alone(from, until, exchange)
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("an event loop");
        runtime.block_on(together(requesters, from, until, exchange))
    };
    Sample { latencies, time }
}

fn alone(from: Instant, until: Instant, exchange: Exchange<'_>) -> Vec<Duration> {
    let mut stream = BufReader::new(UnixStream::connect(exchange.socket).expect("it takes requesters"));
    let (mut latencies, mut line) = (Vec::new(), Vec::new());
    loop {
        let begun = Instant::now();
        line.clear();
        stream.get_mut().write_all(exchange.request).expect("it takes a request");
        stream.read_until(b'\n', &mut line).expect("it answers");
        check(&line, exchange.answer);
        if !note(begun, from, until, &mut latencies) {
            return latencies;
        }
    }
}

async fn together(requesters: usize, from: Instant, until: Instant, exchange: Exchange<'_>) -> Vec<Duration> {
    let shared = std::sync::Arc::new((exchange.request.to_vec(), exchange.answer.to_vec()));
    let tasks: Vec<_> = (0..requesters)
        .map(|_| {
            let shared = shared.clone();
            // Connecting blocks: many at once would else be refused while the queue of the listener is full.
            let stream = UnixStream::connect(exchange.socket).expect("it takes requesters");
            stream.set_nonblocking(true).expect("a socket can be set so");
            let stream = tokio::net::UnixStream::from_std(stream).expect("the event loop takes it");
            tokio::spawn(async move {
                let (request, answer) = &*shared;
                one_of_many(stream, from, until, (request, answer)).await
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("each requester was answered"));
    }
    all
}

async fn one_of_many(
    mut stream: tokio::net::UnixStream,
    from: Instant,
    until: Instant,
    (request, answer): (&[u8], &[u8]),
) -> Vec<Duration> {
    let (mut latencies, mut line) = (Vec::new(), [0; 256]);
    loop {
        let begun = Instant::now();
        stream.write_all(request).await.expect("it takes a request");
        let mut got = 0;
        while got == 0 || line[got - 1] != b'\n' {
            let more = stream.read(&mut line[got..]).await.expect("it answers");
            assert!(more > 0, "it hung up");
            got += more;
        }
        check(&line[..got], answer);
        if !note(begun, from, until, &mut latencies) {
            return latencies;
        }
    }
}

fn check(line: &[u8], answer: &[u8]) {
    assert!(line.starts_with(answer), "it answered {}", String::from_utf8_lossy(line));
}

/// Notes a latency if its answer came while it is measured. Says whether to go on.
fn note(begun: Instant, from: Instant, until: Instant, latencies: &mut Vec<Duration>) -> bool {
    let now = Instant::now();
    if now >= from && now < until {
        latencies.push(now - begun);
    }
    now < until
}
