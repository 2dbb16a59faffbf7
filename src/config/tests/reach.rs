//! Options about how a host is reached, and by whom: TLS, greetings, rights.

use std::path::Path;

use super::super::*;

/// What is said of a table.
fn said(table: &str) -> String {
    let read = parse_hosts_tab(Path::new("hosts.tab"), table.as_bytes());
    read.map_or_else(|error| error.to_string(), |hosts| format!("{} hosts", hosts.len()))
}

fn host(line: &str) -> HostSettings {
    parse_hosts_tab(Path::new("/etc/hosts.tab"), line.as_bytes()).unwrap().remove(0)
}

#[test]
fn every_option_reaches_its_field_and_paths_are_relative_to_the_file() {
    let far = host("a b:1 resp tls sni=c ca=ca.pem cert=x/../c.pem key=/k user=me password_file=p db=3");
    assert_eq!((far.tls, far.sni.as_deref()), (true, Some("c")));
    let path = |path: Option<std::path::PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
    assert_eq!([path(far.ca), path(far.cert), path(far.key)], ["/etc/ca.pem", "/etc/c.pem", "/k"]);
    assert_eq!((far.user.as_deref(), path(far.password_file), far.db), (Some("me"), "/etc/p".to_owned(), 3));
    let far = host("a b:1 line greeting=g secrets=s allow=root,@0,33");
    assert_eq!([path(far.greeting), path(far.secrets)], ["/etc/g", "/etc/s"]);
    assert_eq!(far.allow, [Allowed::User(0), Allowed::Group(0), Allowed::User(33)]);
}

#[test]
fn a_host_with_all_of_them_is_written_as_it_was_read() {
    for line in [
        "a b:1 resp allow=0,@0,33 tls sni=c ca=/ca cert=/c key=/k user=me password_file=/p db=3",
        "a b:1 len32 greeting=/g secrets=/s",
    ] {
        assert_eq!(show_host(&host(line)), line);
    }
}

#[test]
fn what_needs_tls_says_so() {
    insta::assert_snapshot!(said("a b:1 line ca=ca.pem"), @r"
    hosts.tab:1:12: `ca` means nothing without `tls`
      a b:1 line ca=ca.pem
                 ^~
      = help: add `tls` to this host, or remove `ca`
    ");
    insta::assert_snapshot!(said("a b:1 line tls cert=c.pem"), @r"
    hosts.tab:1:16: `cert` is given without `key`
      a b:1 line tls cert=c.pem
                     ^~~~
      = help: add `key=` and the file of the certificate's private key
    ");
    insta::assert_snapshot!(said("a b:1 line tls key=c.pem"), @r"
    hosts.tab:1:16: `key` is given without `cert`
      a b:1 line tls key=c.pem
                     ^~~
      = help: add `cert=` and the file of the key's certificate
    ");
    insta::assert_snapshot!(said("a unix:/s line tls"), @r"
    hosts.tab:1:16: `tls` is for hosts that are reached over TCP
      a unix:/s line tls
                     ^~~
      = help: remove it: what goes over a UNIX socket does not leave the machine
    ");
    insta::assert_snapshot!(said("a b_.:1 line tls sni=a..b"), @r"
    hosts.tab:1:22: `sni` cannot be `a..b`: it is neither a DNS name nor an IP address
      a b_.:1 line tls sni=a..b
                           ^~~~
      = help: a name that the host's certificate has: redis.example.com
    ");
    insta::assert_snapshot!(said("a b-:1 line tls"), @r"
    hosts.tab:1:13: no certificate can have the name in this address
      a b-:1 line tls
                  ^~~
      = help: add `sni=` and the name that the host's certificate has
    ");
    assert_eq!(said("a [fe80::1%eth0]:1 line tls\nb 10.0.0.1:1 resp tls\nc d-:1 line tls sni=10.0.0.1"), "3 hosts");
}

#[test]
fn a_greeting_is_for_its_dialect() {
    insta::assert_snapshot!(said("a b:1 line user=me password_file=p db=1"), @r"
    hosts.tab:1:12: `user` is for `resp`
      a b:1 line user=me password_file=p db=1
                 ^~~~
      = help: write what a connection says first into a file, and name it with `greeting=`

    hosts.tab:1:20: `password_file` is for `resp`
      a b:1 line user=me password_file=p db=1
                         ^~~~~~~~~~~~~
      = help: write what a connection says first into a file, and name it with `greeting=`

    hosts.tab:1:36: `db` is for `resp`
      a b:1 line user=me password_file=p db=1
                                         ^~
      = help: write what a connection says first into a file, and name it with `greeting=`
    ");
    insta::assert_snapshot!(said("a b:1 resp user=me"), @r"
    hosts.tab:1:12: `user` is given without `password_file`
      a b:1 resp user=me
                 ^~~~
      = help: add `password_file=` and the file of this user's password
    ");
    insta::assert_snapshot!(said("a b:1 resp greeting=g secrets=s"), @r"
    hosts.tab:1:12: `greeting` is for `line` and `len32`
      a b:1 resp greeting=g secrets=s
                 ^~~~~~~~
      = help: use `user`, `password_file` and `db`

    hosts.tab:1:23: `secrets` is for `line` and `len32`
      a b:1 resp greeting=g secrets=s
                            ^~~~~~~
      = help: use `user`, `password_file` and `db`
    ");
    insta::assert_snapshot!(said("a b:1 line secrets=s"), @r"
    hosts.tab:1:12: `secrets` means nothing without `greeting`
      a b:1 line secrets=s
                 ^~~~~~~
      = help: add `greeting=` and the file that uses the secrets, or remove `secrets`
    ");
    insta::assert_snapshot!(said("a b:1 resp db=-1"), @r"
    hosts.tab:1:15: `db` cannot be `-1`: it is no whole number
      a b:1 resp db=-1
                    ^~
      = help: a whole number from 0 to 2147483647
    ");
}

#[test]
fn nobody_is_allowed_by_a_name_that_is_not_there_or_over_tcp() {
    insta::assert_snapshot!(said("a b:1 line allow=root,nobody-of-that-name"), @r"
    hosts.tab:1:18: `allow` cannot be `root,nobody-of-that-name`: user `nobody-of-that-name`: there is no such name on this machine
      a b:1 line allow=root,nobody-of-that-name
                       ^~~~~~~~~~~~~~~~~~~~~~~~
      = help: users and groups of this machine, separated by commas, groups with an `@`: www-data,@backup
    ");
    insta::assert_snapshot!(said("a b:1 line allow=@no-such-group"), @r"
    hosts.tab:1:18: `allow` cannot be `@no-such-group`: group `no-such-group`: there is no such name on this machine
      a b:1 line allow=@no-such-group
                       ^~~~~~~~~~~~~~
      = help: users and groups of this machine, separated by commas, groups with an `@`: www-data,@backup
    ");
    insta::assert_snapshot!(said("a b:1 line allow=root,"), @r"
    hosts.tab:1:18: `allow` cannot be `root,`: a name is missing
      a b:1 line allow=root,
                       ^~~~~
      = help: users and groups of this machine, separated by commas, groups with an `@`: www-data,@backup
    ");
    insta::assert_snapshot!(said("a b:1 line allow=root listen=127.0.0.1:9"), @r"
    hosts.tab:1:18: `allow` and `listen` do not go together: over TCP nobody can tell who a requester is
      a b:1 line allow=root listen=127.0.0.1:9
                       ^~~~
      = help: remove one of them, in this line or in [defaults] of tieline.toml
    ");
}
