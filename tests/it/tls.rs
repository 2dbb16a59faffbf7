//! TLS to the host, against a real Redis and a CA made by the test: what works, and what is said when it does not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tieline::dialect::Dialect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::common::{Ca, Daemon, Place, Redis, Requester, encode_command, wait_until};

/// How it ends at once: one attempt, no waiting.
const QUICK: &str = "retries=1";

/// Gives a place one host: this Redis, with these options.
fn describe(place: &Place, redis: &str, options: &str) {
    fs::write(place.path("hosts.tab"), format!("cache {redis} resp {QUICK} {options}\n")).expect("hosts.tab");
}

/// A place with the files of a CA that has signed a certificate for 127.0.0.1.
fn place_with_files() -> (Arc<Place>, Ca) {
    let place = Place::new(&[]);
    let ca = Ca::new(&place.path("."), "test");
    ca.sign("host", &["127.0.0.1", "localhost"], 2099);
    (place, ca)
}

fn command(requester: &mut Requester, words: &[&str]) -> String {
    requester.send_bytes(&encode_command(words));
    requester.reply()
}

/// Why the host is down, after one request to it; without the address.
fn reason(daemon: &Daemon) -> String {
    let answer = command(&mut daemon.requester("cache", Dialect::Resp), &["PING"]);
    assert!(answer.starts_with("-CONLOST "), "{answer}");
    let reason = daemon.host_status("cache")["reason"].as_str().expect("a text").to_owned();
    assert!(answer.contains(&reason), "{answer} does not say {reason}");
    let (address, reason) = reason.split_once(": ").expect("an address");
    assert!(address.starts_with("127.0.0.1:") || address.starts_with("localhost:"), "{address}");
    reason.to_owned()
}

#[test]
fn a_redis_behind_tls_is_served_large_values_byte_for_byte() {
    let (place, _ca) = place_with_files();
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    describe(&place, &redis.address(), "tls ca=test.ca connections=2 max_request=64MiB");
    let daemon = place.start();
    let mut requester = daemon.requester("cache", Dialect::Resp);
    assert_eq!(command(&mut requester, &["ECHO", "hello"]), "$5\r\nhello\r\n");
    let value: String = (0..16u32 << 20).map(|at| char::from(b'a' + (at % 251 % 26) as u8)).collect();
    for _ in 0..2 {
        assert_eq!(command(&mut requester, &["SET", "large", &value]), "+OK\r\n");
        let reply = command(&mut requester, &["GET", "large"]);
        assert!(reply == format!("${}\r\n{value}\r\n", value.len()), "{} other bytes", reply.len());
    }
    a_slow_reader_disturbs_nobody(&daemon, &value);
    assert_eq!(daemon.host_status("cache")["state"], "up");
    daemon.stop();
}

/// One asks for a large value twice and does not read; others are served; then it reads all of it.
fn a_slow_reader_disturbs_nobody(daemon: &Daemon, value: &str) {
    let mut slow = daemon.requester("cache", Dialect::Resp);
    slow.send_bytes(&encode_command(&["GET", "large"]).repeat(2));
    slow.wait_for_reply(crate::common::LONG);
    let mut quick = daemon.requester("cache", Dialect::Resp);
    for number in 0..100 {
        let reply = command(&mut quick, &["ECHO", &number.to_string()]);
        assert!(reply.ends_with(&format!("\r\n{number}\r\n")), "{reply}");
    }
    for _ in 0..2 {
        let reply = slow.reply();
        assert!(reply == format!("${}\r\n{value}\r\n", value.len()), "{} other bytes", reply.len());
    }
}

#[test]
fn many_requesters_each_get_their_own_replies_over_tls() {
    let (place, _ca) = place_with_files();
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    describe(&place, &redis.address(), "tls ca=test.ca connections=3");
    let daemon = place.start();
    thread::scope(|scope| {
        for number in 0..20 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut requester = daemon.requester("cache", Dialect::Resp);
                for round in 0..50 {
                    let words: Vec<String> = (0..20).map(|step| format!("{number}/{round}/{step}")).collect();
                    words.iter().for_each(|word| requester.send_bytes(&encode_command(&["ECHO", word])));
                    for word in &words {
                        let reply = requester.reply();
                        assert!(reply.ends_with(&format!("\r\n{word}\r\n")), "{reply} for {word}");
                    }
                }
            });
        }
    });
    daemon.stop();
}

