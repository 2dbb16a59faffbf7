//! A host whose address is a name of the registry: where it is now.
//!
//! Enters: what the registry answers and tells. Leaves: addresses to try, one after the other; an attempt as soon as the
//! name changes. Promised: when the registry cannot be asked, the instances that were known last are tried, each in its
//! turn; a connection to an instance that is registered no more gets no new work if there is another instance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::Standing;
use super::open::ConnectError;
use crate::child::worker::Worker;
use crate::config::Address;
use crate::registry::ask::{Follower, Found, Instances, resolve};
use crate::registry::grammar::{address, written};
use crate::work::ConnectionId;

/// How long the registry may take to answer; it is on this machine.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pauses between attempts to watch.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// See the head of this file.
#[derive(Debug)]
pub struct Named {
    name: String,
    registry: Option<PathBuf>,
    /// The instances that are known, the one to be tried first at the front.
    known: RefCell<Vec<Address>>,
    /// Where each connection leads.
    led: RefCell<HashMap<ConnectionId, Address>>,
}

impl Named {
    /// For this name, to be asked of the registry at this socket.
    pub(super) fn new(name: &str, registry: Option<PathBuf>) -> Self {
        Self { name: name.to_owned(), registry, known: RefCell::default(), led: RefCell::default() }
    }

    /// The addresses to try, in this order; at least one.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn addresses(&self) -> Result<Vec<Address>, ConnectError> {
        let failed = match self.ask().await {
            Ok(Found::At(addresses)) => {
                self.known.borrow_mut().clone_from(&addresses);
                return Ok(addresses);
            }
            Ok(Found::Nobody) => return Err(ConnectError::Nobody { name: self.name.clone() }),
            Err(why) => why,
        };
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            return Err(ConnectError::Registry { name: self.name.clone(), why: failed });
        }
        debug!("@{}: the registry cannot be asked ({failed}); going by what was known last", self.name);
        let addresses = known.clone();
        known.rotate_left(1);
        Ok(addresses)
    }

    async fn ask(&self) -> Result<Found, String> {
        let registry = self.registry.as_ref().ok_or("there is none: [registry] is not enabled")?;
        let asked = tokio::time::timeout(PATIENCE, resolve(registry, &self.name)).await;
        let late = |_| format!("no answer within {} ms", PATIENCE.as_millis());
        asked.map_err(late)?.map_err(|error| super::open::plain(&error))
    }

    /// Whether no connection leads to this instance yet.
    pub(super) fn is_new(&self, instance: &Address) -> bool {
        !self.led.borrow().values().any(|led| led == instance)
    }

    /// A connection is open, and leads to this instance.
    pub(super) fn leads(&self, connection: ConnectionId, instance: Option<Address>) {
        match instance {
            Some(instance) => self.led.borrow_mut().insert(connection, instance),
            None => self.led.borrow_mut().remove(&connection),
        };
    }

    /// Takes over what is registered now. Says what follows.
    fn take(&self, before: Option<&Instances>, instances: &Instances) -> Changed {
        let read = |word: &String| address(word).ok();
        let mut known = self.known.borrow_mut();
        // Who is known already keeps its place.
        known.retain(|one| instances.contains_key(&written(one)));
        let new: Vec<Address> = instances.keys().filter_map(read).filter(|one| !known.contains(one)).collect();
        known.extend(new);
        let Some(before) = before else { return Changed { any: false, more: false, gone: Vec::new() } };
        let more = instances.keys().any(|one| !before.contains_key(one));
        let led = self.led.borrow();
        let lost = led.iter().filter(|(_, at)| !instances.contains_key(&written(at)) && !instances.is_empty());
        Changed { any: before != instances, more, gone: lost.map(|(connection, _)| *connection).collect() }
    }
}

/// What has changed about a name.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    any: bool,
    /// There are instances that were not there before.
    more: bool,
    /// Connections to instances that are there no more, while others are.
    gone: Vec<ConnectionId>,
}

/// Watches the name of this worker's host, if it has one. Never ends then.
pub async fn watch(worker: Rc<Worker>) {
    let Some(named) = worker.opener().named() else { return };
    let Some(registry) = named.registry.clone() else { return };
    let (mut follower, mut before, mut pause) = (Follower::new(&named.name), None, SHORTEST);
    loop {
        let followed = follower.follow(&registry, |instances| {
            pause = SHORTEST;
            let changed = named.take(before.as_ref(), instances);
            act(&worker, &named.name, &changed, instances);
            before = Some(instances.clone());
        });
        if let Err(error) = followed.await {
            debug!("@{}: the registry cannot be watched: {error}", named.name);
        }
        tokio::time::sleep(pause.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// A host that is not up is tried at once; one that is up, when there is a new instance for it.
fn act(worker: &Worker, name: &str, changed: &Changed, instances: &Instances) {
    if changed.any {
        debug!("@{name} has changed: {} instances now", instances.len());
    }
    for connection in &changed.gone {
        worker.with(|dispatch| dispatch.leave_off(*connection, "its instance is registered no more"));
    }
    let standing = worker.look(|dispatch| dispatch.reach().standing());
    let down = matches!(standing, Standing::Failing | Standing::Dead);
    if !instances.is_empty() && (changed.more || down || (changed.any && standing == Standing::Untried)) {
        worker.with(|dispatch| dispatch.probe(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::row::Lease;

    fn instances(of: &[(&str, &str)]) -> Instances {
        of.iter().map(|(address, lease)| ((*address).to_owned(), Lease((*lease).to_owned()))).collect()
    }

    fn known(named: &Named) -> Vec<String> {
        named.known.borrow().iter().map(written).collect()
    }

    #[test]
    fn a_connection_to_an_instance_that_is_gone_is_left_only_if_there_is_another() {
        let (named, connection) = (Named::new("web", None), ConnectionId(7));
        let two = instances(&[("tcp:a:1", "1"), ("tcp:b:1", "2")]);
        assert_eq!(named.take(None, &two), Changed { any: false, more: false, gone: vec![] });
        named.leads(connection, address("tcp:a:1").ok());
        let one = instances(&[("tcp:b:1", "2")]);
        assert_eq!(named.take(Some(&two), &one), Changed { any: true, more: false, gone: vec![connection] });
        assert_eq!(known(&named), ["tcp:b:1"]);
        let none = Instances::new();
        assert_eq!(named.take(Some(&one), &none), Changed { any: true, more: false, gone: vec![] });
        named.leads(connection, None);
        assert_eq!(named.take(Some(&none), &one), Changed { any: true, more: true, gone: vec![] });
    }

    #[test]
    fn an_instance_that_registered_again_is_a_change_and_no_new_one() {
        let named = Named::new("web", None);
        let (before, after) = (instances(&[("tcp:a:1", "1")]), instances(&[("tcp:a:1", "2")]));
        named.take(None, &before);
        assert_eq!(named.take(Some(&before), &after), Changed { any: true, more: false, gone: vec![] });
    }

    #[tokio::test]
    async fn without_a_registry_what_is_known_is_tried_in_turns() {
        let named = Named::new("web", Some("/nowhere/registry.sock".into()));
        let error = named.addresses().await.unwrap_err().to_string();
        assert!(error.starts_with("@web: the registry cannot be asked (No such file or directory)"), "{error}");
        named.take(None, &instances(&[("tcp:a:1", "1"), ("tcp:b:1", "2")]));
        for first in ["tcp:a:1", "tcp:b:1", "tcp:a:1"] {
            assert_eq!(written(&named.addresses().await.unwrap()[0]), first);
        }
    }
}
