//! Running a part of this program again with the library that watches and breaks system calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The built library; none without a C compiler.
pub(crate) fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spool_store/faultio.c");
    let built = dir.join(format!("faultio.{}.so", std::process::id()));
    let done = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&built).arg(source).arg("-ldl").status();
    match done {
        Ok(status) => assert!(status.success(), "faultio.c cannot be built"),
        Err(error) => {
            println!("not run: there is no C compiler ({error})");
            return None;
        }
    }
    Some(built)
}

/// Runs the ignored test `name` of this program under the library. Returns what it printed.
pub(crate) fn run(name: &str, root: &Path, log: Option<&Path>, more: &[(&str, String)]) -> Option<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "--test-threads=1", name]);
    command.env("LD_PRELOAD", library()?).env("FAULTIO_ROOT", root);
    if let Some(log) = log {
        command.env("FAULTIO_LOG", log);
    }
    let output = command.envs(more.iter().map(|(key, value)| (key, value))).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    Some(told)
}