#[test]
fn a_client_certificate_is_shown_and_one_that_is_missing_or_of_another_ca_is_named() {
    let (place, ca) = place_with_files();
    ca.sign("ours", &["ours"], 2099);
    Ca::new(&place.path("."), "other").sign("strange", &["strange"], 2099);
    for versions in ["TLSv1.2", "TLSv1.3"] {
        let redis = Redis::start_tls(&place.path("."), &["--tls-protocols", versions]);
        describe(&place, &redis.address(), "tls ca=test.ca cert=ours.crt key=ours.key");
        let daemon = place.start();
        let mut requester = daemon.requester("cache", Dialect::Resp);
        assert_eq!(command(&mut requester, &["ECHO", "hello"]), "$5\r\nhello\r\n", "{versions}");
        daemon.stop();
        describe(&place, &redis.address(), "tls ca=test.ca");
        let daemon = place.start();
        let wanted = "TLS: the host wants a client certificate; name one with cert= and key=";
        assert_eq!(reason(&daemon), wanted, "{versions}");
        daemon.stop();
        describe(&place, &redis.address(), "tls ca=test.ca cert=strange.crt key=strange.key");
        let daemon = place.start();
        let refused = "TLS: the host refused our client certificate (UnknownCA); is it the right one, not expired, and its \
                       CA known there?";
        assert_eq!(reason(&daemon), refused, "{versions}");
        daemon.stop();
    }
}

/// What is said of a Redis with these files and a host with these options.
fn said(place: &Arc<Place>, options: &str) -> String {
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    describe(place, &redis.address(), options);
    let daemon = place.start();
    let said = reason(&daemon);
    daemon.stop();
    said
}

#[test]
fn an_expired_certificate_is_named_with_its_date() {
    let (place, ca) = place_with_files();
    ca.sign("host", &["127.0.0.1"], 2020);
    let expired = "TLS: the host's certificate expired 2020-12-31T00:00:00Z; renew it there, or is the clock of this \
                   machine wrong?";
    assert_eq!(said(&place, "tls ca=test.ca"), expired);
}

#[test]
fn a_certificate_for_another_name_is_named_with_the_names_it_has() {
    let (place, ca) = place_with_files();
    ca.sign("host", &["redis.example.com", "10.0.0.1"], 2099);
    let other = "TLS: the host's certificate is for redis.example.com, 10.0.0.1, not for 127.0.0.1; is the address right? \
                 else name it with sni=";
    assert_eq!(said(&place, "tls ca=test.ca"), other);
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    describe(&place, &redis.address(), "tls ca=test.ca sni=redis.example.com");
    let daemon = place.start();
    assert_eq!(command(&mut daemon.requester("cache", Dialect::Resp), &["PING"]), "+PONG\r\n", "sni= helps");
    daemon.stop();
}

#[test]
fn an_unknown_ca_is_named_with_the_remedy() {
    let (place, _ca) = place_with_files();
    Ca::new(&place.path("."), "other");
    let unknown =
        "TLS: the host's certificate is signed by no CA that is trusted here; name the file of its CA with ca=";
    assert_eq!(said(&place, "tls ca=other.ca"), unknown);
}

#[test]
fn a_ca_that_stands_where_the_host_should_is_told() {
    let (place, _ca) = place_with_files();
    fs::copy(place.path("test.ca"), place.path("host.crt")).expect("the CA's certificate");
    fs::copy(place.path("test.ca.key"), place.path("host.key")).expect("the CA's key");
    let itself =
        "TLS: the host shows the certificate of a CA (CA:TRUE) as its own; give it one that this CA has signed";
    assert_eq!(said(&place, "tls ca=test.ca"), itself);
}

/// Why a host at this address, which does not speak TLS, is down.
fn said_of(address: &str, connect_timeout: &str) -> String {
    let (place, _ca) = place_with_files();
    describe(&place, address, &format!("tls ca=test.ca connect_timeout={connect_timeout}"));
    let daemon = place.start();
    let said = reason(&daemon);
    daemon.stop();
    said
}

/// A host that answers whatever it hears with these bytes, or closes if there are none.
fn plain_host(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            // The daemon may be gone already.
            drop(socket.read(&mut [0; 4096]).and_then(|_| socket.write_all(answer)));
        }
    });
    address
}

#[test]
fn a_plain_host_behind_tls_is_told_to_be_plain() {
    for answer in [&b"-ERR unknown command\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"what?\n"] {
        let plain = "TLS: the host does not speak TLS; remove `tls`, or use its port for TLS";
        assert_eq!(said_of(&plain_host(answer), "5s"), plain, "{}", String::from_utf8_lossy(answer));
    }
    let closed = "TLS: the host closed the connection in the handshake; does it speak TLS? if not, remove `tls`";
    assert_eq!(said_of(&plain_host(b""), "5s"), closed);
}

#[test]
fn a_host_that_does_not_answer_the_handshake_is_told_from_one_that_cannot_be_reached() {
    let late = "no end of the TLS handshake (does the host speak TLS? if not, remove `tls`) within 300 ms";
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    assert_eq!(said_of(&silent.local_addr().expect("its address").to_string(), "300ms"), late);
    // To Redis a handshake is a command whose end has not come.
    assert_eq!(said_of(&Redis::start().address(), "300ms"), late);
}

