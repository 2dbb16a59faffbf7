//! The tables of far ends: what they become, and the exact text of each kind of mistake.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::source::Source;
use crate::config::tieline_toml;

fn reading(text: &str) -> (Vec<ServeSettings>, String) {
    let file = Path::new("/etc/tieline/tieline.toml");
    let reading = tieline_toml::read(&Source::new(Path::new("tieline.toml"), text.as_bytes()), file);
    let said = reading.complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n");
    (reading.serves, said)
}

fn read_one(text: &str) -> ServeSettings {
    let (mut serves, said) = reading(text);
    assert_eq!((said.as_str(), serves.len()), ("", 1));
    serves.remove(0)
}

#[test]
fn limits_are_inherited_from_serve_by_listeners_and_from_these_by_handlers() {
    let text = "[serve]\ntimeout = '5s'\nprocesses = 3\nqueue = 7\n
        [serve.a]\nlisten = 'tcp:127.0.0.1:7000'\nprocesses = 4\n
        [[serve.a.handler]]\nmatch = 'x'\necho = true\ntimeout = '1s'\n
        [[serve.a.handler]]\nexec = ['true']\n
        [serve.b]\nlisten = 'unix:/b'\ntimeout = '2s'\n[[serve.b.handler]]\necho = true\n";
    let (serves, said) = reading(text);
    assert_eq!(said, "");
    let limits = |serve: usize, handler: usize| {
        let limits = &serves[serve].handlers[handler].limits;
        (limits.timeout.as_secs(), limits.processes, limits.queue, limits.requests)
    };
    assert_eq!([limits(0, 0), limits(0, 1), limits(1, 0)], [(1, 4, 7, 1000), (5, 4, 7, 1000), (2, 3, 7, 1000)]);
    assert_eq!(serves[1].patience, Duration::from_secs(2));
}

#[test]
fn every_key_reaches_its_field() {
    let serve = read_one(
        "[serve.ledger]\nlisten = 'tcp:[::]:7000'\ndialect = 'len32'\ncert = 'c.pem'\nkey = 'k.pem'\nca = 'ca.pem'
         mode = '0600'\nadvertise = 'tcp:ledger.example.net:7000'\nrequesters = 9\nmax_request = '1KiB'\nttl = '5s'
         [[serve.ledger.handler]]\nmatch = 'a'\nexec = ['./a', 'b c']\n
         [[serve.ledger.handler]]\nmatch = '/^b+/'\nworker = ['w']\nrequests = 2\ngrace = '1s'\n
         [[serve.ledger.handler]]\nforward = '[::1]:6379'\nmax_reply = 5\n
         [[serve.ledger.task]]\nevery = '30m'\nrun = ['/usr/bin/true']\ntimeout = '5m'\n",
    );
    assert_eq!((serve.listen.to_string().as_str(), serve.dialect), ("tcp:[::]:7000", Dialect::Len32));
    assert_eq!(serve.cert.as_deref(), Some(Path::new("/etc/tieline/c.pem")));
    assert_eq!((serve.rights.mode, serve.requesters, serve.max_request), (0o600, 9, 1024));
    assert_eq!((serve.register.as_deref(), serve.ttl.as_secs()), (Some("tcp:ledger.example.net:7000"), 5));
    let actions: Vec<_> = serve.handlers.iter().map(|each| (each.matches.to_string(), each.action.clone())).collect();
    let forward = Action::Forward(Address::Tcp { host: "::1".into(), port: 6379 });
    assert_eq!(actions[0], ("a".into(), Action::Exec(vec!["/etc/tieline/./a".into(), "b c".into()])));
    assert_eq!(actions[1], ("/^b+/".into(), Action::Worker(vec!["w".into()])));
    assert_eq!(actions[2], ("default".into(), forward));
    assert_eq!((serve.handlers[1].limits.requests, serve.handlers[1].limits.grace.as_secs()), (2, 1));
    assert_eq!((serve.handlers[2].limits.max_reply, serve.handlers[2].limits.max_request), (5, 1024));
    let task = TaskSettings {
        every: Duration::from_secs(1800),
        run: vec!["/usr/bin/true".into()],
        timeout: Duration::from_secs(300),
        grace: Duration::from_secs(5),
    };
    assert_eq!(serve.tasks, [task]);
}

