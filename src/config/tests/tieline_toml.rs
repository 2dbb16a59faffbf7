//! The exact text of each kind of mistake in `tieline.toml`.

use std::path::Path;

use super::super::source::Source;
use super::super::tieline_toml::{Reading, read};
use super::super::*;
use super::printed;

pub(super) fn reading(text: &[u8]) -> Reading {
    read(&Source::new(Path::new("tieline.toml"), text), Path::new("/etc/tieline/tieline.toml"))
}

/// What is said of a text.
pub(super) fn said(text: &str) -> String {
    printed(&reading(text.as_bytes()).complaints)
}

#[test]
fn an_empty_file_is_a_configuration() {
    let read = reading(b"");
    let daemon = DaemonSettings {
        run_dir: "/run/tieline".into(),
        spool_dir: "/var/spool/tieline".into(),
        hosts_tab: "/etc/tieline/hosts.tab".into(),
        pid_file: "/run/tieline/tieline.pid".into(),
        status_file: "/run/tieline/status.txt".into(),
    };
    assert_eq!((read.complaints, read.daemon, read.drain.as_secs()), (vec![], daemon, 30));
    assert_eq!(read.log, LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text });
}

#[test]
fn relative_paths_are_relative_to_the_directory_of_the_file() {
    let read = reading(b"daemon = { run_dir = '../run', pid_file = './x/../y/../../../../pid' }\nlog.file = 'l'");
    assert_eq!(printed(&read.complaints), "");
    let paths = [read.daemon.run_dir, read.daemon.status_file, read.daemon.pid_file, read.log.file.unwrap()];
    assert_eq!(paths, ["/etc/run", "/etc/run/status.txt", "/pid", "/etc/tieline/l"].map(std::path::PathBuf::from));
}

#[test]
fn every_key_reaches_its_field() {
    let read = reading(
        b"[log]\nlevel = 'trace'\nformat = 'json'\n[defaults]\ndrain = '0s'\nconnections = 0x10\ntimeout = '1m'
          max_request = 1_024\nmax_reply = '1GiB'\nowner = 0\ngroup = 'root'\nmode = 0o600\nstart = 'demand'\ndeferred = true
          rejects = 'error,no'\nreplay = 'hold'\nreplay_window = 4\nexpire = '1d'\nspool_max = '1MiB'",
    );
    assert_eq!(printed(&read.complaints), "");
    assert_eq!((read.log.level, read.log.format, read.drain.as_millis()), (LogLevel::Trace, LogFormat::Json, 0));
    let nowhere = Address::Unix { path: "/".into() };
    let mut host = HostSettings::with_defaults("a", nowhere, crate::dialect::Dialect::Line);
    read.defaults.iter().for_each(|setting| setting(&mut host));
    assert_eq!((host.connections, host.timeout.as_secs(), host.start), (16, 60, Start::Demand));
    assert_eq!((host.max_request, host.max_reply), (1024, 1 << 30));
    assert_eq!((host.owner, host.group, host.mode), (Some(0), Some(0), 0o600));
    assert_eq!((host.deferred, host.hold_in_doubt, host.replay_window), (true, true, 4));
    assert_eq!((host.rejects.len(), host.expire.as_secs(), host.spool_max), (2, 86_400, 1 << 20));
}

#[test]
fn there_is_a_registry_unless_it_is_said_that_there_is_none() {
    let registry = reading(b"[daemon]\nspool_dir = '/s'").registry.unwrap();
    assert_eq!(registry, RegistrySettings::with_defaults("/s/.registry/registry.sqlite".into()));
    assert_eq!(reading(b"[registry]\nenabled = false\nfile = 'x'").registry, None);
    let registry =
        reading(b"[registry]\nenabled = true\nfile = '../names'\nmode = '0600'\nowner = 7").registry.unwrap();
    assert_eq!((registry.file, registry.rights.mode, registry.rights.owner), ("/etc/names".into(), 0o600, Some(7)));
}

