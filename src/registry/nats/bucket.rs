//! The bucket: what the registry asks of JetStream KV, and nothing else.
//!
//! Enters: keys, values, expected versions, times to live. Leaves: versions, entries, or which way it failed. Promised: a
//! write is done only if the key's last version is the expected one, 0 for none; what was acknowledged is on the disks of
//! as many servers as the bucket has replicas, of a majority of them.

use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::{
    ContextBuilder, GetStreamError, GetStreamErrorKind, KeyValueError, PublishError, PublishErrorKind,
};
use async_nats::jetstream::kv;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, HeaderMap};
use jiff::Timestamp;
use serde::Deserialize;

use super::access::REQUEST;
use super::error::NatsError;
use super::mirror::Entry;
use crate::config::NatsSettings;
use crate::registry::store::Version;

/// How long the bucket remembers that a key has ended. Whoever was away for longer reads everything anew anyway.
const MARKER: Duration = Duration::from_secs(15 * 60);

/// Headers that say that a message is an end: of who asked for it, and of the server.
const OPERATION: &str = "KV-Operation";
const MARKER_REASON: &str = "Nats-Marker-Reason";
const ROLLUP: &str = "Nats-Rollup";

/// A bucket over one connection.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    context: Context,
    stream: Stream,
    name: String,
    /// Added to the server's sequences, so that versions go on where those of an earlier bucket ended.
    base: u64,
}

/// A key that is no row's: what is written there shows that a majority of the servers is there to write.
const PROOF: &str = "=proof";

/// A sequence that no key has: expecting it is to be refused.
const NEVER: u64 = 1 << 62;

/// Why a write or a look failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The key's last version is another one.
    Late,
    /// No answer that would say whether it was done.
    Silent(String),
    /// It was not done, and would not be if it were tried again.
    Failed(String),
}

/// How the bucket is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulse {
    /// The clock of the server that leads the bucket.
    pub(super) now: Timestamp,
    /// When the bucket was made: another time, another bucket.
    pub(super) created: Timestamp,
    /// The last version that was written.
    pub(super) last: Version,
}

#[derive(Deserialize)]
struct Information {
    ts: Timestamp,
    created: Timestamp,
    state: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    last_seq: u64,
}

impl Bucket {
    /// Opens it; makes it if there is none.
    pub(super) async fn open(client: Client, settings: &NatsSettings) -> Result<Self, NatsError> {
        let context = ContextBuilder::new().timeout(REQUEST).ack_timeout(REQUEST).build(client);
        let name = settings.bucket.clone();
        let cannot = |reason: String| NatsError::Bucket { bucket: settings.bucket.clone(), reason };
        let store = match context.get_key_value(&name).await {
            Ok(store) => store,
            Err(error) if is_missing(&error) => {
                let made = context.create_key_value(wanted(settings)).await;
                made.map_err(|error| cannot(error.to_string()))?
            }
            Err(error) => return Err(cannot(error.to_string())),
        };
        check(&store, &name)?;
        Ok(Self { context, stream: store.stream, name, base: 0 })
    }

    /// The same, with versions above `highest`.
    pub(super) fn above(self, highest: Version) -> Self {
        Self { base: highest.0, ..self }
    }

    /// What its versions are above.
    pub(super) fn base(&self) -> Version {
        Version(self.base)
    }

    fn version(&self, sequence: u64) -> Version {
        Version(self.base.saturating_add(sequence))
    }

    /// What a version is to the server. Those of an earlier bucket are nothing to it.
    fn sequence(&self, version: Version) -> u64 {
        match version {
            Version(0) => 0,
            Version(version) => version.checked_sub(self.base).filter(|sequence| *sequence > 0).unwrap_or(NEVER),
        }
    }

