//! The configuration: `tieline.toml` and `hosts.tab`, as written → validated [`Settings`].
//!
//! Enters: two files. Leaves: [`Settings`], or every complaint of both files at once, each with its place and a remedy.
//! Promised: what is in [`Settings`] needs no further check by anybody.

mod settings;

pub use settings::{
    Address, DaemonSettings, HostSettings, LogFormat, LogLevel, LogSettings, Settings, Start,
    millis,
};
