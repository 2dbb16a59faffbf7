//! Questions to the registry.

use std::path::Path;
use std::time::Instant;

use crate::client::Error;
use crate::client::home::{Asked, Home};
use crate::dialect::Dialect;

pub(super) async fn resolve(_socket: &Path, _name: &str, _until: Instant) -> Asked {
    Asked::Away("not yet".to_owned())
}

pub(super) async fn dialect(home: &Home, name: &str) -> Result<Dialect, Error> {
    home.dialect_in_table(name).ok_or_else(|| Error::NoDialect { name: name.to_owned() })
}
