//! Bits flip and files lose their ends, at random places: never a wrong body, never a silent loss, never a store that
//! cannot be opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tieline::spool::store::{Appended, Finding, Findings, How, Id, RowState, Settled, Store};

use super::{TAG, at, body, copy_dir, limits, new, number, rounds, scratch};

/// A store as it was left, and what it held.
struct Base {
    dir: tempfile::TempDir,
    /// Number of each request that waited, by ID.
    waiting: BTreeMap<u64, u64>,
    highest: u64,
}

/// `clean` leaves all of it in the one file; else the last part is in the WAL alone, covered by the watermark.
fn base(clean: bool, rows: u64) -> Base {
    let dir = scratch();
    let (mut store, _) = Store::open(&dir.path().join("ledger"), limits(), at(0)).unwrap();
    let mut waiting = BTreeMap::new();
    for number in 0..rows {
        let [Appended::Stored(id)] = store.append(&[new(&body(number))]).unwrap()[..] else { panic!("refused") };
        waiting.insert(id.0, number);
        if number == rows / 2 {
            store.maintain(at(5), true).unwrap();
        }
    }
    let gone: Vec<u64> = (1..=rows / 5).chain([rows / 2, rows - 3]).collect();
    let settled: Vec<_> = gone.iter().map(|id| Settled { id: Id(*id), how: How::Delivered }).collect();
    store.settle(&settled, Id(0)).unwrap();
    waiting.retain(|id, _| !gone.contains(id));
    let dead = How::Dead { reply: b"error".to_vec(), why: "rejected".to_owned() };
    store.settle(&[Settled { id: Id(rows / 3), how: dead }], Id(0)).unwrap();
    waiting.remove(&(rows / 3));
    store.maintain(at(10), false).unwrap();
    if clean {
        store.close().unwrap();
    }
    Base { dir, waiting, highest: rows }
}

#[test]
fn damage_is_never_sent_never_silent_and_never_in_the_way() {
    let bases = [base(true, 60), base(false, 60), base(true, 8), base(false, 400)];
    let seed: u64 = std::env::var("TIELINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let scratch = scratch();
    let (trials, mut seen) = (rounds(800, 20_000), 0);
    for trial in 0..trials {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003) + trial as u64);
        let base = &bases[trial % bases.len()];
        let dir = scratch.path().join("ledger");
        copy_dir(&base.dir.path().join("ledger"), &dir);
        let what = harm(&dir, &mut rng);
        seen += usize::from(judge(&dir, base, &format!("trial {trial} (seed {seed}): {what}")));
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("{trials} damaged stores, {seen} of which showed it");
    assert!(seen * 4 > trials, "most places matter");
}

/// Damages one file in one to three places.
fn harm(dir: &Path, rng: &mut fastrand::Rng) -> String {
    let names = ["spool.sqlite", "spool.sqlite-wal", "watermark"];
    let there: Vec<_> =
        names.into_iter().filter(|name| fs::metadata(dir.join(name)).is_ok_and(|m| m.len() > 0)).collect();
    let weights = [there[0], there[0], there[1], there[1], there[there.len() - 1]];
    let name = weights[rng.usize(..weights.len())];
    let mut image = fs::read(dir.join(name)).unwrap();
    let mut told = name.to_owned();
    for _ in 0..rng.usize(1..=3) {
        let place = match rng.u8(..8) {
            0 | 1 => rng.usize(..image.len().min(4200)),
            2 => in_a_tag(&image, rng),
            _ => rng.usize(..image.len()),
        };
        match rng.u8(..8) {
            0 => {
                image.truncate(place.max(1));
                told += &format!(", cut at {place}");
            }
            1 => {
                let end = (place + 512).min(image.len());
                image[place..end].fill(0);
                told += &format!(", 512 zeros at {place}");
            }
            2 => {
                let page = place / 4096 * 4096;
                let end = (page + 4096).min(image.len());
                let from = rng.usize(..=image.len() / 4096) * 4096;
                let copy: Vec<u8> = image.iter().copied().skip(from).take(end - page).collect();
                image[page..page + copy.len()].copy_from_slice(&copy);
                told += &format!(", page at {page} replaced by that at {from}");
            }
            _ => {
                let bit = rng.u8(..8);
                image[place] ^= 1 << bit;
                told += &format!(", bit {bit} at {place}");
            }
        }
    }
    fs::write(dir.join(name), image).unwrap();
    told
}

