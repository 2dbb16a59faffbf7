//! Where log lines go: standard error or a file that is rotated daily. Writing never waits for a reader.
//!
//! Lines are written straight from the event loop: a writing thread of its own would cost every child a stack and a
//! queue. What a direct write risks is a pipe that nobody reads, or a terminal stopped by Ctrl-S, which would stop the
//! whole process with it. So each write is preceded by poll(2); a line that finds no room within [`PATIENCE`] is
//! dropped and counted, and the next one that finds room says how many were.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::fstat;
use nix::unistd::write;
use tracing_appender::rolling::{RollingFileAppender, Rotation};

use super::SinkError;

/// How long a line waits for room, in milliseconds; not at all once one has been dropped.
const PATIENCE: u8 = 20;

/// Where lines go.
pub(super) enum Sink {
    /// Standard error, and how many lines were dropped since the last one that was written.
    Stderr(AtomicU64),
    /// A file; it is on a disk, whose writes do not wait for any reader.
    File(Mutex<RollingFileAppender>),
}

impl Sink {
    pub(super) fn stderr() -> Self {
        Self::Stderr(AtomicU64::new(0))
    }

    /// The date is added to the file's name, as `tieline.log.2026-01-02`. Nothing removes old files. The parent and all
    /// children append to the same file, each line by one write.
    pub(super) fn file(path: &Path) -> Result<Self, SinkError> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err("it names no file".into());
        };
        // The appender would make missing directories, with no rights that anybody chose.
        if !fs::metadata(dir)?.is_dir() {
            return Err("its directory is not one".into());
        }
        let builder = RollingFileAppender::builder().rotation(Rotation::DAILY);
        let file = builder.filename_prefix(name.to_string_lossy()).build(dir)?;
        Ok(Self::File(Mutex::new(file)))
    }

    pub(super) fn write(&self, line: &str) {
        // A log that cannot be written has nobody to complain to.
        match self {
            Self::Stderr(dropped) => write_or_count(&io::stderr(), line, dropped),
            Self::File(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()).ok();
            }
        }
    }

    /// Whether lines go to systemd's journal: `JOURNAL_STREAM` then holds the device and inode of standard error, see
    /// systemd.exec(5).
    pub(super) fn is_journal(&self) -> bool {
        let Self::Stderr(_) = self else { return false };
        let (Ok(stream), Ok(stat)) = (std::env::var("JOURNAL_STREAM"), fstat(io::stderr())) else {
            return false;
        };
        stream == format!("{}:{}", stat.st_dev, stat.st_ino)
    }

    /// Whether lines go to a terminal whose user did not decline colours (<https://no-color.org>).
    pub(super) fn wants_colour(&self) -> bool {
        matches!(self, Self::Stderr(_)) && io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
    }
}

fn write_or_count(out: &impl AsFd, line: &str, dropped: &AtomicU64) {
    let before = dropped.load(Ordering::Relaxed);
    if !has_room(out, if before == 0 { PATIENCE } else { 0 }) {
        dropped.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if before > 0 {
        dropped.store(0, Ordering::Relaxed);
        put(out, format!("(log lines dropped because nobody read them: {before})\n").as_bytes());
    }
    put(out, line.as_bytes());
}

fn has_room(out: &impl AsFd, patience: u8) -> bool {
    let mut wanted = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    poll(&mut wanted, patience).is_ok_and(|_| wanted[0].revents().is_some_and(|got| got.contains(PollFlags::POLLOUT)))
}

/// One line by one write, so that lines of several processes do not mix.
fn put(out: &impl AsFd, bytes: &[u8]) {
    write(out, bytes).ok();
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_stops_nobody_and_the_loss_is_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let dropped = AtomicU64::new(0);
        let line = format!("{}\n", "x".repeat(4000));
        while dropped.load(Ordering::Relaxed) < 3 {
            write_or_count(&writer, &line, &dropped);
        }
        let mut room = vec![0; 16 * 4096];
        reader.read_exact(&mut room[..15 * 4001]).unwrap();
        write_or_count(&writer, "again\n", &dropped);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("(log lines dropped because nobody read them: 3)\nagain\n"), "{rest}");
    }

    #[test]
    fn a_file_gets_the_date_into_its_name_and_a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        Sink::file(&dir.path().join("a.log")).unwrap().write("hello\n");
        let made = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert!(made.file_name().to_string_lossy().starts_with("a.log."));
        assert_eq!(fs::read_to_string(made.path()).unwrap(), "hello\n");
        assert!(Sink::file(&dir.path().join("none/a.log")).is_err());
    }
}
