//! The directory that the demo lives in.
//!
//! Leaves: `tieline.toml`, `hosts.tab` and the daemon's log in a directory of their own. Promised: it is gone when its
//! [`Home`] is dropped.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

use super::trouble::Trouble;

/// Most bytes of the temporary directory's path: with `/tieline-demo-XXXXXX/run/control.sock.NNNNNNN` behind it, it must
/// fit into the 107 bytes of a socket's path.
const LONGEST: usize = 60;

/// How much of the log is shown when something went wrong.
const LAST_LINES: usize = 40;

/// See the head of this file.
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn make() -> Result<Self, Trouble> {
        let usual = std::env::temp_dir();
        let is_fit = usual.is_absolute() && usual.as_os_str().len() <= LONGEST;
        let place = if is_fit { usual.as_path() } else { Path::new("/tmp") };
        let made = mkdtemp(&place.join("tieline-demo-XXXXXX"));
        let what = format!("make a directory in {}", place.display());
        made.map(Self).map_err(|errno| Trouble::system(what)(errno.into()))
    }

    /// The configuration, with this one host.
    pub(super) fn furnish(&self, host: &str) -> Result<(), Trouble> {
        let settings = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\n\n[defaults]\ndrain = \"2s\"\n";
        for (file, text) in [(self.config(), settings), (self.0.join("hosts.tab"), host)] {
            fs::write(&file, text).map_err(Trouble::system(format!("write {}", file.display())))?;
        }
        Ok(())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("tieline.toml")
    }

    pub(super) fn socket(&self, host: &str) -> PathBuf {
        self.0.join(format!("run/{host}.sock"))
    }

    pub(super) fn deferred_socket(&self, host: &str) -> PathBuf {
        self.0.join(format!("run/{host}.deferred.sock"))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What is in the run directory: nothing, once the daemon has ended as it should.
    pub(super) fn left_in_run_dir(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("run")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Removes it all.
    pub(super) fn remove(&self) -> Result<(), Trouble> {
        fs::remove_dir_all(&self.0).map_err(Trouble::system(format!("remove {}", self.0.display())))
    }

    /// The end of the daemon's log; empty if there is none.
    pub(super) fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Mostly it is gone by now; what cannot be removed will be by who keeps the temporary directory.
        self.remove().ok();
    }
}
