//! Maintenance: what is done when nobody waits for it.
//!
//! [`Store::due`] says when something is to be done; an idle store has nothing, and wakes nobody.
//!
//! On a full disk a WAL can be played into the store only if the ballast makes room for what the store grows by. So the
//! part of the WAL that was not played yet is kept below half of the ballast; played wholly it begins anew in the room it
//! has, and then no deletion needs more.

use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use super::error::{Kind, Trouble};
use super::files::size;
use super::{Store, StoreError, ballast, millis};

/// The watermark is written at most so often.
const WATERMARK_EVERY: u64 = 1_000;
/// A WAL above this many bytes is played into the store and truncated, even while work comes.
const LONGEST_WAL: u64 = 64 << 20;
/// Without a ballast, or with a small one, this much of a WAL may wait to be played.
const LEAST_UNPLAYED: u64 = 128 << 10;
/// After so many commits the WAL is played even while work comes, so that it is written from its start again: a
/// plain file on ext4 was synced in half the time when it was overwritten instead of grown. What it gains here is not proven.
const COMMITS_UNPLAYED: u64 = 256;
/// How often a missing ballast is tried again.
const BALLAST_EVERY: u64 = 60_000;
/// An empty store above this many bytes gives its pages back; where the disk was full a smaller one does.
const EMPTY_AND_LARGE: u64 = 16 << 20;

/// When what was done last, in milliseconds since 1970, and what is to be done.
#[derive(Debug)]
pub(super) struct Chores {
    watermark_at: u64,
    ballast_at: u64,
    ballast_missing: bool,
    /// Whether something was committed since the last watermark.
    unmarked: bool,
    /// Commits since the last checkpoint.
    unplayed: u64,
    /// About how many bytes of the WAL were not played.
    unplayed_bytes: u64,
}

impl Chores {
    pub(super) fn new(now: u64) -> Self {
        Self {
            watermark_at: 0,
            ballast_at: now,
            ballast_missing: false,
            unmarked: true,
            unplayed: 1,
            unplayed_bytes: 0,
        }
    }

    /// A commit that moved rows of so many bytes: with their pages, and those of totals and tables.
    pub(super) fn committed(&mut self, moved: u64) {
        (self.unmarked, self.unplayed) = (true, self.unplayed + 1);
        self.unplayed_bytes = self.unplayed_bytes.saturating_add(5 * 4120 + 2 * moved);
    }

    pub(super) fn ballast_missing(&mut self) {
        self.ballast_missing = true;
    }
}

impl Store {
    /// How long after `now` [`Store::maintain`] has something to do; none if it has nothing.
    #[must_use]
    pub fn due(&self, now: SystemTime) -> Option<Duration> {
        self.db.as_ref()?;
        let now = millis(now);
        let until = |last: u64, every: u64| every.saturating_sub(now.saturating_sub(last));
        let watermark = self.chores.unmarked.then(|| until(self.chores.watermark_at, WATERMARK_EVERY));
        let checkpoint = (self.chores.unplayed > 0).then_some(WATERMARK_EVERY);
        let ballast = self.chores.ballast_missing.then(|| until(self.chores.ballast_at, BALLAST_EVERY));
        [watermark, checkpoint, ballast].into_iter().flatten().min().map(Duration::from_millis)
    }

    /// Does what is due: the watermark at most once a second, a checkpoint when nothing came for a while (`idle`) or much
    /// was committed, the ballast when there is room again.
    ///
    /// # Errors
    /// When the disk refuses; [`StoreError::closes`] says whether the store must be opened again.
    pub fn maintain(&mut self, now: SystemTime, idle: bool) -> Result<(), StoreError> {
        let done = self.maintain_all(now, idle);
        self.remember(&done);
        done
    }