#[test]
fn what_is_not_registered_has_no_address_to_register() {
    let text = "[serve.a]\nlisten = 'tcp:0.0.0.0:7000'\nregister = false\n[[serve.a.handler]]\necho = true\n";
    assert_eq!(read_one(text).register, None);
    let text = "[serve.a]\nlisten = 'unix:/run/a'\n[[serve.a.handler]]\necho = true\n";
    assert_eq!(read_one(text).register.as_deref(), Some("unix:/run/a"));
}

#[test]
fn settings_survive_the_way_to_a_child() {
    let serve = read_one(
        "[serve.a]\nlisten = 'unix:/a'\n[[serve.a.handler]]\nmatch = '/x/'\nforward = 'h:1'\n
         [[serve.a.handler]]\nexec = ['a']\n",
    );
    let line = serde_json::to_string(&serve).unwrap();
    assert_eq!(serde_json::from_str::<ServeSettings>(&line).unwrap(), serve);
}

#[test]
fn mistakes_of_a_listener_are_shown_where_they_stand() {
    let (_, said) = reading(
        "[serve]\ntimout = '1s'\nlisten = 'x'\n[serve.A]\nlisten = 'tcp:host:1'\ndialect = 'memcache'\nkey = 'k'
[serve.b]\nlisten = 'unix:b'\nprocesses = 0\nregister = 1\n[[serve.b.handler]]\necho = true\n
[serve.c]\nlisten = 'tcp:0.0.0.0:7'\n[[serve.c.handler]]\necho = true",
    );
    insta::assert_snapshot!(said, @r#"
    tieline.toml:2:1: there is no key `timout` in [serve]
      timout = '1s'
      ^~~~~~
      = help: did you mean `timeout`?

    tieline.toml:3:1: there is no key `listen` in [serve]
      listen = 'x'
      ^~~~~~
      = help: `listen` belongs to a table [serve.NAME]

    tieline.toml:4:8: `A` is no name to serve under: `A` may not stand in one
      [serve.A]
             ^
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit

    tieline.toml:4:8: `key` is given without `cert`
      [serve.A]
             ^
      = help: add `cert` and the file of its certificate

    tieline.toml:4:8: it has no handler
      [serve.A]
             ^
      = help: add a table [[serve.A.handler]] with one of exec, worker, forward and echo

    tieline.toml:5:10: `listen` cannot be `tcp:host:1`: it is no IP address with a port
      listen = 'tcp:host:1'
               ^~~~~~~~~~~~
      = help: write tcp:IP:port, tcp:[IPv6]:port or unix:/path

    tieline.toml:6:11: `dialect` cannot be `memcache`: there is no such word
      dialect = 'memcache'
                ^~~~~~~~~~
      = help: one of line, len32, resp

    tieline.toml:9:10: `listen` cannot be `unix:b`: its path is not absolute
      listen = 'unix:b'
               ^~~~~~~~
      = help: write tcp:IP:port, tcp:[IPv6]:port or unix:/path

    tieline.toml:10:13: `processes` cannot be `0`: it is too small
      processes = 0
                  ^
      = help: a whole number from 1 to 10000

    tieline.toml:11:12: `register` is an integer
      register = 1
                 ^
      = help: write a boolean, without quotes: true or false

    tieline.toml:15:8: it listens at every address, none of which can be registered
      [serve.c]
             ^
      = help: add advertise = "tcp:HOST:PORT" with a name of this machine, or register = false
    "#);
}

#[test]
fn mistakes_of_a_handler_are_shown_where_they_stand() {
    let (_, said) = reading(
        "[serve.a]\nlisten = 'unix:/a'\nmax_request = 10
[[serve.a.handler]]\nmatch = '/(/'\necho = true
[[serve.a.handler]]\nexec = 'ls -l'
[[serve.a.handler]]\nexec = []\nmax_request = 11
[[serve.a.handler]]\nmatch = 'two words'\necho = true
[[serve.a.handler]]\nmatch = 'idle'
[[serve.a.handler]]\nmatch = 'both'\necho = true\nforward = 'h:1'
[[serve.a.handler]]\necho = false\nrequesters = 1\nwhen = 2
[[serve.a.task]]\nevery = '1ms'
[[serve.a.task]]\nrun = ['x']\nevery = '1h'\nat = 'noon'",
    );
    insta::assert_snapshot!(said, @r#"
    tieline.toml:5:9: `/(/` is no regular expression: unclosed group
      match = '/(/'
              ^~~~~
      = help: the first word of a request, or a regular expression between slashes: "/^GET .*/"

    tieline.toml:8:8: `exec` is a string
      exec = 'ls -l'
             ^~~~~~~
      = help: write an array of strings: the program and its arguments, each in quotes: ["/usr/bin/program", "argument"]

    tieline.toml:10:8: `exec` is empty
      exec = []
             ^~
      = help: the program and its arguments, each in quotes: ["/usr/bin/program", "argument"]

    tieline.toml:11:15: the listener takes no request of this size
      max_request = 11
                    ^~
      = help: raise max_request of the listener, or lower this one

    tieline.toml:13:9: `match` cannot be `two words`: it is not one word
      match = 'two words'
              ^~~~~~~~~~~
      = help: the first word of a request, or a regular expression between slashes: "/^GET .*/"

    tieline.toml:16:1: this handler does nothing
      match = 'idle'
      ^~~~~
      = help: give it one of exec, worker, forward and echo

    tieline.toml:18:1: this handler has more than one thing to do
      match = 'both'
      ^~~~~
      = help: make a handler of each

    tieline.toml:22:8: `echo` can only be true
      echo = false
             ^~~~~
      = help: remove it

    tieline.toml:23:1: there is no key `requesters` in a handler
      requesters = 1
      ^~~~~~~~~~
      = help: `requesters` belongs to the listener, or to [serve]

    tieline.toml:24:1: there is no key `when` in a handler
      when = 2
      ^~~~
      = help: the keys of a handler are match, exec, worker, forward, echo, in_doubt, tagged, timeout, grace, processes, queue, requests, max_request, max_reply

    tieline.toml:26:1: this task has no `run`
      every = '1ms'
      ^~~~~
      = help: a task has both: every = "30m" and run = ["/usr/bin/program"]

    tieline.toml:26:9: `every` cannot be `1ms`: it is too small
      every = '1ms'
              ^~~~~
      = help: a duration from 1s to 365d: a whole number and `ms`, `s`, `m`, `h` or `d`

    tieline.toml:30:1: there is no key `at` in a task
      at = 'noon'
      ^~
      = help: the keys of a task are every, run, timeout, grace
    "#);
}

#[test]
fn what_is_remembered_of_transactions_is_said_by_the_listener_and_by_its_handlers() {
    let text = "[serve.a]\nlisten = 'unix:/a'\ndedupe = true\n[[serve.a.handler]]\nworker = ['w']\ntagged = true
[[serve.a.handler]]\nmatch = 'x'\nexec = ['x']\nin_doubt = 'again'";
    let serve = read_one(text);
    assert_eq!(serve.dedupe, Some(Duration::from_secs(864_000)));
    let said =
        |serve: &ServeSettings| serve.handlers.iter().map(|each| (each.in_doubt, each.tagged)).collect::<Vec<_>>();
    assert_eq!(said(&serve), [(InDoubt::Hold, true), (InDoubt::Again, false)]);
    let line = serde_json::to_string(&serve).unwrap();
    assert_eq!(serde_json::from_str::<ServeSettings>(&line).unwrap(), serve);
    let serve = read_one(&text.replace("dedupe = true", "dedupe = true\nkeep = '36h'"));
    assert_eq!(serve.dedupe, Some(Duration::from_secs(129_600)));
    let plain = read_one("[serve.a]\nlisten = 'unix:/a'\ndedupe = false\n[[serve.a.handler]]\necho = true");
    assert_eq!((plain.dedupe, said(&plain)), (None, vec![(InDoubt::Hold, false)]));
}

#[test]
fn what_is_remembered_of_transactions_must_mean_something() {
    let (_, said) = reading(
        "[serve]\nkeep = '1d'\n[serve.a]\nlisten = 'unix:/a'\ndialect = 'resp'\ndedupe = true
[[serve.a.handler]]\necho = true\nkeep = '1d'
[serve.b]\nlisten = 'unix:/b'\nkeep = '1d'
[[serve.b.handler]]\nworker = ['w']\ntagged = true\nin_doubt = 'again'
[serve.c]\nlisten = 'unix:/c'\nkeep = '1ms'\ndedupe = true\nmax_reply = '1GiB'\nmax_request = 127
[[serve.c.handler]]\nexec = ['x']\ntagged = true
[[serve.c.handler]]\nmatch = 'x'\necho = true\nin_doubt = 'maybe'",
    );
    insta::assert_snapshot!(said, @r#"
    tieline.toml:2:1: there is no key `keep` in [serve]
      keep = '1d'
      ^~~~
      = help: `keep` belongs to a table [serve.NAME]

    tieline.toml:6:1: `dedupe` is for the dialect line
      dedupe = true
      ^~~~~~
      = help: remove it: only a line can have a tag

    tieline.toml:9:1: there is no key `keep` in a handler
      keep = '1d'
      ^~~~
      = help: `keep` belongs to the listener

    tieline.toml:12:1: `keep` means nothing without `dedupe`
      keep = '1d'
      ^~~~
      = help: add `dedupe = true` to the listener, or remove it

    tieline.toml:15:1: `tagged` means nothing without `dedupe`
      tagged = true
      ^~~~~~
      = help: add `dedupe = true` to the listener, or remove it

    tieline.toml:16:1: `in_doubt` means nothing without `dedupe`
      in_doubt = 'again'
      ^~~~~~~~
      = help: add `dedupe = true` to the listener, or remove it

    tieline.toml:19:8: `keep` cannot be `1ms`: it is too small
      keep = '1ms'
             ^~~~~
      = help: a duration from 1s to 365d: a whole number and `ms`, `s`, `m`, `h` or `d`

    tieline.toml:20:1: the greeting of `dedupe` would be too large a request
      dedupe = true
      ^~~~~~
      = help: raise `max_request` to 128 at least

    tieline.toml:20:1: a handler may give larger replies than can be remembered
      dedupe = true
      ^~~~~~
      = help: lower `max_reply` to 512MiB at most

    tieline.toml:25:1: only a `worker` can be told tags
      tagged = true
      ^~~~~~
      = help: remove it: the program finds the tag in its environment, as TIELINE_TRANSACTION

    tieline.toml:29:12: `in_doubt` cannot be `maybe`: there is no such word
      in_doubt = 'maybe'
                 ^~~~~~~
      = help: one of hold, again
    "#);
}

#[test]
fn two_defaults_and_two_listeners_at_one_place_are_refused() {
    let (_, said) = reading(
        "[serve.a]\nlisten = 'unix:/a'\n[[serve.a.handler]]\necho = true\n[[serve.a.handler]]\nexec = ['x']
[serve.b]\nlisten = 'unix:/b'\n[[serve.b.handler]]\necho = true
[serve.c]\nlisten = 'unix:/b'\n[[serve.c.handler]]\necho = true\n[serve.d]\nlisten = 'unix:/d'",
    );
    insta::assert_snapshot!(said, @r#"
    tieline.toml:1:8: two handlers have no `match`
      [serve.a]
             ^
      = help: the second one would never be asked: remove it, or change its `match`

    tieline.toml:11:8: [serve.b] listens at unix:/b already
      [serve.c]
             ^
      = help: give each an address of its own

    tieline.toml:15:8: it has no handler
      [serve.d]
             ^
      = help: add a table [[serve.d.handler]] with one of exec, worker, forward and echo
    "#);
}

#[test]
fn the_example_of_the_documents_is_right() {
    let text = include_str!("../../../docs/serve.md");
    let (_, example) = text.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let serve = read_one(example);
    assert_eq!((serve.handlers.len(), serve.tasks.len(), serve.has_tls()), (4, 1, true));
    assert_eq!(serve.handlers[0].limits.timeout, Duration::from_secs(300));
    assert_eq!((serve.handlers[1].limits.timeout, serve.handlers[1].limits.processes), (Duration::from_secs(30), 4));
}
