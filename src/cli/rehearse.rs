//! `tieline rehearse`: whether this binary, with the configuration as it is now, could take over from a running parent.
//!
//! Enters: the configuration, and on standard input what the parent would leave ([`Heritage`]). Leaves: everything that
//! is wrong, or a last line that says that nothing is, see [`crate::parent::rehearsal`]. Promised: nothing is changed.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use super::{complain, exit, print};
use crate::config::{self, ConfigError, Listen, Settings};
use crate::parent::estate::{own_build, plan, refuse_another};
use crate::parent::heritage::Heritage;
use crate::parent::reconcile::reconcile;
use crate::parent::rehearsal::FIT;
use crate::system::listen::listen_tcp;
use crate::version::version;

pub(super) fn run(config: Option<&Path>) -> u8 {
    let settings = match checked(config) {
        Ok(settings) => settings,
        Err(error) => {
            complain(&error.to_string());
            return exit::CONFIG;
        }
    };
    let heritage = match inherited() {
        Ok(heritage) => heritage,
        Err(error) => {
            complain(&error);
            return exit::SOFTWARE;
        }
    };
    if let Some(complaint) = taken(&settings, &heritage) {
        complain(&complaint);
        return exit::CONFIG;
    }
    let build = match own_build() {
        Ok(build) => build,
        Err(error) => {
            complain(&format!("cannot look at its own binary: {error}"));
            return exit::SOFTWARE;
        }
    };
    let plans = settings.roles().into_iter().map(|role| plan(&settings, role)).collect();
    // What it decides does not matter here: that it can be decided does.
    drop(reconcile(heritage.into_hosts(), plans, &build));
    print(&format!("{FIT}{}\n", version()))
}

fn checked(config: Option<&Path>) -> Result<Settings, ConfigError> {
    let settings = config::load(config)?;
    settings.check_files()?;
    Ok(settings)
}

fn inherited() -> Result<Heritage, String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read what the parent would leave: {error}"))?;
    Heritage::read(&bytes).map_err(|error| error.to_string())
}

/// Why the daemon cannot move to where the configuration wants it.
fn taken(settings: &Settings, heritage: &Heritage) -> Option<String> {
    let control = settings.daemon.control_socket();
    if !heritage.answers_at(&control)
        && let Err(error) = refuse_another(&control)
    {
        return Some(error.to_string());
    }
    let served = settings.serves.iter().filter_map(|serve| match &serve.listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    });
    let addresses = settings.hosts.iter().filter_map(|host| host.listen).chain(served);
    addresses.filter(|address| !heritage.listens_on(*address)).find_map(not_to_be_had)
}

/// Why nobody can listen on `address`.
fn not_to_be_had(address: SocketAddr) -> Option<String> {
    listen_tcp(address).err().map(|error| error.to_string())
}
