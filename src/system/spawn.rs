//! Starting a child: fork and exec of the own binary, with inherited descriptors at agreed numbers.
//!
//! Enters: a title, and the descriptors that the child shall find. Leaves: a process ID.
//! Promised: the child has standard input from `/dev/null`, the parent's standard output and error, the descriptors of
//! [`crate::heritage`] and no other; no signal is blocked or ignored; it is the leader of its own process group, so
//! that a terminal's Ctrl-C reaches the parent alone.
//!
//! There is no PR_SET_PDEATHSIG: the end of the control channel tells a child that its parent is gone, and unlike a
//! signal it lets the child answer what it owes.
#![expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::reexec;
use crate::heritage::CONTROL_FD;

/// What the parent is told, by systemd or by the image before it, and no child may answer for.
pub(super) const PARENTS_OWN: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    reexec::VARIABLE,
];

/// The image of the process that looks at it, proc(5). It stays what it was when its file is replaced or removed.
const OWN_IMAGE: &str = "/proc/self/exe";

/// Starts this binary's `child` under the title (argv\[0\]) `title`; it finds `descriptors` at [`CONTROL_FD`] and behind,
/// in this order.
///
/// # Errors
/// Those of fork(2) and execve(2), or of the arrangement of descriptors.
pub fn spawn_child(title: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<Pid> {
    let mut numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let _reserved = reserve_below(first_free(&numbers)?)?;
    let mut command = Command::new(OWN_IMAGE);
    command.arg0(title).arg("child").process_group(0).stdin(Stdio::null());
    for name in PARENTS_OWN {
        command.env_remove(name);
    }
    // SAFETY: the closure runs between fork and exec. It makes system calls only: no allocation, no lock.
    unsafe { command.pre_exec(move || arrange(&mut numbers)) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

/// The first number behind those that the child inherits.
fn first_free(numbers: &[RawFd]) -> io::Result<RawFd> {
    let count = RawFd::try_from(numbers.len()).map_err(io::Error::other)?;
    Ok(CONTROL_FD + count)
}

/// Occupies every free number below `limit`. `Command` reports a failed exec through a pipe of its own: had it one of
/// the agreed numbers, the child would overwrite it, and the failure would look like a success.
fn reserve_below(limit: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut reserved = Vec::new();
    loop {
        let fd = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        if fd.as_raw_fd() >= limit {
            return Ok(reserved);
        }
        reserved.push(fd);
    }
}

/// Puts `numbers` at [`CONTROL_FD`] and behind, and lets nothing else through.
fn arrange(numbers: &mut [RawFd]) -> io::Result<()> {
    let free = first_free(numbers)?;
    // First out of the way: a source may lie where another one's target is.
    for number in numbers.iter_mut() {
        // SAFETY: a system call on a number that the parent keeps open during the spawn.
        *number = check(unsafe { libc::fcntl(*number, libc::F_DUPFD_CLOEXEC, free) })?;
    }
    for (number, target) in numbers.iter().zip(CONTROL_FD..) {
        // SAFETY: both numbers are this process's to use; dup2 leaves the copy open across exec, which is wanted.
        check(unsafe { libc::dup2(*number, target) })?;
    }
    close_on_exec_from(free)?;
    reset_signals()
}

/// Marks every descriptor from `first` on to be closed by exec, those of whoever started the parent included.
pub(super) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let from = libc::c_uint::try_from(first).map_err(io::Error::other)?;
    // SAFETY: a system call without pointers.
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    match Errno::last() {
        // close_range(2) came with Linux 5.9, its flag with 5.11.
        Errno::ENOSYS | Errno::EINVAL => close_on_exec_one_by_one(first),
        other => Err(other.into()),
    }
}

fn close_on_exec_one_by_one(first: RawFd) -> io::Result<()> {
    // SAFETY: sysconf takes no pointer. Its answer is the soft limit of open files.
    let limit = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let limit = RawFd::try_from(limit).map_err(|_| io::Error::from(Errno::EMFILE))?;
    for number in first..limit {
        // SAFETY: a number that is not open is answered by EBADF, which is fine.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// An ignored signal stays ignored across exec, and a blocked one blocked: whoever started the parent (nohup, a shell
/// script) must not decide which signals a child hears.
pub(super) fn reset_signals() -> io::Result<()> {
    for each in Signal::iterator().filter(|each| !matches!(each, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { signal(each, SigHandler::SigDfl) }?;
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    Errno::result(result).map_err(io::Error::from)
}
