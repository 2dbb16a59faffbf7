//! The list of all that was received.
//!
//! Enters: tags. Leaves: a file, one line per request: `TAG` for a whole one, `TAG?` for one that broke off.
//! Promised: a line is handed to the kernel in one write before the call returns, so it outlives a SIGKILL.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The open file.
pub(crate) struct List(File);

impl List {
    /// Creates the file, or goes on at its end.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(Self)
    }

    /// Appends whole lines.
    pub(crate) fn append(&self, lines: &str) -> io::Result<()> {
        if lines.is_empty() { Ok(()) } else { (&self.0).write_all(lines.as_bytes()) }
    }
}
