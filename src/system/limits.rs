//! How many files may be open.
//!
//! Enters: nothing. Leaves: the limit that holds from now on, inherited by every child.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many files this process may have open.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Raises the soft limit of open files to the hard one and says what it is now. A parent holds a listener and a
/// channel per host and a child a descriptor per requester; the usual soft limit of 1024 is made for `select(2)`, which
/// nobody calls here.
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2).
pub fn raise_open_files() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
