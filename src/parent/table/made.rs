//! What a child was started with. Pure.
//!
//! Enters: nothing. Leaves: [`Build`] and [`Made`], to be compared with what a child would be started with now, and the
//! way both are written down for a later build.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::heritage::{Heritage, Role};
use crate::system::binary::BinaryId;
use crate::system::listen::Rights;

/// Which tieline it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    /// For people.
    pub(crate) version: String,
    /// What counts.
    pub(crate) binary: BinaryId,
}

/// What a child was started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Its settings and paths; none if a build before this one wrote them down in a way that is not understood any more.
    #[serde(default, deserialize_with = "if_understood")]
    pub(crate) heritage: Option<Heritage>,
    /// The build that it runs.
    pub(crate) build: Build,
    /// The generation of the configuration that it was started for.
    pub(crate) generation: u64,
}

impl Made {
    /// Whether a child of `plan` and `build` would be another one than this.
    pub(crate) fn differs(&self, plan: &Heritage, build: &Build) -> bool {
        self.build.binary != build.binary || !self.heritage.as_ref().is_some_and(|made| is_same(made, plan))
    }
}

/// Whether children of both would be the same, whatever differs that a child can be told later (`debug`), that changes
/// with every child (`inlets`), or that is the parent's business (who may use the socket files).
pub(crate) fn is_same(one: &Heritage, other: &Heritage) -> bool {
    essence(one) == essence(other)
}

fn essence(heritage: &Heritage) -> Heritage {
    let mut heritage = Heritage { debug: false, inlets: 0, ..heritage.clone() };
    let nobody = Rights { mode: 0, owner: None, group: None };
    match &mut heritage.role {
        Role::Host(host) => (host.mode, host.owner, host.group) = (0, None, None),
        Role::Registry(registry) => registry.rights = nobody,
        Role::Serve(serve) => serve.rights = nobody,
    }
    heritage
}

/// Reads what may have been written by another build; what is not understood is none.
pub(super) fn if_understood<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let written = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(written.and_then(|written| serde_json::from_value(written).ok()))
}
