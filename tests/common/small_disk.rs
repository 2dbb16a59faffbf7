//! A disk that is soon full.
//!
//! Enters: a directory. Leaves: a small file system there, as long as this lives; none without the right to mount one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of 4 MiB.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).output();
        match done {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                println!("not run: this needs the right to mount");
                None
            }
        }
    }

    /// Takes whatever room is left, to the last byte.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file can be made");
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives that room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: after a panic somebody may still have a file open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        let is_gone = unmounted.is_ok_and(|status| status.success());
        assert!(is_gone || std::thread::panicking(), "{} stays mounted", self.0.display());
    }
}
