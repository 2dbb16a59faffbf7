//! The sign of a backlog: whether stored requests may wait in a directory, seen without opening a store.
//!
//! Enters: a host's directory in the spool. Leaves: yes or no. Promised: nothing is written or locked, and a backlog that
//! is there is never denied; in doubt the answer is yes.
//!
//! That a store is there is all the doubt it takes. Its watermark says more, but may be a second behind; a child that is
//! started in vain finds an empty store, and goes again because nobody needs it.

use std::path::Path;

/// Whether requests may wait in the spool `dir`.
#[must_use]
pub fn may_have_backlog(dir: &Path) -> bool {
    // A store that is being replaced after damage has another name for a moment.
    ["spool.sqlite", "spool.sqlite.salvaged"].iter().any(|name| dir.join(name).exists())
}
