//! Opening: from what is on the disk to a store that works.
//!
//! Enters: a directory, in whatever state a crash, a full disk or a bad sector left it. Leaves: a store and what was
//! found, or an error that says why not even a fresh one can be had. Promised: nobody's hand is needed for damage, nor for
//! an older format; a second opener is told so at once.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;

use super::error::{Kind, Trouble};
use super::files::{self, Files};
use super::maintain::Chores;
use super::schema::{self, Format, Version};
use super::state::State;
use super::watermark::{Found, Watermark};
use super::{Finding, Findings, Limits, Store, StoreError, Synchronous, millis, salvage};

impl Store {
    /// Opens the store in `dir` (`spool_dir/NAME`; its last part is made, 0750), or makes it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] at once while another process has it; the file system's refusals; [`StoreError::TooNew`].
    pub fn open(dir: &Path, limits: Limits, now: SystemTime) -> Result<(Self, Findings), StoreError> {
        Self::open_with(dir, limits, now, Synchronous::Full)
    }

    /// As [`Store::open`], but commits may be less than durable. For tests alone.
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)]
    pub fn open_with(
        dir: &Path,
        limits: Limits,
        now: SystemTime,
        synchronous: Synchronous,
    ) -> Result<(Self, Findings), StoreError> {
        if rusqlite::version_number() < schema::SQLITE_AT_LEAST {
            return Err(StoreError::OldSqlite { found: rusqlite::version() });
        }
        let files = Files { dir: dir.to_owned() };
        files.make()?;
        let lock = files.lock()?;
        let io = |error: &std::io::Error| StoreError::io(dir, "open", error);
        let mut findings = Findings::default();
        let (watermark, found) = Watermark::open(&files).map_err(|error| io(&error))?;
        salvage::finish_interrupted(&files, now, &mut findings).map_err(|error| io(&error))?;
        let (db, state) = opened(&files, &watermark, &found, (limits, synchronous, now), &mut findings)?;
        if matches!(found, Found::Damaged) || (matches!(found, Found::Nothing) && state.highest > 0) {
            let why = if matches!(found, Found::Damaged) { "it is damaged" } else { "it is gone" };
            findings.0.push(Finding::Watermark { why: why.to_owned() });
        }
        let chores = Chores::new(millis(now));
        let none = Findings::default();
        let mut store = Self {
            files,
            limits,
            synchronous,
            db: Some(db),
            state,
            watermark,
            chores,
            findings: none,
            last_error: None,
            _lock: lock,
        };
        store.migrate()?;
        store.doubt(&mut findings)?;
        findings.0.append(&mut store.findings.0);
        if !matches!(found, Found::Mark(_)) {
            // From now on a blank watermark beside a store with rows is one that was lost.
            store.watermark.write(store.state.mark()).map_err(|error| io(&error))?;
        }
        store.last_error = worst(&findings).map(ToString::to_string);
        store.put_ballast();
        Ok((store, findings))
    }

    /// Replaces a store that was found damaged while it was open.
    pub(super) fn recover(&mut self, why: &str) -> Result<(), StoreError> {
        self.db = None;
        let found = Found::Mark(self.watermark.written().max(self.state.mark()));
        let mut findings = Findings::default();
        let now = SystemTime::now();
        let replaced = salvage::replace(&self.files, why, &found, now, &mut findings)
            .and_then(|()| Ok(connected(&self.files, self.limits, self.synchronous)?))
            .map_err(|trouble| trouble.into_error(&self.files.dir, "replace"));
        self.last_error = findings.0.last().map(ToString::to_string);
        self.findings.0.append(&mut findings.0);
        self.remember(&replaced);
        (self.db, self.state) = replaced.map(|(db, state)| (Some(db), state))?;
        self.chores.committed(0);
        let mut findings = Findings::default();
        self.doubt(&mut findings)?;
        self.findings.0.append(&mut findings.0);
        Ok(())
    }

    /// Brings a store of an older format to this one. One commit like any other: a crash leaves it in one format or the
    /// other, whole. It must come behind the look at the watermark: a store that is behind it by one commit would be level
    /// with it after this.
    fn migrate(&mut self) -> Result<(), StoreError> {
        if self.state.version == Version::NEWEST {
            return Ok(());
        }
        self.change_on_full_disk("add tags to", &|db, state| {
            // One that turned out to be damaged on the way was replaced by one of this format.
            if state.version == Version::One { schema::add_tags(db, state) } else { Ok(()) }
        })
    }

    /// What waits up to the mark may have been sent by who had the store before: in doubt.
    fn doubt(&mut self, findings: &mut Findings) -> Result<(), StoreError> {
        if self.state.sent_up_to == 0 {
            return Ok(());
        }
        let hold = self.limits.hold_in_doubt;
        let rows =
            self.change_on_full_disk("mark what is in doubt in", &|db, state| salvage::doubt(db, state, hold))?;
        if rows > 0 {
            findings.0.push(Finding::InDoubt { rows, held: hold });
        }
        Ok(())
    }
}

