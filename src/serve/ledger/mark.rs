//! The mark: how far a ledger had come, kept beside it.
//!
//! SQLite drops a damaged end of its log in silence, and no checksum of a row shows a row that is gone. So this file says how
//! many commits the ledger must at least have. It is written after a commit has reached the disk, at most once a second and
//! at the end, hence never ahead of the ledger: a ledger behind its mark has lost something.
//!
//! ```text
//! executed.mark = "tieline ledger " COMMITS " " CRC LF      CRC-32 of what stands before its blank, in hexadecimal
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const TITLE: &str = "tieline ledger ";

/// The file, in the directory of a far end.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join("executed.mark")
}

/// How many commits there were; none if nothing, or nothing whole, was ever written.
pub(super) fn read(dir: &Path) -> Option<u64> {
    let text = fs::read_to_string(file(dir)).ok()?;
    let (said, crc) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    let is_whole = u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(said.as_bytes()));
    said.strip_prefix(TITLE).filter(|_| is_whole)?.parse().ok()
}

/// Replaces the file in one step.
pub(super) fn write(dir: &Path, commits: u64) -> io::Result<()> {
    let said = format!("{TITLE}{commits}");
    let (new, crc) = (dir.join("executed.mark.new"), crc32fast::hash(said.as_bytes()));
    let mut out = File::create(&new)?;
    out.write_all(format!("{said} {crc:08x}\n").as_bytes())?;
    out.sync_data()?;
    fs::rename(new, file(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_was_written_last_or_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        for commits in [7, 123_456] {
            write(dir.path(), commits).unwrap();
            assert_eq!(read(dir.path()), Some(commits));
        }
        let whole = fs::read(file(dir.path())).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(file(dir.path()), &damaged).unwrap();
            assert_eq!(read(dir.path()), None, "byte {at}");
            fs::write(file(dir.path()), &whole[..at]).unwrap();
            assert_eq!(read(dir.path()), None, "of {at} bytes");
        }
    }
}
