//! `[serve.NAME]`: what this daemon serves itself, as the far end of other machines' hosts.
//!
//! Enters: the table of these tables. Leaves: a [`ServeSettings`] for each, by name. Promised: no two of them listen at
//! one place.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::complaint::Wrong;
use super::fields::{self, check_serve_name, socket_path};
use super::options::cannot_be;
use super::rights;
use super::toml_values::{Entry, Values, entries};
use crate::system::listen::Rights;

/// The keys of each table.
pub(super) const KEYS: [&str; 4] = ["listen", "owner", "group", "mode"];

const LISTEN_HELP: &str = "unix:/path, or an IP address of this machine and a port: 0.0.0.0:7000 or [::]:7000";

/// The child of one `[serve.NAME]` goes by this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeSettings {
    /// The name that it registers; a host may have the same.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// Who may use its socket, if that is a file (0660).
    pub rights: Rights,
}

impl ServeSettings {
    /// What serves `name` at `listen`, with defaults for all else.
    #[must_use]
    pub fn with_defaults(name: &str, listen: Listen) -> Self {
        Self { name: name.to_owned(), listen, rights: rights::DEFAULT }
    }
}

/// Where one serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// An absolute path.
    Unix(PathBuf),
    /// An address, not only of the loopback interface.
    Tcp(SocketAddr),
}

impl fmt::Display for Listen {
    /// As it is written in `tieline.toml`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// Reads `[serve]`, the table that has the others in it.
pub(super) fn read(values: &mut Values<'_>, table: &DeTable<'_>) -> Vec<ServeSettings> {
    let mut serves: Vec<ServeSettings> = Vec::new();
    for entry in entries(table) {
        let Some((serve, place)) = read_one(values, &entry) else { continue };
        match serves.iter().find(|other| other.listen == serve.listen) {
            Some(first) => {
                let what = format!("{} is already listened on by [serve.{}]", serve.listen, first.name);
                values.complain(place, what, "give each a `listen` of its own");
            }
            None => serves.push(serve),
        }
    }
    serves
}

/// One table, and the place of its `listen`.
fn read_one(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<(ServeSettings, Range<usize>)> {
    let DeValue::Table(table) = entry.value else {
        let what = format!("`{}` stands in [serve] itself", entry.key);
        return values.take(entry.key_span.clone(), Err(Wrong::new(what, "open a table [serve.NAME] for it")));
    };
    values.take(entry.key_span.clone(), check_serve_name(entry.key))?;
    let (mut listen, mut rights) = (None, rights::DEFAULT);
    let mut is_given = false;
    for entry in entries(table) {
        match entry.key {
            "listen" => {
                is_given = true;
                listen = self::listen(values, &entry).map(|listen| (listen, entry.span));
            }
            key if rights::KEYS.contains(&key) => rights::read(values, &entry, &mut rights),
            _ => values.unknown("serve.NAME", &KEYS, &entry),
        }
    }
    if !is_given {
        let what = format!("[serve.{}] does not say where it listens", entry.key);
        values.complain(entry.key_span.clone(), what, format!("add listen = \"…\": {LISTEN_HELP}"));
    }
    let (listen, place) = listen?;
    Some((ServeSettings { rights, ..ServeSettings::with_defaults(entry.key, listen) }, place))
}

fn listen(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Listen> {
    let word = values.string(entry, LISTEN_HELP)?;
    let read = match word.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(Listen::Unix),
        None => fields::socket_address(word.strip_prefix("tcp:").unwrap_or(&word)).map(Listen::Tcp),
    };
    values.take(entry.span.clone(), read.map_err(|why| cannot_be(entry.key, &word, &why, LISTEN_HELP)))
}
