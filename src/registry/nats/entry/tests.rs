//! Rows there and back.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::registry::grammar;
use crate::registry::row::Lease;

fn row(name: &str, address: &str) -> Row {
    Row {
        name: name.into(),
        address: address.into(),
        lease: Lease("l1".into()),
        ttl: Some(Duration::from_millis(30_500)),
        owner: 1000,
        pairs: BTreeMap::from([("dialect".into(), "line".into())]),
    }
}

#[test]
fn the_key_of_a_row_says_name_and_address() {
    assert_eq!(key(&row("a.b", "tcp:10.0.0.1:80"), "m"), "a=2Eb.tcp=3A10=2E0=2E0=2E1=3A80");
    assert_eq!(key(&row("a", "unix:/run/a"), "web-1.x"), "a.unix=3A/run/a.web-1=2Ex");
}

#[test]
fn a_socket_of_another_machine_is_not_seen_here() {
    let theirs = row("a", "unix:/run/a");
    let key = key(&theirs, "web2");
    assert_eq!(read(&key, &value(&theirs), "web1"), None);
    assert!(is_of_another(&key, "web1") && !is_of_another(&key, "web2"));
    let shared = row("a", "tcp:10.0.0.1:80");
    assert_eq!(read(&super::key(&shared, "web2"), &value(&shared), "web1"), Some(shared));
}

#[test]
fn what_others_wrote_wrongly_is_no_row() {
    let right = row("a", "tcp:10.0.0.1:80");
    let key = key(&right, "m");
    let with = |change: fn(&mut Row)| {
        let mut row = right.clone();
        change(&mut row);
        value(&row)
    };
    assert!(read(&key, &value(&right), "m").is_some());
    let wrong = [
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"\xff".to_vec(),
        with(|row| row.name = "b".into()),
        with(|row| row.ttl = None),
        with(|row| row.lease.0 = "two words".into()),
        with(|row| row.lease.0 = "host:a".into()),
        with(|row| row.ttl = Some(Duration::from_millis(10))),
        with(|row| _ = row.pairs.insert("owner".into(), "0".into())),
        with(|row| _ = row.pairs.insert("k".into(), "line\nbreak".into())),
        with(|row| _ = row.pairs.insert("k=k".into(), "v".into())),
        String::from_utf8_lossy(&value(&right)).replace("\"v\":1", "\"v\":2").into_bytes(),
    ];
    for value in wrong {
        assert_eq!(read(&key, &value, "m"), None, "{}", String::from_utf8_lossy(&value));
    }
}

#[test]
fn the_bucket_keeps_a_row_for_whole_seconds_and_not_less_than_its_lease() {
    for (ttl, kept) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (30_000, 30), (30_500, 31)] {
        assert_eq!(kept_for(Duration::from_millis(ttl)), Duration::from_secs(kept), "{ttl} ms");
    }
}

proptest! {
    #[test]
    fn any_row_is_read_back_and_its_key_is_one_that_nats_takes(
        name in "[a-z0-9][a-z0-9_.-]{0,62}",
        address in "(tcp:([a-z][a-z0-9.-]{0,20}|10\\.0\\.0\\.[0-9]|\\[[0-9a-f]::[0-9a-f]\\]):[1-9][0-9]{0,3}|unix:/[!-~ä]{0,40})",
        other in "[a-z0-9][a-z0-9_.-]{0,62}",
    ) {
        prop_assume!(!name.ends_with(".deferred"));
        prop_assume!(grammar::address(&address).is_ok_and(|read| grammar::written(&read) == address));
        let row = row(&name, &address);
        let key = key(&row, "host-1");
        prop_assert!(key.split('.').all(|part| !part.is_empty()), "{}", key);
        prop_assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b)), "{}", key);
        prop_assert_eq!(read(&key, &value(&row), "host-1"), Some(row.clone()));
        if other != name {
            let twin = Row { name: other, ..row };
            prop_assert_ne!(super::key(&twin, "host-1"), key);
        }
    }
}
