//! What was read from files, and is read again when one of them has changed.
//!
//! Enters: paths, and how they are read. Leaves: what was read last. Promised: a file that has not changed is not read
//! again; a change that cannot be read costs a warning, once, and what was read before stays in use.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use tracing::{info, warn};

/// Of each file what tells it from what it was: device, inode, size, and the times of the last change in nanoseconds;
/// nothing of a file that is not there.
type Identity = Vec<Option<(u64, u64, u64, i128, i128)>>;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    /// What was read, and from what.
    current: Option<(Identity, Rc<T>)>,
    /// What could not be read.
    broken: Option<Identity>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self { current: None, broken: None }
    }
}

impl<T> Watched<T> {
    /// What the files say now, or what they last said in order. `read` words its error in one line.
    ///
    /// # Errors
    /// That of `read`, if the files have never been in order.
    pub(crate) fn get(&mut self, files: &[&Path], read: impl FnOnce() -> Result<T, String>) -> Result<Rc<T>, String> {
        // Before they are read: what changes meanwhile is seen the next time.
        let now: Identity = files.iter().map(|file| identity(file)).collect();
        if let Some((as_of, value)) = &self.current
            && (*as_of == now || self.broken.as_ref() == Some(&now))
        {
            return Ok(Rc::clone(value));
        }
        match (read(), &self.current) {
            (Ok(value), before) => {
                if before.is_some() {
                    info!("read again, as it has changed: {}", names(files));
                }
                let value = Rc::new(value);
                (self.current, self.broken) = (Some((now, Rc::clone(&value))), None);
                Ok(value)
            }
            (Err(error), Some((_, value))) => {
                warn!("{error}; what was there before stays in use");
                self.broken = Some(now);
                Ok(Rc::clone(value))
            }
            (Err(error), None) => Err(error),
        }
    }
}

fn identity(file: &Path) -> Option<(u64, u64, u64, i128, i128)> {
    let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let found = fs::metadata(file).ok()?;
    let times = (nanos(found.mtime(), found.mtime_nsec()), nanos(found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.size(), times.0, times.1))
}

fn names(files: &[&Path]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        let mut watched = Watched::default();
        let read = || fs::read_to_string(&file).map_err(|error| error.to_string());
        assert!(watched.get(&[&file], read).is_err(), "it is not there");
        fs::write(&file, "one").unwrap();
        assert_eq!(*watched.get(&[&file], read).unwrap(), "one");
        assert_eq!(*watched.get(&[&file], || unreachable!()).unwrap(), "one");
        fs::write(&file, "three").unwrap();
        assert_eq!(*watched.get(&[&file], read).unwrap(), "three");
    }

    #[test]
    fn a_broken_change_is_tried_once_and_what_was_there_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        let mut watched = Watched::default();
        fs::write(&file, "one").unwrap();
        assert_eq!(*watched.get(&[&file], || Ok(1)).unwrap(), 1);
        fs::write(&file, "broken").unwrap();
        assert_eq!(*watched.get(&[&file], || Err("no".to_owned())).unwrap(), 1);
        assert_eq!(*watched.get(&[&file], || unreachable!()).unwrap(), 1);
        fs::write(&file, "mended!").unwrap();
        assert_eq!(*watched.get(&[&file], || Ok(2)).unwrap(), 2);
    }
}
