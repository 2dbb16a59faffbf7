//! The copy: the rows of the bucket in a file, for a registry that starts while the bucket cannot be reached.
//!
//! Enters: rows, at most once a second; at a start the file. Leaves: the rows that were known last, with nothing left of
//! their leases, as nobody knows whether they have been renewed since. Promised: the file is replaced as a whole; what is
//! damaged, or of another bucket, is as good as none.
//!
//! ```text
//! DIR/nats-copy.json   {"v":1,"bucket":…,"servers":[…],"rows":[{a row as in the bucket}, …]}
//! ```

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::entry::is_right;
use crate::config::NatsSettings;
use crate::registry::row::{Revision, Row};
use crate::registry::store::{News, Stored, Version};

const FORMAT: u32 = 1;

/// Where the copy is, and what it is of.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    file: PathBuf,
    bucket: String,
    servers: Vec<String>,
}

#[derive(Serialize)]
struct Kept<'a> {
    v: u32,
    bucket: &'a str,
    servers: &'a [String],
    rows: Vec<&'a Row>,
}

#[derive(Deserialize)]
struct Found {
    v: u32,
    bucket: String,
    servers: Vec<String>,
    rows: Vec<Row>,
}

impl Copy {
    /// That of a bucket, in a file.
    pub(super) fn new(file: PathBuf, settings: &NatsSettings) -> Self {
        Self { file, bucket: settings.bucket.clone(), servers: settings.servers.clone() }
    }

    /// What was known last.
    pub(super) fn read(&self) -> Option<News> {
        let text = fs::read(&self.file).ok()?;
        let Ok(Found { v: FORMAT, bucket, servers, rows }) = serde_json::from_slice(&text) else {
            warn!("{} is no copy of a bucket that this version understands; nothing is known yet", self.file.display());
            return None;
        };
        let stored = |row| Stored { row: Arc::new(row), left: Duration::ZERO, version: Version(0) };
        let rows = rows.into_iter().filter(is_right).map(stored).collect();
        let is_ours = bucket == self.bucket && servers == self.servers;
        is_ours.then_some(News::Table { rows, version: Version(0), revision: Revision(0) })
    }

    /// Keeps these rows. That it cannot is said, and no more: the bucket has them.
    pub(super) fn write(&self, rows: &[Arc<Row>]) {
        let Self { file, bucket, servers } = self;
        let rows = rows.iter().map(Arc::as_ref).collect();
        if let Err(error) = self.try_write(&Kept { v: FORMAT, bucket, servers, rows }) {
            warn!("the copy of the bucket in {} cannot be written: {error}", file.display());
        }
    }

    fn try_write(&self, kept: &Kept<'_>) -> io::Result<()> {
        if let Some(dir) = self.file.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let new = self.file.with_extension("json.new");
        // Of an earlier process that was killed, perhaps with other rights.
        fs::remove_file(&new)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(&serde_json::to_vec(kept)?)?;
        fs::rename(new, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::row::Lease;

    fn settings(bucket: &str) -> NatsSettings {
        NatsSettings::with_defaults(vec!["nats://a:4222".into()], bucket)
    }

    fn row(name: &str) -> Row {
        let address = "tcp:10.0.0.1:80".to_owned();
        let ttl = Some(Duration::from_secs(30));
        Row { name: name.into(), address, lease: Lease("l".into()), ttl, owner: 7, pairs: Default::default() }
    }

    #[test]
    fn what_was_known_is_known_again_without_anything_left_of_its_lease() {
        let dir = tempfile::tempdir().unwrap();
        let copy = Copy::new(dir.path().join("own/copy.json"), &settings("b"));
        assert_eq!(copy.read(), None);
        copy.write(&[Arc::new(row("old"))]);
        copy.write(&[Arc::new(row("a")), Arc::new(row("b"))]);
        let Some(News::Table { rows, version: Version(0), .. }) = copy.read() else { panic!("no table") };
        assert_eq!(rows.iter().map(|stored| (*stored.row).clone()).collect::<Vec<_>>(), [row("a"), row("b")]);
        assert!(rows.iter().all(|stored| stored.left == Duration::ZERO && stored.version == Version(0)));
    }

    #[test]
    fn a_copy_of_another_bucket_or_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("copy.json");
        let copy = Copy::new(file.clone(), &settings("b"));
        copy.write(&[Arc::new(row("a"))]);
        assert_eq!(Copy::new(file.clone(), &settings("c")).read(), None);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 5]).unwrap();
        assert_eq!(copy.read(), None);
    }

    #[test]
    fn a_row_that_could_not_have_been_registered_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let copy = Copy::new(dir.path().join("copy.json"), &settings("b"));
        copy.write(&[Arc::new(row("two words")), Arc::new(row("a"))]);
        let Some(News::Table { rows, .. }) = copy.read() else { panic!("no table") };
        assert_eq!(rows.len(), 1);
    }
}
