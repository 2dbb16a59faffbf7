//! `tieline spool` while no daemon runs: it reads the file, and says who could change it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end, and say why")]

use std::fs;
use std::process::{Command, Output};
use std::time::SystemTime;

use serde_json::Value;
use tieline::spool::store::{How, Id, Limits, New, Settled, Store};

/// A directory with a configuration of two hosts; `ledger` has a store with three rows: waiting, waiting, dead.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tl").tempdir_in("/tmp").unwrap();
        let text = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n";
        fs::write(dir.path().join("tieline.toml"), text).unwrap();
        let hosts = "ledger 127.0.0.1:1 line deferred\nplain 127.0.0.1:1 line\nfresh 127.0.0.1:1 line deferred\n";
        fs::write(dir.path().join("hosts.tab"), hosts).unwrap();
        fs::create_dir(dir.path().join("spool")).unwrap();
        let place = Self(dir);
        let mut store = place.store();
        let new = |body| New { body, tag: "", accepted_ms: 1_767_323_045_000, in_doubt: false };
        store.append(&[new(b"one\n".as_slice()), new(&[0xff, 0]), new(b"three\n")]).unwrap();
        let how = How::Dead { reply: b"error: no\n".to_vec(), why: "error: no".to_owned() };
        store.settle(&[Settled { id: Id(3), how }], Id(3)).unwrap();
        // Not closed: as after a SIGKILL, the file lacks what its WAL has.
        drop(store);
        place
    }

    fn store(&self) -> Store {
        let limits = Limits { ballast: 0, free_floor_percent: 0, ..Limits::default() };
        Store::open(&self.0.path().join("spool/ledger"), limits, SystemTime::now()).unwrap().0
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_tieline"), "spool"]).args(words.split(' '));
        command.arg("--config").arg(self.0.path().join("tieline.toml")).output().unwrap()
    }

    /// What it prints, where it must succeed.
    fn said(&self, words: &str) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it complains about, and its exit code.
    fn complaint(&self, words: &str) -> (String, Option<i32>) {
        let output = self.run(words);
        assert!(output.stdout.is_empty(), "{words}: {}", text(&output.stdout));
        (text(&output.stderr), output.status.code())
    }

    fn json(&self, words: &str) -> Vec<Value> {
        self.said(words).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_stored_is_listed_and_shown_from_the_file() {
    let place = Place::new();
    let list = place.said("list ledger");
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains("ID  STATE"), "{list}");
    assert!(lines[1].contains(" 1  waiting  2026-01-02T03:04:05Z  2026-01-07T03:04:05Z"), "{list}");
    assert!(place.said("dead ledger").contains(" 3  dead "));
    let shown = place.said("show ledger 1 3");
    assert!(shown.contains("request:\none\n") && shown.contains("reply:\nerror: no\n"), "{shown}");
    assert_eq!(place.said("list fresh"), "", "a spool that was never used is empty");
}

#[test]
fn json_is_one_object_per_line_with_the_request() {
    let place = Place::new();
    let rows = place.json("list ledger --json");
    assert_eq!((rows.len(), &rows[0]["body"], &rows[1]["body_base64"]), (2, &"one\n".into(), &"/wA=".into()));
    let all = place.json("export ledger");
    let states: Vec<_> = all.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["waiting", "waiting", "dead"]);
    assert_eq!(all[2]["reply"], "error: no\n");
    assert_eq!(
        place.json("export ledger 3 1").iter().map(|row| row["id"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(place.json("check ledger --json")[0]["report"]["rows"], 3);
}

#[test]
fn a_large_request_is_exported_whole() {
    let place = Place::new();
    let body: Vec<u8> = "ä".repeat(1 << 20).into_bytes();
    place.store().append(&[New { body: &body, tag: "", accepted_ms: 1, in_doubt: false }]).unwrap();
    let rows = place.json("export ledger 4");
    assert_eq!(rows[0]["body"].as_str().unwrap().as_bytes(), body);
}

#[test]
fn the_check_counts_and_finds_damage_by_its_exit_code() {
    let place = Place::new();
    let said = place.said("check ledger");
    assert!(said.contains("2 waiting") && said.contains("3 requests read: all whole"), "{said}");
    place.store().close().unwrap();
    let path = place.0.path().join("spool/ledger/spool.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    // Where it waited before it died is still on the disk as well, in nobody's row.
    let places: Vec<usize> = (0..bytes.len() - 6).filter(|at| &bytes[*at..at + 6] == b"three\n").collect();
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&path, bytes).unwrap();
    let output = place.run("check ledger");
    assert_eq!(output.status.code(), Some(74));
    assert!(text(&output.stdout).contains("1 damaged, never sent (3)"), "{}", text(&output.stdout));
}

#[test]
fn only_a_daemon_changes_anything() {
    let place = Place::new();
    for words in ["retry ledger", "hold ledger 1", "drop ledger 1", "requeue ledger 3", "hold ledger --all"] {
        let (complaint, code) = place.complaint(words);
        assert_eq!(code, Some(69), "{words}: {complaint}");
        assert!(complaint.contains("start it with `tieline run --config "), "{complaint}");
        assert!(complaint.contains("Nothing was changed"), "{complaint}");
    }
    assert_eq!(place.json("export ledger").len(), 3);
}

#[test]
fn what_cannot_be_undone_needs_a_yes_and_says_what_it_would_do() {
    let place = Place::new();
    let (complaint, code) = place.complaint("drop ledger --all");
    assert_eq!(code, Some(64));
    assert!(
        complaint.contains("2 waiting, 0 held, 1 dead, 0 damaged requests would be dropped; say --yes"),
        "{complaint}"
    );
    let (complaint, _) = place.complaint("requeue ledger --all");
    assert!(complaint.contains("1 dead requests would be requeued"), "{complaint}");
}

#[test]
fn a_host_without_a_spool_and_ids_that_are_not_there_are_named() {
    let place = Place::new();
    let (complaint, code) = place.complaint("list ledgr");
    assert_eq!((complaint.as_str(), code), ("tieline: no host is called ledgr; there are: ledger, fresh\n", Some(64)));
    let (complaint, code) = place.complaint("list plain");
    assert!(complaint.contains("not `deferred`") && code == Some(64), "{complaint}");
    assert_eq!(place.complaint("list ../spool/ledger").1, Some(64));
    assert_eq!(place.complaint("show ledger 99"), ("tieline: 99 is not stored\n".to_owned(), Some(69)));
}

#[test]
fn the_spool_of_a_host_that_is_gone_can_still_be_read() {
    let place = Place::new();
    fs::write(place.0.path().join("hosts.tab"), "plain 127.0.0.1:1 line\n").unwrap();
    assert_eq!(place.json("list ledger --json").len(), 2);
    let (complaint, code) = place.complaint("drop ledger 1");
    assert!(code == Some(69) && complaint.contains("not in hosts.tab any more"), "{complaint}");
}

#[test]
fn a_store_that_somebody_has_open_is_not_read() {
    let place = Place::new();
    let store = place.store();
    let (complaint, code) = place.complaint("list ledger");
    assert!(code == Some(75) && complaint.contains("is in use by process"), "{complaint}");
    drop(store);
    assert!(place.said("list ledger").contains("waiting"));
}
