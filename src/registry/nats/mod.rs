//! The registry of several machines: NATS JetStream KV behind the same interface as the local store.
//!
//! Enters: [`NatsSettings`], wishes of the directory. Leaves: answers, and news of what all machines did. Promised: what is
//! answered as written is in the bucket; leases are ended by the bucket, at most a second late; while it cannot be reached,
//! the directory keeps what it knows, and wishes are answered as unavailable at once; afterwards the directory has exactly
//! what the bucket has.
//!
//! - [`server`] — which versions can be trusted with leases (pure)
//! - [`machine`] — which machine this is, which addresses are its own
//! - [`entry`] — a row ↔ a key and a value (pure)
//! - [`mirror`] — entries of the bucket → news for the directory (pure)
//! - [`access`] — settings → a connection
//! - `bucket` — what is asked of JetStream
//! - `wishes` — wishes → writes with an expected version
//! - `watch` — all that stands in the bucket, then every change
//! - `copy` — the rows in a file, for a start without the bucket
//! - `life` — one connection after the other, and what is told of them; `shared` — what those who ask see of it

pub mod access;
mod bucket;
mod copy;
pub mod entry;
mod error;
mod life;
pub mod machine;
pub mod mirror;
pub mod server;
mod shared;
mod watch;
mod wishes;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::store::{News, Pending, Store, StoreError, Sweeper, Wish};
use crate::config::NatsSettings;
use copy::Copy;
pub use error::NatsError;
use life::Lives;
use shared::{Shared, Standing};

/// A store that machines share.
#[derive(Debug)]
pub struct NatsStore {
    shared: Arc<Shared>,
    life: JoinHandle<()>,
    description: String,
}

impl NatsStore {
    /// Begins to connect, in a task of the event loop that this is called in. Never waits, never fails: that there is no
    /// connection is news. What is known is kept in the file `copy` as well, for a start without the bucket.
    #[must_use]
    pub fn start(settings: NatsSettings, copy: Option<PathBuf>, news: UnboundedSender<News>) -> Self {
        let description = format!("the bucket {} of {}", settings.bucket, settings.servers_for_people());
        let shared = Arc::new(Shared::new(machine::this_machine()));
        let copy = copy.map(|file| Copy::new(file, &settings));
        let lives = Lives::new(Arc::clone(&shared), settings, copy, news);
        Self { shared, life: tokio::spawn(lives.run()), description }
    }
}

impl Store for NatsStore {
    fn ask(&self, wish: Wish) -> Pending {
        let (answer, pending) = oneshot::channel();
        match self.shared.standing() {
            // Nobody may wait for it any more.
            Standing::Away(reason) => drop(answer.send(Err(StoreError::Unavailable { reason }))),
            Standing::Here(bucket) => {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move {
                    let granted = wishes::grant(&bucket, &shared, wish).await;
                    if matches!(granted, Err(StoreError::Unavailable { .. })) {
                        shared.doubt.notify_one();
                    }
                    drop(answer.send(granted));
                });
            }
        }
        pending
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper::Store
    }

    fn not_yet(&self) -> Option<String> {
        match self.shared.standing() {
            Standing::Away(reason) => Some(reason),
            Standing::Here(_) => None,
        }
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    /// What was asked for goes on in tasks of its own, for as long as the event loop runs.
    fn close(self: Box<Self>) {
        self.life.abort();
    }
}
