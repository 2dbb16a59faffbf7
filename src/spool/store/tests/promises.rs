//! The store's promises, one by one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn sqlite_is_new_enough() {
    assert!(rusqlite::version_number() >= schema::SQLITE_AT_LEAST, "{}", rusqlite::version());
}

#[test]
fn what_is_stored_is_there_after_a_crash_in_its_order() {
    let bench = Bench::new();
    let mut store = bench.store();
    for number in 0..50u8 {
        assert_eq!(put(&mut store, &[number]).0, u64::from(number) + 1);
    }
    drop(store);
    let (mut store, findings) = bench.open();
    assert!(findings.is_empty(), "nothing was sent, so nothing is in doubt: {findings:?}");
    assert_eq!(bodies(&mut store), (0..50u8).map(|number| vec![number]).collect::<Vec<_>>());
}

#[test]
fn a_page_of_what_comes_next_keeps_to_its_bounds_but_has_one_row() {
    let bench = Bench::new();
    let mut store = bench.store();
    for _ in 0..5 {
        put(&mut store, &[7; 1000]);
    }
    assert_eq!(store.next(Id(0), 3, usize::MAX).unwrap().len(), 3);
    assert_eq!(store.next(Id(0), 10, 2500).unwrap().len(), 2);
    assert_eq!(store.next(Id(3), 10, 1).unwrap()[0].id, Id(4));
}

#[test]
fn an_id_never_comes_twice_even_if_the_store_is_thrown_away() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"one");
    put(&mut store, b"two");
    store.settle(&[settled(2, How::Delivered)], Id(2)).unwrap();
    store.close().unwrap();
    for name in ["spool.sqlite", "spool.sqlite-wal"] {
        fs::remove_file(bench.file(name)).unwrap();
    }
    let (mut store, findings) = bench.open();
    assert!(findings.damage(), "{findings:?}");
    assert_eq!(put(&mut store, b"three"), Id(3));
}

#[test]
fn the_last_row_delivered_does_not_give_its_id_back() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"one");
    store.settle(&[settled(1, How::Delivered)], Id(1)).unwrap();
    drop(store);
    assert_eq!(put(&mut bench.store(), b"two"), Id(2));
}

#[test]
fn what_may_have_been_sent_is_in_doubt_after_a_crash_and_nothing_else() {
    let bench = Bench::new();
    let mut store = bench.store();
    for _ in 0..5 {
        put(&mut store, b"x");
    }
    assert_eq!(store.settle(&[], Id(3)).unwrap(), Id(3));
    store.settle(&[settled(1, How::Delivered)], Id(3)).unwrap();
    drop(store);
    let (mut store, findings) = bench.open();
    assert_eq!(findings.0, [Finding::InDoubt { rows: 2, held: false }]);
    assert_eq!(store.numbers().in_doubt, 2);
    let doubts: Vec<_> = store.next(Id(0), 9, 999).unwrap().iter().map(|row| (row.id.0, row.in_doubt)).collect();
    assert_eq!(doubts, [(2, true), (3, true), (4, false), (5, false)]);
}

#[test]
fn with_replay_hold_what_is_in_doubt_is_held() {
    let mut bench = Bench::new();
    bench.limits.hold_in_doubt = true;
    let mut store = bench.store();
    put(&mut store, b"one");
    put(&mut store, b"two");
    store.append(&[New { in_doubt: true, ..new(b"three") }]).unwrap();
    assert_eq!((store.numbers().held, store.numbers().depth), (1, 2));
    store.settle(&[settled(2, How::Unknown { why: "cut".into() })], Id(2)).unwrap();
    assert_eq!((store.numbers().held, store.numbers().depth), (2, 1));
    drop(store);
    let (mut store, findings) = bench.open();
    assert_eq!(findings.0, [Finding::InDoubt { rows: 1, held: true }]);
    assert_eq!((store.numbers().held, store.numbers().in_doubt), (3, 3));
    assert_eq!(store.release(&Which::All).unwrap(), 3);
    assert_eq!(ids(&mut store), [1, 2, 3]);
}

#[test]
fn the_mark_never_covers_rows_that_are_not_there_yet() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"one");
    assert_eq!(store.settle(&[], Id(64)).unwrap(), Id(1));
    put(&mut store, b"two");
    drop(store);
    assert_eq!(bench.open().1.0, [Finding::InDoubt { rows: 1, held: false }]);
}