/// Somewhere in a tag, if there is one behind a place; tags are so short that chance alone seldom finds one.
fn in_a_tag(image: &[u8], rng: &mut fastrand::Rng) -> usize {
    let from = rng.usize(..image.len());
    let tag = image[from..].windows(TAG.len()).take(40_000).position(|window| window == TAG.as_bytes());
    from + tag.map_or(0, |tag| tag + rng.usize(..TAG.len()))
}

/// Whether the damage was seen.
fn judge(dir: &Path, base: &Base, what: &str) -> bool {
    let opened = Store::open(dir, limits(), at(100));
    let (mut store, mut findings) = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut got: BTreeMap<u64, u64> = BTreeMap::new();
    loop {
        let after = got.last_key_value().map_or(Id(0), |(id, _)| Id(*id));
        let rows = store.next(after, 50, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
        if rows.is_empty() {
            break;
        }
        for row in rows {
            assert!(row.id > after || got.is_empty(), "{what}: order");
            assert_eq!(row.tag, TAG, "{what}: another tag");
            got.insert(row.id.0, number(&row.body));
        }
        assert!(got.len() < 1000, "{what}: a loop");
    }
    // As the replay does when it has come to the end.
    let again = store.next(Id(0), 10_000, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again.len(), got.len(), "{what}");
    findings.0.append(&mut store.take_findings().0);
    let behind = behind(&findings);
    for (id, number) in &got {
        assert_eq!(*number + 1, *id, "{what}: another's body");
        assert!(base.waiting.contains_key(id) || behind, "{what}: {id} had left and is back, unsaid: {findings:?}");
    }
    for id in base.waiting.keys().filter(|id| !got.contains_key(id)) {
        assert!(said(*id, &findings, &mut store), "{what}: {id} is lost, unsaid: {findings:?}");
    }
    settle_all(&mut store, &got, what);
    let [Appended::Stored(id)] = store.append(&[new(b"next")]).unwrap()[..] else { panic!("{what}: refused") };
    assert!(id.0 > base.highest, "{what}: ID {id} came twice");
    findings.0.append(&mut store.take_findings().0);
    drop(store);
    let (mut store, later) = Store::open(dir, limits(), at(200)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let rows = store.next(Id(0), 10, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [id], "{what}: {later:?}");
    !findings.is_empty()
}

fn settle_all(store: &mut Store, got: &BTreeMap<u64, u64>, what: &str) {
    let settled: Vec<_> = got.keys().map(|id| Settled { id: Id(*id), how: How::Delivered }).collect();
    store.settle(&settled, Id(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let rest = store.next(Id(0), 10, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(rest.is_empty(), "{what}: what was settled comes again");
}

fn behind(findings: &Findings) -> bool {
    findings.0.iter().any(|finding| matches!(finding, Finding::Corrupt { missing, .. } if missing.behind))
}

/// Whether anybody was told that this row is gone.
fn said(id: u64, findings: &Findings, store: &mut Store) -> bool {
    let aside = store.get(Id(id)).unwrap().is_some_and(|entry| entry.state == RowState::Damaged);
    aside
        || findings.0.iter().any(|finding| match finding {
            Finding::Corrupt { missing, .. } => !missing.nothing() && missing.may_be(Id(id)),
            Finding::DamagedRow { id: damaged } => damaged.0 == id,
            _ => false,
        })
}
