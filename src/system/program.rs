//! Starting other programs: fork and exec, with three pipes and nothing else.
//!
//! Enters: a program with its arguments, a directory, variables. Leaves: a process, and our ends of its pipes.
//! Promised: the program finds standard input, output and error, and no other descriptor; no signal is blocked or
//! ignored; it leads a session and a process group of its own, so that all it starts can be ended with it; it is killed
//! when this process dies; what it leaves behind becomes this process's child, if [`adopt_orphans`] was called.
#![expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};

use super::spawn::{PARENTS_OWN, close_on_exec_from, reset_signals};

/// The first descriptor behind the standard ones.
const FIRST: i32 = 3;

/// A process that has just been started.
#[derive(Debug)]
pub struct Program {
    /// Its number, and that of its process group.
    pub leader: Pid,
    /// Where its standard input is written.
    pub input: OwnedFd,
    /// Where its standard output is read.
    pub output: OwnedFd,
    /// Where its standard error is read.
    pub complaints: OwnedFd,
}

/// Starts a program in the directory `dir`, with more `variables` in its environment. A program without a slash in its
/// name is looked for in PATH. To be called from the main thread: the program is killed when its starter's thread ends.
///
/// # Errors
/// Those of fork(2), execve(2) and pipe(2).
pub fn start(command: &[String], dir: &Path, variables: &[(&str, &str)]) -> io::Result<Program> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in PARENTS_OWN {
        command.env_remove(name);
    }
    let starter = getpid();
    // SAFETY: the closure runs between fork and exec. It makes system calls only: no allocation, no lock.
    unsafe { command.pre_exec(move || arrange(starter)) };
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // They were asked for above.
    let (Some(input), Some(output), Some(complaints)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let leader = Pid::from_raw(pid);
    Ok(Program { leader, input: input.into(), output: output.into(), complaints: complaints.into() })
}

fn arrange(starter: Pid) -> io::Result<()> {
    setsid()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != starter {
        // It died before it could be the one whose death counts.
        return Err(Errno::ESRCH.into());
    }
    close_on_exec_from(FIRST)?;
    reset_signals()
}

/// From now on this process is the parent of whatever its descendants leave behind.
///
/// # Errors
/// Those of prctl(2), which are not to be expected.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Whether a process does nothing at the moment, as the kernel sees it; false if it has ended.
#[must_use]
pub fn is_asleep(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state stands behind the name, which stands in parentheses (proc_pid_stat(5)).
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// The children of this process, as the kernel lists them: one that ends meanwhile may hide another.
#[must_use]
pub fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(numbers).map(Pid::from_raw).collect()
}
