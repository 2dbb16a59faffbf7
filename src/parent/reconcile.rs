//! What becomes of each entry at a restart: the inherited table beside the configuration. Pure.
//!
//! Enters: what the image before this one wrote down, what is configured now, the build. Leaves: a [`Fate`] for each
//! entry: host, registry, or name that is served. Promised: one whose child is what it would be started as now keeps it;
//! every other one is replaced; no child that lives is left without a fate. What is configured comes in the order in
//! which it is given, what leaves after it.

use std::path::Path;

use super::table::bequest::HostBequest;
use super::table::made::Build;
use crate::heritage::Heritage;

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// It was not there before.
    New(Heritage),
    /// It goes on; the plan differs at most in what its child need not know.
    Keep(HostBequest, Heritage),
    /// Its next child is another one, and is started at once.
    Replace(HostBequest, Heritage),
    /// It is not configured any more; its children retire.
    Remove(HostBequest),
}

impl Fate {
    /// What people call the entry.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::New(plan) => plan.role.title(),
            Self::Keep(bequest, _) | Self::Replace(bequest, _) | Self::Remove(bequest) => {
                bequest.kind().title(bequest.name())
            }
        }
    }

    /// The spool that the host had, if it will have it no more.
    pub(crate) fn leaves_spool(&self) -> Option<&Path> {
        let (before, after) = match self {
            Self::New(_) => return None,
            Self::Keep(bequest, plan) | Self::Replace(bequest, plan) => (bequest, plan.spool.as_deref()),
            Self::Remove(bequest) => (bequest, None),
        };
        // What others store is not to be sent anywhere.
        let before = before.plan().filter(|before| before.role.host().is_some())?;
        before.spool.as_deref().filter(|before| Some(*before) != after)
    }

    /// The same for one that has got a socket which its child does not know.
    pub(crate) fn with_new_sockets(self) -> Self {
        match self {
            Self::Keep(bequest, plan) => Self::Replace(bequest, plan),
            fate => fate,
        }
    }
}

/// Decides for each entry that was inherited or is configured. A first start has inherited nothing.
pub(crate) fn reconcile(mut inherited: Vec<HostBequest>, configured: Vec<Heritage>, build: &Build) -> Vec<Fate> {
    let mut fates: Vec<_> = configured.into_iter().map(|plan| fate(&mut inherited, plan, build)).collect();
    // One that had been leaving and is gone needs none.
    inherited.retain(|bequest| !bequest.pids().is_empty());
    fates.extend(inherited.into_iter().map(Fate::Remove));
    fates
}

fn fate(inherited: &mut Vec<HostBequest>, plan: Heritage, build: &Build) -> Fate {
    let Some(at) = inherited.iter().position(|bequest| bequest.is_of(&plan.role)) else {
        return Fate::New(plan);
    };
    let bequest = inherited.remove(at);
    if bequest.is_leaving() || bequest.differs(&plan, build) {
        Fate::Replace(bequest, plan)
    } else {
        Fate::Keep(bequest, plan)
    }
}

#[cfg(test)]
mod tests;
