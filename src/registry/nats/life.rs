//! Lives: from one connection to NATS to its end, and then the next.
//!
//! Enters: the settings. Leaves: news for the directory, and for those who ask the bucket that can be asked now, or why there
//! is none. Promised: whatever was missed, the first news of a life is the whole table; a life ends when its connection ends,
//! when the bucket stops answering, cannot be written to, is another one or goes back in time, or when its watch falls behind; there is always a
//! next attempt, at most five seconds later; why there is no connection is said once, not at every attempt.
//!
//! Nothing of a life is kept for the next one, as it may lead to another server, another bucket and another past. While none
//! is lived, the directory keeps what it knows.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::access::{self, Connected};
use super::bucket::{Bucket, Pulse};
use super::copy::Copy;
use super::error::NatsError;
use super::shared::{Shared, Standing};
use super::watch::Watch;
use crate::config::NatsSettings;
use crate::registry::store::{News, Version};

/// How often the bucket is asked how it is.
const PULSE: Duration = Duration::from_secs(3);

/// How long a change may be missing in the copy.
const COPY: Duration = Duration::from_secs(1);

/// Pauses between lives.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The bucket of the latest watch.
#[derive(Debug, Clone, Copy)]
struct Past {
    created: Timestamp,
    /// What its versions begin above.
    base: Version,
    /// The highest version that was seen.
    highest: Version,
}

/// Lives one life after the other.
pub(super) struct Lives {
    shared: Arc<Shared>,
    settings: NatsSettings,
    news: UnboundedSender<News>,
    past: Option<Past>,
    copy: Option<Copy>,
}

impl Lives {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: NatsSettings,
        copy: Option<Copy>,
        news: UnboundedSender<News>,
    ) -> Self {
        Self { shared, settings, news, past: None, copy }
    }

    /// Until it is dropped, or nobody listens to news any more.
    pub(super) async fn run(mut self) {
        let (mut pause, mut said) = (SHORTEST_PAUSE, None);
        while !self.news.is_closed() {
            let Err(error) = self.live().await;
            if matches!(self.shared.standing(), Standing::Here(_)) {
                (pause, said) = (SHORTEST_PAUSE, None);
            }
            let reason = error.to_string();
            self.shared.set(Standing::Away(reason.clone()));
            if self.past.is_none() && said.is_none() {
                self.copy.as_ref().and_then(Copy::read).into_iter().for_each(|table| self.tell(table));
            }
            if said.as_ref() != Some(&error) {
                self.tell(News::Away { reason });
                said = Some(error);
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn live(&mut self) -> Result<Infallible, NatsError> {
        let Connected { client, server, version, mut ended } = access::connect(&self.settings).await?;
        let lost = |reason: String| NatsError::Lost { server: server.clone(), reason };
        let bucket = Bucket::open(client, &self.settings).await?;
        let (bucket, pulse) = self.continued(bucket).await.map_err(lost)?;
        bucket.prove().await.map_err(lost)?;
        let (mut watch, table) = Watch::begin(bucket, pulse).await.map_err(lost)?;
        let table = self.shared.reflect(|mirror| mirror.table(table, watch.seen));
        let rows = self.shared.mirror().rows();
        info!("{server} (NATS {version}) has the bucket {} with {rows} rows", self.settings.bucket);
        self.tell(table);
        self.shared.set(Standing::Here(Box::new(watch.bucket.clone())));
        self.tell(News::Back);
        let why = self.follow(&mut watch, &mut ended).await;
        self.past = Some(Past { created: pulse.created, base: watch.bucket.base(), highest: watch.seen });
        Err(lost(why))
    }

    /// Versions go on from those that were told, also if this is another bucket, or one that has lost what it had.
    async fn continued(&self, bucket: Bucket) -> Result<(Bucket, Pulse), String> {
        let Some(Past { created, base, highest }) = self.past else {
            let pulse = bucket.pulse().await?;
            return Ok((bucket, pulse));
        };
        let bucket = bucket.above(base);
        let pulse = bucket.pulse().await?;
        if pulse.created == created && pulse.last >= highest {
            return Ok((bucket, pulse));
        }
        let bucket = bucket.above(highest);
        let pulse = bucket.pulse().await?;
        Ok((bucket, pulse))
    }

    /// Passes on what changes. Leaves why it ended.
    async fn follow(&self, watch: &mut Watch, ended: &mut UnboundedReceiver<String>) -> String {
        // When rows that have changed are to be in the copy.
        let mut due = Some(Instant::now());
        loop {
            let entry = tokio::select! {
                entry = watch.next() => entry.map(Some),
                why = ended.recv() => Err(why.unwrap_or_else(|| "the client has ended".to_owned())),
                () = sleep(PULSE) => watch.feel().await.map(|()| None),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.keep();
                    continue;
                }
                () = self.shared.doubt.notified() => watch.feel().await.map(|()| None),
            };
            match entry {
                Ok(Some(entry)) => {
                    let news = self.shared.reflect(|mirror| mirror.take(entry));
                    due = due.or(Some(Instant::now() + COPY));
                    news.into_iter().for_each(|news| self.tell(news));
                }
                Ok(None) => {}
                Err(why) => return why,
            }
        }
    }

    /// Keeps a copy of what is known, in a thread: a disk may be slow.
    fn keep(&self) {
        if let Some(copy) = self.copy.clone() {
            let rows = self.shared.mirror().standing();
            drop(tokio::task::spawn_blocking(move || copy.write(&rows)));
        }
    }

    /// That nobody listens any more is seen at the end of this watch.
    fn tell(&self, news: News) {
        drop(self.news.send(news));
    }
}
