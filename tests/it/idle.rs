//! What idleness costs.

use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Daemon, Machine, Requester, raise_file_limit, wait_until};

const REQUESTERS: usize = 3000;

/// An unoptimized build is larger.
const FACTOR: u64 = if cfg!(debug_assertions) { 2 } else { 1 };
/// What an idle child may use for itself.
const CHILD_KB: u64 = 4 * 1024 * FACTOR;
/// What an idle requester may add to it.
const REQUESTER_BYTES: u64 = 1024 * FACTOR;

#[test]
fn an_idle_child_and_idle_requesters_cost_little_memory() {
    let _machine = Machine::alone();
    raise_file_limit();
    let host = ChaosHost::start(Dialect::Resp);
    let mut daemon = Daemon::start(&[&format!("far {} resp", host.address())]);
    let child = daemon.child("far");
    assert!(daemon.requester("far", Dialect::Resp).ask("<1>").contains("<1>"));
    let alone = child.private_kb();

    let mut requesters: Vec<Requester> = (0..REQUESTERS).map(|_| daemon.requester("far", Dialect::Resp)).collect();
    for requester in &mut requesters {
        assert!(requester.ask("<1>").contains("<1>"));
    }
    let connected = || (daemon.host_status("far")["requesters"] == REQUESTERS).then_some(());
    wait_until("the status counts them all", connected);
    let each = (child.private_kb().saturating_sub(alone)) * 1024 / REQUESTERS as u64;
    println!("idle: the child uses {alone} kB, each of {REQUESTERS} idle requesters {each} bytes more");
    assert!(alone < CHILD_KB, "an idle child uses {alone} kB");
    assert!(each < REQUESTER_BYTES, "an idle requester costs {each} bytes");
    drop(requesters);
    wait_until("all have left", || (daemon.host_status("far")["requesters"] == 0).then_some(()));
    daemon.stop();
}
