//! The pid file: one parent at a time.
//!
//! Enters: a path. Leaves: a lock that is held as long as the value lives, or who holds it.
//!
//! The file holds the parent's process ID in decimal and a line feed. What counts is the lock (flock(2)), which ends
//! with its process however that ends: a file left behind by SIGKILL hinders nobody. A child that was just forked shares
//! the lock until its exec, so that a parent that is killed then seems to hold it a moment longer: that is waited for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use thiserror::Error;

/// How long a lock is waited for whose holder is dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the pid file could not be had.
#[derive(Debug, Error)]
pub enum PidFileError {
    /// Another parent holds the lock.
    #[error(
        "tieline is already running{}: it holds the lock on {path}; stop it first (`kill {}`), or give this one its \
         own run_dir and pid_file",
        .holder.map(|pid| format!(" as process {pid}")).unwrap_or_default(),
        .holder.map_or_else(|| "its process ID".to_owned(), |pid| pid.to_string())
    )]
    Held {
        /// The pid file.
        path: PathBuf,
        /// What the file says; none if it says nothing.
        holder: Option<i32>,
    },
    /// The file could not be opened, locked or written.
    #[error("cannot {what} the pid file {path}: {source}; see that its directory exists and is writable")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The pid file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The held pid file; removed and released when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
}

impl PidFile {
    /// Locks the pid file at `path` and writes this process's ID into it.
    ///
    /// # Errors
    /// When another process holds it, or the file system refuses.
    pub fn acquire(path: &Path) -> Result<Self, PidFileError> {
        let fail = |what, source| PidFileError::Io { what, path: path.to_owned(), source };
        let begun = Instant::now();
        let mut file = loop {
            let file = open(path).map_err(|error| fail("open", error))?;
            let file = match lock(path, file) {
                Err(PidFileError::Held { holder: Some(pid), .. }) if is_gone(pid) && begun.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(5));
                    continue;
                }
                other => other?,
            };
            // The holder before us may have removed the file between our open and our lock; then we hold a lock on a
            // file that has no name, and the next start would not see it.
            if still_named(path, &file) {
                break file;
            }
        };
        write_pid(&mut file).map_err(|error| fail("write", error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Goes on with the lock that the image before this one held on `path`: a lock belongs to the open file, which
    /// survives the exec.
    ///
    /// # Errors
    /// When it is held by somebody else, which would take somebody who meddles.
    pub fn inherit(path: &Path, file: OwnedFd) -> Result<Self, PidFileError> {
        Ok(Self { path: path.to_owned(), file: lock(path, file.into())? })
    }

    /// Whether the path still leads to the locked file.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        still_named(&self.path, &self.file)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PidFile {
    /// Removes the file while the lock still holds, so that nobody else's file is removed.
    fn drop(&mut self) {
        if still_named(&self.path, &self.file)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove the pid file {}: {error}", self.path.display());
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path)
}

fn lock(path: &Path, file: File) -> Result<Flock<File>, PidFileError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
        Errno::EWOULDBLOCK => PidFileError::Held { path: path.to_owned(), holder: read_pid(file) },
        other => PidFileError::Io { what: "lock", path: path.to_owned(), source: other.into() },
    })
}

fn is_gone(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

fn still_named(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(held)) => named.dev() == held.dev() && named.ino() == held.ino(),
        _ => false,
    }
}

/// What the file says, as far as it makes sense: it may be empty for a moment, or be no pid file at all.
fn read_pid(file: File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tieline.pid");
        let first = PidFile::acquire(&path).unwrap();
        let told = PidFile::acquire(&path).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(told.contains(&format!("as process {pid}")), "{told}");
        assert!(told.contains(&path.display().to_string()), "{told}");
        drop(first);
        assert!(!path.exists(), "removed with its holder");
    }

    #[test]
    fn a_file_left_behind_hinders_nobody_and_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tieline.pid");
        fs::write(&path, "4194304999 and more of an older file\n").unwrap();
        let held = PidFile::acquire(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(held);
    }

    #[test]
    fn a_lock_that_outlives_its_holder_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tieline.pid");
        let mut holder = std::process::Command::new("true").spawn().unwrap();
        holder.wait().unwrap();
        fs::write(&path, format!("{}\n", holder.id())).unwrap();
        let heir = lock(&path, open(&path).unwrap()).unwrap();
        let waiting = std::thread::spawn(move || PidFile::acquire(&path));
        sleep(Duration::from_millis(20));
        drop(heir);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_file_that_was_put_in_its_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tieline.pid");
        let held = PidFile::acquire(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = PidFile::acquire(&path).unwrap();
        drop(held);
        assert!(path.exists(), "the other one's file stays");
        drop(other);
    }

    #[test]
    fn a_missing_directory_is_named_with_the_remedy() {
        let told = PidFile::acquire(Path::new("/nonexistent/tieline.pid")).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/tieline.pid") && told.contains("directory exists"), "{told}");
    }
}
