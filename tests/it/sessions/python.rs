//! What programs in Python do with Redis, through the library that most of them use.

use std::path::Path;
use std::process::Command;

use super::cache;
use crate::common::python_venv;

#[test]
fn the_idioms_of_python_programs_work_through_the_socket() {
    let python = python_venv(&["redis", "pymemcache"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/redis_idioms.py");
    let (_redis, daemon) = cache("connections=4 sessions=32");
    let output = Command::new(python).arg(script).arg(daemon.socket("cache")).output().expect("python runs");
    let (out, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{out}\n{complaint}");
    daemon.stop();
}
