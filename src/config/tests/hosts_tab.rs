//! The exact text of each kind of mistake in `hosts.tab`.

use std::path::Path;

use super::super::*;
use crate::dialect::Dialect;

/// What is said of a table.
fn said(table: &str) -> String {
    let read = parse_hosts_tab(Path::new("hosts.tab"), table.as_bytes());
    read.map_or_else(|error| error.to_string(), |hosts| format!("{} hosts", hosts.len()))
}

fn hosts(table: &[u8]) -> Vec<HostSettings> {
    parse_hosts_tab(Path::new("hosts.tab"), table).unwrap()
}

#[test]
fn a_line_becomes_a_host_with_the_defaults_of_its_dialect() {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 6379 };
    let cache = HostSettings::with_defaults("cache", address, Dialect::Resp);
    assert_eq!(hosts(b"cache 127.0.0.1:6379 resp"), [cache]);
    assert_eq!(hosts(b"a b:1 resp\nc d:2 line").iter().map(|host| host.pipeline).collect::<Vec<_>>(), [1024, 1]);
    assert_eq!(
        hosts(b"a b:1 resp\nc d:2 line").iter().map(|host| host.max_reply).collect::<Vec<_>>(),
        [1 << 30, 16 << 20]
    );
}

#[test]
fn blanks_comments_and_line_ends_of_any_kind_are_no_part_of_a_host() {
    let plain = hosts(b"a b:1 line idle=5s\nc d:2 line");
    assert_eq!(hosts(b"\xef\xbb\xbf# two\r\n\r\n\ta \t b:1 line  idle=5s #x=y\r\n # none\n\nc d:2 line\t"), plain);
    assert_eq!(hosts(b""), []);
}

#[test]
fn every_option_reaches_its_field() {
    let line = "a [fe80::1%eth0]:80 len32 connections=2 pipeline=3 window=4 queue=5 requesters=6 timeout=7s \
                connect_timeout=8ms retries=9 idle=10m max_request=11KiB max_reply=12MiB unread=13KiB start=demand \
                listen=[::1]:14 workers=1 deferred rejects=error,no replay=hold replay_window=16 replay_backoff=17s \
                spool_max=18MiB expire=19d owner=15 group=root mode=0600";
    let host = hosts(line.as_bytes()).remove(0);
    let counts =
        [host.connections, host.pipeline, host.window, host.queue, host.requesters, host.retries, host.workers];
    assert_eq!(counts, [2, 3, 4, 5, 6, 9, 1]);
    let times = [host.timeout, host.connect_timeout, host.idle].map(|time| time.as_millis());
    assert_eq!(times, [7000, 8, 600_000]);
    assert_eq!([host.max_request, host.max_reply, host.unread], [11 << 10, 12 << 20, 13 << 10]);
    assert_eq!((host.start, host.listen), (Start::Demand, Some("[::1]:14".parse().unwrap())));
    assert_eq!((host.owner, host.group, host.mode), (Some(15), Some(0), 0o600));
    assert_eq!((host.deferred, host.hold_in_doubt, host.replay_window), (true, true, 16));
    assert_eq!((host.rejects, host.spool_max), (vec!["error".to_owned(), "no".to_owned()], 18 << 20));
    assert_eq!([host.replay_backoff, host.expire].map(|time| time.as_secs()), [17, 19 * 86_400]);
    assert!(hosts(b"a b:1 line deferred dedupe").remove(0).dedupe);
}

