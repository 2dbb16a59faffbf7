//! The exact text of rows.

use clap::Parser;
use serde_json::json;

use super::print::{described, line, listed, object};
use super::*;

fn row() -> Row {
    Row {
        id: 7,
        state: State::Waiting,
        accepted_ms: 1_767_323_045_678,
        since_ms: None,
        expires_ms: Some(1_767_755_045_678),
        attempts: 2,
        in_doubt: true,
        last_error: Some("LOADING the dataset".to_owned()),
        requeued_from: None,
        tag: String::new(),
        bytes: 6,
        reply_bytes: 0,
        body: None,
        reply: None,
    }
}

fn dead() -> Row {
    Row {
        id: 123_456,
        state: State::Dead,
        since_ms: Some(1_767_323_050_000),
        expires_ms: None,
        in_doubt: false,
        last_error: Some("error: \u{1b}[31mno".to_owned()),
        requeued_from: Some(3),
        bytes: 16 << 20,
        ..row()
    }
}

#[test]
fn rows_stand_in_columns_and_no_control_character_reaches_the_terminal() {
    let head = line(["ID", "STATE", "ACCEPTED", "EXPIRES", "TRIES", "BYTES", "REMARK"]);
    insta::assert_snapshot!(head + &listed(&row()) + &listed(&dead()), @r"
        ID  STATE    ACCEPTED              EXPIRES               TRIES       BYTES  REMARK
         7  waiting  2026-01-02T03:04:05Z  2026-01-07T03:04:05Z      2           6  in doubt; LOADING the dataset
    123456  dead     2026-01-02T03:04:05Z  -                         2    16777216  requeued from 3; error:  [31mno
    ");
}

#[test]
fn a_row_as_json_has_the_documented_keys() {
    let waiting = object("ledger", &row(), b"hello\n", b"");
    let documented = json!({
        "id": 7, "host": "ledger", "state": "waiting", "accepted": "2026-01-02T03:04:05Z",
        "expires": "2026-01-07T03:04:05Z", "since": null, "attempts": 2, "in_doubt": true, "requeued_from": null,
        "last_error": "LOADING the dataset", "bytes": 6, "body": "hello\n",
    });
    assert_eq!(waiting, documented);
    let dead = object("ledger", &dead(), &[0, 0, 0, 1, b'x'], b"error: no\n");
    assert_eq!((dead.get("body"), &dead["body_base64"]), (None, &json!("AAAAAXg=")));
    assert_eq!((&dead["reply"], &dead["expires"]), (&json!("error: no\n"), &json!(null)));
}

#[test]
fn a_tag_is_told_only_where_there_is_one() {
    let tagged = Row { tag: "7f.1".to_owned(), ..row() };
    assert_eq!(object("ledger", &tagged, b"", b"")["tag"], "7f.1");
    let both = [&tagged, &row()].map(described);
    assert!(both[0].contains(&format!("\n  {:<13} 7f.1\n", "tag")), "{}", both[0]);
    assert!(!both[1].contains("  tag "), "{}", both[1]);
}

#[derive(Debug, Parser)]
struct Words {
    #[command(subcommand)]
    action: Action,
}

fn understood(words: &str) -> Result<Action, clap::Error> {
    Words::try_parse_from(std::iter::once("spool").chain(words.split(' '))).map(|words| words.action)
}

#[test]
fn who_changes_rows_names_them_or_says_all() {
    assert!(matches!(understood("hold ledger 1 2").unwrap(), Action::Hold(args) if args.ids == [1, 2] && !args.all));
    assert!(
        matches!(understood("drop ledger --all --yes --state dead").unwrap(), Action::Drop(args) if args.change.yes)
    );
    for words in ["hold ledger", "drop ledger", "requeue ledger 1 --all", "show ledger", "drop ledger --all --state x"]
    {
        assert!(understood(words).is_err(), "{words}");
    }
}

#[test]
fn the_check_says_what_is_damaged_and_what_was_set_aside() {
    let whole = Report { whole: true, rows: 1, ..Report::default() };
    assert_eq!(verdict(&whole, ""), "1 request read: all whole\n");
    let report = Report {
        rows: 9,
        damaged: 30,
        damaged_ids: (1..=30).collect(),
        wrong: Some("row 3\nmissing".to_owned()),
        set_aside: vec!["/spool/ledger/corrupt/2026-01-02T030405Z".to_owned()],
        ..whole
    };
    insta::assert_snapshot!(verdict(&report, "the disk is full"), @r"
    9 requests read: 30 damaged, never sent (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, …)
    wrong: row 3 missing; the next child to start saves what can be read
    set aside earlier: /spool/ledger/corrupt/2026-01-02T030405Z
    last error: the disk is full
    ");
}
