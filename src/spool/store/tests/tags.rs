//! Tags: a request's own goes with it wherever it goes.

use std::fs;
use std::os::unix::fs::FileExt;

use super::damage::flip;
use super::*;

/// Stores a body with a tag.
pub(super) fn put(store: &mut Store, body: &[u8], tag: &str) -> Id {
    match store.append(&[New { tag, ..new(body) }]).unwrap()[..] {
        [Appended::Stored(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

/// What counts against the quota, counted anew.
pub(super) fn counted(store: &Store) -> u64 {
    let each = "64 + length(body) + length(CAST(tag AS BLOB))";
    let select = format!(
        "SELECT (SELECT coalesce(sum({each}), 0) FROM pending) + \
         (SELECT coalesce(sum({each} + length(reply)), 0) FROM parked)"
    );
    store.connection().unwrap().query_row(&select, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

/// A store with three requests; the second has no tag.
fn filled(bench: &Bench) -> Store {
    let mut store = bench.store();
    for tag in ["7f.1", "", &"z".repeat(64)] {
        put(&mut store, b"body", tag);
    }
    store
}

fn waiting(store: &mut Store) -> Vec<String> {
    store.next(Id(0), 100, usize::MAX).unwrap().into_iter().map(|pending| pending.tag).collect()
}

fn listed(store: &mut Store, state: RowState) -> Vec<String> {
    store.list(state, Id(0), 100).unwrap().into_iter().map(|entry| entry.tag).collect()
}

#[test]
fn a_tag_stays_with_its_request_whatever_happens_to_it() {
    let bench = Bench::new();
    let mut store = filled(&bench);
    let tags = ["7f.1".to_owned(), String::new(), "z".repeat(64)];
    assert_eq!((waiting(&mut store), listed(&mut store, RowState::Pending)), (tags.to_vec(), tags.to_vec()));
    drop(store);
    let mut store = bench.store();
    assert_eq!(waiting(&mut store), tags, "after a crash");
    store.hold(&Which::All).unwrap();
    drop(store);
    let mut store = bench.store();
    assert_eq!(listed(&mut store, RowState::Held), tags, "held");
    assert_eq!(store.numbers().bytes, counted(&store));
    store.release(&Which::All).unwrap();
    let why = String::from("cut");
    let ends = [settled(1, How::Unknown { why: why.clone() }), settled(2, How::Failed { why: why.clone() })];
    store.settle(&ends, Id(3)).unwrap();
    assert_eq!(waiting(&mut store), tags, "tried");
    store.close().unwrap();
    assert_eq!(
        Store::read_only(&bench.dir()).unwrap().get(Id(1)).unwrap().map(|entry| entry.tag),
        Some("7f.1".to_owned())
    );
    let (mut store, _) = bench.open();
    store.settle(&[settled(3, How::Held { why })], Id(0)).unwrap();
    assert_eq!(store.get(Id(3)).unwrap().unwrap().tag, tags[2]);
    store.release(&Which::All).unwrap();
    assert_eq!(store.expire(at(60) + bench.limits.expire).unwrap(), 3);
    assert_eq!(listed(&mut store, RowState::Dead), tags, "expired");
    assert_eq!(store.numbers().bytes, counted(&store));
}

#[test]
fn who_is_in_doubt_and_held_for_it_keeps_its_tag() {
    let mut bench = Bench::new();
    bench.limits.hold_in_doubt = true;
    let mut store = bench.store();
    store.append(&[New { tag: "7f.9", in_doubt: true, ..new(b"x") }]).unwrap();
    put(&mut store, b"y", "7f.a");
    store.settle(&[], Id(2)).unwrap();
    drop(store);
    let (mut store, _) = bench.open();
    assert_eq!(listed(&mut store, RowState::Held), ["7f.9", "7f.a"]);
}

#[test]
fn who_is_requeued_keeps_its_tag_unless_it_was_answered_and_has_another_one_then() {
    let bench = Bench::new();
    let mut store = filled(&bench);
    let dead = |id, reply: &[u8]| settled(id, How::Dead { reply: reply.to_vec(), why: "no".to_owned() });
    store.settle(&[dead(1, b"error: no\n"), dead(3, b"")], Id(3)).unwrap();
    assert_eq!(store.requeue(&Which::All, at(9)).unwrap(), [(Id(1), Id(4)), (Id(3), Id(5))]);
    let tags = waiting(&mut store);
    assert_eq!(
        (&*tags[0], &*tags[2]),
        ("", &*"z".repeat(64)),
        "no tag stays none, and one that was not answered its own"
    );
    assert!(tags[1].ends_with(".0") && tags[1].len() > 10 && tags[1].len() <= 64, "{tags:?}");
    assert_eq!(store.numbers().bytes, counted(&store));
}

#[test]
fn a_tag_that_is_not_what_it_was_is_never_sent() {
    for (from, to) in [(b'7', b'6'), (b'7', 0xff), (b'f', b' '), (b'.', 0)] {
        let bench = Bench::new();
        let mut store = bench.store();
        for tag in ["7f.1", "7f.2", "7f.3"] {
            put(&mut store, b"the same", tag);
        }
        store.hold(&Which::These(vec![Id(3)])).unwrap();
        store.close().unwrap();
        let image = fs::read(bench.file("spool.sqlite")).unwrap();
        let file = fs::OpenOptions::new().write(true).open(bench.file("spool.sqlite")).unwrap();
        for place in (0..image.len() - 4).filter(|place| [&b"7f.2"[..], b"7f.3"].contains(&&image[*place..place + 4])) {
            let byte = (0..4).find(|byte| image[place + byte] == from).unwrap();
            file.write_all_at(&[to], (place + byte) as u64).unwrap();
        }
        let mut store = bench.store();
        assert_eq!(ids(&mut store), [1]);
        assert_eq!(store.take_findings().0, [Finding::DamagedRow { id: Id(2) }]);
        assert_eq!(store.get(Id(3)).unwrap().unwrap().state, RowState::Damaged);
        assert_eq!(store.release(&Which::All).unwrap(), 0);
        assert_eq!(store.numbers().bytes, counted(&store));
        store.drop_rows(RowState::Damaged, &Which::These(vec![Id(2), Id(3)])).unwrap();
        assert_eq!((store.numbers().bytes, counted(&store)), (8 + 4 + ROW_COST, 8 + 4 + ROW_COST));
    }
}

#[test]
fn a_tag_that_is_gone_or_anothers_is_seen() {
    let moved = "body = CAST(body || tag AS BLOB), tag = ''";
    for change in ["tag = ''", "tag = (SELECT tag FROM pending WHERE id = 1)", moved] {
        let bench = Bench::new();
        let mut store = bench.store();
        for tag in ["7f.1", "7f.2"] {
            put(&mut store, b"the same", tag);
        }
        store.close().unwrap();
        let db = Connection::open(bench.file("spool.sqlite")).unwrap();
        db.execute_batch(&format!("UPDATE pending SET {change} WHERE id = 2")).unwrap();
        drop(db);
        assert_eq!(ids(&mut bench.open().0), [1], "{change}");
    }
}

#[test]
fn a_salvaged_request_has_its_tag() {
    let bench = Bench::new();
    let mut store = filled(&bench);
    put(&mut store, b"four", "7f.4");
    put(&mut store, b"five", "7f.5");
    store.hold(&Which::These(vec![Id(3)])).unwrap();
    store.close().unwrap();
    flip(&bench.file("spool.sqlite"), b"7f.5");
    let db = Connection::open(bench.file("spool.sqlite")).unwrap();
    db.execute_batch("DELETE FROM pending WHERE id = 4").unwrap();
    drop(db);
    let (mut store, findings) = bench.open();
    assert!(matches!(&findings.0[..], [Finding::Corrupt { saved: 4, .. }]), "{findings:?}");
    assert_eq!(waiting(&mut store), ["7f.1", ""]);
    assert_eq!(listed(&mut store, RowState::Held), ["z".repeat(64)]);
    assert_eq!(store.get(Id(5)).unwrap().unwrap().state, RowState::Damaged);
    assert_eq!(store.numbers().bytes, counted(&store));
}

#[test]
fn the_quota_counts_tags() {
    let mut bench = Bench::new();
    bench.limits.max_bytes = 2 * (100 + 4 + ROW_COST);
    let mut store = bench.store();
    let tagged = |tag| New { tag, ..new(&[1; 100]) };
    let told = store.append(&[tagged("7f.1"), tagged("7f.22"), tagged("7f.3")]).unwrap();
    assert!(matches!(told[..], [Appended::Stored(_), Appended::Full(Why::Quota { .. }), Appended::Stored(_)]));
    store.settle(&[settled(1, How::Delivered), settled(2, How::Delivered)], Id(2)).unwrap();
    assert_eq!(store.numbers().bytes, 0);
}
