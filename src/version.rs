//! The version of this build.
//!
//! Enters: nothing, or another name from a binary that is built around this library. Leaves: what `tieline --version` and
//! the status say.

use std::sync::OnceLock;

static NAMED: OnceLock<&str> = OnceLock::new();

/// The version: that of the package, unless the binary has named another.
#[must_use]
pub fn version() -> &'static str {
    NAMED.get().copied().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Names another version, for a binary that is not the package's own. Only the first call counts.
pub fn name(version: &'static str) {
    NAMED.get_or_init(|| version);
}
