//! What a far end of this name that was killed has left behind.
//!
//! A far end that ends leaves nothing. One that is killed takes its programs along, but not what these have started. All of
//! them carry in their environment which far end has started them: its name, and which process it was.
//!
//! Enters: a name. Leaves: nothing. Promised: only what a far end of this name has started is killed, and only if that
//! process is no more: nobody else can have its number and its time of birth.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::warn;

/// The variable with the name of the far end.
pub(super) const NAME: &str = "TIELINE_SERVE";

/// The variable with the process of the far end.
pub(super) const SERVER: &str = "TIELINE_SERVER";

/// A process, as [`SERVER`] names it: its number and its time of birth, in ticks since the machine was started.
pub(super) fn mark(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which stands in parentheses, the state is the first and the time the 20th field (proc_pid_stat(5)).
    let born = stat.rsplit(") ").next()?.split(' ').nth(19)?;
    Some(format!("{process}:{born}"))
}

/// Kills what is left of far ends of this name that are no more.
pub(super) fn kill_all(name: &str) {
    for process in processes().filter(|process| is_left_behind(*process, name)) {
        warn!("process {process} was left behind by a far end that was killed, and is killed");
        kill(Pid::from_raw(process), Signal::SIGKILL).ok();
    }
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

fn is_alive(server: &str) -> bool {
    let number = server.split(':').next().and_then(|number| number.parse().ok());
    number.and_then(mark).as_deref() == Some(server)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(name: &str, server: &str) -> Child {
        Command::new("sleep").arg("1000").env(NAME, name).env(SERVER, server).spawn().unwrap()
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
}
