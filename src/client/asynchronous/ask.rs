//! What a client asks the registry before it connects.

use std::path::Path;
use std::time::Instant;

use super::registry::AsyncRegistry;
use super::talk::Talk;
use crate::client::Error;
use crate::client::home::{Asked, Home, dialect_among};
use crate::client::registry::{RegistryError, SHORT, addresses, asked};
use crate::dialect::Dialect;

/// Where `name` is, as far as can be known until then.
pub(super) async fn resolve(socket: &Path, name: &str, until: Instant) -> Asked {
    let until = until.min(Instant::now() + SHORT);
    asked(answer(socket, name, until).await)
}

async fn answer(socket: &Path, name: &str, until: Instant) -> Result<Vec<crate::config::Address>, RegistryError> {
    let mut talk = Talk::connect(socket).await?;
    addresses(&talk.ask(&format!("RESOLVE {name}"), until).await?)
}

/// How `name` speaks: the registry may know, else `hosts.tab`.
pub(super) async fn dialect(home: &Home, name: &str) -> Result<Dialect, Error> {
    let listed = AsyncRegistry::at(home).list(name).await.ok();
    let listed = listed.and_then(|instances| dialect_among(&instances, name));
    let known = listed.or_else(|| home.dialect_in_table(name));
    known.ok_or_else(|| Error::NoDialect { name: name.to_owned() })
}
