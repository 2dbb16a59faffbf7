//! Greetings over a pipe, with a host that says what it is told to.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::config::Address;

/// What comes of a greeting when the host answers each of its requests, whatever it is, with the next of these.
fn greeted(plan: &Plan, answers: &[&'static [u8]]) -> (Result<(), String>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut ours, mut theirs) = duplex(1024);
        let answers = answers.to_vec();
        let host = async move {
            let mut heard = Vec::new();
            for answer in answers {
                theirs.read_buf(&mut heard).await.unwrap();
                theirs.write_all(answer).await.unwrap();
            }
            String::from_utf8(heard).unwrap()
        };
        let greeting = async {
            let greeted = greet(plan, &mut ours).await.map_err(|failure| failure.to_string());
            drop(ours);
            greeted
        };
        tokio::join!(greeting, host)
    })
}

fn login(user: Option<&str>, password: &str, db: u32) -> Plan {
    let address = Address::Tcp { host: "h".into(), port: 1 };
    let mut host = HostSettings::with_defaults("x", address, Dialect::Resp);
    (host.user, host.db) = (user.map(str::to_owned), db);
    let password = Rc::new(Password(password.as_bytes().to_vec()));
    Plan::Commands { commands: commands::of(&host, Some(&password)), password: Some(password) }
}

fn following(dialect: Dialect, text: &str, secrets: &[(&str, &str)]) -> Plan {
    let names: Vec<&str> = secrets.iter().map(|(name, _)| *name).collect();
    let script = greeting::parse(Path::new("f"), text.as_bytes(), &names).unwrap();
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Plan::Script { dialect, file: "f".into(), script: Rc::new((script, Secrets(secrets))) }
}

#[test]
fn user_password_and_database_are_said_in_this_order() {
    let (greeted, heard) = greeted(&login(Some("me"), "hush", 3), &[b"+OK\r\n", b"+OK\r\n"]);
    assert_eq!(greeted, Ok(()));
    assert_eq!(heard, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\nhush\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
}

#[test]
fn the_hosts_own_words_are_told_in_one_line_and_without_secrets() {
    let said = b"-ERR unknown command 'AUTH', with args beginning with: 'hush'\r\n";
    let (greeted, _) = greeted(&login(None, "hush", 0), &[said]);
    let told = "it answered AUTH with: ERR unknown command 'AUTH', with args beginning with: '***'; check user= and \
                password_file=";
    assert_eq!(greeted, Err(told.to_owned()));
    assert_eq!(words(b"a hush-hush b\r\nc\td\x1b", &[b"hush", b"hush-hush"]), "a *** b\u{240d}\u{240a}c d\u{241b}");
    assert_eq!(words(&[b'x'; 300], &[]).chars().count(), 200);
    assert_eq!(words(b"\r\n", &[]), "an empty reply");
}

const OPENING: &str =
    "send init\nexpect ^(?<challenge>\\d+)$\nsend ${challenge}\nexpect ^ok\nsend me:${key}\nexpect ^hello ${key}$";

#[test]
fn a_challenge_is_echoed_and_secrets_are_said() {
    let (greeted, heard) =
        greeted(&following(Dialect::Line, OPENING, &[("key", "a.b")]), &[b"4711\n", b"ok\r\n", b"hello a.b\n"]);
    assert_eq!(greeted, Ok(()));
    assert_eq!(heard, "init\n4711\nme:a.b\n");
}

#[test]
fn the_first_reply_that_does_not_match_ends_it_with_its_place_and_no_secret() {
    let plan = following(Dialect::Line, OPENING, &[("key", "a.b")]);
    let (greeted, _) = greeted(&plan, &[b"1\n", b"ok\n", b"no a.b, and no axb\n"]);
    assert_eq!(greeted, Err("line 6 of f expects ^hello ${key}$, it said: no ***, and no axb".to_owned()));
}

#[test]
fn what_comes_unasked_ends_it() {
    let plan = following(Dialect::Line, "send hello\nexpect .", &[]);
    assert_eq!(greeted(&plan, &[b"one\ntwo\n"]).0, Err("it said more than was asked: two".to_owned()));
}

#[test]
fn a_host_that_closes_or_talks_nonsense_is_told_from_one_that_refuses() {
    let closed = greeted(&login(None, "hush", 0), &[b""]).0.unwrap_err();
    assert_eq!(closed, "it closed the connection when it was to answer AUTH");
    let nonsense = greeted(&login(None, "hush", 0), &[b"?what\r\n"]).0.unwrap_err();
    assert!(nonsense.starts_with("it answered AUTH with something that is no reply"), "{nonsense}");
}

#[test]
fn frames_with_a_length_carry_any_byte() {
    let plan = following(Dialect::Len32, "send hello\nexpect (?s-u)^(?<all>.*)$\nsend ${all}\nexpect ^ok$", &[]);
    let (greeted, heard) = greeted(&plan, &[b"\0\0\0\x02\n\x01", b"\0\0\0\x02ok"]);
    assert_eq!(greeted, Ok(()));
    assert_eq!(heard, "\0\0\0\x05hello\0\0\0\x02\n\x01");
}

#[test]
fn a_far_end_that_remembers_long_enough_is_agreed_with_and_no_other() {
    let address = Address::Tcp { host: "h".into(), port: 1 };
    let mut host = HostSettings::with_defaults("x", address, Dialect::Line);
    host.expire = std::time::Duration::from_millis(7001);
    let plan = || GreetRoom::default().plan(&host, Some(&Word::new(7))).unwrap();
    let (agreed, heard) = greeted(&plan(), &[b"ok tieline dedupe 1 9\n"]);
    assert_eq!(agreed, Ok(()));
    assert_eq!(heard, "tieline dedupe 1 00000000000000000000000000000007 8\n", "a part of a second counts as one");
    for (answer, said) in [
        (&b"ok tieline dedupe 1 8\n"[..], "ok tieline dedupe 1 8"),
        (b"error unknown: no handler for \"tieline\"\n", "error unknown: no handler for \"tieline\""),
        (
            b"tieline dedupe 1 00000000000000000000000000000007 8\n",
            "tieline dedupe 1 00000000000000000000000000000007 8",
        ),
    ] {
        let refused = greeted(&plan(), &[answer]).0.unwrap_err();
        assert!(
            refused.starts_with(&format!("it was asked to remember what it executes (dedupe), and said: {said};")),
            "{refused}"
        );
    }
}