#[test]
fn the_dead_keep_reply_and_reason_and_can_be_requeued_at_the_tail() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"one");
    put(&mut store, b"two");
    let how = How::Dead { reply: b"-ERR no".to_vec(), why: "rejected".into() };
    store.settle(&[settled(1, how)], Id(2)).unwrap();
    let dead = store.list(RowState::Dead, Id(0), 10).unwrap();
    assert_eq!((dead.len(), &dead[0].reply[..], dead[0].last_error.as_deref()), (1, &b"-ERR no"[..], Some("rejected")));
    assert_eq!(store.requeue(&Which::All, at(9)).unwrap(), [(Id(1), Id(3))]);
    let again = store.get(Id(3)).unwrap().unwrap();
    assert_eq!((again.requeued_from, &again.body[..]), (Some(Id(1)), &b"one"[..]));
    assert_eq!((ids(&mut store), store.numbers().dead), (vec![2, 3], 0));
}

#[test]
fn what_waited_too_long_goes_to_the_dead() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"old");
    let young = New { accepted_ms: millis(at(60)), ..new(b"young") };
    store.append(&[young]).unwrap();
    let later = at(30) + bench.limits.expire;
    assert_eq!(store.expire(later).unwrap(), 1);
    assert_eq!((bodies(&mut store), store.numbers().dead), (vec![b"young".to_vec()], 1));
    assert_eq!(store.numbers().oldest_ms, Some(millis(at(60))));
}

#[test]
fn the_quota_refuses_and_takes_again_when_there_is_room() {
    let mut bench = Bench::new();
    bench.limits.max_bytes = 3 * (100 + ROW_COST);
    let mut store = bench.store();
    let told = store.append(&[new(&[1; 100]), new(&[2; 100]), new(&[3; 101]), new(&[4; 100])]).unwrap();
    assert!(matches!(
        told[..],
        [Appended::Stored(_), Appended::Stored(_), Appended::Full(Why::Quota { .. }), Appended::Stored(_)]
    ));
    assert!(matches!(store.append(&[new(b"")]).unwrap()[..], [Appended::Full(_)]));
    store.settle(&[settled(1, How::Delivered)], Id(1)).unwrap();
    assert!(matches!(store.append(&[new(&[5; 100])]).unwrap()[..], [Appended::Stored(Id(4))]));
}

#[test]
fn below_the_free_floor_nothing_is_accepted() {
    let mut bench = Bench::new();
    bench.limits.free_floor_percent = 101;
    let (mut store, _) = bench.open();
    assert!(matches!(store.append(&[new(b"x")]).unwrap()[..], [Appended::Full(Why::FreeDisk { floor: 101, .. })]));
}

#[test]
fn a_second_opener_is_told_at_once_who_has_it() {
    let bench = Bench::new();
    let store = bench.store();
    for refused in [Store::open(&bench.dir(), bench.limits, at(0)).map(drop), Store::read_only(&bench.dir()).map(drop)]
    {
        let told = refused.unwrap_err();
        assert!(told.again_helps() && told.to_string().contains(&std::process::id().to_string()), "{told}");
    }
    drop(store);
    bench.store();
}

#[test]
fn a_newer_format_is_left_alone() {
    let bench = Bench::new();
    bench.store().close().unwrap();
    let db = Connection::open(bench.file("spool.sqlite")).unwrap();
    db.execute_batch("PRAGMA user_version=3; UPDATE state SET version = 3").unwrap();
    drop(db);
    let before = fs::read(bench.file("spool.sqlite")).unwrap();
    for _ in 0..2 {
        let told = Store::open(&bench.dir(), bench.limits, at(0)).unwrap_err();
        assert!(matches!(told, StoreError::TooNew { found: 3, known: 2, .. }), "{told}");
    }
    assert!(matches!(Store::read_only(&bench.dir()), Err(StoreError::TooNew { .. })));
    assert_eq!(fs::read(bench.file("spool.sqlite")).unwrap(), before);
}

