//! Wishes of the directory, done in the bucket.
//!
//! Enters: a [`Wish`]. Leaves: [`Written`], or why not. Promised: what stands under a key is replaced, renewed or ended only
//! by who has it, as the bucket knows it at that moment; nothing is reported as refused that may have been done.
//!
//! A name belongs to those who have rows under it. The directory has looked at that, but another machine may have registered
//! the same name for another user in that moment: so who has written a new row looks again, when all before it is known, and
//! takes it back if he was the later one.
//!
//! A wish names the version that it knows. If the bucket has a later one, what stands there now decides, and the wish is
//! tried again on that: the mark of an ended key is as good as nothing, and our own lease is still ours, renewed by a try
//! whose answer was lost.

use std::time::Duration;

use tokio::time::timeout;

use super::bucket::{Bucket, Trouble};
use super::entry;
use super::mirror::Entry;
use super::shared::Shared;
use crate::registry::row::Row;
use crate::registry::store::{StoreError, Version, Wish, Written};

/// How long a new row waits for all that was written before it.
const CATCH_UP: Duration = Duration::from_secs(3);

/// How often a wish is tried on what stands in the bucket.
const TRIES: usize = 4;

/// Does a wish.
///
/// # Errors
/// As the store's interface words them.
pub(super) async fn grant(bucket: &Bucket, shared: &Shared, wish: Wish) -> Result<Written, StoreError> {
    let granting = Granting { bucket, machine: &shared.machine };
    let version = match wish {
        Wish::Put { row, replaces: Some((_, version)) } => granting.put(&row, version).await,
        Wish::Put { row, replaces: None } => granting.add(&row, shared).await,
        Wish::Renew { row, version } => granting.renew(&row, version).await,
        Wish::Remove { row, version } => granting.remove(&row, version).await,
        // The bucket ends leases itself, so nobody asks this.
        Wish::Swept { .. } => Ok(Version(0)),
    }?;
    Ok(Written { version })
}

struct Granting<'a> {
    bucket: &'a Bucket,
    machine: &'a str,
}

impl Granting<'_> {
    /// Writes a row where none was known.
    async fn add(&self, row: &Row, shared: &Shared) -> Result<Version, StoreError> {
        let version = self.put(row, Version(0)).await?;
        // If nothing is heard for so long, the connection is about to be given up, and nobody knows better.
        timeout(CATCH_UP, shared.has_seen(version)).await.ok();
        let first = shared.mirror().first_owner(row, version);
        let Some(owner) = first else { return Ok(version) };
        self.remove(row, version).await?;
        Err(StoreError::Denied { owner })
    }

    async fn put(&self, row: &Row, mut after: Version) -> Result<Version, StoreError> {
        let key = entry::key(row, self.machine);
        for _ in 0..TRIES {
            match self.bucket.put(&key, entry::value(row), after, kept_for(row)).await {
                Err(Trouble::Late) => after = self.free(self.last(&key).await?, row)?,
                other => return other.map_err(worded),
            }
        }
        Err(contended())
    }

    async fn renew(&self, row: &Row, mut version: Version) -> Result<Version, StoreError> {
        let key = entry::key(row, self.machine);
        for _ in 0..TRIES {
            match self.bucket.put(&key, entry::value(row), version, kept_for(row)).await {
                Err(Trouble::Late) => version = self.still(self.last(&key).await?, row)?,
                other => return other.map_err(worded),
            }
        }
        Err(contended())
    }

    async fn remove(&self, row: &Row, mut version: Version) -> Result<Version, StoreError> {
        let key = entry::key(row, self.machine);
        for _ in 0..TRIES {
            match self.bucket.end(&key, version).await {
                Err(Trouble::Late) => version = self.still(self.last(&key).await?, row)?,
                other => return other.map_err(worded),
            }
        }
        Err(contended())
    }

    async fn last(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.bucket.last(key).await.map_err(worded)
    }

    /// After what a row may be written: what has ended is no hindrance, nor what its owner has there.
    fn free(&self, last: Option<Entry>, row: &Row) -> Result<Version, StoreError> {
        let Some(last) = last else { return Ok(Version(0)) };
        let Some(value) = &last.value else { return Ok(last.version) };
        match entry::read(&last.key, value, self.machine) {
            Some(theirs) if theirs.owner == row.owner || row.owner == 0 => Ok(last.version),
            Some(theirs) => Err(StoreError::Denied { owner: theirs.owner }),
            None => Err(StoreError::Failed { reason: format!("something else stands under the key {}", last.key) }),
        }
    }

    /// The version that a lease has now, if it has not ended.
    fn still(&self, last: Option<Entry>, row: &Row) -> Result<Version, StoreError> {
        let last = last.ok_or(StoreError::Unknown)?;
        let stands = last.value.as_ref().and_then(|value| entry::read(&last.key, value, self.machine));
        stands.filter(|stands| stands.lease == row.lease).map(|_| last.version).ok_or(StoreError::Unknown)
    }
}

fn kept_for(row: &Row) -> Duration {
    entry::kept_for(row.ttl.unwrap_or_default())
}

fn worded(trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::Silent(reason) => StoreError::Unavailable { reason },
        Trouble::Failed(reason) => StoreError::Failed { reason },
        Trouble::Late => contended(),
    }
}

fn contended() -> StoreError {
    StoreError::Unavailable { reason: "other machines change the same row all the time".to_owned() }
}
