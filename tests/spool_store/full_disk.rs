//! A disk without a free byte: refused, drained, and accepting again without being opened again.

use std::fs;

use tieline::spool::store::{Appended, How, Id, Settled, Store, Why};

use super::{at, body, limits, new, number};

#[path = "../common/small_disk.rs"]
mod small_disk;

use small_disk::SmallDisk;

#[test]
fn a_full_disk_refuses_then_drains_then_accepts() {
    let place = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(place.path()) else { return };
    for others in [false, true] {
        let dir = place.path().join("ledger");
        let bounds = tieline::spool::store::Limits { ballast: 256 << 10, ..limits() };
        let (mut store, _) = Store::open(&dir, bounds, at(0)).unwrap();
        let (mut stored, mut refused) = (Vec::new(), 0);
        for next in 0..4_000 {
            if others && next == 100 {
                // Somebody else takes it all.
                small.fill();
            }
            match store.append(&[new(&body(next))]).unwrap()[..] {
                [Appended::Stored(_)] => stored.push(next),
                [Appended::Full(Why::Disk)] => refused += 1,
                ref other => panic!("{other:?}"),
            }
            let maintained = store.maintain(at(next), false);
            assert!(maintained.is_ok() || maintained.is_err_and(|error| error.again_helps()));
            if refused == 40 {
                break;
            }
        }
        assert_eq!(refused, 40, "the disk was not full");
        if others {
            small.free();
            small.fill();
        }
        let mut delivered = Vec::new();
        while let Some(mark) = drain(&mut store, &mut delivered) {
            store.settle(&[], mark).unwrap();
        }
        assert_eq!(delivered, stored, "all that was stored, in its order");
        if others {
            small.free();
        }
        let again = store.append(&[new(&body(1)), new(&body(2))]).unwrap();
        assert!(again.iter().all(|told| matches!(told, Appended::Stored(_))), "{again:?}");
        assert!(store.take_findings().is_empty());
        drop(store);
        let (store, findings) = Store::open(&dir, bounds, at(0)).unwrap();
        assert_eq!((store.numbers().depth, findings.damage()), (2, false));
        drop(store);
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// Delivers the next 64; none when there are none.
fn drain(store: &mut Store, delivered: &mut Vec<u64>) -> Option<Id> {
    let rows = store.next(Id(0), 64, 1 << 20).unwrap();
    let mark = rows.last()?.id;
    delivered.extend(rows.iter().map(|row| number(&row.body)));
    let settled: Vec<_> = rows.iter().map(|row| Settled { id: row.id, how: How::Delivered }).collect();
    store.settle(&settled, mark).unwrap();
    Some(mark)
}
