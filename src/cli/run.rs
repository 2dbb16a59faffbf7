//! `tieline run`: the configuration is read and checked, then the parent takes over.
//!
//! Enters: the path of the configuration. Leaves: the parent's exit code, or what is wrong on standard error.

use std::path::Path;

use super::{complain, exit};
use crate::config::{self, ConfigError, Settings};
use crate::parent::heritage::Heritage;
use crate::system::signals;
use crate::{logging, parent};

pub(super) fn run(config: Option<&Path>) -> u8 {
    if let Err(error) = signals::block() {
        complain(&format!("cannot block signals: {error}"));
        return exit::SOFTWARE;
    }
    let heritage = match Heritage::take() {
        Ok(heritage) => heritage,
        Err(error) => {
            complain(&error.to_string());
            return exit::SOFTWARE;
        }
    };
    let (settings, complaint) = match (prepare(config), &heritage) {
        (Ok(settings), _) => (settings, None),
        // It was in order a moment ago, when it was rehearsed.
        (Err(error), Some(before)) => (before.settings.clone(), Some(error.to_string())),
        (Err(error), None) => {
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
    if let Some(complaint) = &complaint {
        tracing::error!("{complaint}\nthe configuration before holds on");
    }
    parent::run(settings, heritage, complaint)
}

fn prepare(config: Option<&Path>) -> Result<Settings, ConfigError> {
    let settings = config::load(config)?;
    settings.check_files()?;
    settings.prepare_dirs()?;
    Ok(settings)
}