    /// Writes a value that ends by itself after `ttl`, whole seconds.
    pub(super) async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        after: Version,
        ttl: Duration,
    ) -> Result<Version, Trouble> {
        let message = PublishMessage::build().payload(value.into()).ttl(ttl);
        self.publish(key, message, after).await
    }

    /// Ends a key.
    pub(super) async fn end(&self, key: &str, after: Version) -> Result<Version, Trouble> {
        let message = PublishMessage::build().header(OPERATION, "PURGE").header(ROLLUP, "sub").ttl(MARKER);
        self.publish(key, message, after).await
    }

    async fn publish(&self, key: &str, message: PublishMessage, after: Version) -> Result<Version, Trouble> {
        let message = message.expected_last_subject_sequence(self.sequence(after));
        let sent = self.context.send_publish(self.subject(key), message).await;
        let acknowledged = sent.map_err(|error| trouble(&error))?.await;
        acknowledged.map(|ack| self.version(ack.sequence)).map_err(|error| trouble(&error))
    }

    /// What the server that leads the bucket has last under a key. Its age is not told.
    pub(super) async fn last(&self, key: &str) -> Result<Option<Entry>, Trouble> {
        match self.stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) => {
                let value = (!is_end(Some(&message.headers))).then(|| message.payload.to_vec());
                Ok(Some(Entry {
                    key: key.to_owned(),
                    value,
                    version: self.version(message.sequence),
                    age: Duration::ZERO,
                }))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(error) if error.code() < 500 => {
                    Err(Trouble::Failed(error.to_string()))
                }
                _ => Err(Trouble::Silent(error.to_string())),
            },
        }
    }

    /// Writes something that says nothing. A server that has lost the others may go on answering questions for as long as
    /// it likes, but it cannot acknowledge this.
    pub(super) async fn prove(&self) -> Result<(), String> {
        let message = PublishMessage::build().header(OPERATION, "PURGE").header(ROLLUP, "sub").ttl(MARKER);
        let sent = self.context.send_publish(self.subject(PROOF), message).await;
        let cannot = |error: PublishError| format!("nothing can be written to the bucket: {error}");
        sent.map_err(cannot)?.await.map(drop).map_err(cannot)
    }

    /// Asks how it is.
    pub(super) async fn pulse(&self) -> Result<Pulse, String> {
        let subject = format!("STREAM.INFO.KV_{}", self.name);
        match self.context.request(subject, &()).await {
            Ok(Response::Ok(Information { ts, created, state })) => {
                Ok(Pulse { now: ts, created, last: self.version(state.last_seq) })
            }
            Ok(Response::Err { error }) => Err(format!("{error}")),
            Err(error) => Err(format!("the bucket does not answer: {error}")),
        }
    }

    /// Everything that stands in it, as so many entries, and then every change. Each entry says how many are behind it.
    pub(super) async fn watch(&self) -> Result<(Ordered, u64), String> {
        let config = OrderedConfig {
            deliver_subject: self.context.client().new_inbox(),
            description: Some("tieline registry".to_owned()),
            filter_subject: self.subject(">"),
            replay_policy: ReplayPolicy::Instant,
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await.map_err(|error| error.to_string())?;
        let waiting = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(|error| error.to_string())?;
        Ok((messages, waiting))
    }

    /// A message of [`Bucket::watch`] as an entry, by the server's clock, and how many are behind it.
    pub(super) fn entry(&self, message: &jetstream::Message, now: Timestamp) -> Option<(Entry, u64)> {
        let key = message.subject.strip_prefix(&self.subject(""))?.to_owned();
        let info = message.info().ok()?;
        let written = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).ok()?;
        let age = u64::try_from(now.as_millisecond().saturating_sub(written)).unwrap_or_default();
        let value = (!is_end(message.headers.as_ref())).then(|| message.payload.to_vec());
        let (version, age) = (self.version(info.stream_sequence), Duration::from_millis(age));
        Some((Entry { key, value, version, age }, info.pending))
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }
}

fn wanted(settings: &NatsSettings) -> kv::Config {
    kv::Config {
        bucket: settings.bucket.clone(),
        description: "names and leases of tieline's registry".to_owned(),
        history: 1,
        num_replicas: settings.replicas as usize,
        limit_markers: Some(MARKER),
        ..kv::Config::default()
    }
}

fn check(store: &kv::Store, name: &str) -> Result<(), NatsError> {
    let config = &store.stream.cached_info().config;
    let lacks = match config {
        _ if !config.allow_message_ttl => "a time to live for each key (allow_msg_ttl)",
        _ if config.subject_delete_marker_ttl.is_none() => "marks for keys that have ended (subject_delete_marker_ttl)",
        _ if !config.allow_rollup => "leave to end a key (allow_rollup_hdrs)",
        _ => return Ok(()),
    };
    Err(NatsError::Unfit { bucket: name.to_owned(), lacks })
}

/// Whether the server says that there is no such bucket.
fn is_missing(error: &KeyValueError) -> bool {
    let told = error.source().and_then(|source| source.downcast_ref::<GetStreamError>());
    let is_not_found = |told: &jetstream::Error| told.error_code() == ErrorCode::STREAM_NOT_FOUND;
    told.is_some_and(|told| matches!(told.kind(), GetStreamErrorKind::JetStream(told) if is_not_found(&told)))
}

fn is_end(headers: Option<&HeaderMap>) -> bool {
    let Some(headers) = headers else { return false };
    let operation = headers.get(OPERATION).map(|value| value.as_str());
    matches!(operation, Some("DEL" | "PURGE")) || headers.get(MARKER_REASON).is_some()
}

fn trouble(error: &PublishError) -> Trouble {
    let told = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    match (error.kind(), told) {
        (PublishErrorKind::WrongLastSequence, _) => Trouble::Late,
        (PublishErrorKind::MaxPayloadExceeded, _) => Trouble::Failed(error.to_string()),
        (_, Some(told)) if told.code() < 500 => Trouble::Failed(told.to_string()),
        _ => Trouble::Silent(error.to_string()),
    }
}
