//! Those who are turned away: told why, in the dialect, and closed.
//!
//! Enters: an accepted socket of somebody who may not be a requester. Leaves: the refusal. Promised: nothing that it sends
//! is looked at; it takes no requester's place, and however many come, few are waited for.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::child::worker::Worker;
use crate::dialect::Failure;
use crate::system::stream::Stream;

/// How long one may go on sending what nobody reads any more, so that it reads the refusal and not that its own writing
/// failed.
const LINGER: Duration = Duration::from_secs(1);

/// How many are waited for at once; further ones are closed as soon as they are told.
const AT_ONCE: u32 = 16;

/// Counts those who are waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct TurnedAway(Rc<Cell<u32>>);

impl TurnedAway {
    /// Tells somebody why he is turned away.
    pub(super) fn tell(&self, worker: &Worker, mut stream: Stream, why: &str) {
        let words = words(worker, why);
        let (waited_for, lingers) = (Rc::clone(&self.0), self.0.get() < AT_ONCE);
        waited_for.set(waited_for.get() + u32::from(lingers));
        tokio::task::spawn_local(async move {
            // A new socket takes a few bytes at once. Who is gone needs no refusal.
            if stream.write_all(&words).await.is_ok() && stream.shutdown().await.is_ok() && lingers {
                drop(tokio::time::timeout(LINGER, read_to_end(&mut stream)).await);
            }
            waited_for.set(waited_for.get() - u32::from(lingers));
        });
    }
}

async fn read_to_end(stream: &mut Stream) {
    let mut nobody_looks = [0; 4096];
    while matches!(stream.read(&mut nobody_looks).await, Ok(1..)) {}
}

fn words(worker: &Worker, why: &str) -> Vec<u8> {
    let mut words = Vec::new();
    worker.with(|dispatch| {
        dispatch.tally.failed(Failure::Refused);
        let host = dispatch.host();
        let detail = format!("host \"{}\" ({}): {why}; nothing was sent", host.name, host.address);
        host.dialect.failure(Failure::Refused, &detail, &mut words);
    });
    words
}
