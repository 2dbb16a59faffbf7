//! What becomes of each host, by examples. Whether it does, is shown with the table.

use std::time::{Duration, Instant};

use super::*;
use crate::config::{Address, HostSettings, Listen, LogFormat, LogLevel, LogSettings, RegistrySettings, ServeSettings};
use crate::dialect::Dialect;
use crate::heritage::Role;
use crate::parent::table::{Event, HostId, Table};

fn plan(name: &str) -> Heritage {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 1 };
    plan_for(Role::Host(Box::new(HostSettings::with_defaults(name, address, Dialect::Line))))
}

fn plan_for(role: Role) -> Heritage {
    Heritage {
        role,
        listeners: Vec::new(),
        spool: None,
        registry: None,
        log: LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text },
        debug: false,
        drain: Duration::from_secs(30),
        inlets: 0,
    }
}

fn host(plan: &mut Heritage) -> &mut HostSettings {
    let Role::Host(host) = &mut plan.role else { panic!("no host") };
    host
}

fn first_start(plans: Vec<Heritage>, now: Instant) -> Table {
    Table::inherit(reconcile(Vec::new(), plans, &build(1)), build(1), 1, None, now).0
}

fn build(size: u64) -> Build {
    let binary = serde_json::json!({ "device": 1, "inode": 1, "size": size, "changed": [1, 1] });
    Build { version: "1".into(), binary: serde_json::from_value(binary).unwrap() }
}

/// What is inherited of `names`, all with a child.
fn inherited(names: &[&str]) -> Vec<HostBequest> {
    let now = Instant::now();
    let mut table = first_start(names.iter().map(|name| plan(name)).collect(), now);
    for (at, pid) in (0..names.len()).zip(10..) {
        for event in [Event::Started { pid }, Event::Ready { pid }] {
            table.apply(HostId(at), event, now);
        }
    }
    table.bequeath(now)
}

fn words(fates: &[Fate]) -> Vec<String> {
    let word = |fate: &Fate| match fate {
        Fate::New(_) => "new",
        Fate::Keep(..) => "keep",
        Fate::Replace(..) => "replace",
        Fate::Remove(_) => "remove",
    };
    fates.iter().map(|fate| format!("{} {}", word(fate), fate.title())).collect()
}

/// What becomes of a host whose plan is changed by `change`.
fn after(change: impl Fn(&mut Heritage)) -> String {
    let mut changed = plan("a");
    change(&mut changed);
    words(&reconcile(inherited(&["a"]), vec![changed], &build(1))).remove(0)
}

#[test]
fn hosts_come_in_the_order_of_the_configuration_and_those_that_leave_after_them() {
    let mut changed = plan("a");
    host(&mut changed).queue = 7;
    let fates = reconcile(inherited(&["gone", "a", "b"]), vec![plan("new"), plan("b"), changed], &build(1));
    assert_eq!(words(&fates), ["new new", "keep b", "replace a", "remove gone"]);
}

#[test]
fn another_binary_replaces_every_child() {
    let fates = reconcile(inherited(&["a", "b"]), vec![plan("a"), plan("b")], &build(2));
    assert_eq!(words(&fates), ["replace a", "replace b"]);
}

#[test]
fn what_a_child_need_not_know_replaces_none() {
    assert_eq!(after(|plan| host(plan).mode = 0o600), "keep a");
    assert_eq!(after(|plan| host(plan).owner = Some(7)), "keep a");
    assert_eq!(after(|plan| host(plan).group = Some(7)), "keep a");
    assert_eq!(after(|plan| (plan.debug, plan.inlets) = (true, 3)), "keep a");
}

#[test]
fn what_a_child_goes_by_replaces_it() {
    assert_eq!(after(|plan| host(plan).connections += 1), "replace a");
    assert_eq!(after(|plan| plan.drain += Duration::from_secs(1)), "replace a");
    assert_eq!(after(|plan| plan.log.level = LogLevel::Debug), "replace a");
    assert_eq!(after(|plan| plan.listeners.push(crate::heritage::ListenerKind::Unix)), "replace a");
    assert_eq!(after(|plan| plan.spool = Some("/spool/a".into())), "replace a");
}

