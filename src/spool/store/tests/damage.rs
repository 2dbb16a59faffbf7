//! Damage of known kinds; the random ones are in `tests/spool_store/`.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;

fn filled(bench: &Bench, rows: usize) {
    let mut store = bench.store();
    for number in 0..rows {
        put(&mut store, format!("body {number:05} of a deferred request").as_bytes());
    }
    store.close().unwrap();
}

/// Changes the first byte of `needle` wherever it stands in a file: what was moved once stands in nobody's row as well.
pub(super) fn flip(path: &Path, needle: &[u8]) {
    let image = fs::read(path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let places: Vec<_> = (0..image.len()).filter(|place| image[*place..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|place| file.write_all_at(&[image[*place] ^ 1], *place as u64).unwrap());
}

#[test]
fn a_flipped_body_is_never_sent_is_reported_and_stops_nobody() {
    let bench = Bench::new();
    filled(&bench, 10);
    flip(&bench.file("spool.sqlite"), b"body 00004");
    let (mut store, _) = bench.open();
    assert_eq!(ids(&mut store), [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert_eq!(store.take_findings().0, [Finding::DamagedRow { id: Id(5) }]);
    assert_eq!((store.numbers().damaged, store.numbers().depth), (1, 9));
    assert_eq!(store.list(RowState::Damaged, Id(0), 9).unwrap()[0].id, Id(5));
    assert_eq!(ids(&mut store).len(), 9);
    assert!(store.take_findings().is_empty(), "said once");
}

#[test]
fn a_swapped_row_is_seen() {
    let bench = Bench::new();
    filled(&bench, 3);
    let db = Connection::open(bench.file("spool.sqlite")).unwrap();
    db.execute_batch(
        "UPDATE pending SET body = (SELECT body FROM pending WHERE id = 1), \
                      crc = (SELECT crc FROM pending WHERE id = 1) WHERE id = 2",
    )
    .unwrap();
    drop(db);
    assert_eq!(ids(&mut bench.open().0), [1, 3]);
}

#[test]
fn a_row_that_is_gone_is_missed() {
    let bench = Bench::new();
    filled(&bench, 9);
    let db = Connection::open(bench.file("spool.sqlite")).unwrap();
    db.execute_batch("DELETE FROM pending WHERE id = 4").unwrap();
    drop(db);
    let (mut store, findings) = bench.open();
    let [Finding::Corrupt { saved: 8, missing, kept: Some(kept), .. }] = &findings.0[..] else {
        panic!("{findings:?}")
    };
    assert_eq!((missing.rows, &missing.among[..]), (Some(1), &[(4, 4)][..]));
    assert!(kept.join("spool.sqlite").exists());
    assert_eq!(ids(&mut store), [1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(put(&mut store, b"next"), Id(10));
    drop(store);
    bench.store();
}

#[test]
fn a_row_that_vanishes_while_the_store_is_open_is_missed_at_the_end_of_the_queue() {
    let bench = Bench::new();
    filled(&bench, 5);
    let mut store = bench.store();
    store.connection().unwrap().execute_batch("DELETE FROM pending WHERE id = 2").unwrap();
    assert_eq!(ids(&mut store), [1, 3, 4, 5]);
    let findings = store.take_findings();
    assert!(matches!(&findings.0[..], [Finding::Corrupt { saved: 4, .. }]), "{findings:?}");
    assert_eq!(ids(&mut store), [1, 3, 4, 5]);
    assert!(store.take_findings().is_empty());
}

#[test]
fn a_wal_whose_end_was_lost_is_behind_its_watermark() {
    let bench = Bench::new();
    filled(&bench, 5);
    let mut store = bench.store();
    for _ in 0..10 {
        put(&mut store, b"only in the wal");
    }
    store.maintain(at(10), false).unwrap();
    drop(store);
    let wal = fs::OpenOptions::new().write(true).open(bench.file("spool.sqlite-wal")).unwrap();
    wal.set_len(wal.metadata().unwrap().len() / 2).unwrap();
    let (mut store, findings) = bench.open();
    let [Finding::Corrupt { missing, .. }] = &findings.0[..] else { panic!("{findings:?}") };
    let here = ids(&mut store);
    assert!((6..15).contains(&here.len()), "{here:?}");
    assert!(missing.behind && missing.rows.is_none());
    for id in 1..=15 {
        assert!(here.contains(&id) || missing.may_be(Id(id)), "{id}: {missing:?}");
    }
    assert_eq!(put(&mut store, b"next"), Id(16));
}

#[test]
fn lost_settlements_are_behind_the_watermark_as_well() {
    let bench = Bench::new();
    filled(&bench, 5);
    let mut store = bench.store();
    store.settle(&[], Id(3)).unwrap();
    store.settle(&[settled(1, How::Delivered), settled(2, How::Delivered)], Id(3)).unwrap();
    store.maintain(at(10), false).unwrap();
    drop(store);
    fs::write(bench.file("spool.sqlite-wal"), b"").unwrap();
    let (mut store, findings) = bench.open();
    let [Finding::Corrupt { missing, .. }, Finding::InDoubt { rows: 3, .. }] = &findings.0[..] else {
        panic!("{findings:?}")
    };
    assert!(missing.behind);
    let doubts: Vec<_> = store.next(Id(0), 9, 999).unwrap().iter().map(|row| row.in_doubt).collect();
    assert_eq!(doubts, [true, true, true, false, false], "who comes back may have been sent, and says so");
}

#[test]
fn garbage_in_place_of_the_store_is_set_aside() {
    let bench = Bench::new();
    filled(&bench, 5);
    fs::write(bench.file("spool.sqlite"), vec![0xA5; 20_000]).unwrap();
    let (mut store, findings) = bench.open();
    let [Finding::Corrupt { missing, saved: 0, .. }] = &findings.0[..] else { panic!("{findings:?}") };
    assert!(missing.rows.is_none() && (1..=5).all(|id| missing.may_be(Id(id))), "{missing:?}");
    assert_eq!(put(&mut store, b"next"), Id(6));
}

#[test]
fn a_crash_between_salvage_and_its_end_is_finished_by_the_next_opener() {
    let bench = Bench::new();
    filled(&bench, 5);
    let files = Files { dir: bench.dir() };
    // As `replace` leaves it before the first rename of the damaged one: two whole stores, one of them salvaged.
    fs::copy(files.db(), files.salvaged()).unwrap();
    fs::write(files.db(), b"damaged").unwrap();
    fs::write(files.wal(), b"damaged").unwrap();
    let (mut store, findings) = bench.open();
    assert!(matches!(&findings.0[..], [Finding::Corrupt { kept: Some(_), .. }]), "{findings:?}");
    assert_eq!(ids(&mut store), [1, 2, 3, 4, 5]);
}

#[test]
fn a_damaged_watermark_is_reported_and_made_anew() {
    let bench = Bench::new();
    filled(&bench, 5);
    fs::write(bench.file("watermark"), [0x5A; 8192]).unwrap();
    let (store, findings) = bench.open();
    assert!(matches!(&findings.0[..], [Finding::Watermark { .. }]), "{findings:?}");
    store.close().unwrap();
    bench.store();
}

#[test]
fn a_loss_is_told_rather_than_that_the_watermark_is_gone() {
    let bench = Bench::new();
    filled(&bench, 5);
    fs::write(bench.file("spool.sqlite"), b"damaged").unwrap();
    fs::remove_file(bench.file("watermark")).unwrap();
    let (store, findings) = bench.open();
    assert!(findings.0.iter().any(|one| matches!(one, Finding::Watermark { .. })), "{findings:?}");
    let told = store.numbers().last_error.unwrap();
    assert!(told.contains("was damaged"), "{told}");
}

#[test]
fn one_damaged_slot_of_the_watermark_costs_nothing() {
    let bench = Bench::new();
    filled(&bench, 5);
    let mut store = bench.store();
    put(&mut store, b"x");
    store.maintain(at(5), false).unwrap();
    put(&mut store, b"x");
    store.maintain(at(10), false).unwrap();
    drop(store);
    for slot in [0u64, 4096] {
        let image = fs::read(bench.file("watermark")).unwrap();
        let mut broken = image.clone();
        broken[usize::try_from(slot).unwrap() + 20] ^= 4;
        fs::write(bench.file("watermark"), &broken).unwrap();
        drop(bench.store());
        fs::write(bench.file("watermark"), &image).unwrap();
    }
}
