//! `[registry]`: whether this daemon has a registry of names, and where that keeps them.
//!
//! Enters: the table as it is written, or nothing. Leaves: [`RegistrySettings`]; none if there is to be no registry.
//! Promised: without a word about it there is one.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::rights;
use super::settings::DaemonSettings;
use super::toml_values::{Values, entries};
use crate::system::listen::Rights;

/// The keys of the table.
pub(super) const KEYS: [&str; 5] = ["enabled", "file", "owner", "group", "mode"];

/// The registry's child goes by this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// Where registered names are kept, absolute (`SPOOL_DIR/.registry/registry.sqlite`).
    pub file: PathBuf,
    /// Who may use its socket (0660).
    pub rights: Rights,
}

impl RegistrySettings {
    /// A registry that keeps its names in `file`, with defaults for all else.
    #[must_use]
    pub fn with_defaults(file: PathBuf) -> Self {
        Self { file, rights: rights::DEFAULT }
    }
}

/// What has been understood of the table.
pub(super) struct Reading {
    pub(super) enabled: bool,
    /// The file if one was given, with its place.
    pub(super) file: Option<(PathBuf, Range<usize>)>,
    rights: Rights,
}

impl Default for Reading {
    fn default() -> Self {
        Self { enabled: true, file: None, rights: rights::DEFAULT }
    }
}

impl Reading {
    /// Reads the table.
    pub(super) fn read(values: &mut Values<'_>, table: &DeTable<'_>) -> Self {
        let mut reading = Self::default();
        for entry in entries(table) {
            match entry.key {
                "enabled" => reading.enabled = values.flag(&entry).unwrap_or(reading.enabled),
                "file" => reading.file = values.path(&entry).map(|path| (path, entry.span)),
                key if rights::KEYS.contains(&key) => rights::read(values, &entry, &mut reading.rights),
                _ => values.unknown("registry", &KEYS, &entry),
            }
        }
        reading
    }

    /// With defaults for what was not given.
    pub(super) fn settings(&self, daemon: &DaemonSettings) -> Option<RegistrySettings> {
        let given = self.file.as_ref().map(|(file, _)| file.clone());
        let file = given.unwrap_or_else(|| daemon.registry_dir().join("registry.sqlite"));
        self.enabled.then(|| RegistrySettings { rights: self.rights, ..RegistrySettings::with_defaults(file) })
    }
}
