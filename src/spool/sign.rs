//! The sign of a backlog: whether stored requests may wait in a directory, seen without opening a store.
//!
//! Enters: a host's directory in the spool. Leaves: yes or no. Promised: nothing is written or locked, and a backlog that
//! is there is never denied; in doubt the answer is yes.

use std::path::Path;

/// Whether requests may wait in the spool `dir`.
#[must_use]
pub fn may_have_backlog(dir: &Path) -> bool {
    dir.join("spool.sqlite").exists()
}
