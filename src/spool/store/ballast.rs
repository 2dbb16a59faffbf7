//! The ballast: a file that takes room on the disk to give it back.
//!
//! On a truly full disk SQLite can neither delete nor checkpoint, as both write first. Dropping the ballast gives it the
//! room to drain. It is emptied, not removed: its name stays for later.

use std::io;

use nix::fcntl::posix_fallocate;

use super::files::{Files, open_rw, size};

/// Gives the room back. Says whether there was any.
pub(super) fn drop_it(files: &Files) -> bool {
    let path = files.ballast();
    if size(&path) == 0 {
        return false;
    }
    open_rw(&path).and_then(|file| file.set_len(0).and_then(|()| file.sync_all())).is_ok()
}

/// Whether it is there at its full size.
pub(super) fn is_whole(files: &Files, bytes: u64) -> bool {
    bytes == 0 || size(&files.ballast()) >= bytes
}

/// Takes the room, if that leaves the floor and as much again as itself free.
pub(super) fn take(files: &Files, bytes: u64, floor_percent: u8) -> io::Result<bool> {
    let room = files.free().is_none_or(|free| free.percent > floor_percent && free.bytes / 2 > bytes);
    if !room || bytes == 0 {
        return Ok(bytes == 0);
    }
    let file = open_rw(&files.ballast())?;
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    let taken = posix_fallocate(&file, 0, length).map_err(io::Error::from).and_then(|()| file.sync_all());
    if taken.is_err() {
        file.set_len(0)?;
    }
    taken.map(|()| true)
}
