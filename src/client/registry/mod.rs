//! What the registry is asked and what it answers: the parts that both faces share. Pure.
//!
//! Enters: names, offers, the registry's lines, the time. Leaves: lines for the registry, addresses, rows and changes, when
//! to renew a lease. Promised: an offer that the registry would not understand is refused before anything is sent.
//!
//! - `offer` — what is to be registered → a line
//! - `answers` — one line → what was asked for, or a [`RegistryError`]
//! - `ear` — the lines of a list or of a watch → [`News`]
//! - `lease` — when to renew, and what to do when that fails
//! - `shared` — the same, looked at while it is kept in the background
//! - `lines` — bytes → lines

mod answers;
mod ear;
mod error;
mod lease;
mod lines;
mod offer;
mod shared;

pub use self::ear::{Instance, News};
pub use self::error::{Kind, RegistryError};
pub use self::offer::Offer;

pub(super) use self::answers::{addresses, asked, rest};
pub(super) use self::ear::{Ear, watch_command};
pub(super) use self::lease::Step;
pub(super) use self::lines::Lines;
pub(super) use self::shared::Shared;

/// How long the registry may take for an answer. It serves from memory; a change waits for the disk.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How long it may take where a program waits for a connection meanwhile.
pub(super) const SHORT: std::time::Duration = std::time::Duration::from_secs(2);