#[test]
fn addresses_of_all_kinds_are_written_as_they_were_read() {
    for word in ["a.b-c_d.example.:1", "10.0.0.1:65535", "[::1]:2", "[fe80::1%eth0]:3", "unix:/run/a"] {
        assert_eq!(hosts(format!("x {word} line").as_bytes())[0].address.to_string(), word);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_shown_where_they_stand() {
    let error = parse_hosts_tab(Path::new("hosts.tab"), b"a b:1 line # k\xf6ln\n\xffx\n").unwrap_err();
    insta::assert_snapshot!(error, @r"
    hosts.tab:1:15: this is not UTF-8
      a b:1 line # k�ln
                    ^
      = help: save the file as UTF-8 or ASCII

    hosts.tab:2:1: this is not UTF-8
      �x
      ^
      = help: save the file as UTF-8 or ASCII
    ");
}

#[test]
fn a_line_that_is_too_long_is_shown_around_its_mistake_only() {
    let long = format!("a b:1 line timeout=5x # {}", "c".repeat(1000));
    insta::assert_snapshot!(said(&long), @r"
    hosts.tab:1:20: `timeout` cannot be `5x`: its unit is unknown
      a b:1 line timeout=5x # cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc…
                         ^~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said(&format!("a b:1 line timout=1s {}", "idle=1s ".repeat(600))), @r"
    hosts.tab:1:4097: the line has 4821 bytes, 4096 are allowed
      …e=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idle=1s idl…
                                               ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
      = help: shorten it, or put its comment on lines of its own
    ");
}

#[test]
fn a_line_lacks_something() {
    insta::assert_snapshot!(said("cache"), @r"
    hosts.tab:1:6: the host lacks its address and its dialect
      cache
           ^
      = help: a line is: name address dialect [key=value …], as in `cache 127.0.0.1:6379 resp connections=4`
    ");
    insta::assert_snapshot!(said("cache 127.0.0.1:6379 # resp"), @r"
    hosts.tab:1:21: the host lacks its dialect
      cache 127.0.0.1:6379 # resp
                          ^
      = help: a line is: name address dialect [key=value …], as in `cache 127.0.0.1:6379 resp connections=4`
    ");
}

#[test]
fn a_name_is_wrong() {
    insta::assert_snapshot!(said("Cache a:1 line"), @r"
    hosts.tab:1:1: `Cache` is no name for a host: `C` may not stand in one
      Cache a:1 line
      ^~~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit
    ");
    insta::assert_snapshot!(said("-cache a:1 line"), @r"
    hosts.tab:1:1: `-cache` is no name for a host: it starts with neither letter nor digit
      -cache a:1 line
      ^~~~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit
    ");
    insta::assert_snapshot!(said(".x a:1 line"), @r"
    hosts.tab:1:1: `.x` is no name for a host: it starts with neither letter nor digit
      .x a:1 line
      ^~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit
    ");
    insta::assert_snapshot!(said("käse a:1 line"), @r"
    hosts.tab:1:1: `käse` is no name for a host: `ä` may not stand in one
      käse a:1 line
      ^~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit
    ");
    insta::assert_snapshot!(said("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a:1 line"), @r"
    hosts.tab:1:1: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` is no name for a host: it is too long
      aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a:1 line
      ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit
    ");
    insta::assert_snapshot!(said("control a:1 line"), @r"
    hosts.tab:1:1: `control` is no name for a host: control.sock is the socket of tieline itself
      control a:1 line
      ^~~~~~~
      = help: choose another name
    ");
    insta::assert_snapshot!(said("registry a:1 line"), @r"
    hosts.tab:1:1: `registry` is no name for a host: registry.sock is the socket of the registry
      registry a:1 line
      ^~~~~~~~
      = help: choose another name
    ");
    insta::assert_snapshot!(said("cache.deferred a:1 line"), @r"
    hosts.tab:1:1: `cache.deferred` is no name for a host: names that end in `.deferred` are kept
      cache.deferred a:1 line
      ^~~~~~~~~~~~~~
      = help: choose another name
    ");
}

#[test]
fn a_name_comes_twice() {
    insta::assert_snapshot!(said("cache a:1 line\n\ncache b:1 line"), @r"
    hosts.tab:3:1: `cache` is already the name of the host in line 1
      cache b:1 line
      ^~~~~
      = help: give each host a name of its own
    ");
}

#[test]
fn an_address_has_the_wrong_form() {
    insta::assert_snapshot!(said("a localhost line"), @r"
    hosts.tab:1:3: `localhost` is no address: its port is missing
      a localhost line
        ^~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a localhost: line"), @r"
    hosts.tab:1:3: `localhost:` is no address: its port is missing
      a localhost: line
        ^~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a localhost:0 line"), @r"
    hosts.tab:1:3: `localhost:0` is no address: its port `0` is no number from 1 to 65535
      a localhost:0 line
        ^~~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a localhost:65536 line"), @r"
    hosts.tab:1:3: `localhost:65536` is no address: its port `65536` is no number from 1 to 65535
      a localhost:65536 line
        ^~~~~~~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a localhost:+80 line"), @r"
    hosts.tab:1:3: `localhost:+80` is no address: its port `+80` is no number from 1 to 65535
      a localhost:+80 line
        ^~~~~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a :80 line"), @r"
    hosts.tab:1:3: `:80` is no address: its host is missing
      a :80 line
        ^~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a ::1:80 line"), @r"
    hosts.tab:1:3: `::1:80` is no address: an IPv6 address stands in brackets, and a port after them
      a ::1:80 line
        ^~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a [::1] line"), @r"
    hosts.tab:1:3: `[::1]` is no address: its port is missing
      a [::1] line
        ^~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a [::1:80 line"), @r"
    hosts.tab:1:3: `[::1:80` is no address: its `]` is missing
      a [::1:80 line
        ^~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a [::g]:80 line"), @r"
    hosts.tab:1:3: `[::g]:80` is no address: no IPv6 address stands in its brackets
      a [::g]:80 line
        ^~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a [::1]80 line"), @r"
    hosts.tab:1:3: `[::1]80` is no address: its port is missing
      a [::1]80 line
        ^~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a 10.0.1:80 line"), @r"
    hosts.tab:1:3: `10.0.1:80` is no address: its IPv4 address is no valid one
      a 10.0.1:80 line
        ^~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a 10.0.0.256:80 line"), @r"
    hosts.tab:1:3: `10.0.0.256:80` is no address: its IPv4 address is no valid one
      a 10.0.0.256:80 line
        ^~~~~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a ho$t:80 line"), @r"
    hosts.tab:1:3: `ho$t:80` is no address: its host is no name that could be resolved
      a ho$t:80 line
        ^~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a a..b:80 line"), @r"
    hosts.tab:1:3: `a..b:80` is no address: its host is no name that could be resolved
      a a..b:80 line
        ^~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a tcp:host:80 line"), @r"
    hosts.tab:1:3: `tcp:host:80` is no address: it has too many colons
      a tcp:host:80 line
        ^~~~~~~~~~~
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
    insta::assert_snapshot!(said("a unix:run/x line"), @r"
    hosts.tab:1:3: `unix:run/x` is no address: its path is not absolute
      a unix:run/x line
        ^~~~~~~~~~
      = help: write the path from the root: unix:/path
    ");
    insta::assert_snapshot!(said("a unix: line"), @r"
    hosts.tab:1:3: `unix:` is no address: its path is not absolute
      a unix: line
        ^~~~~
      = help: write the path from the root: unix:/path
    ");
    insta::assert_snapshot!(said("a unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx line"), @r"
    hosts.tab:1:3: `unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is no address: its path has 108 bytes
      a unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx line
        ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
      = help: a socket's path has at most 107 bytes: use a shorter one, or a symbolic link
    ");
}

#[test]
fn a_name_of_the_registry_is_an_address() {
    let host = hosts(b"a @cache.main line").remove(0);
    assert_eq!(host.address, Address::Name { name: "cache.main".into() });
    assert_eq!(host.address.to_string(), "@cache.main");
}

#[test]
fn what_stands_behind_an_at_sign_is_no_name() {
    insta::assert_snapshot!(said("a @Cache line"), @r"
    hosts.tab:1:3: `@Cache` is no address: no name stands behind its `@`
      a @Cache line
        ^~~~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit; it does not end in `.deferred`
    ");
    assert!(said("a @ line").contains("`@` is no address"));
    assert!(said("a @cache:6379 line").contains("`@cache:6379` is no address"));
}

#[test]
fn a_dialect_is_wrong() {
    insta::assert_snapshot!(said("a b:1 rsep"), @r"
    hosts.tab:1:7: there is no dialect `rsep`
      a b:1 rsep
            ^~~~
      = help: did you mean `resp`?
    ");
    insta::assert_snapshot!(said("a b:1 redis"), @r"
    hosts.tab:1:7: there is no dialect `redis`
      a b:1 redis
            ^~~~~
      = help: this version speaks line, len32, resp, memcache
    ");
    insta::assert_snapshot!(said("a b:1 http"), @r"
    hosts.tab:1:7: the dialect `http` is not in this version
      a b:1 http
            ^~~~
      = help: this version speaks line, len32, resp, memcache
    ");
    insta::assert_snapshot!(said("a b:1 memcached"), @r"
    hosts.tab:1:7: there is no dialect `memcached`
      a b:1 memcached
            ^~~~~~~~~
      = help: did you mean `memcache`?
    ");
}

#[test]
fn an_option_is_unknown() {
    insta::assert_snapshot!(said("a b:1 line timout=5s"), @r"
    hosts.tab:1:12: `timout` is no option of a host
      a b:1 line timout=5s
                 ^~~~~~
      = help: did you mean `timeout`?
    ");
    insta::assert_snapshot!(said("a b:1 line quic"), @r"
    hosts.tab:1:12: `quic` is no option of a host
      a b:1 line quic
                 ^~~~
      = help: the options are connections, sessions, pipeline, window, queue, requesters, timeout, connect_timeout, retries, idle, max_request, max_reply, unread, start, listen, workers, deferred, rejects, replay, replay_window, replay_backoff, dedupe, spool_max, expire, owner, group, mode, allow, tls, sni, ca, cert, key, user, password_file, db, greeting, secrets
    ");
    insta::assert_snapshot!(said("a b:1 line defered"), @r"
    hosts.tab:1:12: `defered` is no option of a host
      a b:1 line defered
                 ^~~~~~~
      = help: did you mean `deferred`?
    ");
    insta::assert_snapshot!(said("a b:1 line drain=5s"), @r"
    hosts.tab:1:12: `drain` is no option of a host
      a b:1 line drain=5s
                 ^~~~~
      = help: `drain` is no single host's: set it in [defaults] of tieline.toml
    ");
    insta::assert_snapshot!(said("a b:1 line =5s"), @r"
    hosts.tab:1:12: an option lacks its name
      a b:1 line =5s
                 ^~~
      = help: write the name of an option before the `=`
    ");
    insta::assert_snapshot!(said("a b:1 line 5s"), @r"
    hosts.tab:1:12: `5s` is no option of a host
      a b:1 line 5s
                 ^~
      = help: the options are connections, sessions, pipeline, window, queue, requesters, timeout, connect_timeout, retries, idle, max_request, max_reply, unread, start, listen, workers, deferred, rejects, replay, replay_window, replay_backoff, dedupe, spool_max, expire, owner, group, mode, allow, tls, sni, ca, cert, key, user, password_file, db, greeting, secrets
    ");
}

#[test]
fn an_option_lacks_its_value_or_comes_twice() {
    insta::assert_snapshot!(said("a b:1 line timeout"), @r"
    hosts.tab:1:12: `timeout` has no value
      a b:1 line timeout
                 ^~~~~~~
      = help: write `timeout=` and a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line timeout="), @r"
    hosts.tab:1:12: `timeout` has no value
      a b:1 line timeout=
                 ^~~~~~~~
      = help: write `timeout=` and a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line idle=5s idle=6s"), @r"
    hosts.tab:1:20: `idle` is given twice for this host
      a b:1 line idle=5s idle=6s
                         ^~~~
      = help: keep one of them
    ");
}

#[test]
fn a_count_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line connections=0"), @r"
    hosts.tab:1:24: `connections` cannot be `0`: it is too small
      a b:1 line connections=0
                             ^
      = help: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("a b:1 line connections=10001"), @r"
    hosts.tab:1:24: `connections` cannot be `10001`: it is too large
      a b:1 line connections=10001
                             ^~~~~
      = help: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("a b:1 line connections=four"), @r"
    hosts.tab:1:24: `connections` cannot be `four`: it is no whole number
      a b:1 line connections=four
                             ^~~~
      = help: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("a b:1 line connections=-1"), @r"
    hosts.tab:1:24: `connections` cannot be `-1`: it is no whole number
      a b:1 line connections=-1
                             ^~
      = help: a whole number from 1 to 10000
    ");
    insta::assert_snapshot!(said("a b:1 line connections=99999999999999999999"), @r"
    hosts.tab:1:24: `connections` cannot be `99999999999999999999`: it is too large
      a b:1 line connections=99999999999999999999
                             ^~~~~~~~~~~~~~~~~~~~
      = help: a whole number from 1 to 10000
    ");
}

#[test]
fn a_duration_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line timeout=5"), @r"
    hosts.tab:1:20: `timeout` cannot be `5`: its unit is missing
      a b:1 line timeout=5
                         ^
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line timeout=5sec"), @r"
    hosts.tab:1:20: `timeout` cannot be `5sec`: its unit is unknown
      a b:1 line timeout=5sec
                         ^~~~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line timeout=1.5s"), @r"
    hosts.tab:1:20: `timeout` cannot be `1.5s`: its unit is unknown
      a b:1 line timeout=1.5s
                         ^~~~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line timeout=0s"), @r"
    hosts.tab:1:20: `timeout` cannot be `0s`: it is too small
      a b:1 line timeout=0s
                         ^~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("a b:1 line timeout=2d"), @r"
    hosts.tab:1:20: `timeout` cannot be `2d`: it is too large
      a b:1 line timeout=2d
                         ^~
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
}

#[test]
fn a_size_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line max_request=1KB"), @r"
    hosts.tab:1:24: `max_request` cannot be `1KB`: its unit is unknown
      a b:1 line max_request=1KB
                             ^~~
      = help: a size from 1 to 1GiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    ");
    insta::assert_snapshot!(said("a b:1 line max_request=0"), @r"
    hosts.tab:1:24: `max_request` cannot be `0`: it is too small
      a b:1 line max_request=0
                             ^
      = help: a size from 1 to 1GiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    ");
    insta::assert_snapshot!(said("a b:1 line max_request=2GiB"), @r"
    hosts.tab:1:24: `max_request` cannot be `2GiB`: it is too large
      a b:1 line max_request=2GiB
                             ^~~~
      = help: a size from 1 to 1GiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    ");
    insta::assert_snapshot!(said("a b:1 line unread=x"), @r"
    hosts.tab:1:19: `unread` cannot be `x`: it is no whole number
      a b:1 line unread=x
                        ^
      = help: a size from 1KiB to 64MiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`
    ");
}

#[test]
fn a_word_out_of_a_few_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line start=bot"), @r"
    hosts.tab:1:18: `start` cannot be `bot`: there is no such word
      a b:1 line start=bot
                       ^~~
      = help: did you mean `boot`?
    ");
    insta::assert_snapshot!(said("a b:1 line start=never"), @r"
    hosts.tab:1:18: `start` cannot be `never`: there is no such word
      a b:1 line start=never
                       ^~~~~
      = help: one of boot, demand
    ");
}

#[test]
fn a_loopback_address_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line listen=0.0.0.0:80"), @r"
    hosts.tab:1:19: `listen` cannot be `0.0.0.0:80`: it is no loopback address
      a b:1 line listen=0.0.0.0:80
                        ^~~~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
    insta::assert_snapshot!(said("a b:1 line listen=127.0.0.1:0"), @r"
    hosts.tab:1:19: `listen` cannot be `127.0.0.1:0`: its port is 0
      a b:1 line listen=127.0.0.1:0
                        ^~~~~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
    insta::assert_snapshot!(said("a b:1 line listen=[::2]:80"), @r"
    hosts.tab:1:19: `listen` cannot be `[::2]:80`: it is no loopback address
      a b:1 line listen=[::2]:80
                        ^~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
    insta::assert_snapshot!(said("a b:1 line listen=localhost:80"), @r"
    hosts.tab:1:19: `listen` cannot be `localhost:80`: it is no IP address with a port
      a b:1 line listen=localhost:80
                        ^~~~~~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
    insta::assert_snapshot!(said("a b:1 line listen=127.0.0.1"), @r"
    hosts.tab:1:19: `listen` cannot be `127.0.0.1`: it is no IP address with a port
      a b:1 line listen=127.0.0.1
                        ^~~~~~~~~
      = help: a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000
    ");
}

#[test]
fn two_hosts_listen_on_one_address() {
    insta::assert_snapshot!(said("a b:1 line listen=127.0.0.1:80\nc d:1 line listen=127.0.0.1:80"), @r"
    hosts.tab:2:19: 127.0.0.1:80 is already listened on by the host in line 1
      c d:1 line listen=127.0.0.1:80
                        ^~~~~~~~~~~~
      = help: give each host a `listen` of its own, or none
    ");
}

#[test]
fn the_rights_to_a_socket_are_wrong() {
    insta::assert_snapshot!(said("a b:1 line owner=no-such-user"), @r"
    hosts.tab:1:18: `owner` cannot be `no-such-user`: there is no such name on this machine
      a b:1 line owner=no-such-user
                       ^~~~~~~~~~~~
      = help: a user of this machine, by name or by number
    ");
    insta::assert_snapshot!(said("a b:1 line owner=4294967295"), @r"
    hosts.tab:1:18: `owner` cannot be `4294967295`: it is too large
      a b:1 line owner=4294967295
                       ^~~~~~~~~~
      = help: a user of this machine, by name or by number
    ");
    insta::assert_snapshot!(said("a b:1 line group=no-such-group"), @r"
    hosts.tab:1:18: `group` cannot be `no-such-group`: there is no such name on this machine
      a b:1 line group=no-such-group
                       ^~~~~~~~~~~~~
      = help: a group of this machine, by name or by number
    ");
    insta::assert_snapshot!(said("a b:1 line mode=rw"), @r"
    hosts.tab:1:17: `mode` cannot be `rw`: it is no octal number
      a b:1 line mode=rw
                      ^~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
    insta::assert_snapshot!(said("a b:1 line mode=0668"), @r"
    hosts.tab:1:17: `mode` cannot be `0668`: it is no octal number
      a b:1 line mode=0668
                      ^~~~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
    insta::assert_snapshot!(said("a b:1 line mode=04660"), @r"
    hosts.tab:1:17: `mode` cannot be `04660`: it has more than the nine permission bits
      a b:1 line mode=04660
                      ^~~~~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
    insta::assert_snapshot!(said("a b:1 line mode=0440"), @r"
    hosts.tab:1:17: `mode` cannot be `0440`: nobody could connect
      a b:1 line mode=0440
                      ^~~~
      = help: permission bits as for chmod(1), in octal and with a right to write: 0660
    ");
}

#[test]
fn more_workers_than_connections_have_nothing_to_share() {
    insta::assert_snapshot!(said("a b:1 line connections=2 workers=3"), @r"
    hosts.tab:1:34: 3 workers cannot share 2 connections
      a b:1 line connections=2 workers=3
                                       ^
      = help: allow at least as many connections as workers
    ");
    insta::assert_snapshot!(said("a b:1 line workers=11"), @r"
    hosts.tab:1:20: 11 workers cannot share 10 connections
      a b:1 line workers=11
                         ^~
      = help: allow at least as many connections as workers
    ");
    insta::assert_snapshot!(said("a b:1 line workers=11 connections=x"), @r"
    hosts.tab:1:35: `connections` cannot be `x`: it is no whole number
      a b:1 line workers=11 connections=x
                                        ^
      = help: a whole number from 1 to 10000
    ");
}

#[test]
fn a_flag_is_its_bare_name() {
    assert!(hosts(b"a b:1 line deferred")[0].deferred);
    assert!(!hosts(b"a b:1 line")[0].deferred);
    insta::assert_snapshot!(said("a b:1 line deferred=yes expire=1d"), @r"
    hosts.tab:1:20: `deferred` takes no value
      a b:1 line deferred=yes expire=1d
                         ^~~~
      = help: write `deferred` alone
    ");
    insta::assert_snapshot!(said("a b:1 line deferred="), @r"
    hosts.tab:1:20: `deferred` takes no value
      a b:1 line deferred=
                         ^
      = help: write `deferred` alone
    ");
    insta::assert_snapshot!(said("a b:1 line deferred deferred"), @r"
    hosts.tab:1:21: `deferred` is given twice for this host
      a b:1 line deferred deferred
                          ^~~~~~~~
      = help: keep one of them
    ");
}

#[test]
fn dedupe_is_for_one_far_end_of_tieline() {
    for (line, why) in [
        ("a b:1 line dedupe", "`dedupe` means nothing without `deferred`"),
        ("a b:1 resp deferred dedupe", "`dedupe` is for `line`"),
        ("a @b line deferred dedupe", "`dedupe` cannot be given to a host that is found by name"),
        ("a b:1 line deferred dedupe greeting=g", "`dedupe` cannot be given together with `greeting`"),
    ] {
        let told = said(line);
        assert!(told.contains(&format!("hosts.tab:1:{}: {why}", line.find("dedupe").unwrap() + 1)), "{told}");
    }
}

#[test]
fn options_of_the_spool_need_one() {
    insta::assert_snapshot!(said("a b:1 line replay_window=4 timeout=5s expire=1d"), @r"
    hosts.tab:1:12: `replay_window` means nothing without `deferred`
      a b:1 line replay_window=4 timeout=5s expire=1d
                 ^~~~~~~~~~~~~
      = help: add `deferred` to this host, or remove `replay_window`

    hosts.tab:1:39: `expire` means nothing without `deferred`
      a b:1 line replay_window=4 timeout=5s expire=1d
                                            ^~~~~~
      = help: add `deferred` to this host, or remove `expire`
    ");
    insta::assert_snapshot!(said("a b:1 resp deferred rejects=error"), @r"
    hosts.tab:1:21: `rejects` is for `line` and `len32`
      a b:1 resp deferred rejects=error
                          ^~~~~~~
      = help: remove it: a reply of this dialect says itself whether it is an error
    ");
}

#[test]
fn an_option_of_the_spool_is_wrong() {
    insta::assert_snapshot!(said("a b:1 line deferred rejects=error, replay=again replay_window=65"), @r"
    hosts.tab:1:29: `rejects` cannot be `error,`: a prefix is empty
      a b:1 line deferred rejects=error, replay=again replay_window=65
                                  ^~~~~~
      = help: what a refusing reply begins with, one or several, separated by commas: error,refused

    hosts.tab:1:43: `replay` cannot be `again`: there is no such word
      a b:1 line deferred rejects=error, replay=again replay_window=65
                                                ^~~~~
      = help: one of resend, hold

    hosts.tab:1:63: `replay_window` cannot be `65`: it is too large
      a b:1 line deferred rejects=error, replay=again replay_window=65
                                                                    ^~
      = help: a whole number from 1 to 64
    ");
    insta::assert_snapshot!(said("a b:1 line deferred rejects= spool_max=1KiB expire=0s"), @r"
    hosts.tab:1:21: `rejects` has no value
      a b:1 line deferred rejects= spool_max=1KiB expire=0s
                          ^~~~~~~~
      = help: write `rejects=` and what a refusing reply begins with, one or several, separated by commas: error,refused

    hosts.tab:1:40: `spool_max` cannot be `1KiB`: it is too small
      a b:1 line deferred rejects= spool_max=1KiB expire=0s
                                             ^~~~
      = help: a size from 4KiB to 1TiB: a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`

    hosts.tab:1:52: `expire` cannot be `0s`: it is too small
      a b:1 line deferred rejects= spool_max=1KiB expire=0s
                                                         ^~
      = help: a duration from 1ms to 365d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
}

#[test]
fn commas_do_not_separate_options() {
    insta::assert_snapshot!(said("a b:1 line connections=4,timeout=5s"), @r"
    hosts.tab:1:24: `connections` cannot be `4,timeout=5s`: it is no whole number
      a b:1 line connections=4,timeout=5s
                             ^~~~~~~~~~~~
      = help: options are separated by blanks, not by commas
    ");
}

#[test]
fn a_control_character_is_named_and_never_printed() {
    insta::assert_snapshot!(said("a\0 b:1 line"), @r"
    hosts.tab:1:2: a control character (U+0000) stands here
      a␀ b:1 line
       ^
      = help: remove it: fields are separated by spaces or tabs
    ");
    insta::assert_snapshot!(said("a b:1 line # \u{1b}[31m"), @r"
    hosts.tab:1:14: a control character (U+001B) stands here
      a b:1 line # ␛[31m
                   ^
      = help: remove it: fields are separated by spaces or tabs
    ");
    insta::assert_snapshot!(said("a b:1\rline"), @r"
    hosts.tab:1:6: a control character (U+000D) stands here
      a b:1␍line
           ^
      = help: remove it: fields are separated by spaces or tabs
    ");
}

#[test]
fn the_caret_stays_under_its_word_behind_tabs_and_umlauts() {
    insta::assert_snapshot!(said("\ta\tb:1\tlyne\tidle=x # ä"), @r"
    hosts.tab:1:8: there is no dialect `lyne`
      	a	b:1	lyne	idle=x # ä
      	 	   	^~~~
      = help: did you mean `line`?

    hosts.tab:1:18: `idle` cannot be `x`: it is no whole number
      	a	b:1	lyne	idle=x # ä
      	 	   	    	     ^
      = help: a duration from 1ms to 30d: a whole number and `ms`, `s`, `m`, `h` or `d`
    ");
    insta::assert_snapshot!(said("käse b:1 lyne"), @r"
    hosts.tab:1:1: `käse` is no name for a host: `ä` may not stand in one
      käse b:1 lyne
      ^~~~
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit

    hosts.tab:1:10: there is no dialect `lyne`
      käse b:1 lyne
               ^~~~
      = help: did you mean `line`?
    ");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    insta::assert_snapshot!(said("A b line x=1\nc d:1 lime timeout=5\n\nc d:1 line\nE f"), @r"
    hosts.tab:1:1: `A` is no name for a host: `A` may not stand in one
      A b line x=1
      ^
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit

    hosts.tab:1:3: `b` is no address: its port is missing
      A b line x=1
        ^
      = help: an address is host:port, [IPv6]:port, unix:/path or @name

    hosts.tab:1:10: `x` is no option of a host
      A b line x=1
               ^
      = help: the options are connections, sessions, pipeline, window, queue, requesters, timeout, connect_timeout, retries, idle, max_request, max_reply, unread, start, listen, workers, deferred, rejects, replay, replay_window, replay_backoff, dedupe, spool_max, expire, owner, group, mode, allow, tls, sni, ca, cert, key, user, password_file, db, greeting, secrets

    hosts.tab:2:7: there is no dialect `lime`
      c d:1 lime timeout=5
            ^~~~
      = help: did you mean `line`?

    hosts.tab:2:20: `timeout` cannot be `5`: its unit is missing
      c d:1 lime timeout=5
                         ^
      = help: a duration from 1ms to 1d: a whole number and `ms`, `s`, `m`, `h` or `d`

    hosts.tab:4:1: `c` is already the name of the host in line 2
      c d:1 line
      ^
      = help: give each host a name of its own

    hosts.tab:5:1: `E` is no name for a host: `E` may not stand in one
      E f
      ^
      = help: a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit

    hosts.tab:5:3: `f` is no address: its port is missing
      E f
        ^
      = help: an address is host:port, [IPv6]:port, unix:/path or @name

    hosts.tab:5:4: the host lacks its dialect
      E f
         ^
      = help: a line is: name address dialect [key=value …], as in `cache 127.0.0.1:6379 resp connections=4`
    ");
}

#[test]
fn a_cache_stores_nothing() {
    insta::assert_snapshot!(said("a b:1 memcache deferred"), @r"
    hosts.tab:1:16: `deferred` is not offered for `memcache`
      a b:1 memcache deferred
                     ^~~~~~~~
      = help: remove it: a cache may lose anything at any time, and writing it later would overwrite what is newer
    ");
    insta::assert_snapshot!(said("a b:1 memcache rejects=x"), @r"
    hosts.tab:1:16: `rejects` is not offered for `memcache`
      a b:1 memcache rejects=x
                     ^~~~~~~
      = help: remove it: a cache may lose anything at any time, and writing it later would overwrite what is newer
    ");
}
