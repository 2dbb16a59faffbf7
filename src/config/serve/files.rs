//! Mistakes of a far end that only the file system shows.
//!
//! Enters: [`ServeSettings`]. Leaves: complaints about certificates and keys, and the programs that are not there: these
//! are worth a warning only, for they may be installed later.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::{Action, ServeSettings};
use crate::config::complaint::Complaint;

/// Where programs without a path are looked for when nobody says so, as execvp(3) does.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What is wrong with the files that it names.
pub(in crate::config) fn complaints(serve: &ServeSettings) -> Vec<Complaint> {
    if !serve.has_tls() {
        return Vec::new();
    }
    crate::serve::tls::load(serve).err().into_iter().collect()
}

/// The programs of a far end that could not be started now.
pub(in crate::config) fn missing_programs(serve: &ServeSettings) -> Vec<String> {
    let handlers = serve.handlers.iter().filter_map(|handler| match &handler.action {
        Action::Exec(command) | Action::Worker(command) => command.first(),
        Action::Forward(_) | Action::Echo => None,
    });
    let programs = handlers.chain(serve.tasks.iter().filter_map(|task| task.run.first()));
    programs.filter(|program| !is_there(program)).cloned().collect()
}

fn is_there(program: &str) -> bool {
    let may_run = |path: &Path| access(path, AccessFlags::X_OK).is_ok() && path.is_file();
    if program.contains('/') {
        return may_run(Path::new(program));
    }
    let places = std::env::var("PATH").unwrap_or_else(|_| USUAL_PATH.to_owned());
    places.split(':').any(|place| may_run(&Path::new(place).join(program)))
}