    fn maintain_all(&mut self, now: SystemTime, idle: bool) -> Result<(), StoreError> {
        let now = millis(now);
        self.connection()?;
        if self.chores.unmarked
            && !(self.chores.watermark_at..self.chores.watermark_at + WATERMARK_EVERY).contains(&now)
        {
            self.write_watermark(now)?;
        }
        // Without a ballast there is nothing to give back when the disk is full: then little may wait.
        let ballast = if self.chores.ballast_missing { 0 } else { self.limits.ballast };
        let most = (ballast / 2).max(LEAST_UNPLAYED);
        let unplayed = self.chores.unplayed;
        let much = unplayed >= COMMITS_UNPLAYED || self.chores.unplayed_bytes > most;
        if unplayed > 0 && size(&self.files.wal()) > LONGEST_WAL {
            self.checkpoint("TRUNCATE")?;
        } else if unplayed > 0 && (idle || much) {
            self.checkpoint("PASSIVE")?;
        }
        let large = if self.chores.ballast_missing { LEAST_UNPLAYED } else { EMPTY_AND_LARGE };
        if idle && self.state.rows() == 0 && size(&self.files.db()) > large {
            self.shrink()?;
        }
        let wait = self.chores.ballast_at..self.chores.ballast_at.saturating_add(BALLAST_EVERY);
        if self.chores.ballast_missing && !wait.contains(&now) {
            self.chores.ballast_at = now;
            self.put_ballast();
        }
        Ok(())
    }

    /// A clean stop: the watermark, and everything in the one file.
    ///
    /// # Errors
    /// When the disk refuses. Nothing is lost by that.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.connection()?;
        self.write_watermark(self.chores.watermark_at)?;
        self.checkpoint("TRUNCATE")
    }

    fn write_watermark(&mut self, now: u64) -> Result<(), StoreError> {
        // A refusal is not tried again within the second either.
        self.chores.watermark_at = now;
        if self.watermark.written() != self.state.mark() {
            let written = self.watermark.write(self.state.mark());
            written.map_err(|error| StoreError::io(&self.files.dir, "write the watermark of", &error))?;
        }
        self.chores.unmarked = false;
        Ok(())
    }

    fn checkpoint(&mut self, how: &str) -> Result<(), StoreError> {
        let mut played = play(self.connection()?, how);
        if played.as_ref().is_err_and(|trouble| trouble.kind() == Kind::Full) && self.drop_ballast() {
            played = play(self.connection()?, how);
        }
        match played {
            Ok(()) => {
                (self.chores.unplayed, self.chores.unplayed_bytes) = (0, 0);
                Ok(())
            }
            Err(trouble) if trouble.kind() == Kind::Damage => self.recover(&trouble.reason()),
            Err(trouble) => {
                if trouble.kind() == Kind::Full {
                    // It works from the WAL as well as before. The next commit brings the next try.
                    self.chores.unplayed = 0;
                } else {
                    self.db = None;
                }
                Err(trouble.into_error(&self.files.dir, "checkpoint"))
            }
        }
    }

    /// Makes the WAL's room usable again, without giving it to anybody else.
    pub(super) fn play_wal(&mut self) -> Result<(), StoreError> {
        self.checkpoint("PASSIVE")
    }

    /// Gives the pages of an empty store back to the disk.
    fn shrink(&mut self) -> Result<(), StoreError> {
        let vacuumed = self.connection()?.execute_batch("VACUUM").map_err(Trouble::from);
        match vacuumed {
            Ok(()) => self.checkpoint("TRUNCATE"),
            Err(trouble) => {
                self.db = None;
                Err(trouble.into_error(&self.files.dir, "shrink"))
            }
        }
    }

    /// Takes the ballast if there is room; it is tried again later if not.
    pub(super) fn put_ballast(&mut self) {
        let bytes = self.limits.ballast;
        let whole = ballast::is_whole(&self.files, bytes)
            || ballast::take(&self.files, bytes, self.limits.free_floor_percent).unwrap_or(false);
        self.chores.ballast_missing = !whole;
    }
}

fn play(db: &Connection, how: &str) -> Result<(), Trouble> {
    let busy: i64 = db.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(Trouble::Damage("its WAL is in use by nobody".to_owned())) }
}
