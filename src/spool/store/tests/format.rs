//! Stores of format 1, which knew no tags: each becomes one of format 2 when it is opened, with all it holds.

use std::fs;

use super::damage::flip;
use super::*;
use crate::spool::store::schema::{Format, Version};

/// How many requests the store of format 1 holds here.
const ROWS: u64 = 20;

/// A store of format 1. Returns its bodies.
fn made(bench: &Bench) -> Vec<Vec<u8>> {
    let body = |number| format!("request {number:02} {}", "x".repeat(number as usize * 400)).into_bytes();
    let bodies: Vec<_> = (1..=ROWS).map(body).collect();
    first::make(&bench.dir(), &bodies);
    bodies
}

fn version(bench: &Bench) -> Format {
    schema::format(&schema::connect_read_only(&bench.file("spool.sqlite")).unwrap()).unwrap()
}

/// All entries, by whatever way of listing them.
fn entries(mut list: impl FnMut(RowState) -> Vec<Entry>) -> Vec<Entry> {
    let mut all: Vec<Entry> = RowState::ALL.into_iter().flat_map(&mut list).collect();
    all.sort_by_key(|entry| entry.id);
    all
}

fn all_of(store: &mut Store) -> Vec<Entry> {
    entries(|state| store.list(state, Id(0), 100).unwrap())
}

/// That nothing is missing or other than it was.
fn is_all(entries: &[Entry], bodies: &[Vec<u8>]) {
    assert_eq!(entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), (1..=ROWS).collect::<Vec<_>>());
    for (entry, body) in entries.iter().zip(bodies) {
        let (state, reply) = match entry.id.0 {
            ROWS => (RowState::Dead, first::REPLY),
            19 => (RowState::Held, &b""[..]),
            _ => (RowState::Pending, &b""[..]),
        };
        assert_eq!((entry.state, &entry.reply[..], entry.accepted_ms), (state, reply, first::ACCEPTED));
        assert_eq!((&entry.body, &entry.tag[..]), (body, ""));
    }
    assert_eq!((entries[0].attempts, entries[0].in_doubt), (3, true));
}

#[test]
fn a_store_of_format_1_becomes_one_of_format_2_with_all_it_holds() {
    let (bench, fresh) = (Bench::new(), Bench::new());
    let bodies = made(&bench);
    assert_eq!(version(&bench), Format::Known(Version::One));
    let mut store = bench.store();
    is_all(&all_of(&mut store), &bodies);
    assert_eq!(store.check().unwrap(), Report { rows: ROWS, ..Report::default() });
    assert_eq!(store.numbers().bytes, tags::counted(&store));
    // What comes and goes from now on stands beside rows that lack the column.
    assert_eq!(tags::put(&mut store, b"new", "7.1"), Id(ROWS + 1));
    assert_eq!(put(&mut store, b"plain"), Id(ROWS + 2));
    let crc: u32 =
        store.connection().unwrap().query_row("SELECT crc FROM pending WHERE id = 22", [], |row| row.get(0)).unwrap();
    assert_eq!(crc, first::crc(&[ROWS + 2, millis(at(0)), 0], &[b"plain"]), "without a tag it is what it was");
    let gone: Vec<_> = (1..=9).map(|id| settled(id, How::Delivered)).collect();
    store.settle(&gone, Id(0)).unwrap();
    store.release(&Which::All).unwrap();
    store.hold(&Which::These(vec![Id(10)])).unwrap();
    store.requeue(&Which::All, at(1)).unwrap();
    assert_eq!(ids(&mut store), (11..=19).chain(21..=23).collect::<Vec<_>>());
    assert!(store.take_findings().is_empty());
    assert_eq!(store.numbers().bytes, tags::counted(&store));
    store.close().unwrap();
    fresh.store().close().unwrap();
    assert_eq!(version(&bench), Format::Known(Version::Two));
    let tables = |bench: &Bench| {
        let db = Connection::open(bench.file("spool.sqlite")).unwrap();
        let mut tables = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect::<Vec<(String, String)>>()
    };
    assert_eq!(tables(&bench), tables(&fresh), "nothing tells one from the other");
    assert_eq!(ids(&mut bench.store()).len(), 12);
}

#[test]
fn a_crash_on_the_way_to_format_2_leaves_one_of_both_whole() {
    let bench = Bench::new();
    let bodies = made(&bench);
    let before = fs::read(bench.file("spool.sqlite-wal")).unwrap().len();
    let image = ["spool.sqlite", "watermark", "lock"].map(|name| (name, fs::read(bench.file(name)).unwrap()));
    drop(bench.store());
    let wal = fs::read(bench.file("spool.sqlite-wal")).unwrap();
    assert!(wal.len() > before, "it is in the wal");
    let mut seen = Vec::new();
    for cut in (before..wal.len()).step_by(1030).chain([wal.len()]) {
        let crashed = Bench::new();
        fs::create_dir(crashed.dir()).unwrap();
        image.iter().for_each(|(name, bytes)| fs::write(crashed.file(name), bytes).unwrap());
        fs::write(crashed.file("spool.sqlite-wal"), &wal[..cut]).unwrap();
        seen.push(version(&crashed));
        let reader = Store::read_only(&crashed.dir()).unwrap();
        is_all(&entries(|state| reader.list(state, Id(0), 100).unwrap()), &bodies);
        drop(reader);
        is_all(&all_of(&mut crashed.store()), &bodies);
    }
    seen.dedup();
    assert_eq!(seen, [Format::Known(Version::One), Format::Known(Version::Two)]);
}

