//! Waiting for a moment that may never come.

use std::future::pending;
use std::time::Instant;

/// Ends at that time; never, if there is none.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => pending().await,
    }
}
