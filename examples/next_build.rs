//! Another build of the daemon: the same library under another version, to be installed in the place of the first.
//!
//! Enters: a command line as of `tieline`, and a file beside the binary, `<path of the binary>.mood`, of words. Leaves:
//! what `tieline` would have done, unless a word says otherwise. Without the file it behaves.
//!
//! ```text
//! child-hangs         a child never says anything
//! child-crashes       a child dies of a panic before it is ready
//! child-panics        … as soon as it has logged something
//! rehearsal-hangs     the rehearsal does not end
//! rehearsal-crashes   … dies of a signal
//! ```

use std::process::ExitCode;
use std::time::Duration;

/// A process that hangs ends by itself after all: none is left behind by a test that was killed.
const FOR_EVER: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    tieline::version::name(concat!(env!("CARGO_PKG_VERSION"), "-next"));
    if let Some(mode) = std::env::args().nth(1) {
        misbehave(&mode, &mood());
    }
    ExitCode::from(tieline::cli::run())
}

/// What the file says; the system marks the path of a binary that was replaced meanwhile.
fn mood() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let path = path.to_string_lossy();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    std::fs::read_to_string(format!("{path}.mood")).unwrap_or_default()
}

fn misbehave(mode: &str, mood: &str) {
    for word in mood.split_whitespace() {
        match (word, mode) {
            ("child-hangs", "child") | ("rehearsal-hangs", "rehearse") => std::thread::sleep(FOR_EVER),
            ("child-crashes", "child") => panic!("this build cannot serve"),
            ("child-panics", "child") => drop(std::thread::spawn(panic_soon)),
            ("rehearsal-crashes", "rehearse") => std::process::abort(),
            _ => {}
        }
    }
}

/// As a release build does, the process ends by it.
fn panic_soon() {
    while tieline::logging::last_line().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::panic::catch_unwind(|| panic!("this build cannot serve for long")).unwrap_or_else(|_| std::process::abort());
}
