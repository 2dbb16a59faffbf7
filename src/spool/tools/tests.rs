//! Commands on real stores.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::spool::store::{Appended, How, Id, Limits, New, Settled, Store};

const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new(bodies: &[&[u8]]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { ballast: 0, free_floor_percent: 0, expire: HOUR, ..Limits::default() };
        let (store, _) = Store::open(dir.path(), limits, SystemTime::now()).unwrap();
        let mut bench = Self { dir, store };
        let new: Vec<New<'_>> =
            bodies.iter().map(|body| New { body, tag: "", accepted_ms: 1000, in_doubt: false }).collect();
        for chunk in new.chunks(200) {
            let appended = bench.store.append(chunk).unwrap();
            assert!(appended.iter().all(|each| matches!(each, Appended::Stored(_))));
        }
        bench
    }

    fn run(&mut self, command: &Command) -> Answer {
        // Through JSON, as it comes to a child, and as its answer leaves.
        let command = serde_json::from_value(serde_json::to_value(command).unwrap()).unwrap();
        let answer = run(&mut self.store, &command, SystemTime::now());
        let text = serde_json::to_string(&answer).unwrap();
        assert!(text.len() < 1 << 20, "an answer of {} bytes", text.len());
        serde_json::from_str(&text).unwrap()
    }

    fn done(&mut self, command: &Command) -> Done {
        match self.run(command) {
            Answer::Done(done) => done,
            other => panic!("{other:?}"),
        }
    }

    /// All rows of a state, page by page; and how many pages that were.
    fn all(&mut self, state: State, bodies: bool) -> (Vec<Row>, usize) {
        let (mut all, mut pages, mut after) = (Vec::new(), 0, Some(0));
        while let Some(behind) = after {
            match self.run(&Command::List { state, after: behind, bodies }) {
                Answer::Rows { rows, next } => {
                    all.extend(rows);
                    after = next;
                    pages += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        (all, pages)
    }

    fn ids(&mut self, state: State) -> Vec<u64> {
        self.all(state, false).0.iter().map(|row| row.id).collect()
    }

    fn kill(&mut self, id: u64, reply: &[u8], why: &str) {
        let how = How::Dead { reply: reply.to_vec(), why: why.to_owned() };
        self.store.settle(&[Settled { id: Id(id), how }], Id(id)).unwrap();
    }
}

/// The same change of all rows, until there is nothing left to go on with.
fn to_all(bench: &mut Bench, command: impl Fn(Which) -> Command) -> (u64, usize) {
    let (mut rows, mut parts, mut rest) = (0, 0, Some(Which::all()));
    while let Some(which) = rest.take() {
        let done = bench.done(&command(which));
        rows += done.rows;
        parts += 1;
        rest = done.rest;
    }
    (rows, parts)
}

#[test]
fn commands_and_answers_look_like_this() {
    let asked = |command: Command| serde_json::to_value(command).unwrap();
    assert_eq!(
        asked(Command::List { state: State::Waiting, after: 0, bodies: false }),
        json!({"list": {"state": "waiting", "after": 0, "bodies": false}})
    );
    assert_eq!(asked(Command::Retry), json!("retry"));
    assert_eq!(asked(Command::Hold(Which::These(vec![3]))), json!({"hold": {"these": [3]}}));
    assert_eq!(
        asked(Command::Drop { state: Some(State::Dead), which: Which::all() }),
        json!({"drop": {"state": "dead", "which": {"all": {"after": 0, "up_to": null}}}})
    );
    let told = serde_json::to_value(Answer::Error { text: "no".into(), fault: Blame::InUse }).unwrap();
    assert_eq!(told, json!({"error": {"text": "no", "fault": "in_use"}}));
}

#[test]
fn a_list_has_each_row_once_in_order_however_many_pages_it_takes() {
    let bodies: Vec<Vec<u8>> = (0..250u32).map(|number| vec![0; number as usize % 7 * 50_000]).collect();
    let mut bench = Bench::new(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (rows, pages) = bench.all(State::Waiting, false);
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), (1..=250).collect::<Vec<_>>());
    assert!(pages >= 3, "{pages} pages");
    assert!(rows.iter().all(|row| row.body.is_none()));
    assert_eq!(rows[0].expires_ms, Some(1000 + 3_600_000));
    let (rows, _) = bench.all(State::Waiting, true);
    for (row, body) in rows.iter().zip(&bodies) {
        assert_eq!(row.bytes, body.len() as u64);
        match &row.body {
            Some(text) => assert_eq!(base64::decode(text).unwrap(), *body),
            None => assert!(body.len() > CHUNK / 2, "a body of {} bytes fits", body.len()),
        }
    }
    assert_eq!(rows.len(), 250);
}

#[test]
fn a_page_stays_small_whatever_the_last_errors_are() {
    let mut bench = Bench::new(&[b"x".as_slice(); 120]);
    for id in 1..=120 {
        bench.kill(id, &[0xff; 5000], &"\u{1}".repeat(5000));
    }
    let (rows, pages) = bench.all(State::Dead, true);
    assert_eq!(rows.len(), 120);
    assert!(pages > 1);
    assert!(rows.iter().all(|row| row.reply_bytes == 5000 && row.reply.is_some() && row.expires_ms.is_none()));
}

#[test]
fn a_large_request_is_had_in_parts() {
    let body: Vec<u8> = (0..3 * CHUNK + 5).map(|at| (at % 251) as u8).collect();
    let mut bench = Bench::new(&[&body, b"small"]);
    let mut got = Vec::new();
    while got.len() < body.len() {
        match bench.run(&Command::Bytes { id: 1, of: Part::Request, from: got.len() as u64 }) {
            Answer::Bytes { base64: text, total } => {
                assert_eq!(total, body.len() as u64);
                got.extend(base64::decode(&text).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, body);
    let gone = bench.run(&Command::Bytes { id: 9, of: Part::Request, from: 0 });
    assert!(matches!(gone, Answer::Error { fault: Blame::Request, .. }), "{gone:?}");
}

#[test]
fn named_rows_are_found_whatever_their_state_and_the_rest_is_left_out() {
    let large = vec![7; 400 << 10];
    let mut bench = Bench::new(&[b"a", &large, &large, b"d"]);
    bench.done(&Command::Hold(Which::These(vec![4])));
    let Answer::Rows { rows, next } = bench.run(&Command::Get { ids: vec![4, 99, 1, 2, 3, 4] }) else { panic!() };
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(next, Some(3));
    let Answer::Rows { rows, next } = bench.run(&Command::Get { ids: vec![4, 99] }) else { panic!() };
    assert_eq!((rows[0].id, rows[0].state, rows.len(), next), (4, State::Held, 1, None));
}

#[test]
fn what_is_not_what_a_command_is_for_is_left_and_named() {
    let mut bench = Bench::new(&[b"a", b"b", b"c"]);
    let done = bench.done(&Command::Hold(Which::These(vec![2, 2, 7])));
    assert_eq!((done.rows, done.not), (1, vec![Miss { id: 7, is: None }]));
    let done = bench.done(&Command::Release(Which::These(vec![1, 2])));
    assert_eq!((done.rows, done.not), (1, vec![Miss { id: 1, is: Some(State::Waiting) }]));
    assert_eq!(bench.ids(State::Waiting), [1, 2, 3], "released at its old place");
    let done = bench.done(&Command::Requeue(Which::These(vec![3])));
    assert_eq!((done.rows, done.not), (0, vec![Miss { id: 3, is: Some(State::Waiting) }]));
}

#[test]
fn requeued_rows_name_their_old_ones() {
    let mut bench = Bench::new(&[b"a", b"b"]);
    bench.kill(1, b"error no\n", "error no");
    let done = bench.done(&Command::Requeue(Which::These(vec![1])));
    assert_eq!((done.rows, done.requeued), (1, vec![(1, 3)]));
    let (rows, _) = bench.all(State::Waiting, false);
    assert_eq!(rows.iter().map(|row| (row.id, row.requeued_from)).collect::<Vec<_>>(), [(2, None), (3, Some(1))]);
}

#[test]
fn a_row_names_its_tag_only_if_it_has_one() {
    let mut bench = Bench::new(&[b"a"]);
    bench.store.append(&[New { body: b"b", tag: "7f.1", accepted_ms: 1, in_doubt: false }]).unwrap();
    let (rows, _) = bench.all(State::Waiting, false);
    let told = rows.iter().map(|row| serde_json::to_value(row).unwrap().get("tag").cloned());
    assert_eq!(told.collect::<Vec<_>>(), [None, Some(json!("7f.1"))]);
}

#[test]
fn all_rows_are_changed_in_parts_and_newcomers_are_spared() {
    let mut bench = Bench::new(&[b"x".as_slice(); 250]);
    let first = bench.done(&Command::Hold(Which::all()));
    assert_eq!(first.rows, ROWS as u64);
    bench.store.append(&[New { body: b"late", tag: "", accepted_ms: 1, in_doubt: false }]).unwrap();
    let mut rest = first.rest;
    while let Some(which) = rest.take() {
        rest = bench.done(&Command::Hold(which)).rest;
    }
    assert_eq!(bench.ids(State::Waiting), [251]);
    assert_eq!(bench.ids(State::Held).len(), 250);
    let (rows, parts) = to_all(&mut bench, Command::Release);
    assert_eq!((rows, bench.ids(State::Held).len()), (250, 0));
    assert!(parts >= 3);
}

#[test]
fn drop_takes_all_states_or_only_one() {
    let mut bench = Bench::new(&[b"x".as_slice(); 210]);
    bench.kill(1, b"", "no");
    bench.kill(2, b"", "no");
    bench.done(&Command::Hold(Which::These(vec![3])));
    let dead = to_all(&mut bench, |which| Command::Drop { state: Some(State::Dead), which }).0;
    assert_eq!((dead, bench.ids(State::Held), bench.ids(State::Dead)), (2, vec![3], vec![]));
    let done = bench.done(&Command::Drop { state: None, which: Which::These(vec![3, 4]) });
    assert_eq!((done.rows, done.not), (2, vec![]));
    assert_eq!(to_all(&mut bench, |which| Command::Drop { state: None, which }).0, 206);
    assert_eq!(bench.store.numbers().depth, 0);
}

#[test]
fn a_store_that_nobody_has_open_is_read_and_never_changed() {
    let Bench { dir, store } = Bench::new(&[b"a", b"b"]);
    drop(store);
    let file = Store::read_only(dir.path()).unwrap();
    let ask = |command: &Command| look(&file, dir.path(), HOUR, command);
    let Answer::Rows { rows, next: None } = ask(&Command::List { state: State::Waiting, after: 0, bodies: true })
    else {
        panic!()
    };
    assert_eq!((rows.len(), rows[1].body.as_deref()), (2, Some("Yg==")));
    assert!(matches!(ask(&Command::Numbers), Answer::Numbers(numbers) if numbers.depth == 2));
    assert!(matches!(ask(&Command::Check), Answer::Report(Report { whole: true, rows: 2, damaged: 0, .. })));
    for command in [Command::Retry, Command::Hold(Which::all()), Command::Drop { state: None, which: Which::all() }] {
        assert!(command.needs_child());
        assert!(matches!(ask(&command), Answer::Error { fault: Blame::Request, .. }));
    }
}

#[test]
fn a_damaged_row_is_told_by_the_check_and_can_be_dropped() {
    let Bench { dir, mut store } = Bench::new(&[b"alpha-body", b"beta-body"]);
    store.maintain(SystemTime::now(), true).unwrap();
    store.close().unwrap();
    let path = dir.path().join("spool.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|window| window == b"alpha-body").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let limits = Limits { ballast: 0, free_floor_percent: 0, ..Limits::default() };
    let (store, _) = Store::open(dir.path(), limits, SystemTime::now()).unwrap();
    let mut bench = Bench { dir, store };
    let Answer::Report(report) = bench.run(&Command::Check) else { panic!() };
    assert_eq!((report.rows, report.damaged, report.damaged_ids), (2, 1, vec![1]));
    let done = bench.done(&Command::Drop { state: None, which: Which::These(vec![1]) });
    assert_eq!((done.rows, bench.ids(State::Waiting)), (1, vec![2]));
}
