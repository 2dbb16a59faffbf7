//! A store on one machine, with an event loop of its own, and a table that follows its news.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tieline::config::{NatsCredentials, NatsSettings};
use tieline::registry::nats::NatsStore;
use tieline::registry::row::{Lease, Row};
use tieline::registry::store::{News, Store, StoreError, Stored, Version, Wish};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::common::LONG;

pub(super) struct Station {
    runtime: Runtime,
    store: NatsStore,
    news: UnboundedReceiver<News>,
    /// What a directory would have, by lease.
    pub(super) table: BTreeMap<String, Stored>,
    /// Why the store cannot be reached; none while it can.
    pub(super) away: Option<String>,
    /// How many whole tables have been told.
    pub(super) tables: usize,
}

/// Settings without anything but servers.
pub(super) fn settings(servers: &[String]) -> NatsSettings {
    NatsSettings {
        servers: servers.to_vec(),
        bucket: "tieline".into(),
        replicas: if servers.len() >= 3 { 3 } else { 1 },
        credentials: NatsCredentials::None,
        ca: None,
        cert: None,
        key: None,
    }
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
        let store = runtime.block_on(async { NatsStore::start(settings, tell, SystemTime::now()) });
        let away = Some("it has just begun".into());
        Self { runtime, store, news, table: BTreeMap::new(), away, tables: 0 }
    }

    /// One that has the table of these servers.
    pub(super) fn at(servers: &[String]) -> Self {
        let mut station = Self::start(settings(servers));
        station.wait("the bucket is there", |station| station.away.is_none());
        station
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, wish: Wish) -> Result<Version, StoreError> {
        let answer = self.runtime.block_on(async { timeout(LONG, self.store.ask(wish)).await });
        answer.expect("an answer in time").expect("an answer").map(|written| written.version)
    }

    /// Asks for what is possible as soon as the bucket has a leader.
    pub(super) fn ask_until_done(&mut self, wish: &Wish) -> Version {
        let start = Instant::now();
        loop {
            match self.ask(wish.clone()) {
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
            let rest = LONG.checked_sub(start.elapsed()).unwrap_or_else(|| panic!("waited in vain: {what}; {:?}", self.away));
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

    pub(super) fn has(&self, row: &Row) -> bool {
        self.table.get(&row.lease.0).is_some_and(|stored| *stored.row == *row)
    }

    fn take(&mut self, news: News) {
        match news {
            News::Table { rows, .. } => {
                self.table = rows.into_iter().map(|stored| (stored.row.lease.0.clone(), stored)).collect();
                self.tables += 1;
            }
            News::Put(stored) => {
                self.table.retain(|_, old| (&old.row.name, &old.row.address) != (&stored.row.name, &stored.row.address));
                self.table.insert(stored.row.lease.0.clone(), stored);
            }
            News::Gone { lease, .. } => _ = self.table.remove(&lease.0),
            News::Away { reason } => self.away = Some(reason),
            News::Back => self.away = None,
        }
    }
}
