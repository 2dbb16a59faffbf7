//! What a far end of this name that was killed has left behind.
//!
//! A far end that ends leaves nothing. One that is killed takes its programs along, but not what these have started. All of
//! them carry in their environment which far end has started them: its name, and which process it was.
//!
//! Enters: a name. Leaves: nothing. Promised: only what a far end of this name has started is killed, and only if that
//! process is no more: nobody else can have its number and its time of birth.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::warn;

/// The variable with the name of the far end.
pub(super) const NAME: &str = "TIELINE_SERVE";

/// The variable with the process of the far end.
pub(super) const SERVER: &str = "TIELINE_SERVER";

/// How often it is looked whether what was killed has gone.
const LOOK: Duration = Duration::from_millis(5);

/// How often in a row nothing must be found.
const LOOKS: u32 = 2;

/// The kernel's flag of a process that is ending, in [`Seen::flags`].
const ENDING: u32 = 4;

/// A process, as /proc shows it.
struct Seen {
    /// As [`SERVER`] names it: its number and its time of birth, in ticks since the machine was started.
    mark: String,
    state: char,
    flags: u32,
}

/// A process, as [`SERVER`] names it.
pub(super) fn mark(process: u32) -> Option<String> {
    see(process).map(|seen| seen.mark)
}

fn see(process: u32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which stands in parentheses, the state is the first field, the flags are the 7th, and the time is
    // the 20th (proc_pid_stat(5)).
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    let (state, flags, born) = (fields.first()?, fields.get(6)?, fields.get(19)?);
    Some(Seen { mark: format!("{process}:{born}"), state: state.chars().next()?, flags: flags.parse().ok()? })
}

/// Kills what is left of far ends of this name that are no more.
pub(super) fn kill_all(name: &str) {
    all(name).for_each(|process| {
        warn!("process {process} was left behind by a far end that was killed, and is killed");
        end(process);
    });
}

/// The same, and waits until nothing is left, for at most `patience`. Says whether nothing is.
pub(super) fn clear(name: &str, patience: Duration) -> bool {
    let (began, mut looks) = (Instant::now(), 0);
    // Twice, for one that is about to become another program has no environment for a moment.
    while looks < LOOKS && began.elapsed() < patience {
        let left = all(name).inspect(|process| end(*process)).count();
        looks = if left == 0 { looks + 1 } else { 0 };
        std::thread::sleep(LOOK);
    }
    looks == LOOKS
}

fn all(name: &str) -> impl Iterator<Item = i32> {
    processes().filter(move |process| is_left_behind(*process, name))
}

fn end(process: i32) {
    // It may have ended by itself.
    kill(Pid::from_raw(process), Signal::SIGKILL).ok();
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_left_behind(process: i32, name: &str) -> bool {
    // One that is not ours to read is not ours to kill.
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let value = |wanted: &str| {
        let mut all = environment.split(|byte| *byte == 0);
        all.find_map(|each| each.strip_prefix(wanted.as_bytes())?.strip_prefix(b"="))
    };
    let server = value(SERVER).and_then(|mark| str::from_utf8(mark).ok());
    value(NAME) == Some(name.as_bytes()) && server.is_some_and(|server| !is_alive(server))
}

/// Whether that process runs. One that is ending has its number for a moment, but does nothing any more.
fn is_alive(server: &str) -> bool {
    let number = server.split(':').next().and_then(|number| number.parse().ok());
    let runs = |seen: Seen| seen.mark == server && !"ZXx".contains(seen.state) && seen.flags & ENDING == 0;
    number.and_then(see).is_some_and(runs)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(name: &str, server: &str) -> Child {
        let child = Command::new("sleep").arg("1000").env(NAME, name).env(SERVER, server).spawn().unwrap();
        // It is there before its environment is.
        while fs::read(format!("/proc/{}/environ", child.id())).unwrap().is_empty() {
            std::thread::sleep(LOOK);
        }
        child
    }

    #[test]
    fn only_what_is_left_of_a_dead_far_end_of_the_name_is_killed() {
        let ours = mark(std::process::id()).unwrap();
        let dead = format!("{}:1", std::process::id());
        let mut all = [("left-test", &dead), ("left-test", &ours), ("other-test", &dead)]
            .map(|(name, server)| sleeper(name, server));
        kill_all("left-test");
        assert!(!all[0].wait().unwrap().success());
        assert_eq!([1, 2].map(|each: usize| all[each].try_wait().unwrap()), [None, None]);
        all[1..].iter_mut().for_each(|child| child.kill().and_then(|()| child.wait().map(drop)).unwrap());
    }

    #[test]
    fn when_it_is_clear_nothing_is_left_even_while_the_far_end_is_a_zombie() {
        let mut server = Command::new("true").spawn().unwrap();
        while see(server.id()).unwrap().state != 'Z' {
            std::thread::sleep(LOOK);
        }
        let mark = mark(server.id()).unwrap();
        // Not waited for, so that it has ended, and its number is still its own.
        let mut left = sleeper("clear-test", &mark);
        assert!(clear("clear-test", Duration::from_secs(30)));
        assert!(!left.wait().unwrap().success());
        assert!(clear("clear-test", Duration::from_secs(30)));
        server.wait().unwrap();
    }
}
