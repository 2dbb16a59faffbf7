//! A program that does what it is told with a client of its language.
//!
//! Enters: steps. Leaves: outcomes. Promised: the program ends with its input, and must end well.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tieline::dialect::Dialect;

use crate::common::{Place, name};

/// See the head of this file.
pub(super) struct Driver {
    process: Child,
    steps: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

/// Where the programs of the other languages are.
pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Cargo builds examples with the tests, beside the binary.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tieline")).with_file_name("examples").join(name)
}

impl Driver {
    /// Starts a program; its words that name a file of `tests/clients` or an example are made paths.
    pub(super) fn start(words: &[&str], place: &Place, dialect: Dialect, has_registry: bool) -> Self {
        let path = |word: &&str| {
            let (script, example) = (scripts().join(word), example(word));
            [script, example].into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(word))
        };
        let words: Vec<PathBuf> = words.iter().map(path).collect();
        let tieline = format!("{} --config {}", env!("CARGO_BIN_EXE_tieline"), place.path("tieline.toml").display());
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .args([name(dialect), if has_registry { "known" } else { "said" }])
            .env("TIELINE_RUN_DIR", place.path("run"))
            .env("TIELINE_COMMAND", tieline)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let steps = process.stdin.take().expect("its input is a pipe");
        let outcomes = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        Self { process, steps, outcomes }
    }

    /// Has it do something.
    pub(super) fn tell(&mut self, verb: &str, name: &str, requests: &[String]) {
        writeln!(self.steps, "{verb}\t{name}\t{}", requests.join("\t")).expect("the driver takes a step");
    }

    /// The kind and the body of the next outcome.
    pub(super) fn outcome(&mut self) -> (String, String) {
        let mut line = String::new();
        self.outcomes.read_line(&mut line).expect("the driver can be read");
        let (kind, body) =
            line.trim_end_matches('\n').split_once('\t').unwrap_or_else(|| panic!("an outcome: {line:?}"));
        (kind.to_owned(), body.to_owned())
    }

    /// It has no more to do, and ends well.
    pub(super) fn end(self) {
        let Self { mut process, steps, mut outcomes } = self;
        drop(steps);
        let mut rest = String::new();
        outcomes.read_line(&mut rest).expect("the driver can be read");
        assert_eq!(rest, "", "the driver says no more than it was asked for");
        let status = process.wait().expect("the driver can be waited for");
        assert!(status.success(), "the driver ended with {status}");
    }
}
