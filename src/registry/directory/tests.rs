use std::collections::BTreeMap;
use std::time::Duration;

use super::super::store::{News, Stored, Written};
use super::*;

const MINE: u32 = 1000;
const OTHER: u32 = 2000;
const TTL: Duration = Duration::from_secs(30);

fn directory() -> Directory {
    Directory::new(Limits { rows: 6, rows_per_owner: 4, changes: 8 }, Sweeper::Directory, Revision(100))
}

fn wanted(name: &str, address: &str) -> Registration {
    Registration { name: name.to_owned(), address: address.to_owned(), ttl: TTL, pairs: BTreeMap::new() }
}

fn register(directory: &mut Directory, name: &str, address: &str, uid: u32, now: Instant) -> Result<Lease, Refusal> {
    let lease = Lease::random();
    let wish = directory.may_register(wanted(name, address), uid, lease.clone())?;
    directory.wrote(&wish, Written { version: Version(0) }, now)?;
    Ok(lease)
}

fn host(name: &str, state: &str) -> Row {
    Row {
        name: name.to_owned(),
        address: format!("unix:/run/{name}.sock"),
        lease: Lease::of_host(name),
        ttl: None,
        owner: OTHER,
        pairs: BTreeMap::from([("state".to_owned(), state.to_owned())]),
    }
}

fn addresses(rows: &[Arc<Row>]) -> Vec<&str> {
    rows.iter().map(|row| row.address.as_str()).collect()
}

fn table(directory: &Directory) -> Vec<(String, String, Lease)> {
    let (rows, more) = directory.page("", None, directory.revision(), usize::MAX);
    assert_eq!(more, None);
    let mut rows: Vec<_> =
        rows.iter().map(|e| (e.row.name.clone(), e.row.address.clone(), e.row.lease.clone())).collect();
    rows.sort();
    rows
}

#[test]
fn instances_are_handed_out_in_turns_and_new_ones_first() {
    let (mut directory, now) = (directory(), Instant::now());
    for address in ["tcp:a:1", "tcp:b:1"] {
        register(&mut directory, "web", address, MINE, now).unwrap();
    }
    let resolve = |directory: &mut Directory| directory.resolve("web", Way::Usual, now);
    assert_eq!(addresses(&resolve(&mut directory)), ["tcp:a:1", "tcp:b:1"]);
    assert_eq!(addresses(&resolve(&mut directory)), ["tcp:b:1", "tcp:a:1"]);
    register(&mut directory, "web", "tcp:c:1", MINE, now).unwrap();
    assert_eq!(addresses(&resolve(&mut directory)), ["tcp:c:1", "tcp:a:1", "tcp:b:1"]);
    assert_eq!(addresses(&resolve(&mut directory)), ["tcp:a:1", "tcp:b:1", "tcp:c:1"]);
    // Registered again, b keeps its turn.
    register(&mut directory, "web", "tcp:b:1", MINE, now).unwrap();
    assert_eq!(addresses(&resolve(&mut directory)), ["tcp:b:1", "tcp:c:1", "tcp:a:1"]);
    assert!(directory.resolve("none", Way::Usual, now).is_empty());
}

#[test]
fn a_lease_ends_at_its_time_and_not_before() {
    let (mut directory, now) = (directory(), Instant::now());
    let lease = register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
    let late = now + Duration::from_secs(20);
    let wish = directory.may_renew(&lease, MINE, late).unwrap();
    directory.wrote(&wish, Written { version: Version(0) }, late).unwrap();
    let end = late + TTL;
    assert_eq!(directory.next_due(), Some(end));
    let before = end - Duration::from_millis(1);
    assert!(directory.sweep(before, 9).is_empty());
    assert_eq!(directory.resolve("web", Way::Usual, before).len(), 1);
    // Not swept yet, and not handed out any more.
    assert!(directory.resolve("web", Way::Usual, end).is_empty());
    assert!(matches!(directory.may_renew(&lease, MINE, end), Err(Refusal::NoLease { .. })));
    assert_eq!(directory.sweep(end, 9), std::slice::from_ref(&lease));
    assert_eq!((directory.next_due(), directory.leased()), (None, 0));
    assert!(matches!(directory.wrote(&wish, Written { version: Version(0) }, end), Err(Refusal::NoLease { .. })));
}

