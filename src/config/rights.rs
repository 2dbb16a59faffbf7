//! Who may use a socket that is no host's: `owner`, `group` and `mode`, as hosts have them.
//!
//! Enters: a key and its value. Leaves: [`Rights`]. Promised: the words and their bounds are those of `hosts.tab`.

use std::path::PathBuf;

use super::options;
use super::settings::{Address, HostSettings};
use super::toml_values::{Entry, Values, word};
use crate::dialect::Dialect;
use crate::system::listen::Rights;

/// The keys that are read here.
pub(super) const KEYS: [&str; 3] = ["owner", "group", "mode"];

/// The rights of a socket about which nothing is said.
pub(super) const DEFAULT: Rights = Rights { mode: 0o660, owner: None, group: None };

/// Reads one of [`KEYS`] into `rights`; what is wrong with it is complained about.
pub(super) fn read(values: &mut Values<'_>, entry: &Entry<'_, '_>, rights: &mut Rights) {
    let Some(rule) = options::find(entry.key) else { return };
    let setting = word(rule, entry.value).and_then(|word| rule.read(&word, values.base));
    let Some(setting) = values.take(entry.span.clone(), setting) else { return };
    // The rule is one for hosts: it is applied to one that nobody sees.
    let mut host = HostSettings::with_defaults("", Address::Unix { path: PathBuf::new() }, Dialect::Line);
    (host.mode, host.owner, host.group) = (rights.mode, rights.owner, rights.group);
    setting(&mut host);
    *rights = Rights { mode: host.mode, owner: host.owner, group: host.group };
}