#[test]
fn reading_a_store_of_format_1_changes_no_byte() {
    let bench = Bench::new();
    let bodies = made(&bench);
    let image = || {
        let files = fs::read_dir(bench.dir()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.map(|path| (fs::read(&path).unwrap(), path)).collect();
        files.sort();
        files
    };
    let before = image();
    let reader = Store::read_only(&bench.dir()).unwrap();
    is_all(&entries(|state| reader.list(state, Id(0), 100).unwrap()), &bodies);
    let numbers = reader.numbers();
    assert_eq!((numbers.depth, numbers.held, numbers.dead, numbers.in_doubt), (ROWS - 2, 1, 1, 1));
    assert_eq!(reader.get(Id(2)).unwrap().unwrap().body, bodies[1]);
    assert_eq!(reader.get(Id(20)).unwrap().unwrap().reply, first::REPLY);
    assert_eq!(reader.check().unwrap(), Report { rows: ROWS, ..Report::default() });
    drop(reader);
    assert!(before == image());
    is_all(&all_of(&mut bench.store()), &bodies);
}

#[test]
fn a_damaged_store_of_format_1_is_salvaged_into_one_of_format_2() {
    let bench = Bench::new();
    let bodies = made(&bench);
    let db = Connection::open(bench.file("spool.sqlite")).unwrap();
    db.execute_batch("DELETE FROM pending WHERE id = 4").unwrap();
    drop(db);
    let (mut store, findings) = bench.open();
    let [Finding::Corrupt { saved: 19, missing, .. }] = &findings.0[..] else { panic!("{findings:?}") };
    assert_eq!((missing.rows, &missing.among[..]), (Some(1), &[(4, 4)][..]));
    let mut here = all_of(&mut store);
    here.insert(3, Entry { id: Id(4), body: bodies[3].clone(), ..here[4].clone() });
    is_all(&here, &bodies);
    assert_eq!(store.numbers().bytes, tags::counted(&store));
    store.close().unwrap();
    assert_eq!(version(&bench), Format::Known(Version::Two));
    bench.store();
}

#[test]
fn a_flipped_body_in_a_store_of_format_1_is_set_aside() {
    let bench = Bench::new();
    made(&bench);
    flip(&bench.file("spool.sqlite"), b"request 03");
    let mut store = bench.store();
    assert_eq!(ids(&mut store), [1, 2].into_iter().chain(4..=18).collect::<Vec<_>>());
    assert_eq!(store.take_findings().0, [Finding::DamagedRow { id: Id(3) }]);
    assert_eq!(store.numbers().bytes, tags::counted(&store));
}

#[test]
fn a_store_of_format_1_that_is_one_commit_behind_its_watermark_is_not_made_level_with_it() {
    let bench = Bench::new();
    made(&bench);
    first::watermark(&bench.dir(), ROWS, first::COMMITS + 1);
    let (mut store, findings) = bench.open();
    assert!(matches!(&findings.0[..], [Finding::Corrupt { missing, .. }] if missing.behind), "{findings:?}");
    assert_eq!(ids(&mut store).len(), 18);
}

#[test]
fn a_head_that_says_the_other_format_is_damage_and_costs_no_row() {
    for (is_first, says) in [(true, 2), (false, 1)] {
        let bench = Bench::new();
        made(&bench);
        if !is_first {
            bench.store().close().unwrap();
        }
        let db = Connection::open(bench.file("spool.sqlite")).unwrap();
        db.execute_batch(&format!("PRAGMA user_version={says}")).unwrap();
        drop(db);
        assert!(matches!(Store::read_only(&bench.dir()), Err(StoreError::Corrupt { .. })));
        let (mut store, findings) = bench.open();
        let [Finding::Corrupt { saved: ROWS, missing, .. }] = &findings.0[..] else { panic!("{findings:?}") };
        assert!(missing.nothing());
        assert_eq!(ids(&mut store).len(), 18);
    }
}

#[test]
fn what_a_store_of_format_1_may_have_sent_is_in_doubt() {
    let bench = Bench::new();
    made(&bench);
    let mut store = bench.store();
    store.settle(&[], Id(3)).unwrap();
    drop(store);
    assert_eq!(bench.open().1.0, [Finding::InDoubt { rows: 3, held: false }]);
}
