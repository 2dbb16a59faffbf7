//! The watermark: how far a store had come, kept beside it.
//!
//! SQLite drops a damaged end of its WAL in silence, and a checksum per row cannot show a row that is gone. So this file
//! says what the store must at least hold. It is written after the store's own sync, at most once a second and at a clean
//! stop, hence never ahead of the store: an end torn by the loss of power is no alarm, a store behind its watermark is.
//!
//! The file has two slots, at 0 and at 4096, written in turns in place, so that a torn write costs one of them. Each has
//! 64 bytes, numbers little-endian:
//!
//! ```text
//!  0  "TIEWMRK1"
//!  8  turn       counts the writes; the slot with the higher one holds
//! 16  highest    the highest ID given
//! 24  rows       rows in the store, of all states
//! 32  commits    commits since the spool exists
//! 40  sent_up_to up to which ID requests may have been sent
//! 48  0 (12 bytes)
//! 60  CRC-32 (IEEE) of bytes 0 to 59
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::files::{Files, open_rw};

const MAGIC: &[u8; 8] = b"TIEWMRK1";
const SLOT: usize = 64;
const SLOTS: [u64; 2] = [0, 4096];
const SIZE: u64 = 8192;

/// What a watermark says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) highest: u64,
    pub(super) rows: u64,
    pub(super) commits: u64,
    pub(super) sent_up_to: u64,
}

impl Mark {
    /// The later of both, number by number.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            highest: self.highest.max(other.highest),
            rows: if other.commits >= self.commits { other.rows } else { self.rows },
            commits: self.commits.max(other.commits),
            sent_up_to: self.sent_up_to.max(other.sent_up_to),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    turn: u64,
    written: Mark,
}

/// What was read from the file.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing was ever written.
    Nothing,
    /// This.
    Mark(Mark),
    /// Something, but no slot is whole.
    Damaged,
}

impl Watermark {
    /// Opens it, or makes it, and reads it.
    pub(super) fn open(files: &Files) -> io::Result<(Self, Found)> {
        let path = files.watermark();
        let file = open_rw(&path)?;
        let slots = SLOTS.map(|at| read(&file, at));
        if file.metadata()?.len() < SIZE {
            file.set_len(SIZE)?;
            file.sync_all()?;
            files.sync_dir()?;
        }
        let [first, second] = slots;
        // One blank and the other broken: the very first write was torn.
        let blank = matches!(first, Ok(None)) || matches!(second, Ok(None));
        let newest = [first.ok().flatten(), second.ok().flatten()].into_iter().flatten().max_by_key(|slot| slot.0);
        let (turn, written) = newest.unwrap_or_default();
        let found = match newest {
            Some((_, mark)) => Found::Mark(mark),
            None if blank => Found::Nothing,
            None => Found::Damaged,
        };
        Ok((Self { file, turn, written }, found))
    }

    /// What the file says.
    pub(super) fn written(&self) -> Mark {
        self.written
    }

    /// Writes `mark` into the older slot and waits for the disk.
    pub(super) fn write(&mut self, mark: Mark) -> io::Result<()> {
        let turn = self.turn + 1;
        let at = SLOTS[usize::from(turn % 2 == 1)];
        self.file.write_all_at(&encode(turn, mark), at)?;
        self.file.sync_data()?;
        (self.turn, self.written) = (turn, mark);
        Ok(())
    }
}

fn encode(turn: u64, mark: Mark) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    for (index, number) in [turn, mark.highest, mark.rows, mark.commits, mark.sent_up_to].into_iter().enumerate() {
        slot[8 + index * 8..16 + index * 8].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&slot[..60]);
    slot[60..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// A slot: its turn and mark; none if it is blank; an error if it is neither.
fn read(file: &File, at: u64) -> Result<Option<(u64, Mark)>, ()> {
    let mut slot = [0; SLOT];
    let mut got = 0;
    while got < SLOT {
        match file.read_at(&mut slot[got..], at + got as u64) {
            Ok(0) => break,
            Ok(some) => got += some,
            Err(_) => return Err(()),
        }
    }
    if slot == [0; SLOT] {
        return Ok(None);
    }
    decode(&slot).map(Some)
}

fn decode(slot: &[u8; SLOT]) -> Result<(u64, Mark), ()> {
    let number = |index: usize| {
        let bytes = slot[8 + index * 8..16 + index * 8].try_into().map_err(|_| ())?;
        Ok(u64::from_le_bytes(bytes))
    };
    let crc = u32::from_le_bytes(slot[60..].try_into().map_err(|_| ())?);
    if &slot[..8] != MAGIC || crc != crc32fast::hash(&slot[..60]) {
        return Err(());
    }
    let mark = Mark { highest: number(1)?, rows: number(2)?, commits: number(3)?, sent_up_to: number(4)? };
    Ok((number(0)?, mark))
}
