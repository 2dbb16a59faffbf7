use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::super::directory::{Change, What};
use super::super::row::Row;
use super::rows::{Told, read_change, read_row, write_change, write_row};
use super::*;

fn refusal(line: &str) -> String {
    command(line.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_command_is_read() {
    let read = |line: &str| command(line.as_bytes()).unwrap();
    let pairs = BTreeMap::from([("dialect".to_owned(), "resp".to_owned())]);
    let (name, address) = ("cache".to_owned(), "tcp:[::1]:6379".to_owned());
    let registration = Registration { name, address, ttl: Duration::from_secs(30), pairs };
    assert_eq!(read("REGISTER  cache tcp:[::1]:6379\tdialect=resp ttl=30s "), Command::Register(registration));
    assert_eq!(read("RENEW abc"), Command::Renew(Lease("abc".to_owned())));
    assert_eq!(read("UNREGISTER abc"), Command::Unregister(Lease("abc".to_owned())));
    assert_eq!(read("RESOLVE a"), Command::Resolve { name: "a".to_owned(), way: Way::Usual });
    assert_eq!(read("RESOLVE a direct"), Command::Resolve { name: "a".to_owned(), way: Way::Direct });
    assert_eq!(read("LIST"), Command::List { prefix: String::new() });
    assert_eq!(read("LIST web."), Command::List { prefix: "web.".to_owned() });
    assert_eq!(read("WATCH"), Command::Watch { prefix: String::new(), after: None });
    assert_eq!(read("WATCH after=7"), Command::Watch { prefix: String::new(), after: Some(Revision(7)) });
    assert_eq!(read("WATCH web after=0"), Command::Watch { prefix: "web".to_owned(), after: Some(Revision(0)) });
}

#[test]
fn what_is_no_command_is_told_why_and_what_would_be_right() {
    assert_eq!(refusal(""), format!("the line is empty; {COMMANDS}"));
    assert_eq!(refusal("resolve a"), format!("`resolve` is no command; {COMMANDS}"));
    assert_eq!(refusal("RENEW"), "the lease is missing; write RENEW LEASE");
    assert_eq!(refusal("RENEW a b"), "`b` is one word too many; write RENEW LEASE");
    assert_eq!(refusal("RESOLVE Web"), format!("`Web` is no name; {NAME}"));
    assert_eq!(refusal("RESOLVE a.deferred"), format!("`a.deferred` is no name; {NAME}"));
    assert_eq!(refusal("WATCH a 7"), "`7` is not known here; write WATCH [PREFIX] [after=REVISION]");
    assert_eq!(refusal("WATCH after=+7"), "`after=+7` names no revision; a revision is a whole number");
    assert!(refusal("LIST\r").starts_with("there is a carriage return; "));
    assert!(command(b"LIST \xff").unwrap_err().to_string().starts_with("the line is no UTF-8; "));
}

#[test]
fn a_registration_needs_name_address_and_a_time_and_no_key_that_is_kept() {
    let with = |rest: &str| refusal(&format!("REGISTER a {rest}"));
    assert_eq!(refusal("REGISTER"), format!("the name is missing; {REGISTER}"));
    assert_eq!(with(""), format!("the address is missing; {REGISTER}"));
    assert_eq!(with("tcp:h:1"), format!("ttl= is missing; {REGISTER}"));
    for address in ["h:1", "tcp:h", "tcp:h:0", "tcp:unix:/a", "unix:a", "@b", "tcp:@b", "tcp:1.2.3:4", "unix:", "/a"] {
        assert!(with(&format!("{address} ttl=5s")).ends_with(ADDRESS), "{address}");
    }
    for ttl in ["999ms", "31d", "5", "0s", "-1s", "99999999999999999999s"] {
        assert!(with(&format!("tcp:h:1 ttl={ttl}")).starts_with(&format!("`{ttl}` is no ")), "{ttl}");
    }
    for pair in ["lease=1", "left=1s", "owner=0"] {
        assert!(with(&format!("tcp:h:1 ttl=5s {pair}")).ends_with("is kept for the registry; choose another key"));
    }
    for pair in ["a", "=b", "a=", "A=b", "ä=b", "1=b", "a=b\u{a0}c"] {
        assert!(command(format!("REGISTER a tcp:h:1 ttl=5s {pair}").as_bytes()).is_err(), "{pair}");
    }
    assert!(with("tcp:h:1 ttl=5s a=1 a=2").contains("a key that was there already"));
    assert!(with("tcp:h:1 ttl=5s ttl=6s").contains("a key that was there already"));
    let many: String = (0..33).map(|n| format!(" k{n}=1")).collect();
    assert_eq!(with(&format!("tcp:h:1 ttl=5s{many}")), "there are 33 pairs; at most 32 are kept");
}

#[test]
fn an_address_shows_what_it_is_and_where_it_ends() {
    assert!(address("unix:/tmp/käse.sock").is_ok());
    for odd in ['\u{a0}', '\u{2003}', '\t', '\u{7f}', '\u{202e}', '\u{2066}'] {
        let refused = address(&format!("unix:/tmp/a{odd}b.sock")).unwrap_err().to_string();
        assert!(refused.contains(&format!("has U+{:04X} in it", u32::from(odd))), "{refused}");
    }
}

#[test]
fn an_answer_is_one_line_whatever_is_in_it() {
    let answer = replies::error(replies::Kind::Failed, "disk\nfull\r");
    assert_eq!(answer, "error failed disk\u{240a}full\u{240d}\n");
    assert_eq!(replies::Kind::read("busy"), Some(replies::Kind::Busy));
    assert_eq!(replies::Kind::read("ok"), None);
}

fn any_row() -> impl Strategy<Value = Row> {
    let address = prop_oneof!["tcp:[a-z]{1,9}:[1-9][0-9]{0,3}", "unix:/[a-z]{1,9}"];
    let pairs = prop::collection::btree_map("k[a-z0-9_.-]{0,9}", "[!-~]{1,9}", 0..4);
    let ttl = prop::option::of((1000..2_000_000_000_u64).prop_map(Duration::from_millis));
    ("[a-z0-9][a-z0-9_-]{0,20}", address, "[0-9a-f]{1,24}", ttl, any::<u32>(), pairs).prop_map(
        |(name, address, lease, ttl, owner, pairs)| Row { name, address, lease: Lease(lease), ttl, owner, pairs },
    )
}

proptest! {
    #[test]
    fn no_line_panics(line: Vec<u8>) {
        drop(command(&line));
        let line = String::from_utf8_lossy(&line);
        drop((read_row(&line), read_change(&line)));
    }

    #[test]
    fn a_row_that_is_written_is_read_back(row in any_row(), left in 0..2_000_000_u64, revision: u64) {
        let now = Instant::now();
        let left = row.ttl.map(|_| Duration::from_millis(left));
        let mut line = String::new();
        write_row(&mut line, &row, left.map(|left| now + left), now);
        prop_assert_eq!(read_row(&line), Some((row.clone(), left)));
        let what = What::Put { row: Arc::new(row.clone()), expires: left.map(|left| now + left) };
        line.clear();
        write_change(&mut line, &Change { revision: Revision(revision), what }, now);
        prop_assert_eq!(read_change(&line), Some((Revision(revision), Told::Put(row.clone(), left))));
        line.clear();
        write_change(&mut line, &Change { revision: Revision(revision), what: What::Gone(Arc::new(row.clone())) }, now);
        let Row { name, address, lease, .. } = row;
        prop_assert_eq!(read_change(&line), Some((Revision(revision), Told::Gone { name, address, lease })));
    }
}
