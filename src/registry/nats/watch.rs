//! One watch of the bucket: first all that stands in it, then every change, and whether that is still true.
//!
//! Enters: a bucket. Leaves: entries with their age by the server's clock, or why there will be no more. Promised: nothing is
//! missed without an error: a watch that falls behind, or that belongs to a bucket which is not there any more, or cannot be
//! written to, is found out.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::push::Ordered;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::bucket::{Bucket, Pulse};
use super::mirror::Entry;
use crate::registry::store::Version;

/// How long the next entry of a table may take.
const NEXT: Duration = Duration::from_secs(5);

/// See the head of this file.
pub(super) struct Watch {
    pub(super) bucket: Bucket,
    messages: Ordered,
    /// The last version that has been seen.
    pub(super) seen: Version,
    /// Whether something has been since the bucket was asked: then there was a majority to write it.
    heard: bool,
    /// How the bucket was when it was last asked, and when that was.
    pulse: Pulse,
    asked: Instant,
}

impl Watch {
    /// Reads everything that there is.
    pub(super) async fn begin(bucket: Bucket, pulse: Pulse) -> Result<(Self, Vec<Entry>), String> {
        let asked = Instant::now();
        let (messages, mut behind) = bucket.watch().await?;
        let mut watch = Self { bucket, messages, seen: pulse.last, heard: true, pulse, asked };
        let mut table = Vec::new();
        while behind > 0 {
            let next = timeout(NEXT, watch.read()).await.map_err(|_| "the table came to a stop".to_owned())?;
            let (entry, rest) = next?;
            table.push(entry);
            behind = rest;
        }
        Ok((watch, table))
    }

    pub(super) async fn next(&mut self) -> Result<Entry, String> {
        self.read().await.map(|(entry, _)| entry)
    }

    /// The next entry, and how many are behind it.
    async fn read(&mut self) -> Result<(Entry, u64), String> {
        let message = match self.messages.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(format!("the watch of the bucket broke: {error}")),
            None => return Err("the watch of the bucket has ended".to_owned()),
        };
        let read = self.bucket.entry(&message, self.now()).ok_or("the watch gave what is no entry")?;
        self.seen = self.seen.max(read.0.version);
        self.heard = true;
        Ok(read)
    }

    /// The server's clock.
    fn now(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.asked.elapsed()).unwrap_or_default();
        self.pulse.now.checked_add(since).unwrap_or(self.pulse.now)
    }

    /// Asks the bucket how it is, and whether that fits what has been seen; and whether it can be written to, if nobody has
    /// shown that lately.
    pub(super) async fn feel(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.heard) {
            self.bucket.prove().await?;
        }
        let pulse = self.bucket.pulse().await?;
        match self.pulse {
            before if pulse.created != before.created => return Err("the bucket was made anew".to_owned()),
            before if pulse.last < before.last => return Err("the bucket has lost what it had".to_owned()),
            before if self.seen < before.last => return Err("the watch of the bucket fell behind".to_owned()),
            _ => (self.pulse, self.asked) = (pulse, Instant::now()),
        }
        Ok(())
    }
}
