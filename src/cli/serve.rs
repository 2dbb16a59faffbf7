//! `tieline serve NAME`: one far end alone, in the foreground.
//!
//! Enters: the path of the configuration, and a name in it. Leaves: an exit code when the far end was stopped, or what is
//! wrong on standard error. Promised: it needs no daemon; a running one that serves the same name is not disturbed.

use std::path::Path;

use super::{complain, exit};
use crate::config::serve::ServeSettings;
use crate::config::{self, Settings};
use crate::serve::{self, ServeError};
use crate::{logging, system};

pub(super) fn run(config: Option<&Path>, name: &str) -> u8 {
    let settings = match config::load(config).and_then(|settings| settings.check_files().map(|()| settings)) {
        Ok(settings) => settings,
        Err(error) => {
            complain(&error.to_string());
            return exit::CONFIG;
        }
    };
    let Some(served) = settings.serves.iter().find(|serve| serve.name == name) else {
        complain(&unknown(&settings, name));
        return exit::UNAVAILABLE;
    };
    if let Err(error) = logging::init(&settings.log, Some(name)) {
        complain(&error.to_string());
        return exit::IOERR;
    }
    if let Err(error) = system::limits::raise_open_files() {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
    serve(served.clone(), &settings)
}

fn serve(served: ServeSettings, settings: &Settings) -> u8 {
    let spool = settings.daemon.spool_of(&served.name);
    match serve::alone(served, settings.daemon.registry_socket(), spool, settings.drain) {
        Ok(()) => exit::OK,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                ServeError::Listen(_) | ServeError::Listener(_) => exit::UNAVAILABLE,
                ServeError::Runtime(_) | ServeError::NoListener | ServeError::NoSpool => exit::TEMPFAIL,
            }
        }
    }
}

fn unknown(settings: &Settings, name: &str) -> String {
    let known: Vec<&str> = settings.serves.iter().map(|serve| serve.name.as_str()).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
    format!("there is no table [serve.{name}] in {}; {known}", settings.file.display())
}