#[test]
fn only_the_owner_and_root_change_a_row_or_add_to_a_name() {
    let (mut directory, now) = (directory(), Instant::now());
    let lease = register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
    assert_eq!(directory.may_renew(&lease, OTHER, now), Err(Refusal::NotYours { owner: MINE }));
    assert_eq!(directory.may_unregister(&lease, OTHER), Err(Refusal::NotYours { owner: MINE }));
    for address in ["tcp:a:1", "tcp:b:1"] {
        let refused = register(&mut directory, "web", address, OTHER, now);
        assert_eq!(refused, Err(Refusal::Taken { name: "web".to_owned(), owner: MINE }));
    }
    assert!(directory.may_renew(&lease, 0, now).is_ok());
    // Root may add one, which is not the owner's then.
    let roots = register(&mut directory, "web", "tcp:r:1", 0, now).unwrap();
    assert_eq!(directory.may_unregister(&roots, MINE), Err(Refusal::NotYours { owner: 0 }));
    assert_eq!(register(&mut directory, "web", "tcp:r:1", MINE, now), Err(Refusal::NotYours { owner: 0 }));
    assert!(register(&mut directory, "web", "tcp:b:1", MINE, now).is_ok());
}

#[test]
fn what_has_become_a_hosts_name_is_its_users() {
    let (mut directory, now) = (directory(), Instant::now());
    let lease = register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
    directory.hosts(vec![host("web", "up")]);
    let taken = Refusal::Taken { name: "web".to_owned(), owner: OTHER };
    assert_eq!(register(&mut directory, "web", "tcp:b:1", MINE, now), Err(taken.clone()));
    assert_eq!(register(&mut directory, "web", "tcp:a:1", MINE, now), Err(taken.clone()));
    assert_eq!(directory.may_renew(&lease, MINE, now), Err(taken));
    assert!(directory.may_unregister(&lease, MINE).is_ok());
    assert!(register(&mut directory, "web", "tcp:c:1", OTHER, now).is_ok());
}

#[test]
fn a_name_is_free_when_its_last_row_has_ended() {
    let (mut directory, now) = (directory(), Instant::now());
    let lease = register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
    let wish = directory.may_unregister(&lease, MINE).unwrap();
    directory.wrote(&wish, Written { version: Version(0) }, now).unwrap();
    assert!(register(&mut directory, "web", "tcp:a:1", OTHER, now).is_ok());
}

#[test]
fn rows_are_bounded_for_one_user_and_for_all() {
    let (mut directory, now) = (directory(), Instant::now());
    for place in 0..4 {
        register(&mut directory, "web", &format!("tcp:a:{place}"), MINE, now).unwrap();
    }
    let refused = register(&mut directory, "web", "tcp:a:9", MINE, now);
    assert_eq!(refused, Err(Refusal::OwnerFull { owner: MINE, limit: 4 }));
    // What only replaces is no further row.
    register(&mut directory, "web", "tcp:a:0", MINE, now).unwrap();
    for place in 0..2 {
        register(&mut directory, "mail", &format!("tcp:a:{place}"), OTHER, now).unwrap();
    }
    assert_eq!(register(&mut directory, "mail", "tcp:a:9", OTHER, now), Err(Refusal::Full { limit: 6 }));
}

#[test]
fn a_hosts_socket_is_the_usual_way_and_instances_the_direct_one() {
    let (mut directory, now) = (directory(), Instant::now());
    directory.hosts(vec![host("cache", "up")]);
    register(&mut directory, "cache", "tcp:a:1", 0, now).unwrap();
    assert_eq!(addresses(&directory.resolve("cache", Way::Usual, now)), ["unix:/run/cache.sock"]);
    assert_eq!(addresses(&directory.resolve("cache", Way::Direct, now)), ["tcp:a:1"]);
    let lease = Lease::of_host("cache");
    assert!(matches!(directory.may_unregister(&lease, 0), Err(Refusal::Host { .. })));
    assert!(matches!(register(&mut directory, "cache", "unix:/run/cache.sock", 0, now), Err(Refusal::Host { .. })));
    assert!(matches!(register(&mut directory, "cache", "tcp:b:1", MINE, now), Err(Refusal::Taken { .. })));
    let before = directory.revision();
    directory.hosts(vec![host("cache", "up")]);
    assert_eq!(directory.revision(), before, "what is the same is no change");
    directory.hosts(vec![host("cache", "down")]);
    directory.hosts(Vec::new());
    assert_eq!(directory.revision().0, before.0 + 2);
    assert_eq!(addresses(&directory.resolve("cache", Way::Usual, now)), ["tcp:a:1"]);
}

