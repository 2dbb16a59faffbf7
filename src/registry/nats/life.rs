//! Lives: from one connection to NATS to its end, and then the next.
//!
//! Enters: the settings. Leaves: news for the directory, and for those who ask the bucket that can be asked now, or why there
//! is none. Promised: whatever was missed, the first news of a life is the whole table; a life ends when its connection ends,
//! when the bucket stops answering, is another one or goes back in time, or when its watch falls behind; there is always a
//! next attempt, at most five seconds later; why there is no connection is said once, not at every attempt.
//!
//! Nothing of a life is kept for the next one, as it may lead to another server, another bucket and another past. While none
//! is lived, the directory keeps what it knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::push::Ordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tracing::{info, warn};

use super::access::{self, Connected};
use super::bucket::{Bucket, Pulse};
use super::error::NatsError;
use super::mirror::{Entry, Mirror};
use crate::config::NatsSettings;
use crate::registry::row::Revision;
use crate::registry::store::{News, Version};

/// How often the bucket is asked how it is.
const PULSE: Duration = Duration::from_secs(3);

/// How long the next entry of a table may take.
const NEXT: Duration = Duration::from_secs(5);

/// Pauses between lives.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What those who ask go by.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) machine: String,
    standing: Mutex<Standing>,
    /// Somebody got no answer: the bucket should be asked how it is.
    pub(super) doubt: Notify,
}

#[derive(Debug, Clone)]
pub(super) enum Standing {
    Here(Box<Bucket>),
    /// With the reason, for people.
    Away(String),
}

impl Shared {
    pub(super) fn new(machine: String) -> Self {
        let standing = Mutex::new(Standing::Away("the first connection is being made".to_owned()));
        Self { machine, standing, doubt: Notify::new() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Lives one life after the other.
pub(super) struct Lives {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: NatsSettings,
    pub(super) news: UnboundedSender<News>,
    /// Higher than what earlier processes have given out.
    pub(super) revision: Revision,
    pub(super) mirror: Mirror,
}

impl Lives {
    /// Until it is dropped, or nobody listens to news any more.
    pub(super) async fn run(mut self) {
        let (mut pause, mut said) = (SHORTEST_PAUSE, None);
        while !self.news.is_closed() {
            let Err(error) = self.live().await;
            let was_here = matches!(self.shared.standing(), Standing::Here(_));
            if was_here {
                (pause, said) = (SHORTEST_PAUSE, None);
            }
            let reason = error.to_string();
            self.shared.set(Standing::Away(reason.clone()));
            if said.as_ref() != Some(&error) {
                warn!("{reason}; what is known is served, and nothing can be changed");
                self.tell(News::Away { reason });
                said = Some(error);
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, NatsError> {
        let Connected { client, server, version, mut ended } = access::connect(&self.settings).await?;
        let lost = |reason: String| NatsError::Lost { server: server.clone(), reason };
        let bucket = Bucket::open(client, &self.settings).await?;
        let pulse = bucket.pulse().await.map_err(lost)?;
        let (mut life, table) = Life::begin(bucket, pulse).await.map_err(lost)?;
        let news = self.mirror.table(table, life.seen, self.revision);
        info!("{server} (NATS {version}) has the bucket {} with {} rows", self.settings.bucket, self.mirror.len());
        self.tell(news);
        self.shared.set(Standing::Here(Box::new(life.bucket.clone())));
        self.tell(News::Back);
        Err(lost(self.follow(&mut life, &mut ended).await))
    }

    /// Passes on what changes. Leaves why it ended.
    async fn follow(&mut self, life: &mut Life, ended: &mut UnboundedReceiver<String>) -> String {
        loop {
            let entry = tokio::select! {
                entry = life.next() => entry.map(Some),
                why = ended.recv() => Err(why.unwrap_or_else(|| "the client has ended".to_owned())),
                () = sleep(PULSE) => life.feel().await.map(|()| None),
                () = self.shared.doubt.notified() => life.feel().await.map(|()| None),
            };
            match entry {
                Ok(entry) => entry.and_then(|entry| self.mirror.take(entry)).into_iter().for_each(|news| self.tell(news)),
                Err(why) => return why,
            }
        }
    }

    /// That nobody listens any more is seen at the end of this life.
    fn tell(&self, news: News) {
        drop(self.news.send(news));
    }
}

/// One watch of one bucket.
struct Life {
    bucket: Bucket,
    watch: Ordered,
    /// The last version that has been seen.
    seen: Version,
    /// How the bucket was when it was last asked, and when that was.
    pulse: Pulse,
    asked: Instant,
}

impl Life {
    /// Reads everything that there is.
    async fn begin(bucket: Bucket, pulse: Pulse) -> Result<(Self, Vec<Entry>), String> {
        let asked = Instant::now();
        let (watch, mut behind) = bucket.watch().await?;
        let mut life = Self { bucket, watch, seen: pulse.last, pulse, asked };
        let mut table = Vec::new();
        while behind > 0 {
            let next = timeout(NEXT, life.read()).await.map_err(|_| "the table came to a stop".to_owned())?;
            let (entry, rest) = next?;
            table.push(entry);
            behind = rest;
        }
        Ok((life, table))
    }

    async fn next(&mut self) -> Result<Entry, String> {
        self.read().await.map(|(entry, _)| entry)
    }

    /// The next entry, and how many are behind it.
    async fn read(&mut self) -> Result<(Entry, u64), String> {
        let message = match self.watch.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(format!("the watch of the bucket broke: {error}")),
            None => return Err("the watch of the bucket has ended".to_owned()),
        };
        let read = self.bucket.entry(&message, self.now()).ok_or("the watch gave what is no entry")?;
        self.seen = self.seen.max(read.0.version);
        Ok(read)
    }

    /// The server's clock.
    fn now(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.asked.elapsed()).unwrap_or_default();
        self.pulse.now.checked_add(since).unwrap_or(self.pulse.now)
    }

    /// Asks the bucket how it is, and whether that fits what has been seen.
    async fn feel(&mut self) -> Result<(), String> {
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
