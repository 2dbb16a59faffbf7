//! The exact text of each kind of mistake in a greeting.

use super::*;

fn said(text: &str) -> String {
    let read = parse(Path::new("far.greeting"), text.as_bytes(), &["password", "host"]);
    match read {
        Ok(script) => format!("{} steps", script.steps.len()),
        Err(complaints) => complaints.iter().map(Complaint::to_string).collect::<Vec<_>>().join("\n\n"),
    }
}

#[test]
fn a_script_is_read_with_its_variables() {
    let text =
        "# opening\r\n\n  send init \r\nexpect ^(?<challenge>.+)$\nsend ${challenge}\nexpect ^ok:${host}\nsend a$${b$c";
    let script = parse(Path::new("f"), text.as_bytes(), &["host"]).unwrap();
    let sends: Vec<_> = script
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Send(parts) => Some(parts.clone()),
            Step::Expect(_) => None,
        })
        .collect();
    assert_eq!(sends[0], [Part::Text("init".into())]);
    assert_eq!(sends[1], [Part::Variable("challenge".into())]);
    assert_eq!(sends[2], [Part::Text("a${b$c".into())]);
    let Some(Step::Expect(pattern)) = script.steps.get(3) else { panic!("{script:?}") };
    let regex = pattern.compile(|name| (name == "host").then_some(b"a.b".as_slice())).unwrap();
    assert_eq!(["ok:a.b", "ok:axb"].map(|reply| regex.is_match(reply.as_bytes())), [true, false]);
}

#[test]
fn every_mistake_is_shown_where_it_stands() {
    insta::assert_snapshot!(said("sned x\nexpect\n  expect (a\nsend ${pasword}\nsend ${open\nexpect (?<host>.)"), @r"
    far.greeting:1:1: there is no step `sned`
      sned x
      ^~~~
      = help: did you mean `send`?

    far.greeting:2:1: `expect` has no expression
      expect
      ^~~~~~
      = help: `expect .*` takes any reply

    far.greeting:3:10: this is no regular expression: unclosed group
        expect (a
               ^~
      = help: see https://docs.rs/regex/#syntax; `\` before a sign takes it literally

    far.greeting:4:6: nothing gives `pasword` a value
      send ${pasword}
           ^~~~~~~~~~
      = help: did you mean `password`?

    far.greeting:5:6: the `}` of this variable is missing
      send ${open
           ^~~~~~
      = help: write ${name}, or `$${` for the signs themselves

    far.greeting:6:8: `host` is already the name of a secret
      expect (?<host>.)
             ^~~~~~~~~~
      = help: give the group another name
    ");
}

#[test]
fn a_variable_has_a_value_only_behind_the_expect_that_gives_it() {
    insta::assert_snapshot!(said("send ${key}\nexpect (?<key>.)\nsend ${key}"), @r"
    far.greeting:1:6: nothing gives `key` a value
      send ${key}
           ^~~~~~
      = help: known here are password, host
    ");
    insta::assert_snapshot!(said("# nothing\n"), @r"
    far.greeting: says nothing
      = help: write lines `send TEXT` and `expect REGEX`
    ");
}

#[test]
fn arbitrary_bytes_give_a_script_or_complaints() {
    for bytes in [&b"expect \xff"[..], b"send \0", b"${", b"expect ${}", b"send ${password", b"expect (?<a.b>x)"] {
        assert!(parse(Path::new("f"), bytes, &["password"]).is_err(), "{bytes:?}");
    }
}
