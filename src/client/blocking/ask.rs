//! What a client asks the registry before it connects.

use std::path::Path;
use std::time::Instant;

use super::registry::Registry;
use super::talk::Talk;
use crate::client::Error;
use crate::client::home::{Asked, Home, dialect_among};
use crate::client::registry::{SHORT, addresses, asked};
use crate::dialect::Dialect;

/// Where `name` is, as far as can be known until then.
pub(super) fn resolve(socket: &Path, name: &str, until: Instant) -> Asked {
    let until = until.min(Instant::now() + SHORT);
    let answer = Talk::connect(socket).and_then(|mut talk| talk.ask(&format!("RESOLVE {name}"), until));
    asked(answer.and_then(|line| addresses(&line)))
}

/// How `name` speaks: the registry may know, else `hosts.tab`.
pub(super) fn dialect(home: &Home, name: &str) -> Result<Dialect, Error> {
    let listed = Registry::at(home).list(name).ok().and_then(|instances| dialect_among(&instances, name));
    let known = listed.or_else(|| home.dialect_in_table(name));
    known.ok_or_else(|| Error::NoDialect { name: name.to_owned() })
}
