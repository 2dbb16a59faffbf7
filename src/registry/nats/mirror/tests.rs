//! Entries in, news out.

use std::collections::BTreeMap;

use super::*;
use crate::registry::row::{Lease, Row};

const MACHINE: &str = "m";

fn row(name: &str, lease: &str) -> Row {
    let address = "tcp:10.0.0.1:80".to_owned();
    let ttl = Some(Duration::from_secs(30));
    Row { name: name.into(), address, lease: Lease(lease.into()), ttl, owner: 7, pairs: BTreeMap::new() }
}

fn put(row: &Row, version: u64) -> Entry {
    let age = Duration::from_secs(10);
    Entry { key: entry::key(row, MACHINE), value: Some(entry::value(row)), version: Version(version), age }
}

fn end(row: &Row, version: u64) -> Entry {
    Entry { value: None, ..put(row, version) }
}

fn stored(row: &Row, version: u64) -> Stored {
    Stored { row: Arc::new(row.clone()), left: Duration::from_secs(20), version: Version(version) }
}

fn mirror() -> Mirror {
    Mirror::new(MACHINE.into())
}

#[test]
fn a_table_has_what_stands_and_nothing_that_ended() {
    let (a, b) = (row("a", "1"), row("b", "2"));
    let news = mirror().table(vec![put(&a, 3), end(&b, 4)], Version(9));
    assert_eq!(news, News::Table { rows: vec![stored(&a, 3)], version: Version(9), revision: Revision(0) });
}

#[test]
fn an_end_is_told_under_the_lease_that_stood_there() {
    let mut mirror = mirror();
    let (first, second) = (row("a", "1"), row("a", "2"));
    assert_eq!(mirror.take(put(&first, 1)), Some(News::Put(stored(&first, 1))));
    assert_eq!(mirror.take(put(&second, 2)), Some(News::Put(stored(&second, 2))));
    assert_eq!(mirror.take(end(&second, 3)), Some(News::Gone { lease: Lease("2".into()), version: Version(3) }));
    assert_eq!(mirror.take(end(&second, 4)), None);
}

#[test]
fn a_row_of_an_earlier_table_is_forgotten_with_the_next() {
    let mut mirror = mirror();
    let a = row("a", "1");
    mirror.table(vec![put(&a, 1)], Version(1));
    mirror.table(Vec::new(), Version(1));
    assert_eq!(mirror.take(end(&a, 2)), None);
}

#[test]
fn a_value_that_is_no_row_ends_the_row_that_stood_there() {
    let mut mirror = mirror();
    let a = row("a", "1");
    mirror.table(vec![put(&a, 1)], Version(1));
    let broken = Entry { value: Some(b"{".to_vec()), ..put(&a, 2) };
    assert_eq!(mirror.take(broken), Some(News::Gone { lease: Lease("1".into()), version: Version(2) }));
}

#[test]
fn a_lease_has_nothing_left_when_its_time_is_over_and_the_bucket_has_not_said_so() {
    let a = row("a", "1");
    let old = Entry { age: Duration::from_secs(31), ..put(&a, 1) };
    let Some(News::Put(stored)) = mirror().take(old) else { panic!("no row") };
    assert_eq!(stored.left, Duration::ZERO);
}

#[test]
fn a_name_is_whose_it_was_before_whatever_was_renewed_since() {
    let at = |address: &str, owner, lease: &str| Row { address: address.into(), owner, ..row("a", lease) };
    let (theirs, mine) = (at("tcp:10.0.0.1:1", 7, "t"), at("tcp:10.0.0.2:1", 8, "m"));
    let mut mirror = mirror();
    mirror.take(put(&theirs, 1));
    mirror.take(put(&mine, 2));
    mirror.take(put(&theirs, 3));
    assert_eq!(mirror.first_owner(&mine, Version(2)), Some(7), "they were first, and have only been renewed");
    assert_eq!(mirror.first_owner(&theirs, Version(1)), None);
    assert_eq!(mirror.first_owner(&at("tcp:10.0.0.3:1", 0, "r"), Version(9)), None, "root may");
    assert_eq!(mirror.first_owner(&at("tcp:10.0.0.3:1", 8, "n"), Version(9)), None, "who has a row there may");
    assert_eq!(mirror.first_owner(&row("b", "b"), Version(9)), None, "nobody has that name");
    mirror.take(end(&theirs, 4));
    assert_eq!(mirror.first_owner(&mine, Version(2)), None, "who has gone has no say");
    assert_eq!((mirror.seen(), mirror.rows()), (Version(4), 1));
}
