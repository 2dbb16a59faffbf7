//! Running a part of this program again with the library that watches and breaks system calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The built library.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spool_store/faultio.c");
    let built = dir.join(format!("faultio.{}.so", std::process::id()));
    let done = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&built).arg(source).arg("-ldl").status();
    assert!(done.expect("a C compiler is needed: install gcc").success(), "faultio.c cannot be built");
    built
}

/// Where to work, if this process is a test that was run again under the library.
pub(crate) fn under_the_library() -> Option<PathBuf> {
    std::env::var_os("FAULTIO_ROOT").map(PathBuf::from)
}

/// Runs the test `name` of this program again, under the library. Returns what it printed.
pub(crate) fn run(name: &str, root: &Path, log: Option<&Path>, more: &[(&str, String)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "--test-threads=1", name]);
    command.env("LD_PRELOAD", library()).env("FAULTIO_ROOT", root);
    if let Some(log) = log {
        command.env("FAULTIO_LOG", log);
    }
    let output = command.envs(more.iter().map(|(key, value)| (key, value))).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    told
}
