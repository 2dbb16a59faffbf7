//! The identity of a binary: whether what lies at a path is still what was started from there.
//!
//! Enters: a path. Leaves: a [`BinaryId`], to be compared. Promised: two that differ were never the same file with the
//! same content, as far as the file system tells (device, inode, size, time of the last change).

use std::fs::{Metadata, metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The image of this process, proc(5): the file that it was started from, also when that was replaced or removed.
const OWN_IMAGE: &str = "/proc/self/exe";

/// Which file, in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryId {
    device: u64,
    inode: u64,
    /// Bytes.
    size: u64,
    /// Of the last change of the content: seconds since 1970, and nanoseconds.
    changed: (i64, i64),
}

impl BinaryId {
    /// Of what lies at `path` now.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn of(path: &Path) -> io::Result<Self> {
        metadata(path).map(|found| Self::from(&found))
    }

    /// Of the binary that this process runs.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new(OWN_IMAGE))
    }
}

impl From<&Metadata> for BinaryId {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.mtime(), found.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_or_rewritten_file_is_another_binary() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&path, "one").unwrap();
        let first = BinaryId::of(&path).unwrap();
        assert_eq!(BinaryId::of(&path).unwrap(), first);
        std::fs::write(&other, "one").unwrap();
        std::fs::rename(&other, &path).unwrap();
        let second = BinaryId::of(&path).unwrap();
        assert_ne!(second, first, "another inode");
        std::fs::write(&path, "longer").unwrap();
        assert_ne!(BinaryId::of(&path).unwrap(), second, "another size");
        std::fs::remove_file(&path).unwrap();
        assert!(BinaryId::of(&path).is_err());
        assert!(BinaryId::own().is_ok());
    }
}
