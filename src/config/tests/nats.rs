//! `[registry]` on NATS.

use super::tieline_toml::{reading, said};
use crate::config::{NatsCredentials, NatsSettings};

fn nats(table: &str) -> NatsSettings {
    reading(format!("[registry]\n{table}").as_bytes()).registry.unwrap().nats.unwrap()
}

#[test]
fn servers_alone_are_enough() {
    let settings = nats("nats = ['nats://a', 'tls://b.example.net:4333', 'nats://[::1]']");
    assert_eq!(settings.servers, ["nats://a:4222", "tls://b.example.net:4333", "nats://[::1]:4222"]);
    assert_eq!((settings.bucket.as_str(), settings.replicas), ("tieline", 3));
    assert_eq!(settings.credentials, NatsCredentials::None);
    assert_eq!(nats("nats = ['nats://a', 'nats://b']").replicas, 1, "two servers have no majority without each other");
    assert_eq!(reading(b"[registry]\nfile = 'x'").registry.unwrap().nats, None);
}

#[test]
fn all_that_can_be_said_is_understood() {
    let settings = nats(
        "ca = 'ca'\nbucket = 'b_1'\ncert = '/c'\nreplicas = 5\nnats = ['tls://a']\nkey = 'k'\nuser = 'u'\npassword_file = 'p'",
    );
    assert_eq!((settings.bucket.as_str(), settings.replicas), ("b_1", 5));
    assert_eq!(
        (settings.ca, settings.cert, settings.key),
        (Some("/etc/tieline/ca".into()), Some("/c".into()), Some("/etc/tieline/k".into()))
    );
    assert_eq!(
        settings.credentials,
        NatsCredentials::User { user: "u".into(), password_file: "/etc/tieline/p".into() }
    );
    let token = nats("nats = ['nats://a']\ntoken_file = 't'");
    assert_eq!(token.credentials, NatsCredentials::Token { file: "/etc/tieline/t".into() });
    let creds = nats("nats = ['nats://a']\ncreds_file = 't'");
    assert_eq!(creds.credentials, NatsCredentials::Creds { file: "/etc/tieline/t".into() });
}

#[test]
fn mistakes_are_told_where_they_stand() {
    insta::assert_snapshot!(said("[registry]\nnats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']"), @r"
    tieline.toml:2:9: `http://a` is no server of NATS: it begins with neither nats:// nor tls://
      nats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']
              ^~~~~~~~~~
      = help: a server is nats://host:port, or tls://host:port

    tieline.toml:2:21: `nats://` is no server of NATS: what follows is no host and port
      nats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']
                          ^~~~~~~~~
      = help: a server is nats://host:port, or tls://host:port

    tieline.toml:2:32: `nats` is an integer
      nats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']
                                     ^
      = help: write a string, in quotes: a server is nats://host:port, or tls://host:port

    tieline.toml:2:35: a server of NATS has a secret in it
      nats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']
                                        ^~~~~~~~~~~~~~~~~~~~
      = help: a server stands here without a name or password: write `user` and `password_file`, or `token_file`

    tieline.toml:2:57: `nats://a:0` is no server of NATS: what follows is no host and port
      nats = ['http://a', 'nats://', 7, 'nats://u:hunter2@a', 'nats://a:0', 'nats://ok']
                                                              ^~~~~~~~~~~~
      = help: a server is nats://host:port, or tls://host:port
    ");
    insta::assert_snapshot!(said("[registry]\nnats = 'nats://a'\nbucket = 'a b'\nreplicas = 2\nuser = ''"), @r#"
    tieline.toml:2:8: `nats` is a string
      nats = 'nats://a'
             ^~~~~~~~~~
      = help: write an array: ["nats://host:4222"]

    tieline.toml:3:10: `bucket` cannot be `a b`: it has another character
      bucket = 'a b'
               ^~~~~
      = help: 1 to 64 letters, digits, `_` and `-`

    tieline.toml:4:12: `replicas` cannot be `2`: it is none of 1, 3 and 5
      replicas = 2
                 ^
      = help: on how many servers the bucket is kept: 1 to 5, an odd number

    tieline.toml:5:8: `user` cannot be ``: it is empty
      user = ''
             ^~
      = help: the name of a user of NATS
    "#);
    insta::assert_snapshot!(said("[registry]\nnats = []\nbucket = ''\nreplicas = '3'"), @r#"
    tieline.toml:2:8: `nats` names no server
      nats = []
             ^~
      = help: write one into it: ["nats://host:4222"]; or remove it

    tieline.toml:3:10: `bucket` cannot be ``: it is empty
      bucket = ''
               ^~
      = help: 1 to 64 letters, digits, `_` and `-`

    tieline.toml:4:12: `replicas` is a string
      replicas = '3'
                 ^~~
      = help: write an integer, without quotes: on how many servers the bucket is kept: 1 to 5, an odd number
    "#);
    insta::assert_snapshot!(said("[registry]\ncert = 'c'\nbucket = 'b'"), @r#"
    tieline.toml:2:1: `cert` means nothing without `nats`
      cert = 'c'
      ^~~~
      = help: name the servers: nats = ["nats://host:4222"]
    "#);
    insta::assert_snapshot!(said("[registry]\nnats = ['nats://a']\nuser = 'u'"), @r"
    tieline.toml:3:8: `user` is of no use without `password_file`
      user = 'u'
             ^~~
      = help: give `password_file` as well
    ");
    insta::assert_snapshot!(said("[registry]\nnats = ['nats://a']\nkey = 'u'"), @r"
    tieline.toml:3:7: `key` is of no use without `cert`
      key = 'u'
            ^~~
      = help: give `cert` as well
    ");
    insta::assert_snapshot!(said("[registry]\nnats = ['nats://a']\ntoken_file = 't'\nuser = 'u'\npassword_file = 'p'"), @r"
    tieline.toml:3:14: `token_file` and `user` are two ways to log in
      token_file = 't'
                   ^~~
      = help: choose one: user and password_file, token_file, or creds_file
    ");
    insta::assert_snapshot!(said("[registry]\nnats = ['nats://a']\nbuket = 't'"), @r"
    tieline.toml:3:1: there is no key `buket` in [registry]
      buket = 't'
      ^~~~~
      = help: did you mean `bucket`?
    ");
}
