//! The builds that a place's daemon is started from, and that replace each other at a path of its own.
//!
//! Promised: whoever looks at the path finds either the one or the other, whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::Place;

/// A build of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// The package's own.
    This,
    /// `examples/next_build`, which misbehaves as it is told.
    Next,
}

impl Build {
    /// What its status says.
    pub(crate) fn version(self) -> String {
        let suffix = if self == Self::This { "" } else { "-next" };
        format!("{}{suffix}", env!("CARGO_PKG_VERSION"))
    }

    /// The one that is not this.
    pub(crate) fn other(self) -> Self {
        if self == Self::This { Self::Next } else { Self::This }
    }

    /// Where Cargo has put it.
    pub(crate) fn path(self) -> PathBuf {
        let this = Path::new(env!("CARGO_BIN_EXE_tieline"));
        if self == Self::This {
            return this.to_owned();
        }
        let next = this.with_file_name("examples/next_build");
        assert!(next.exists(), "{} is missing: build it with `cargo build --examples`", next.display());
        next
    }
}

impl Place {
    /// What its daemons are started from: what was installed here, else the package's own binary.
    pub(crate) fn binary(&self) -> PathBuf {
        let installed = self.installed();
        if installed.exists() { installed } else { Build::This.path() }
    }

    /// Where this place has a binary of its own.
    pub(crate) fn installed(&self) -> PathBuf {
        self.path("bin/tieline")
    }

    /// Puts a build there, in one step, as a package manager does.
    pub(crate) fn install(&self, build: Build) {
        self.install_file(|new| {
            // A link costs no time. Where the file system has none, or not between these two places, a copy does as well.
            fs::hard_link(build.path(), new).or_else(|_| fs::copy(build.path(), new).map(drop))
        });
    }

    /// Puts whatever `write` makes there, in one step.
    pub(crate) fn install_file(&self, write: impl FnOnce(&Path) -> std::io::Result<()>) {
        let new = self.path("bin/new");
        fs::create_dir_all(self.path("bin")).expect("a directory for the binary");
        fs::remove_file(&new).ok();
        write(&new).expect("a binary can be installed");
        fs::rename(new, self.installed()).expect("the new binary takes its place");
    }

    /// How [`Build::Next`] behaves here from now on.
    pub(crate) fn set_mood(&self, words: &str) {
        fs::create_dir_all(self.path("bin")).expect("a directory for the binary");
        fs::write(self.path("bin/tieline.mood"), words).expect("the mood can be written");
    }
}