#[test]
fn changes_are_known_until_too_many_followed() {
    let (mut directory, now) = (directory(), Instant::now());
    let start = directory.revision();
    assert!(matches!(directory.since(Revision(start.0 - 1)), Since::Forgotten), "of another life");
    assert!(matches!(directory.since(Revision(start.0 + 1)), Since::Forgotten), "not given out yet");
    for turn in 0..8 {
        register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
        let Since::Known(known) = directory.since(start) else { panic!("{turn}") };
        assert_eq!(known.len(), turn + 1);
    }
    register(&mut directory, "web", "tcp:a:1", MINE, now).unwrap();
    assert!(matches!(directory.since(start), Since::Forgotten));
    let Since::Known(mut known) = directory.since(Revision(start.0 + 8)) else { panic!("the last one is known") };
    assert_eq!(known.next().map(|change| change.revision), Some(Revision(start.0 + 9)));
}

#[test]
fn pages_leave_out_what_is_younger_than_they_are() {
    let (mut directory, now) = (directory(), Instant::now());
    for name in ["a", "b1", "b2", "b3"] {
        register(&mut directory, name, "tcp:x:1", MINE, now).unwrap();
    }
    let until = directory.revision();
    let (first, more) = directory.page("b", None, until, 2);
    let names = |rows: &[Entry]| rows.iter().map(|entry| entry.row.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), more.as_deref()), (vec!["b1".to_owned(), "b2".to_owned()], Some("b2")));
    register(&mut directory, "b9", "tcp:x:1", OTHER, now).unwrap();
    let (second, more) = directory.page("b", Some("b2"), until, 2);
    assert_eq!((names(&second), more), (vec!["b3".to_owned()], None));
}

fn shared() -> Directory {
    Directory::new(Limits::default(), Sweeper::Store, Revision(0))
}

fn stored(name: &str, lease: &str, version: u64) -> Stored {
    let row = Row {
        name: name.to_owned(),
        address: "tcp:a:1".to_owned(),
        lease: Lease(lease.to_owned()),
        ttl: Some(TTL),
        owner: MINE,
        pairs: BTreeMap::new(),
    };
    Stored { row: Arc::new(row), left: TTL, version: Version(version) }
}

#[test]
fn an_answer_behind_the_news_brings_nothing_back() {
    let (mut directory, now) = (shared(), Instant::now());
    let lease = Lease("l1".to_owned());
    let wish = directory.may_register(wanted("web", "tcp:a:1"), MINE, lease.clone()).unwrap();
    directory.told(News::Put(stored("web", "l1", 5)), now);
    directory.told(News::Gone { lease, version: Version(6) }, now);
    assert!(directory.wrote(&wish, Written { version: Version(5) }, now).is_err());
    assert!(table(&directory).is_empty());
}

#[test]
fn news_behind_the_answer_is_no_second_change() {
    let (mut directory, now) = (shared(), Instant::now());
    let wish = directory.may_register(wanted("web", "tcp:a:1"), MINE, Lease("l1".to_owned())).unwrap();
    directory.wrote(&wish, Written { version: Version(5) }, now).unwrap();
    let revision = directory.revision();
    directory.told(News::Put(stored("web", "l1", 5)), now);
    assert_eq!(directory.revision(), revision);
    // An earlier table was read before the row was written.
    directory.told(News::Table { rows: Vec::new(), version: Version(4), revision: Revision(0) }, now);
    assert_eq!(table(&directory).len(), 1);
    directory
        .told(News::Table { rows: vec![stored("mail", "l2", 8)], version: Version(9), revision: Revision(0) }, now);
    assert_eq!(table(&directory), [("mail".to_owned(), "tcp:a:1".to_owned(), Lease("l2".to_owned()))]);
}

#[test]
fn a_shared_store_ends_leases_by_itself() {
    let (mut directory, now) = (shared(), Instant::now());
    directory.told(News::Put(stored("web", "l1", 5)), now);
    let late = now + 2 * TTL;
    assert_eq!((directory.next_due(), directory.sweep(late, 9).len()), (None, 0));
    assert_eq!(directory.resolve("web", Way::Usual, late).len(), 1);
    assert!(directory.may_renew(&Lease("l1".to_owned()), MINE, late).is_ok());
}
