//! Restarts of a daemon whose sockets a service manager has made, or keeps.

use std::fs;
use std::os::unix::net::UnixListener;

use tieline::dialect::Dialect;

use super::crowd::assert_is_reply;
use super::stage::far;
use crate::common::{ChaosHost, Place, Requester};

#[test]
fn the_file_of_a_socket_unit_stays_the_managers_over_restarts() {
    let host = ChaosHost::start(Dialect::Line);
    let place = Place::new(&[&far(&host, "")]);
    fs::create_dir(place.path("run")).expect("the run directory");
    let unit = UnixListener::bind(place.socket("far")).expect("the unit's listener");
    let mut daemon = place.start_passing(vec![("far".to_owned(), unit.into())], &[]);
    for generation in 2..=3 {
        assert_eq!(daemon.restart(), generation);
        assert_is_reply(&daemon.requester("far", Dialect::Line).ask("<1>"), "<1>");
    }
    let _kept = daemon.take_kept();
    daemon.stop();
    // The manager listens on.
    Requester::connect(&place.socket("far"), Dialect::Line);
}

#[test]
fn the_manager_keeps_each_socket_once_and_hears_which_are_wanted_no_more() {
    let host = ChaosHost::start(Dialect::Line);
    let (far, near) = (far(&host, ""), far(&host, "deferred").replacen("far", "near", 1));
    let place = Place::new(&[&far, &near]);
    let mut daemon = place.start_with(&[("FDSTORE", "100")]);
    for name in ["far.sock,", "near.sock,", "near.deferred.sock,", "registry.sock,", "control.sock,"] {
        daemon.wait_until_kept(name);
    }
    daemon.restart_and_settle();
    place.set_hosts(&[far]);
    daemon.restart_and_settle();
    daemon.wait_for_notice("FDNAME=control.sock,");
    let told = daemon.notices().iter().filter(|notice| notice.contains("FDSTORE=1")).count();
    assert_eq!(told, 5, "nothing is given twice: {:?}", daemon.notices());
    let mut kept: Vec<String> = daemon.take_kept().into_iter().map(|(name, _)| name).collect();
    kept.sort();
    let kinds: Vec<&str> = kept.iter().filter_map(|name| name.split(',').next()).collect();
    assert_eq!(kinds, ["control.sock", "far.sock", "registry.sock"], "{kept:?}");
    daemon.stop();
}