#[test]
fn files_that_have_changed_are_used_by_the_next_connection_and_broken_ones_are_not() {
    let (place, ca) = place_with_files();
    Ca::new(&place.path("."), "other").sign("ours", &["strange"], 2099);
    let redis = Redis::start_tls(&place.path("."), &[]);
    describe(&place, &redis.address(), "tls ca=test.ca cert=ours.crt key=ours.key idle=50ms");
    let daemon = place.start();
    assert!(reason(&daemon).contains("UnknownCA"));
    ca.sign("ours", &["ours"], 2099);
    let mut requester = daemon.requester("cache", Dialect::Resp);
    wait_until("the new certificate is used", || (command(&mut requester, &["PING"]) == "+PONG\r\n").then_some(()));
    fs::write(place.path("ours.crt"), "no certificate").expect("a broken file");
    for _ in 0..2 {
        wait_until("the idle connection is closed", || {
            (daemon.host_status("cache")["connections"]["idle"] == 0).then_some(())
        });
        assert_eq!(command(&mut requester, &["PING"]), "+PONG\r\n");
    }
    let log = place.log();
    let complaint = "ours.crt: has no certificate";
    assert_eq!(log.lines().filter(|line| line.contains(complaint) && line.contains("WARN")).count(), 1, "{log}");
    daemon.stop();
}

#[test]
fn check_names_every_mistake_in_the_files() {
    let (place, ca) = place_with_files();
    ca.sign("ours", &["ours"], 2099);
    let checked = |options: &str| {
        describe(&place, "127.0.0.1:1", options);
        let output = place.tieline(&["check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(checked("tls ca=test.ca cert=ours.crt key=ours.key").0, Some(0));
    for (options, complaint) in [
        ("tls ca=none.ca", "none.ca: cannot be read: No such file"),
        ("tls ca=hosts.tab", "hosts.tab: has no certificate"),
        ("tls ca=test.ca cert=ours.crt key=host.key", "host.key: is not the key of the certificate in"),
        ("tls ca=test.ca cert=ours.crt key=ours.crt", "ours.crt: holds a secret, and its mode 0644 lets others at it"),
        ("password_file=none", "none: cannot be read: No such file"),
    ] {
        let (code, text) = checked(options);
        assert_eq!(code, Some(78), "{options}: {text}");
        assert!(text.contains(complaint) && text.contains("= help: "), "{options}: {text}");
    }
    fs::set_permissions(place.path("ours.key"), fs::Permissions::from_mode(0o640)).expect("rights");
    assert_eq!(checked("tls ca=test.ca cert=ours.crt key=ours.key").0, Some(0), "a group may have the key");
}

/// A host of lines over TLS that ends each connection after one reply; says of each how its handshake went.
fn one_line_each(dir: &Path) -> (String, thread::JoinHandle<Vec<Option<HandshakeKind>>>) {
    let chain = CertificateDer::pem_file_iter(dir.join("host.crt")).expect("a file").map(|der| der.expect("PEM"));
    let key = PrivateKeyDer::from_pem_file(dir.join("host.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain.collect(), key).expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let serve = move |socket: TcpStream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut stream = BufReader::new(StreamOwned::new(session, socket));
        let mut line = String::new();
        stream.read_line(&mut line).expect("a request");
        stream.get_mut().write_all(line.as_bytes()).expect("the reply");
        let kind = stream.get_ref().conn.handshake_kind();
        stream.get_mut().conn.send_close_notify();
        stream.get_mut().flush().expect("the farewell");
        drop(stream.get_mut().read(&mut [0; 16]));
        kind
    };
    (address, thread::spawn(move || listener.incoming().take(3).map(|socket| serve(socket.expect("one"))).collect()))
}

#[test]
fn sessions_are_resumed() {
    let (place, _ca) = place_with_files();
    let (address, host) = one_line_each(&place.path("."));
    fs::write(place.path("hosts.tab"), format!("far {address} line tls ca=test.ca connections=1\n")).expect("a table");
    let daemon = place.start();
    let mut requester = daemon.requester("far", Dialect::Line);
    for number in 0..3 {
        assert_eq!(requester.ask(&format!("<{number}>")), format!("<{number}>"));
        wait_until("the host has closed", || (daemon.host_status("far")["connections"]["idle"] == 0).then_some(()));
    }
    let kinds = host.join().expect("the host has served three connections");
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed].map(Some));
    daemon.stop();
}

#[test]
fn the_cas_of_the_machine_count_where_no_ca_is_named() {
    let (place, _ca) = place_with_files();
    let redis = Redis::start_tls(&place.path("."), &["--tls-auth-clients", "no"]);
    describe(&place, &redis.address(), "tls");
    let file = place.path("test.ca").display().to_string();
    let daemon = place.start_with(&[("SSL_CERT_FILE", &file)]);
    assert_eq!(command(&mut daemon.requester("cache", Dialect::Resp), &["PING"]), "+PONG\r\n");
    daemon.stop();
}
