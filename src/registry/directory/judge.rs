//! Who may change what. Pure.
//!
//! Enters: what a program wants, and its user as the kernel knows it. Leaves: a [`Wish`] for the store, or a [`Refusal`].
//! Promised: nothing changes here.
//!
//! - A row is changed by its owner, and by root.
//! - A name belongs to those who have rows under it, its host included: nobody else (but root) adds an instance, as he
//!   would get what is meant for them. When the last row has ended, the name is free again.
//! - Rows of hosts are the parent's alone. Where there is one, the name belongs to its user, also if somebody had it before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::super::row::{Lease, Row};
use super::super::store::{Sweeper, Wish};
use super::{Directory, Entry};

/// The user who may do everything.
const ROOT: u32 = 0;

/// What a program wants to have registered; its words have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// See [`Row::name`].
    pub name: String,
    /// See [`Row::address`].
    pub address: String,
    /// See [`Row::ttl`].
    pub ttl: Duration,
    /// See [`Row::pairs`].
    pub pairs: BTreeMap<String, String>,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The name has rows, and none is of this user.
    #[error("the name {name} belongs to user {owner}; choose another name, or let that user register it")]
    Taken {
        /// The name.
        name: String,
        /// Whose it is.
        owner: u32,
    },
    /// The row is another user's.
    #[error("the row is of user {owner}; that user and root may change it")]
    NotYours {
        /// Whose it is.
        owner: u32,
    },
    /// The row is a host's.
    #[error("{name} at this address is a host of hosts.tab, which tieline itself keeps; change it there")]
    Host {
        /// The name.
        name: String,
    },
    /// There is no such lease, or it has ended.
    #[error("there is no lease {lease}, or it has ended; register again")]
    NoLease {
        /// The word that was given.
        lease: Lease,
    },
    /// There are as many rows as there may be.
    #[error("there are {limit} rows already, which is the most; end some, or wait until their leases have ended")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// The user has as many rows as one may have.
    #[error("user {owner} has {limit} rows already, which is the most for one; end some first")]
    OwnerFull {
        /// The user.
        owner: u32,
        /// The bound.
        limit: usize,
    },
}

impl Directory {
    /// Whether `uid` may register this, under the new lease `lease`.
    ///
    /// # Errors
    /// Why not.
    pub fn may_register(&self, wanted: Registration, uid: u32, lease: Lease) -> Result<Wish, Refusal> {
        let stands = self.stands(&wanted, uid)?;
        if stands.is_none() {
            self.has_room(uid)?;
        }
        let Registration { name, address, ttl, pairs } = wanted;
        let row = Arc::new(Row { name, address, lease, ttl: Some(ttl), owner: uid, pairs });
        Ok(Wish::Put { row, replaces: stands.map(|entry| (Arc::clone(&entry.row), entry.version)) })
    }

    /// What the new row would replace, if `uid` may do so.
    fn stands(&self, wanted: &Registration, uid: u32) -> Result<Option<&Entry>, Refusal> {
        let Some(instances) = self.names.get(&wanted.name) else { return Ok(None) };
        if instances.host().is_some_and(|host| host.row.address == wanted.address) {
            return Err(Refusal::Host { name: wanted.name.clone() });
        }
        self.may_use(&wanted.name, uid)?;
        if let Some(first) = instances.all().next()
            && uid != ROOT
            && !instances.all().any(|entry| entry.row.owner == uid)
        {
            return Err(Refusal::Taken { name: wanted.name.clone(), owner: first.row.owner });
        }
        let stands = instances.all().find(|entry| entry.row.address == wanted.address);
        stands.map(|entry| owned(entry, uid)).transpose()
    }

    fn has_room(&self, uid: u32) -> Result<(), Refusal> {
        let limit = self.limits.rows_per_owner;
        if self.owners.get(&uid).is_some_and(|rows| *rows >= limit) {
            return Err(Refusal::OwnerFull { owner: uid, limit });
        }
        if self.leased() >= self.limits.rows {
            return Err(Refusal::Full { limit: self.limits.rows });
        }
        Ok(())
    }

    /// Whether `uid` may renew this lease, and until when that would be too late.
    ///
    /// # Errors
    /// Why not.
    pub fn may_renew(&self, lease: &Lease, uid: u32, now: Instant) -> Result<Wish, Refusal> {
        let entry = self.may_change(lease, uid)?;
        self.may_use(&entry.row.name, uid)?;
        if self.sweeper == Sweeper::Directory && entry.expires.is_some_and(|at| at <= now) {
            return Err(Refusal::NoLease { lease: lease.clone() });
        }
        Ok(Wish::Renew { row: Arc::clone(&entry.row), version: entry.version })
    }

    /// What has become a host's name is its user's: who had it before may not have more of it, nor renew what he has.
    fn may_use(&self, name: &str, uid: u32) -> Result<(), Refusal> {
        let host = self.names.get(name).and_then(|instances| instances.host()).map(|host| host.row.owner);
        match host.filter(|owner| *owner != uid && uid != ROOT) {
            Some(owner) => Err(Refusal::Taken { name: name.to_owned(), owner }),
            None => Ok(()),
        }
    }

    /// Whether `uid` may end this lease.
    ///
    /// # Errors
    /// Why not.
    pub fn may_unregister(&self, lease: &Lease, uid: u32) -> Result<Wish, Refusal> {
        let entry = self.may_change(lease, uid)?;
        Ok(Wish::Remove { row: Arc::clone(&entry.row), version: entry.version })
    }

    fn may_change(&self, lease: &Lease, uid: u32) -> Result<&Entry, Refusal> {
        let entry = self.entry(lease).ok_or_else(|| Refusal::NoLease { lease: lease.clone() })?;
        if entry.row.is_host() {
            return Err(Refusal::Host { name: entry.row.name.clone() });
        }
        owned(entry, uid)
    }

    /// The name that a lease is for: changes of one name are made one after the other.
    #[must_use]
    pub fn name_of(&self, lease: &Lease) -> Option<&str> {
        self.leases.get(lease).map(String::as_str)
    }
}

fn owned(entry: &Entry, uid: u32) -> Result<&Entry, Refusal> {
    let owner = entry.row.owner;
    if uid == owner || uid == ROOT { Ok(entry) } else { Err(Refusal::NotYours { owner }) }
}