/// What an operator must know of: what was lost, rather than that the watermark cannot tell.
fn worst(findings: &Findings) -> Option<&Finding> {
    let is_loss = |one: &&Finding| !matches!(one, Finding::InDoubt { .. } | Finding::Watermark { .. });
    let is_news = |one: &&Finding| !matches!(one, Finding::InDoubt { .. });
    findings.0.iter().rfind(is_loss).or_else(|| findings.0.iter().rfind(is_news))
}

/// The connection to a store that is there, replaced or made.
fn opened(
    files: &Files,
    watermark: &Watermark,
    found: &Found,
    (limits, synchronous, now): (Limits, Synchronous, SystemTime),
    findings: &mut Findings,
) -> Result<(Connection, State), StoreError> {
    let connect = || connected(files, limits, synchronous);
    let error = |trouble: Trouble| trouble.into_error(&files.dir, "open");
    let mark = watermark.written();
    let why = if files.db().exists() {
        match connect() {
            Ok((_, state)) if state.commits < mark.commits => {
                format!("it holds {} commits, and its watermark says {}", state.commits, mark.commits)
            }
            Ok((_, state)) if state.highest < mark.highest => {
                format!("its last ID is {}, and its watermark says {}", state.highest, mark.highest)
            }
            Ok(whole) => return Ok(whole),
            Err(TooNewOr::TooNew(found)) => {
                let (dir, known) = (files.dir.clone(), Version::NEWEST.number());
                return Err(StoreError::TooNew { dir, found, known });
            }
            Err(TooNewOr::Trouble(trouble)) if trouble.kind() == Kind::Damage => trouble.reason(),
            Err(TooNewOr::Trouble(trouble)) => return Err(error(trouble)),
        }
    } else if mark.highest > 0 || files::size(&files.wal()) > 0 {
        "its file is gone".to_owned()
    } else {
        salvage::make(files, &State { commits: mark.commits, ..State::default() }).map_err(error)?;
        return connect().map_err(|trouble| error(trouble.into()));
    };
    salvage::replace(files, &why, found, now, findings).map_err(error)?;
    connect().map_err(|trouble| error(trouble.into()))
}

/// Why a store that is there cannot be used.
#[derive(Debug)]
pub(super) enum TooNewOr {
    TooNew(i64),
    Trouble(Trouble),
}

impl From<Trouble> for TooNewOr {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<TooNewOr> for Trouble {
    /// In a store that was just made here, a newer format is damage like any other.
    fn from(why: TooNewOr) -> Self {
        match why {
            TooNewOr::TooNew(found) => Self::Damage(format!("its format is {found}")),
            TooNewOr::Trouble(trouble) => trouble,
        }
    }
}

fn connected(files: &Files, limits: Limits, synchronous: Synchronous) -> Result<(Connection, State), TooNewOr> {
    let path = files.db();
    let db = schema::connect(&path, synchronous, limits.max_bytes)?;
    match schema::format(&db)? {
        Format::Newer(found) => Err(TooNewOr::TooNew(found)),
        Format::Known(version) => {
            let state = schema::verify(&db, &path, version)?;
            Ok((db, state))
        }
    }
}
