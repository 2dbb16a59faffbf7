//! Programs of a few lines that use a client of their language.
//!
//! Enters: a program's text, and where the daemon is. Leaves: what it says. Promised: it ends within bounds; it and all that
//! it has started are gone when the test is.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::driver::scripts;
use crate::common::{LONG, Place, Process, wait_until};

/// See the head of this file.
pub(super) struct Program {
    process: Child,
    /// Not within `process`, which would end it when it waits.
    input: Option<ChildStdin>,
    /// Its lines, with their ends.
    output: Receiver<String>,
}

/// What a program of this language is started with: its client is at hand, and finds the daemon of `place`.
pub(super) fn command(language: &str, text: &str, place: &Place) -> Command {
    let clients = scripts().join("../../clients");
    let mut command = Command::new(language);
    match language {
        "perl" => command.args(["-MTieline", "-e", text]),
        "python3" => command.args(["-B", "-c", &format!("import sys, tieline\n{text}")]),
        _ => command.args(["-c", &format!(". '{}/tieline.sh'\n{text}", clients.display())]),
    };
    command.env("PYTHONPATH", &clients).env("PERL5LIB", &clients).env("TIELINE_RUN_DIR", place.path("run"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Program {
    /// Starts it, in a process group of its own.
    pub(super) fn start(mut command: Command) -> Self {
        command.process_group(0);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let (sender, output) = channel();
        thread::spawn(move || {
            loop {
                let mut line = String::new();
                let is_over = lines.read_line(&mut line).map_or(true, |read| read == 0);
                if is_over || sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { input: process.stdin.take(), process, output }
    }

    /// The next line that it says, without its end.
    pub(super) fn line(&mut self) -> String {
        let line = self.output.recv_timeout(LONG).expect("it says something");
        line.trim_end_matches('\n').to_owned()
    }

    /// Kills the program, and nothing that it has started.
    pub(super) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }

    /// Ends its input, and waits until it has ended, which it must do well; gives what else it has said.
    pub(super) fn end(mut self) -> String {
        drop(self.input.take());
        let status = wait_until("the program ends", || self.process.try_wait().expect("it can be waited for"));
        let rest: String = std::iter::from_fn(|| self.output.recv_timeout(LONG).ok()).collect();
        assert!(status.success(), "the program ended with {status}: {rest}");
        rest
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // All of its group: what it has forked may live on.
        Process(-(self.process.id() as i32)).kill();
        self.process.wait().ok();
    }
}

/// What a program says until it ends.
pub(super) fn said(language: &str, text: &str, place: &Place) -> String {
    Program::start(command(language, text, place)).end()
}
