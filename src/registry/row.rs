//! What is registered: a row, its lease, the revision of a change. Pure data.
//!
//! Enters: words that were checked already. Leaves: the types that directory, store and grammar share. Promised: a row
//! does not change; what replaces it is another one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Names a registration: an opaque word, never given twice. It is no secret: who may use it is decided by the owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lease(pub String);

impl Lease {
    /// One that nobody has.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..)))
    }

    /// That of a host's row, which nobody can renew or end.
    #[must_use]
    pub fn of_host(name: &str) -> Self {
        Self(format!("host:{name}"))
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the changes of one registry, of all its lives together. Each change has one of its own, higher than those before
/// it; there may be gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One instance of a name. Name and address together are its key: no two rows have both in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is found under; formed as the name of a host.
    pub name: String,
    /// Where it is, as it is written: `tcp:host:port` or `unix:/path`.
    pub address: String,
    /// Names this registration. An instance that is registered anew has a new one.
    pub lease: Lease,
    /// How long it lives without being renewed (milliseconds when written down); a host's row has no such time.
    #[serde(with = "maybe_millis")]
    pub ttl: Option<Duration>,
    /// The user who may change it, besides root.
    pub owner: u32,
    /// What else was said of it: `dialect`, `state`, and whatever its owner likes.
    pub pairs: BTreeMap<String, String>,
}

impl Row {
    /// Whether the parent tells of it: it is neither leased nor stored.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.ttl.is_none()
    }
}

/// Perhaps a duration, as whole milliseconds.
mod maybe_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
