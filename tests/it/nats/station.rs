//! A store on one machine, with an event loop of its own, and a directory that follows its news.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tieline::config::NatsSettings;
use tieline::registry::directory::{Directory, Entry, Limits};
use tieline::registry::nats::NatsStore;
use tieline::registry::row::{Lease, Revision, Row};
use tieline::registry::store::{News, Store, StoreError, Version, Wish};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::common::LONG;

/// It takes the servers of a cluster up to half a minute to notice that they are too few.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Station {
    runtime: Runtime,
    store: NatsStore,
    news: UnboundedReceiver<News>,
    directory: Directory,
    /// Why the store cannot be reached; none while it can.
    pub(super) away: Option<String>,
    /// How many whole tables have been told.
    pub(super) tables: usize,
}

/// Settings without anything but servers.
pub(super) fn settings(servers: &[String]) -> NatsSettings {
    NatsSettings::with_defaults(servers.to_vec(), "tieline")
}

/// A row that every machine can reach, with a lease of its own.
pub(super) fn row(name: &str, address: &str, ttl: Duration, owner: u32) -> Arc<Row> {
    let pairs = BTreeMap::from([("dialect".to_owned(), "line".to_owned())]);
    Arc::new(Row { name: name.into(), address: address.into(), lease: Lease::random(), ttl: Some(ttl), owner, pairs })
}

pub(super) fn put(row: &Arc<Row>) -> Wish {
    Wish::Put { row: Arc::clone(row), replaces: None }
}

pub(super) fn renew(row: &Arc<Row>, version: Version) -> Wish {
    Wish::Renew { row: Arc::clone(row), version }
}

pub(super) fn remove(row: &Arc<Row>, version: Version) -> Wish {
    Wish::Remove { row: Arc::clone(row), version }
}

impl Station {
    pub(super) fn start(settings: NatsSettings) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("an event loop");
        let (tell, news) = unbounded_channel();
        let store = runtime.block_on(async { NatsStore::start(settings, None, tell) });
        let away = Some("it has just begun".into());
        let directory = Directory::new(Limits::default(), store.sweeper(), Revision(1));
        Self { runtime, store, news, directory, away, tables: 0 }
    }

    /// One that has the table of these servers.
    pub(super) fn at(servers: &[String]) -> Self {
        let mut station = Self::start(settings(servers));
        station.wait("the bucket is there", |station| station.away.is_none());
        station
    }

    /// Asks, and waits for the answer, as the registry does.
    pub(super) fn ask(&mut self, wish: &Wish) -> Result<Version, StoreError> {
        let answer = self.runtime.block_on(async { timeout(LONG, self.store.ask(wish.clone())).await });
        let written = answer.expect("an answer in time").expect("an answer")?;
        // That it has ended meanwhile is for its program.
        self.directory.wrote(wish, written, Instant::now()).ok();
        Ok(written.version)
    }

    /// Asks for what is possible as soon as the bucket has a leader.
    pub(super) fn ask_until_done(&mut self, wish: &Wish) -> Version {
        let start = Instant::now();
        loop {
            match self.ask(wish) {
                Ok(version) => return version,
                Err(error @ StoreError::Unavailable { .. }) => assert!(start.elapsed() < LONG, "{error}"),
                Err(error) => panic!("{error}"),
            }
            let soon = Duration::from_millis(50);
            self.hear(soon);
        }
    }

    /// Takes news until the condition holds.
    pub(super) fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let rest = PATIENCE
                .checked_sub(start.elapsed())
                .unwrap_or_else(|| panic!("waited in vain: {what}; {:?}", self.away));
            self.hear(rest);
        }
    }

    /// Takes one piece of news, if one comes within that time.
    pub(super) fn hear(&mut self, within: Duration) {
        let news = self.runtime.block_on(async { timeout(within, self.news.recv()).await });
        if let Ok(news) = news {
            self.take(news.expect("the store lives"));
        }
    }

    /// Every row.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.directory.page("", None, Revision(u64::MAX), usize::MAX).0
    }

    pub(super) fn rows(&self) -> usize {
        self.entries().len()
    }

    pub(super) fn has(&self, row: &Row) -> bool {
        self.entries().iter().any(|entry| *entry.row == *row)
    }

    fn take(&mut self, news: News) {
        match &news {
            News::Table { .. } => self.tables += 1,
            News::Away { reason } => self.away = Some(reason.clone()),
            News::Back => self.away = None,
            News::Put(_) | News::Gone { .. } => {}
        }
        self.directory.told(news, Instant::now());
    }
}
