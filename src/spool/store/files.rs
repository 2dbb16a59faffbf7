//! Names, the lock, and free space of one host's directory in the spool.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;

use super::StoreError;

/// The directory and the names in it.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) dir: PathBuf,
}

/// Free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes that this process may still write.
    pub bytes: u64,
    /// The same as a part of all that may be used, in percent.
    pub percent: u8,
}

impl Files {
    pub(super) fn db(&self) -> PathBuf {
        self.dir.join("spool.sqlite")
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.dir.join("spool.sqlite-wal")
    }

    /// Each name SQLite may have used for the store.
    pub(super) fn of_sqlite(&self) -> [PathBuf; 4] {
        ["spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm", "spool.sqlite-journal"].map(|name| self.dir.join(name))
    }

    pub(super) fn fresh(&self) -> PathBuf {
        self.dir.join("spool.sqlite.new")
    }

    pub(super) fn salvaged(&self) -> PathBuf {
        self.dir.join("spool.sqlite.salvaged")
    }

    pub(super) fn watermark(&self) -> PathBuf {
        self.dir.join("watermark")
    }

    pub(super) fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    pub(super) fn corrupt(&self) -> PathBuf {
        self.dir.join("corrupt")
    }

    /// Makes the directory, and its name durable.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let fail = |error: &io::Error| StoreError::io(&self.dir, "make the directory of", error);
        match DirBuilder::new().mode(0o750).create(&self.dir) {
            Ok(()) => sync_dir(self.dir.parent().unwrap_or(Path::new("/"))).map_err(|error| fail(&error)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(fail(&error)),
        }
    }

    /// Takes the lock, or says at once who has it. It ends with its holder, however that ends.
    pub(super) fn lock(&self) -> Result<Flock<File>, StoreError> {
        let file = open_rw(&self.dir.join("lock")).map_err(|error| StoreError::io(&self.dir, "lock", &error))?;
        let mut lock = self.flock(file, FlockArg::LockExclusiveNonblock)?;
        write_pid(&mut lock).map_err(|error| StoreError::io(&self.dir, "write the lock of", &error)).map(|()| lock)
    }

    /// Takes the lock beside other readers; needs no right to write.
    pub(super) fn lock_shared(&self) -> Result<Flock<File>, StoreError> {
        let file = File::open(self.dir.join("lock")).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Absent { dir: self.dir.clone() },
            _ => StoreError::io(&self.dir, "lock", &error),
        })?;
        self.flock(file, FlockArg::LockSharedNonblock)
    }

    fn flock(&self, file: File, how: FlockArg) -> Result<Flock<File>, StoreError> {
        Flock::lock(file, how).map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => StoreError::Locked { dir: self.dir.clone(), holder: read_pid(file) },
            other => StoreError::io(&self.dir, "lock", &other.into()),
        })
    }

    /// Free space; none if the system does not say.
    pub(super) fn free(&self) -> Option<Free> {
        let stat = statvfs(&self.dir).ok()?;
        let (available, free, all) = (stat.blocks_available(), stat.blocks_free(), stat.blocks());
        // As df(1): what is reserved for root counts neither as free nor as usable.
        let usable = available.saturating_add(all.saturating_sub(free)).max(1);
        let percent = u8::try_from(u128::from(available) * 100 / u128::from(usable)).unwrap_or(100);
        Some(Free { bytes: available.saturating_mul(stat.fragment_size()), percent })
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }
}

/// Makes names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Opens for reading and writing, made with rights for owner and group alone if it is not there: bodies may hold secrets.
pub(super) fn open_rw(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)
}

/// Removes a file; that it is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes of a file; 0 if it is not there.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

fn read_pid(file: File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// For a person's eyes; that it is written is not what locks.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