#[test]
fn each_name_that_is_served_has_a_table_of_its_own() {
    let read = reading(
        b"serve.ledger = { listen = '127.0.0.1:7000', handler = [{ echo = true }] }
            [serve.\"a.b\"]\nlisten = 'unix:/x/../y'\nmode = 0o666\nhandler = [{ echo = true }]",
    );
    assert_eq!(printed(&read.complaints), "");
    let mut served = [
        ServeSettings::with_defaults("a.b", Listen::Unix("/y".into())),
        ServeSettings::with_defaults("ledger", Listen::Tcp(([127, 0, 0, 1], 7000).into())),
    ];
    served[0].rights.mode = 0o666;
    served.iter_mut().for_each(|serve| serve.dir = "/etc/tieline".into());
    assert_eq!(read.serves, served);
    assert_eq!(served[1].listen.to_string(), "tcp:127.0.0.1:7000");
}

#[test]
fn mistakes_in_registry_are_told_where_they_stand() {
    insta::assert_snapshot!(said("[registry]\nenabled = 1\nfil = 'x'\nmode = '0'"), @r"
    tieline.toml:2:11: `enabled` is an integer
      enabled = 1
                ^
      = help: write a boolean, without quotes: true or false

    tieline.toml:3:1: there is no key `fil` in [registry]
      fil = 'x'
      ^~~
      = help: did you mean `file`?

    tieline.toml:4:8: `mode` cannot be `0`: nobody could connect
      mode = '0'
             ^~~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
    insta::assert_snapshot!(said("[daemon]\npid_file = '/p'\n[registry]\nfile = '/p'"), @r"
    tieline.toml:4:8: `registry.file` is the same file as `pid_file`
      file = '/p'
             ^~~~
      = help: give each a path of its own
    ");
    insta::assert_snapshot!(said("[log]\nenabled = true"), @r"
    tieline.toml:2:1: there is no key `enabled` in [log]
      enabled = true
      ^~~~~~~
      = help: `enabled` belongs to [registry]
    ");
}

#[test]
fn bytes_that_are_not_utf8_are_shown_where_they_stand() {
    let read = reading(b"[daemon]\nrun_dir = 'r' # \xe4\xf6\n[log]\nlevel = '\xff'");
    insta::assert_snapshot!(printed(&read.complaints), @r"
    tieline.toml:2:17: this is not UTF-8
      run_dir = 'r' # ��
                      ^
      = help: save the file as UTF-8 or ASCII

    tieline.toml:4:9: `level` cannot be `�`: there is no such word
      level = '�'
              ^~~
      = help: one of error, warn, info, debug, trace

    tieline.toml:4:10: this is not UTF-8
      level = '�'
               ^
      = help: save the file as UTF-8 or ASCII
    ");
}

#[test]
fn the_syntax_is_broken() {
    insta::assert_snapshot!(said("[daemon"), @r"
    tieline.toml:1:8: no valid TOML: unclosed table
      [daemon
             ^
      = help: expected `]`
    ");
    insta::assert_snapshot!(said("[daemon]\nrun_dir = run"), @r"
    tieline.toml:2:11: no valid TOML: string values must be quoted
      run_dir = run
                ^~~
      = help: put it in quotes
    ");
    insta::assert_snapshot!(said("[daemon]\nrun_dir = \"run"), @r#"
    tieline.toml:2:15: no valid TOML: invalid basic string
      run_dir = "run
                    ^
      = help: expected `"`
    "#);
    insta::assert_snapshot!(said("[daemon]\nrun_dir =\nspool_dir = \"s\""), @r"
    tieline.toml:2:10: no valid TOML: the value is missing
      run_dir =
               ^
      = help: write one after the `=`
    ");
    insta::assert_snapshot!(said("[daemon]\nrun_dir = \"a\"\nrun_dir = \"b\""), @r#"
    tieline.toml:3:1: no valid TOML: duplicate key
      run_dir = "b"
      ^~~~~~~
      = help: each key is given once, each table opened once
    "#);
    insta::assert_snapshot!(said("[log]\n[log]"), @r"
    tieline.toml:2:2: no valid TOML: duplicate key
      [log]
       ^~~
      = help: each key is given once, each table opened once
    ");
    insta::assert_snapshot!(said("a = = 1"), @r"
    tieline.toml:1:5: no valid TOML: extra `=`
      a = = 1
          ^
      = help: remove it
    ");
    insta::assert_snapshot!(said("[defaults]\nconnections = 010"), @r#"
    tieline.toml:2:15: no valid TOML: unexpected leading zero
      connections = 010
                    ^
      = help: remove it; permission bits stand in quotes, as in mode = "0660"
    "#);
    insta::assert_snapshot!(said("[defaults]\nmode = 0660"), @r#"
    tieline.toml:2:8: no valid TOML: unexpected leading zero
      mode = 0660
             ^
      = help: remove it; permission bits stand in quotes, as in mode = "0660"
    "#);
    insta::assert_snapshot!(said("\0"), @r"
    tieline.toml:1:2: no valid TOML: key with no value
      ␀
       ^
      = help: expected `=`
    ");
}

#[test]
fn what_follows_broken_syntax_is_checked_as_well() {
    insta::assert_snapshot!(said("[daemon]\nrun_dir = = \"run\"\nspol_dir = \"s\"\n[log]\nlevel = \"loud\""), @r#"
    tieline.toml:2:11: no valid TOML: extra `=`
      run_dir = = "run"
                ^
      = help: remove it

    tieline.toml:3:1: there is no key `spol_dir` in [daemon]
      spol_dir = "s"
      ^~~~~~~~
      = help: did you mean `spool_dir`?

    tieline.toml:5:9: `level` cannot be `loud`: there is no such word
      level = "loud"
              ^~~~~~
      = help: one of error, warn, info, debug, trace
    "#);
}

#[test]
fn a_table_is_unknown_or_none() {
    insta::assert_snapshot!(said("[daemn]"), @r"
    tieline.toml:1:2: there is no table `daemn`
      [daemn]
       ^~~~~
      = help: did you mean `daemon`?
    ");
    insta::assert_snapshot!(said("[hosts]"), @r"
    tieline.toml:1:2: there is no table `hosts`
      [hosts]
       ^~~~~
      = help: the tables are daemon, log, defaults, registry, serve
    ");
    insta::assert_snapshot!(said("[[serve]]"), @r"
    tieline.toml:1:3: `serve` is no table
      [[serve]]
        ^~~~~
      = help: open one with a line `[serve.NAME]`
    ");
    insta::assert_snapshot!(said("daemon = 5"), @r"
    tieline.toml:1:1: `daemon` is no table
      daemon = 5
      ^~~~~~
      = help: open it with a line `[daemon]`
    ");
    insta::assert_snapshot!(said("[[log]]"), @r"
    tieline.toml:1:3: `log` is no table
      [[log]]
        ^~~
      = help: open it with a line `[log]`
    ");
}

#[test]
fn a_key_stands_in_the_wrong_place() {
    insta::assert_snapshot!(said("run_dir = \"run\""), @r#"
    tieline.toml:1:1: `run_dir` stands outside of any table
      run_dir = "run"
      ^~~~~~~
      = help: `run_dir` belongs to [daemon]
    "#);
    insta::assert_snapshot!(said("timeout = \"5s\""), @r#"
    tieline.toml:1:1: `timeout` stands outside of any table
      timeout = "5s"
      ^~~~~~~
      = help: `timeout` belongs to [defaults]
    "#);
    insta::assert_snapshot!(said("colour = 1"), @r"
    tieline.toml:1:1: `colour` stands outside of any table
      colour = 1
      ^~~~~~
      = help: the tables are daemon, log, defaults, registry, serve
    ");
    insta::assert_snapshot!(said("[daemon]\nlevel = \"info\""), @r#"
    tieline.toml:2:1: there is no key `level` in [daemon]
      level = "info"
      ^~~~~
      = help: `level` belongs to [log]
    "#);
    insta::assert_snapshot!(said("[log]\nconnections = 5"), @r"
    tieline.toml:2:1: there is no key `connections` in [log]
      connections = 5
      ^~~~~~~~~~~
      = help: `connections` belongs to [defaults]
    ");
    insta::assert_snapshot!(said("[daemon.run_dir]"), @r"
    tieline.toml:1:1: `run_dir` is a table
      [daemon.run_dir]
      ^~~~~~~~~~~~~~~~
      = help: write a string, in quotes: a path, relative to the directory of this file or from the root
    ");
}

#[test]
fn a_key_is_unknown() {
    insta::assert_snapshot!(said("[daemon]\nrundir = \"run\""), @r#"
    tieline.toml:2:1: there is no key `rundir` in [daemon]
      rundir = "run"
      ^~~~~~
      = help: did you mean `run_dir`?
    "#);
    insta::assert_snapshot!(said("[daemon]\nport = 80"), @r"
    tieline.toml:2:1: there is no key `port` in [daemon]
      port = 80
      ^~~~
      = help: the keys of [daemon] are run_dir, spool_dir, hosts_tab, pid_file, status_file
    ");
    insta::assert_snapshot!(said("[log]\nfrmat = \"text\""), @r#"
    tieline.toml:2:1: there is no key `frmat` in [log]
      frmat = "text"
      ^~~~~
      = help: did you mean `format`?
    "#);
    insta::assert_snapshot!(said("[log]\ncolour = true"), @r"
    tieline.toml:2:1: there is no key `colour` in [log]
      colour = true
      ^~~~~~
      = help: the keys of [log] are level, file, format
    ");
    insta::assert_snapshot!(said("[defaults]\ntime_out = \"5s\""), @r#"
    tieline.toml:2:1: there is no key `time_out` in [defaults]
      time_out = "5s"
      ^~~~~~~~
      = help: did you mean `timeout`?
    "#);
    insta::assert_snapshot!(said("[defaults]\nquic = true"), @r"
    tieline.toml:2:1: there is no key `quic` in [defaults]
      quic = true
      ^~~~
      = help: the keys of [defaults] are connections, sessions, pipeline, window, queue, requesters, timeout, connect_timeout, retries, idle, max_request, max_reply, unread, start, listen, workers, deferred, rejects, replay, replay_window, replay_backoff, dedupe, spool_max, expire, owner, group, mode, allow, tls, sni, ca, cert, key, user, password_file, db, greeting, secrets, drain
    ");
}

#[test]
fn a_value_has_the_wrong_type() {
    insta::assert_snapshot!(said("[daemon]\nrun_dir = 5"), @r"
    tieline.toml:2:11: `run_dir` is an integer
      run_dir = 5
                ^
      = help: write a string, in quotes: a path, relative to the directory of this file or from the root
    ");
    insta::assert_snapshot!(said("[log]\nlevel = 3"), @r"
    tieline.toml:2:9: `level` is an integer
      level = 3
              ^
      = help: write a string, in quotes: one of error, warn, info, debug, trace
    ");
    insta::assert_snapshot!(said("[defaults]\nconnections = \"4\""), @r#"
    tieline.toml:2:15: `connections` is a string
      connections = "4"
                    ^~~
      = help: write an integer, without quotes: a whole number from 1 to 10000
    "#);
    insta::assert_snapshot!(said("[defaults]\nconnections = 4.0"), @r"
    tieline.toml:2:15: `connections` is a float
      connections = 4.0
                    ^~~
      = help: write an integer, without quotes: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("[defaults]\ntimeout = 30"), @r"
    tieline.toml:2:11: `timeout` is an integer
      timeout = 30
                ^~
      = help: write a string, in quotes: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("[defaults]\nmax_reply = true"), @r"
    tieline.toml:2:13: `max_reply` is a boolean
      max_reply = true
                  ^~~~
      = help: write an integer or a string: a size from 1 to 1TiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    ");
    insta::assert_snapshot!(said("[defaults]\nmode = 660"), @r"
    tieline.toml:2:8: `mode` is an integer
      mode = 660
             ^~~
      = help: write a string, in quotes: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
    insta::assert_snapshot!(said("[defaults]\ndeferred = 'yes'"), @r"
    tieline.toml:2:12: `deferred` is a string
      deferred = 'yes'
                 ^~~~~
      = help: write a boolean, without quotes: true or false
    ");
    insta::assert_snapshot!(said("[defaults]\nlisten = [1]"), @r"
    tieline.toml:2:10: `listen` is an array
      listen = [1]
               ^~~
      = help: write a string, in quotes: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
    insta::assert_snapshot!(said("[defaults]\nidle = 07:32:00"), @r"
    tieline.toml:2:8: `idle` is a date or time
      idle = 07:32:00
             ^~~~~~~~
      = help: write a string, in quotes: a duration from 1ms to 30d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("[defaults]\nowner = {}"), @r"
    tieline.toml:2:9: `owner` is a table
      owner = {}
              ^~
      = help: write an integer or a string: a user of this machine, by name or by number
    ");
    insta::assert_snapshot!(said("[defaults]\ndrain = 30"), @r"
    tieline.toml:2:9: `drain` is an integer
      drain = 30
              ^~
      = help: write a string, in quotes: a duration from 0s to 1h: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
}

#[test]
fn a_value_is_wrong() {
    insta::assert_snapshot!(said("[daemon]\nrun_dir = \"\""), @r#"
    tieline.toml:2:11: `run_dir` cannot be ``: it is empty
      run_dir = ""
                ^~
      = help: a path, relative to the directory of this file or from the root
    "#);
    insta::assert_snapshot!(said("[daemon]\nrun_dir = \"a\\u0000b\""), @r#"
    tieline.toml:2:11: `run_dir` cannot be `a␀b`: it has a control character
      run_dir = "a\u0000b"
                ^~~~~~~~~~
      = help: a path, relative to the directory of this file or from the root
    "#);
    insta::assert_snapshot!(said("[log]\nlevel = \"warning\""), @r#"
    tieline.toml:2:9: `level` cannot be `warning`: there is no such word
      level = "warning"
              ^~~~~~~~~
      = help: did you mean `warn`?
    "#);
    insta::assert_snapshot!(said("[log]\nformat = \"xml\""), @r#"
    tieline.toml:2:10: `format` cannot be `xml`: there is no such word
      format = "xml"
               ^~~~~
      = help: one of text, json
    "#);
    insta::assert_snapshot!(said("[defaults]\nconnections = 0"), @r"
    tieline.toml:2:15: `connections` cannot be `0`: it is too small
      connections = 0
                    ^
      = help: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("[defaults]\nqueue = -5"), @r"
    tieline.toml:2:9: `queue` cannot be `-5`: it is no whole number
      queue = -5
              ^~
      = help: a whole number from 1 to 1000000
    ");
    insta::assert_snapshot!(said("[defaults]\ntimeout = \"5\""), @r#"
    tieline.toml:2:11: `timeout` cannot be `5`: its unit is missing
      timeout = "5"
                ^~~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    "#);
    insta::assert_snapshot!(said("[defaults]\nmax_reply = \"1GB\""), @r#"
    tieline.toml:2:13: `max_reply` cannot be `1GB`: its unit is unknown
      max_reply = "1GB"
                  ^~~~~
      = help: a size from 1 to 1TiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    "#);
    insta::assert_snapshot!(said("[defaults]\nowner = \"no-such-user\""), @r#"
    tieline.toml:2:9: `owner` cannot be `no-such-user`: there is no such name on this machine
      owner = "no-such-user"
              ^~~~~~~~~~~~~~
      = help: a user of this machine, by name or by number
    "#);
    insta::assert_snapshot!(said("[defaults]\nmode = \"999\""), @r#"
    tieline.toml:2:8: `mode` cannot be `999`: it is no octal number
      mode = "999"
             ^~~~~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    "#);
    insta::assert_snapshot!(said("[defaults]\nlisten = \"10.0.0.1:80\""), @r#"
    tieline.toml:2:10: `listen` cannot be `10.0.0.1:80`: it is no loopback address
      listen = "10.0.0.1:80"
               ^~~~~~~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    "#);
    insta::assert_snapshot!(said("[defaults]\ndrain = \"2h\""), @r#"
    tieline.toml:2:9: `drain` cannot be `2h`: it is too large
      drain = "2h"
              ^~~~
      = help: a duration from 0s to 1h: a whole number and `ms`, `s`, `m`, `h` or `d`
    "#);
    insta::assert_snapshot!(said("[defaults]\nworkers = 11"), @r"
    tieline.toml:2:11: 11 workers cannot share 10 connections
      workers = 11
                ^~
      = help: allow at least as many connections as workers
    ");
}

#[test]
fn two_keys_name_the_same_file() {
    insta::assert_snapshot!(said("[daemon]\npid_file = \"x\"\nstatus_file = \"./x\""), @r#"
    tieline.toml:3:15: `status_file` is the same file as `pid_file`
      status_file = "./x"
                    ^~~~~
      = help: give each a path of its own
    "#);
    insta::assert_snapshot!(said("[log]\nfile = \"hosts.tab\""), @r#"
    tieline.toml:2:8: `file` is the same file as `hosts_tab`
      file = "hosts.tab"
             ^~~~~~~~~~~
      = help: give each a path of its own
    "#);
    insta::assert_snapshot!(said("[daemon]\npid_file = \"tieline.toml\""), @r#"
    tieline.toml:2:12: `pid_file` is the same file as `tieline.toml`
      pid_file = "tieline.toml"
                 ^~~~~~~~~~~~~~
      = help: give each a path of its own
    "#);
    insta::assert_snapshot!(said("[daemon]\nhosts_tab = \"/run/tieline/status.txt\""), @r#"
    tieline.toml:2:13: `status_file` is the same file as `hosts_tab`
      hosts_tab = "/run/tieline/status.txt"
                  ^~~~~~~~~~~~~~~~~~~~~~~~~
      = help: give each a path of its own
    "#);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    insta::assert_snapshot!(said("stray = 1\n[log]\nlevel = 5\n[defaults]\ntimeout = 5\nidle = \"5s\n[daemon]\nrundir = \"\"\n"), @r#"
    tieline.toml:1:1: `stray` stands outside of any table
      stray = 1
      ^~~~~
      = help: the tables are daemon, log, defaults, registry, serve

    tieline.toml:3:9: `level` is an integer
      level = 5
              ^
      = help: write a string, in quotes: one of error, warn, info, debug, trace

    tieline.toml:5:11: `timeout` is an integer
      timeout = 5
                ^
      = help: write a string, in quotes: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`

    tieline.toml:6:11: no valid TOML: invalid basic string
      idle = "5s
                ^
      = help: expected `"`

    tieline.toml:8:1: there is no key `rundir` in [daemon]
      rundir = ""
      ^~~~~~
      = help: did you mean `run_dir`?
    "#);
}
