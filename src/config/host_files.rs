//! Mistakes in the files that hosts name: certificates, keys, passwords, greetings.
//!
//! Enters: a host. Leaves: complaints. Promised: what is found right here is read in the same way when a connection is
//! opened.

use std::path::Path;

use super::complaint::Complaint;
use super::settings::HostSettings;
use super::{greeting, secrets};

/// What is wrong with the files of a host. `config` is the file that its defaults stand in.
pub(super) fn complaints(host: &HostSettings, config: &Path) -> Vec<Complaint> {
    let mut found = Vec::new();
    found.extend(halves(host, config));
    if host.tls {
        found.extend(crate::pool::tls::files::load(host).err());
    }
    found.extend(host.password_file.as_deref().and_then(|file| secrets::password(file).err()));
    if let Some(file) = &host.greeting {
        found.extend(greeting::load(file, host.secrets.as_deref()).err().unwrap_or_default());
    }
    found
}

/// Options of `[defaults]` that mean something only together. Those of a host's own line have been looked at there.
fn halves(host: &HostSettings, config: &Path) -> Vec<Complaint> {
    let pairs = [
        ("cert", host.cert.is_some(), "key", host.key.is_some()),
        ("key", host.key.is_some(), "cert", host.cert.is_some()),
        ("user", host.user.is_some(), "password_file", host.password_file.is_some()),
        ("secrets", host.secrets.is_some(), "greeting", host.greeting.is_some()),
    ];
    let lacks = pairs.into_iter().filter(|(_, is_given, _, other)| *is_given && !other);
    let about = |(given, _, missing, _)| {
        let what = format!("host {}: `{given}` is given without `{missing}`", host.name);
        Complaint::about(config, what, format!("add `{missing}` to [defaults] or to the host, or remove `{given}`"))
    };
    lacks.map(about).collect()
}
