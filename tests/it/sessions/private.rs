//! Sessions with a host that wants TLS, or a password: their connections are opened as the shared ones are.

use std::fs;
use std::sync::Arc;

use tieline::dialect::Dialect;

use super::{ask, assert_all, requester, send, sessions_open};
use crate::common::{Ca, Daemon, Place, Redis, encode_command, private};

/// A Redis behind TLS.
fn behind_tls(options: &str) -> (Redis, Daemon) {
    let place = Place::new(&[]);
    Ca::new(&place.path("."), "test").sign("host", &["127.0.0.1"], 2099);
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    let line = format!("cache {} resp tls ca=test.ca {options}\n", redis.address());
    fs::write(place.path("hosts.tab"), line).expect("hosts.tab");
    let daemon = place.start();
    (redis, daemon)
}

#[test]
fn transactions_blocking_reads_and_subscribers_work_over_tls() {
    let (redis, daemon) = behind_tls("connections=1");
    let (mut one, mut other, mut subscriber) = (requester(&daemon), requester(&daemon), requester(&daemon));
    assert_all(&mut one, &["MULTI", "INCR k", "EXEC", "GET k"], &["+OK", "+QUEUED", "*1\r\n:1", "$1\r\n1"]);
    send(&mut subscriber, "SUBSCRIBE news");
    assert_eq!(subscriber.reply(), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    send(&mut one, "BLPOP l 0");
    for number in 0..50 {
        assert_eq!(ask(&mut other, &format!("PUBLISH news {number:02}")), ":1\r\n");
    }
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n");
    assert_eq!(one.reply(), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    for number in 0..50 {
        assert_eq!(subscriber.reply(), format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n{number:02}\r\n"));
    }
    assert!(ask(&mut one, "HELLO 3").starts_with("%7\r\n"));
    assert_all(&mut one, &["MULTI", "HGETALL none", "EXEC"], &["+OK", "+QUEUED", "*1\r\n%0"]);
    drop(subscriber);
    super::wait_until_gone(&redis, " sub=1 ");
    daemon.stop();
}

#[test]
fn a_value_of_16_mib_passes_a_session_over_tls_both_ways() {
    let (_redis, daemon) = behind_tls("max_request=32MiB");
    let mut one = requester(&daemon);
    assert_eq!(ask(&mut one, "SELECT 1"), "+OK\r\n");
    let value: String = (0..16u32 << 20).map(|at| char::from(b'a' + (at % 251 % 26) as u8)).collect();
    for _ in 0..2 {
        one.send_bytes(&encode_command(&["SET", "large", &value]));
        assert_eq!(one.reply(), "+OK\r\n");
        let reply = ask(&mut one, "GET large");
        assert!(reply == format!("${}\r\n{value}\r\n", value.len()), "{} other bytes", reply.len());
    }
    assert_eq!(ask(&mut requester(&daemon), "GET large"), "$-1\r\n", "it is in the other database");
    daemon.stop();
}

/// A Redis with this user alone, and a host that speaks for it.
fn behind_a_password(options: &str) -> (Redis, Daemon) {
    let acl = ["--user", "me", "on", ">hush", "~*", "&*", "+@all", "--user", "default", "off"];
    let redis = Redis::start_with("--port", &acl);
    let line = format!("cache {} resp user=me password_file=password {options}", redis.address());
    let place: Arc<Place> = Place::new(&[&line]);
    private(&place.path("password"), "hush\n");
    let daemon = place.start();
    (redis, daemon)
}

#[test]
fn a_sessions_connection_is_greeted_as_the_shared_ones_are() {
    let (_redis, daemon) = behind_a_password("db=3 connections=1 sessions=2");
    let (mut one, mut other) = (requester(&daemon), requester(&daemon));
    assert_eq!(ask(&mut other, "SET k v"), "+OK\r\n");
    let in_session = ["MULTI", "GET k", "ACL WHOAMI", "EXEC"];
    assert_all(&mut one, &in_session, &["+OK", "+QUEUED", "+QUEUED", "*2\r\n$1\r\nv\r\n$2\r\nme"]);
    send(&mut one, "BLPOP l 0");
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n", "the same database");
    assert_eq!(one.reply(), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    send(&mut one, "SUBSCRIBE news");
    assert_eq!(one.reply(), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(ask(&mut other, "PUBLISH news x"), ":1\r\n");
    assert_eq!(one.reply(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    // RESET makes it a stranger to Redis, without a user and a database. Nobody else may get that connection.
    assert_eq!(ask(&mut one, "RESET"), "+RESET\r\n");
    assert_eq!(sessions_open(&daemon), 0);
    assert_eq!(ask(&mut one, "GET k"), "$1\r\nv\r\n");
    assert_all(&mut one, &["MULTI", "GET k", "EXEC"], &["+OK", "+QUEUED", "*1\r\n$1\r\nv"]);
    daemon.stop();
}

#[test]
fn a_requester_that_says_hello_3_needs_no_password_of_its_own() {
    let (redis, daemon) = behind_a_password("connections=2 db=3");
    let mut one = requester(&daemon);
    assert!(ask(&mut one, "HELLO 3").starts_with("%7\r\n"));
    assert_eq!(ask(&mut one, "CLIENT SETINFO LIB-NAME test"), "+OK\r\n");
    assert_eq!(ask(&mut one, "HSET h f v"), ":1\r\n");
    assert_eq!(ask(&mut one, "HGETALL h"), "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert_all(&mut one, &["MULTI", "HGETALL h", "EXEC"], &["+OK", "+QUEUED", "*1\r\n%1\r\n$1\r\nf\r\n$1\r\nv"]);
    // What tieline says on its behalf, on a connection that is new for this, is for nobody.
    let mut subscriber = requester(&daemon);
    assert!(ask(&mut subscriber, "HELLO 3").starts_with("%7\r\n"));
    assert_eq!(ask(&mut subscriber, "CLIENT SETINFO LIB-NAME test"), "+OK\r\n");
    assert_eq!(ask(&mut one, "MULTI"), "+OK\r\n");
    assert_eq!(ask(&mut subscriber, "SUBSCRIBE news"), ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert_eq!(ask(&mut requester(&daemon), "PUBLISH news x"), ":1\r\n");
    assert_eq!(subscriber.reply(), ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    // One that says who it is itself is somebody else's connection.
    let mut guest = daemon.requester("cache", Dialect::Resp);
    assert!(ask(&mut guest, "HELLO 3 AUTH me wrong").starts_with("-WRONGPASS"));
    assert!(ask(&mut guest, "HELLO 3 AUTH me hush").starts_with("%7\r\n"));
    assert_eq!(ask(&mut guest, "ACL WHOAMI"), "$2\r\nme\r\n");
    drop((redis, one));
    daemon.stop();
}
