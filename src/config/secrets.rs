//! Files that hold secrets: a password, the secrets of a greeting, a private key.
//!
//! Enters: a path. Leaves: the file's content, if nobody else may read it, or a complaint. Promised: what the file says is
//! in no complaint, and in no `Debug`.
//!
//! ```text
//! password_file  the password; a line end at its end is no part of it
//! secrets        lines, each ended by LF or CR LF, the last one perhaps by nothing; UTF-8
//!   line         nothing, a comment that begins with `#`, or name=value
//!   name         letters, digits and `_`, not beginning with a digit
//!   value        everything behind the first `=` up to the line's end, blanks included; at least one byte
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::complaint::{Complaint, quoted};

/// Most bytes of such a file: far more than a password or a chain of keys has.
const MOST: u64 = 256 * 1024;

/// What nobody but the owner may do with a file.
pub(crate) const OWNER_ALONE: u32 = 0o077;

/// What those who are neither owner nor in the file's group may not do with it.
pub(crate) const NOT_OTHERS: u32 = 0o007;

/// The secrets of a greeting, by name.
#[derive(Default, Clone, PartialEq, Eq)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(pub(crate) Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// Reads a `password_file`.
///
/// # Errors
/// When it cannot be read, others may read it, or it has no password.
pub(crate) fn password(path: &Path) -> Result<Password, Complaint> {
    let mut bytes = private(path, OWNER_ALONE)?;
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Complaint::about(path, "has no password", "write the password into it"));
    }
    Ok(Password(bytes))
}

/// Reads a file of `secrets`.
///
/// # Errors
/// When it cannot be read, others may read it, or a line of it is wrong.
pub(crate) fn secrets(path: &Path) -> Result<Secrets, Complaint> {
    let text = String::from_utf8(private(path, OWNER_ALONE)?);
    let text = text.map_err(|_| Complaint::about(path, "is not UTF-8", "save the file as UTF-8 or ASCII"))?;
    let mut found = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        // Never the line itself: it has a secret.
        let wrong = |what: String| Complaint::about(path, format!("line {number}: {what}"), "a line is: name=value");
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("there is no `=`".to_owned()))?;
        match name {
            _ if !is_name(name) => return Err(wrong("a name has letters, digits and `_` only".to_owned())),
            _ if value.is_empty() => return Err(wrong(format!("{} has no value", quoted(name)))),
            _ if found.insert(name.to_owned(), value.to_owned()).is_some() => {
                return Err(wrong(format!("{} is given twice", quoted(name))));
            }
            _ => {}
        }
    }
    Ok(Secrets(found))
}

/// Whether this can be the name of a secret, or of a group of an `expect`.
pub(super) fn is_name(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads a file of which nobody may have the rights `forbidden`.
///
/// # Errors
/// When it cannot be read, is no file, is too large, or somebody has such a right.
pub(crate) fn private(path: &Path, forbidden: u32) -> Result<Vec<u8>, Complaint> {
    let cannot = |error: io::Error| cannot_read(path, &error);
    let file = open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        let what = format!("holds a secret, and its mode {mode:04o} lets others at it");
        return Err(Complaint::about(path, what, format!("chmod {:04o} {}", mode & !forbidden, path.display())));
    }
    whole(path, &file)
}

/// Reads a file of which it does not matter who else may.
///
/// # Errors
/// When it cannot be read, is no file, or is too large.
pub(crate) fn public(path: &Path) -> Result<Vec<u8>, Complaint> {
    let file = open(path).map_err(|error| cannot_read(path, &error))?;
    whole(path, &file)
}

/// Without waiting for whoever might write to a pipe of this name.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

fn whole(path: &Path, file: &File) -> Result<Vec<u8>, Complaint> {
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(path, &error))?;
    if bytes.len() as u64 > MOST {
        return Err(Complaint::about(path, "is larger than 256 KiB", "is it the right file?"));
    }
    Ok(bytes)
}

fn cannot_read(path: &Path, error: &io::Error) -> Complaint {
    let help = match error.kind() {
        ErrorKind::NotFound => "make it, or name another file",
        ErrorKind::PermissionDenied => "let the user that runs tieline read it",
        _ => "name a readable file",
    };
    Complaint::about(path, format!("cannot be read: {error}"), help)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn said<T: fmt::Debug>(text: &str, mode: u32, read: fn(&Path) -> Result<T, Complaint>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let said = match read(&file) {
            Ok(secret) => format!("{secret:?}"),
            Err(complaint) => complaint.to_string(),
        };
        said.replace(&dir.path().display().to_string(), "/D")
    }

    #[test]
    fn a_line_end_behind_a_password_is_no_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for (text, is) in [("a b ", "a b "), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n")] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
            assert_eq!(password(&file).unwrap().0, is.as_bytes());
            fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn a_secret_that_others_may_read_or_that_is_none_is_complained_about_and_never_shown() {
        assert_eq!(said("hush", 0o600, password), "Password(***)");
        insta::assert_snapshot!(said("hush", 0o640, password), @r"
        /D/f: holds a secret, and its mode 0640 lets others at it
          = help: chmod 0600 /D/f
        ");
        insta::assert_snapshot!(said("\n", 0o600, password), @r"
        /D/f: has no password
          = help: write the password into it
        ");
        insta::assert_snapshot!(said("a=hush\nhush", 0o600, secrets), @r"
        /D/f: line 2: there is no `=`
          = help: a line is: name=value
        ");
        insta::assert_snapshot!(said("a=hush\na=hush", 0o600, secrets), @r"
        /D/f: line 2: `a` is given twice
          = help: a line is: name=value
        ");
        assert_eq!(said("# one\n\na = hush \nb==\n", 0o600, secrets).lines().count(), 2, "a blank in a name");
        assert_eq!(said("# one\n\na= hush \nb==\n", 0o600, secrets), "Secrets(2)");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        insta::assert_snapshot!(password(Path::new("/no/file")).unwrap_err(), @r"
        /no/file: cannot be read: No such file or directory (os error 2)
          = help: make it, or name another file
        ");
        insta::assert_snapshot!(password(Path::new("/")).unwrap_err(), @r"
        /: cannot be read: it is no file
          = help: name a readable file
        ");
    }
}
