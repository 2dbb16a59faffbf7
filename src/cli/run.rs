//! `tieline run`: the configuration is read and checked, then the parent takes over.
//!
//! Enters: the path of the configuration. Leaves: the parent's exit code, or what is wrong on standard error.

use std::path::Path;

use super::{complain, exit};
use crate::config::{self, ConfigError, Settings};
use crate::system::signals;
use crate::{logging, parent};

pub(super) fn run(config: Option<&Path>) -> u8 {
    if let Err(error) = signals::block() {
        complain(&format!("cannot block signals: {error}"));
        return exit::SOFTWARE;
    }
    let settings = match prepare(config) {
        Ok(settings) => settings,
        Err(error) => {
            complain(&error.to_string());
            return exit::CONFIG;
        }
    };
    if let Err(error) = logging::init(&settings.log, None) {
        complain(&error.to_string());
        return exit::IOERR;
    }
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    parent::run(settings)
}

fn prepare(config: Option<&Path>) -> Result<Settings, ConfigError> {
    let settings = config::load(config)?;
    settings.check_files()?;
    settings.prepare_dirs()?;
    Ok(settings)
}