#[test]
fn a_host_without_a_child_is_judged_by_what_it_would_have_been_started_with() {
    let table = first_start(vec![plan("a")], Instant::now());
    let fate = |plan, size| words(&reconcile(table.bequeath(Instant::now()), vec![plan], &build(size))).remove(0);
    assert_eq!(fate(plan("a"), 1), "keep a");
    assert_eq!(fate(plan("a"), 2), "replace a");
    let mut changed = plan("a");
    host(&mut changed).queue = 7;
    assert_eq!(fate(changed, 1), "replace a");
    assert_eq!(reconcile(table.bequeath(Instant::now()), vec![], &build(1)), [], "nobody is left to retire");
}

#[test]
fn a_host_with_a_socket_that_its_child_does_not_know_gets_another_child() {
    let mut fates = reconcile(inherited(&["stays", "goes"]), vec![plan("stays"), plan("comes")], &build(1));
    fates = fates.into_iter().map(Fate::with_new_sockets).collect();
    assert_eq!(words(&fates), ["replace stays", "new comes", "remove goes"]);
}

/// The plans of the registry and of what is served under the name `a`.
fn services() -> [Heritage; 2] {
    let registry = Role::Registry(Box::new(RegistrySettings::with_defaults("/r".into())));
    [registry, Role::Serve(Box::new(ServeSettings::with_defaults("a", Listen::Unix("/a".into()))))].map(plan_for)
}

/// What is inherited of a host called `a`, and of these.
fn inherited_with_services() -> Vec<HostBequest> {
    let now = Instant::now();
    let mut table = first_start([vec![plan("a")], services().to_vec()].concat(), now);
    for (at, pid) in (0..3).zip(10..) {
        for event in [Event::Started { pid }, Event::Ready { pid }] {
            table.apply(HostId(at), event, now);
        }
    }
    table.bequeath(now)
}

#[test]
fn what_has_the_name_of_a_host_is_something_else() {
    let [registry, serve] = services();
    let fates = reconcile(inherited_with_services(), vec![registry.clone(), serve.clone()], &build(1));
    assert_eq!(words(&fates), ["keep registry", "keep serve a", "remove a"]);
    let fates = reconcile(inherited_with_services(), vec![plan("a"), registry], &build(1));
    assert_eq!(words(&fates), ["keep a", "keep registry", "remove serve a"]);
    let fates = reconcile(inherited(&["a"]), vec![plan("a"), serve], &build(1));
    assert_eq!(words(&fates), ["keep a", "new serve a"]);
}

#[test]
fn changed_settings_replace_the_child_that_goes_by_them_and_no_other() {
    let [mut registry, mut serve] = services();
    let (Role::Registry(settings), Role::Serve(served)) = (&mut registry.role, &mut serve.role) else { panic!() };
    settings.file = "/elsewhere".into();
    served.rights.mode = 0o600;
    let fates = reconcile(inherited_with_services(), vec![plan("a"), registry, serve], &build(1));
    assert_eq!(words(&fates), ["keep a", "replace registry", "keep serve a"], "rights are the parent's business");
}

#[test]
fn what_a_build_without_roles_has_written_is_about_hosts() {
    let written = serde_json::to_value(inherited(&["a"])).unwrap();
    let mut old = written.clone();
    assert_eq!(old[0].as_object_mut().unwrap().remove("role"), Some("host".into()));
    let plan_before = old[0]["plan"].as_object_mut().unwrap();
    assert!(plan_before.contains_key("host") && !plan_before.contains_key("role"), "the key of old");
    plan_before.remove("registry_socket");
    let old = serde_json::from_value(old).unwrap();
    assert_eq!(words(&reconcile(old, vec![plan("a"), services()[0].clone()], &build(1))), ["keep a", "new registry"]);
}
