//! Python with the packages that a test needs, in a virtual environment of the build's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

/// The Python of a virtual environment that has these packages; made once, then kept beside the built binary's directory.
pub(crate) fn python_venv(packages: &[&str]) -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("venv");
    let lock = File::create(venv.with_extension("lock")).expect("the lock of the virtual environment");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("the virtual environment can be locked");
    let python = venv.join("bin/python");
    if !python.exists() {
        must_run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "is the package python3-venv installed?");
    }
    for package in packages {
        let mark = venv.join(format!("has-{package}"));
        if !mark.exists() {
            let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
            must_run(Command::new(&python).args(words), "can the package index be reached?");
            fs::write(mark, "").expect("a mark");
        }
    }
    python
}

fn must_run(command: &mut Command, question: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {question}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {complaint}; {question}", output.status);
}
