//! A store of format 1 becomes one of format 2 while writes fail, and while the power does: nothing is lost by it.

use std::fs;
use std::path::Path;

use tieline::spool::store::{Appended, Id, RowState, Store, Synchronous};

use super::power::Op;
use super::{at, body, faults, first, limits, new, number, power, preload, rounds, scratch};

/// Requests in it.
const ROWS: u64 = 12;

fn bodies() -> Vec<Vec<u8>> {
    (0..ROWS).map(body).collect()
}

#[test]
fn whichever_write_or_sync_fails_a_store_of_format_1_is_whole() {
    if let Some(root) = preload::under_the_library() {
        return under_faults(&root);
    }
    let root = scratch();
    preload::run("format::whichever_write_or_sync_fails_a_store_of_format_1_is_whole", root.path(), None, &[]);
}

fn under_faults(root: &Path) {
    let mut faults = 0;
    for kind in faults::KINDS {
        for nth in 1.. {
            let dir = root.join(format!("{kind}-{nth}"));
            first::make(&dir, &bodies());
            fs::remove_file(format!("/faultio/arm/{kind}/{nth}")).unwrap();
            let mut store = faults::Run::default().open(&dir);
            let fired = fs::remove_file("/faultio/fired").is_ok();
            holds_all(&mut store, &format!("{kind} at {nth}"));
            drop(store);
            holds_all(&mut faults::Run::default().open(&dir), &format!("{kind} at {nth}, later"));
            fs::remove_dir_all(&dir).unwrap();
            if !fired {
                break;
            }
            faults += 1;
        }
    }
    assert!(faults > 20, "{faults} faults are too few: does the library work?");
}

fn holds_all(store: &mut Store, what: &str) {
    let states = [RowState::Pending, RowState::Held, RowState::Dead];
    let rows = states.map(|state| store.list(state, Id(0), 100).unwrap()).concat();
    assert_eq!(rows.len() as u64, ROWS, "{what}");
    assert!(rows.iter().all(|row| row.id.0 == number(&row.body) + 1), "{what}");
    assert!(store.check().unwrap().wrong.is_none(), "{what}");
}

#[test]
fn wherever_the_power_fails_a_store_of_format_1_is_whole() {
    if let Some(root) = preload::under_the_library() {
        return workload(&root);
    }
    let log = power::record("format::wherever_the_power_fails_a_store_of_format_1_is_whole", Synchronous::Full);
    // Before it was made whole it is none.
    let made = log.iter().rposition(|op| matches!(op, Op::Note('A', number) if *number < ROWS)).unwrap() + 1;
    let verdict = power::crash(&log, made, rounds(400, 10_000));
    assert!(verdict.lost.is_empty(), "{:#?}", &verdict.lost[..verdict.lost.len().min(5)]);
    assert_eq!(verdict.held, verdict.points);
}

fn workload(root: &Path) {
    let dir = root.join("ledger");
    let mut acks = fs::File::create(root.join("acks")).unwrap();
    (0..ROWS).for_each(|number| power::note(&mut acks, 'a', number));
    first::make(&dir, &bodies());
    (0..ROWS).for_each(|number| power::note(&mut acks, 'A', number));
    let (mut store, _) = Store::open(&dir, limits(), at(0)).unwrap();
    power::note(&mut acks, 'a', ROWS);
    assert_eq!(store.append(&[new(&body(ROWS))]).unwrap(), [Appended::Stored(Id(ROWS + 1))]);
    power::note(&mut acks, 'A', ROWS);
}
