//! The configuration: `tieline.toml` and `hosts.tab`, as written → validated [`Settings`].
//!
//! Enters: two files. Leaves: [`Settings`], or every complaint of both files at once, each with its place and a remedy.
//! Promised: what is in [`Settings`] needs no further check by anybody.
//!
//! - `load` — finds and reads both files
//! - `tieline_toml`, `hosts_tab` — the reader of each
//! - `words`, `toml_values` — what each format is made of
//! - `fields`, `options`, `units`, `access` — what a host is made of: its name and address, its options, their bounds
//! - `meaning` — which options mean something to which hosts
//! - `nats` — the keys of `[registry]` that put it on NATS
//! - [`greeting`], `secrets` — the files of a host that say what its connections begin with
//! - `host_files` — mistakes in the files that hosts name
//! - `registry`, [`serve`] — what this daemon runs besides hosts; `rights` — who may use their sockets; `sockets` — that no
//!   two of all these are at one place
//! - `source`, `complaint`, `nearest` — a file's text, what is wrong with it, and what was perhaps meant
//! - `files` — mistakes that only the file system shows; the directories that are made
//! - `settings` — what leaves

mod access;
mod complaint;
mod fields;
mod files;
pub mod greeting;
mod host_files;
mod hosts_tab;
mod load;
mod meaning;
mod nats;
mod nearest;
mod options;
mod registry;
mod rights;
pub(crate) mod secrets;
pub mod serve;
mod settings;
mod sockets;
mod source;
mod tieline_toml;
mod toml_values;
mod units;
mod words;

#[cfg(test)]
mod tests;

pub use complaint::{Complaint, ConfigError};
pub(crate) use complaint::{printable, quoted};
pub(crate) use fields::{certified_name, read_address};
pub use files::Warning;
pub use hosts_tab::{parse_hosts_tab, show_host};
pub use load::{load, load_places};
pub use nats::{NatsCredentials, NatsSettings};
pub(crate) use options::opening;
pub use registry::RegistrySettings;
pub use serve::{Listen, ServeSettings};
pub use settings::{
    Address, Allowed, DaemonSettings, HostSettings, LogFormat, LogLevel, LogSettings, Settings, Start, millis,
};
pub(crate) use units::{read_duration, show_duration};