#[test]
fn reading_beside_a_wal_that_was_left_behind_changes_no_byte() {
    let bench = Bench::new();
    let mut store = bench.store();
    for _ in 0..20 {
        put(&mut store, b"only in the wal");
    }
    drop(store);
    let image = |name: &str| fs::read(bench.file(name)).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(bench.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (image("spool.sqlite"), image("spool.sqlite-wal"), names());
    assert!(before.1.len() > 4096, "the rows are in the wal");
    let reader = Store::read_only(&bench.dir()).unwrap();
    assert_eq!(reader.numbers().depth, 20);
    assert_eq!(reader.list(RowState::Pending, Id(0), 100).unwrap().len(), 20);
    assert_eq!(reader.check().unwrap(), Report { rows: 20, ..Report::default() });
    assert!(Store::open(&bench.dir(), bench.limits, at(0)).is_err_and(|error| error.again_helps()));
    drop(reader);
    assert_eq!((image("spool.sqlite"), image("spool.sqlite-wal"), names()), before);
    assert_eq!(ids(&mut bench.store()).len(), 20);
}

#[test]
fn reading_where_there_is_no_wal_makes_none() {
    let bench = Bench { root: tempfile::Builder::new().prefix("odd %20?#&").tempdir().unwrap(), ..Bench::new() };
    let mut store = bench.store();
    put(&mut store, b"x");
    store.close().unwrap();
    fs::remove_file(bench.file("spool.sqlite-wal")).unwrap();
    let reader = Store::read_only(&bench.dir()).unwrap();
    assert_eq!(reader.get(Id(1)).unwrap().unwrap().body, b"x");
    assert!(!bench.file("spool.sqlite-wal").exists());
}

#[test]
fn no_store_is_no_store() {
    let bench = Bench::new();
    assert!(matches!(Store::read_only(&bench.dir()), Err(StoreError::Absent { .. })));
    assert!(!bench.dir().exists());
}

#[test]
fn a_clean_stop_leaves_one_file_and_an_exact_watermark() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"x");
    let mark = store.state.mark();
    store.close().unwrap();
    assert_eq!(files::size(&bench.file("spool.sqlite-wal")), 0);
    let (watermark, _) = Watermark::open(&Files { dir: bench.dir() }).unwrap();
    assert_eq!(watermark.written(), mark);
}

#[test]
fn others_may_not_read_the_files() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"secret");
    for name in ["", "spool.sqlite", "spool.sqlite-wal", "watermark", "lock", "ballast"] {
        let mode = fs::metadata(bench.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
    }
}

#[test]
fn the_watermark_is_written_once_a_second_and_an_idle_store_wants_nothing() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.maintain(at(0), true).unwrap();
    assert_eq!(store.due(at(0)), None, "nothing to be done");
    put(&mut store, b"x");
    assert_eq!(store.due(at(0)), Some(Duration::from_secs(1)));
    store.maintain(at(0), false).unwrap();
    assert_eq!(store.watermark.written().highest, 0, "not within the same second");
    store.maintain(at(1), true).unwrap();
    assert_eq!(store.watermark.written().highest, 1);
    assert_eq!(store.due(at(1)), None);
}

#[test]
fn a_long_wal_is_truncated_and_an_empty_store_gives_its_pages_back() {
    let mut bench = Bench::new();
    bench.limits.ballast = 0;
    let mut store = bench.store();
    let body = vec![1; 1 << 20];
    for _ in 0..66 {
        put(&mut store, &body);
    }
    assert!(files::size(&bench.file("spool.sqlite-wal")) > 64 << 20);
    store.maintain(at(1), false).unwrap();
    assert_eq!(files::size(&bench.file("spool.sqlite-wal")), 0);
    store.drop_rows(RowState::Pending, &Which::All).unwrap();
    store.maintain(at(2), true).unwrap();
    assert!(files::size(&bench.file("spool.sqlite")) < 1 << 20);
    assert_eq!(put(&mut store, b"x"), Id(67), "and the IDs go on");
}

#[test]
fn the_wal_is_written_from_its_start_again_while_requests_keep_coming() {
    let bench = Bench::new();
    let mut store = bench.store();
    let mut fill = |commits: usize| {
        for _ in 0..commits {
            put(&mut store, b"row");
            store.maintain(at(0), false).unwrap();
        }
        fs::metadata(bench.file("spool.sqlite-wal")).unwrap().len()
    };
    let once = fill(300);
    assert!(once > 0);
    assert!(fill(1500) < 2 * once, "it grows on");
}

#[test]
fn a_row_delivered_while_it_was_held_or_dropped_by_hand_leaves_in_peace() {
    let bench = Bench::new();
    let mut store = bench.store();
    put(&mut store, b"one");
    put(&mut store, b"two");
    store.settle(&[], Id(2)).unwrap();
    store.hold(&Which::These(vec![Id(1)])).unwrap();
    store.drop_rows(RowState::Pending, &Which::These(vec![Id(2)])).unwrap();
    store.settle(&[settled(1, How::Delivered), settled(2, How::Delivered)], Id(2)).unwrap();
    let numbers = store.numbers();
    assert_eq!((numbers.depth, numbers.held, numbers.bytes), (0, 0, 0));
    assert!(store.take_findings().is_empty());
}
