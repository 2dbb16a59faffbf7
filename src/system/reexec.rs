//! Another image in the same process, with descriptors and a heritage kept.
//!
//! Enters: a binary, its words, a heritage (bytes), the numbers of the descriptors that it names. Leaves: nothing, for
//! this image ends; or why it goes on. In the new image: the heritage, and the descriptors by their numbers.
//! Promised: when the exec fails, everything is as it was; a descriptor that is not named is closed by the exec; the
//! signal mask stays as it is.
//!
//! The heritage lies in a memfd whose number stands in the environment, with the process ID, so that a program that
//! merely inherits the environment does not take it for its own.
#![expect(unsafe_code, reason = "taking ownership of a descriptor by its number")]

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::execve;

/// Where the heritage is: `PID:DESCRIPTOR`.
pub const VARIABLE: &str = "TIELINE_HERITAGE";

/// A file in memory that holds `bytes`, to be read from its beginning.
///
/// # Errors
/// Those of memfd_create(2) and write(2).
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"tieline", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Becomes `binary` with `words` (argv, the first one included).
///
/// # Errors
/// Why it could not be done; nothing has changed then.
pub fn become_image(
    binary: &Path,
    words: &[OsString],
    heritage: &[u8],
    kept: &[BorrowedFd<'_>],
) -> io::Result<Infallible> {
    let file = in_memory(heritage)?;
    let environment = environment(&file)?;
    let words = words.iter().map(|word| text(word)).collect::<io::Result<Vec<_>>>()?;
    let binary = text(binary.as_os_str())?;
    let kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).chain([file.as_raw_fd()]).collect();
    let done = survive_exec(&kept, true).and_then(|()| Ok(execve(&binary, &words, &environment)?));
    // Still here, so it failed: no child may inherit these.
    survive_exec(&kept, false)?;
    done
}

/// This process's environment with the place of the heritage.
fn environment(heritage: &File) -> io::Result<Vec<CString>> {
    let place = format!("{VARIABLE}={}:{}", std::process::id(), heritage.as_raw_fd());
    let mut environment = vec![text(OsStr::new(&place))?];
    for (name, value) in std::env::vars_os().filter(|(name, _)| name != VARIABLE) {
        let pair = [name.into_vec(), value.into_vec()].join(&b'=');
        environment.push(CString::new(pair)?);
    }
    Ok(environment)
}

fn text(word: &OsStr) -> io::Result<CString> {
    Ok(CString::new(word.as_bytes())?)
}

fn survive_exec(descriptors: &[RawFd], survive: bool) -> io::Result<()> {
    let flags = if survive { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    for number in descriptors {
        // SAFETY: the caller's borrows, and the file of the heritage, are open for the whole call.
        fcntl(unsafe { BorrowedFd::borrow_raw(*number) }, FcntlArg::F_SETFD(flags))?;
    }
    Ok(())
}

/// The heritage of the image before this one; none if this process did not become another image.
///
/// # Errors
/// When there is one that cannot be read.
pub fn heritage() -> io::Result<Option<Vec<u8>>> {
    let Some(number) = std::env::var(VARIABLE).ok().as_deref().and_then(mine) else { return Ok(None) };
    let mut bytes = Vec::new();
    File::from(inherit(number)?).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The descriptor in `PID:DESCRIPTOR`, if it is for this process.
fn mine(place: &str) -> Option<RawFd> {
    let (pid, number) = place.split_once(':')?;
    (pid.parse() == Ok(std::process::id())).then(|| number.parse().ok())?
}

/// Takes a descriptor that the image before this one has kept open. From now on it does not survive an exec.
///
/// The heritage names each once: whoever reads it must refuse one that names a descriptor twice.
///
/// # Errors
/// When it is not open.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the borrow ends with this call, which fails with EBADF if the number is not open.
    fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and was so before this image began; nobody in this image has opened or owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heritage_for_another_process_is_left_alone() {
        let own = std::process::id();
        assert_eq!(mine(&format!("{own}:7")), Some(7));
        for place in [format!("{}:7", own + 1), format!("{own}"), format!("{own}:x"), String::new()] {
            assert_eq!(mine(&place), None, "{place}");
        }
    }

    #[test]
    fn what_is_inherited_is_inherited_by_nobody_else() {
        let number = std::os::fd::IntoRawFd::into_raw_fd(File::open("/dev/null").unwrap());
        survive_exec(&[number], true).unwrap();
        let taken = inherit(number).unwrap();
        let flags = fcntl(&taken, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn an_exec_that_fails_changes_nothing() {
        let kept = File::open("/dev/null").unwrap();
        let of = |file: &File| fcntl(file, FcntlArg::F_GETFD).unwrap();
        let before = of(&kept);
        let words = [OsString::from("tieline")];
        let failed = become_image(Path::new("/nonexistent"), &words, b"all", &[std::os::fd::AsFd::as_fd(&kept)]);
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(of(&kept), before);
    }
}
