//! Greetings: what a connection says before it serves, to a real Redis and to a host that wants its challenge echoed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use tieline::dialect::Dialect;

use crate::common::{Ca, Daemon, Place, Redis, Requester, encode_command, private, wait_until};

fn command(requester: &mut Requester, words: &[&str]) -> String {
    requester.send_bytes(&encode_command(words));
    requester.reply()
}

/// A place whose one host is a Redis, with this password in the file `password`.
fn place(redis: &Redis, options: &str, password: &str) -> Arc<Place> {
    let line = format!("cache {} resp retries=1 timeout=10s password_file=password {options}", redis.address());
    let place = Place::new(&[&line]);
    private(&place.path("password"), password);
    place
}

/// Why the host is down, after one request to it; without the address.
fn reason(daemon: &Daemon, host: &str, dialect: Dialect) -> String {
    let answer = daemon.requester(host, dialect).ask("<1>");
    assert!(answer.starts_with("-CONLOST ") || answer == "con_lost", "{answer}");
    let reason = daemon.host_status(host)["reason"].as_str().expect("a text").to_owned();
    reason.split_once(": ").expect("an address").1.to_owned()
}

#[test]
fn a_password_is_said_and_a_wrong_one_is_told_in_the_hosts_own_words() {
    let redis = Redis::start_with("--port", &["--requirepass", "open sesame"]);
    let place = place(&redis, "idle=50ms", "wrong\n");
    let daemon = place.start();
    let wrong = "the greeting failed: it answered AUTH with: WRONGPASS invalid username-password pair or user is \
                 disabled.; check user= and password_file=";
    assert_eq!(reason(&daemon, "cache", Dialect::Resp), wrong);
    private(&place.path("password"), "open sesame\n");
    let mut requester = daemon.requester("cache", Dialect::Resp);
    wait_until("the new password is used", || (command(&mut requester, &["PING"]) == "+PONG\r\n").then_some(()));
    daemon.stop();
    let log = place.log();
    assert!(!log.contains("sesame"), "{log}");
}

/// One user with a password, and nobody without.
const ACL: [&str; 9] = ["--user", "me", "on", ">hush", "~*", "+@all", "--user", "default", "off"];

#[test]
fn a_user_and_a_database_are_each_connections_own() {
    let redis = Redis::start_with("--port", &ACL);
    let place = place(&redis, "user=me db=3", "hush");
    let daemon = place.start();
    let mut requester = daemon.requester("cache", Dialect::Resp);
    assert_eq!(command(&mut requester, &["SET", "key", "value"]), "+OK\r\n");
    assert_eq!(command(&mut requester, &["ACL", "WHOAMI"]), "$2\r\nme\r\n");
    assert!(command(&mut requester, &["INFO", "keyspace"]).contains("db3:keys=1"));
    daemon.stop();
}

#[test]
fn a_database_that_is_not_there_and_a_host_without_passwords_are_told() {
    let redis = Redis::start_with("--port", &["--requirepass", "hush"]);
    let daemon = place(&redis, "db=99", "hush").start();
    let range = "the greeting failed: it answered SELECT with: ERR DB index is out of range; check db=";
    assert_eq!(reason(&daemon, "cache", Dialect::Resp), range);
    daemon.stop();
    let open = Redis::start();
    let daemon = place(&open, "", "hush").start();
    let told = reason(&daemon, "cache", Dialect::Resp);
    assert!(told.contains("it answered AUTH with: ERR AUTH <password> called without any password"), "{told}");
    daemon.stop();
}

#[test]
fn a_password_goes_through_tls_and_the_handshake_comes_first() {
    let place = Place::new(&[]);
    Ca::new(&place.path("."), "test").sign("host", &["127.0.0.1"], 2099);
    let options = ["--tls-auth-clients", "no", "--requirepass", "hush"];
    let redis = Redis::start_tls(&place.path("."), &options);
    private(&place.path("password"), "hush");
    let line = format!("cache {} resp tls ca=test.ca password_file=password\n", redis.address());
    fs::write(place.path("hosts.tab"), line).expect("hosts.tab");
    let daemon = place.start();
    assert_eq!(command(&mut daemon.requester("cache", Dialect::Resp), &["PING"]), "+PONG\r\n");
    daemon.stop();
}

/// A host that opens as LON-CAPA's does: `init`, a challenge that must come back, a version, the name of the host that
/// is meant; then it echoes lines. Each connection has another challenge.
fn challenging_host(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let socket = socket.expect("a connection");
            thread::spawn(move || open_and_echo(&socket, number, name).ok());
        }
    });
    address
}

fn open_and_echo(socket: &TcpStream, number: usize, name: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket).lines();
    let mut next = || lines.next().unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()));
    let say = |text: &str| -> std::io::Result<()> {
        let mut socket = socket;
        socket.write_all(format!("{text}\n").as_bytes())
    };
    let challenge = format!("{}.{number}(x)", std::process::id());
    for (wanted, answer) in [
        ("init".to_owned(), challenge.clone()),
        (challenge, "ok".to_owned()),
        ("version".to_owned(), "1.42".to_owned()),
        (format!("sethost:{name}"), "ok".to_owned()),
    ] {
        let said = next()?;
        if said != wanted {
            return say(&format!("refused {said}"));
        }
        say(&answer)?;
    }
    loop {
        say(&next()?)?;
    }
}

const OPENING: &str = "\
# As LON-CAPA's hosts are opened.
send    init
expect  ^(?<challenge>\\S+)$
send    ${challenge}
expect  ^ok
send    version
expect  ^\\d
send    sethost:${host}
expect  ^ok
";

/// A place with the host `far`, this greeting, and these secrets.
fn scripted(address: &str, greeting: &str, secrets: &str) -> Arc<Place> {
    let line = format!("far {address} line retries=1 timeout=10s connections=3 greeting=far.greeting secrets=secrets");
    let place = Place::new(&[&line]);
    fs::write(place.path("far.greeting"), greeting).expect("a greeting");
    private(&place.path("secrets"), secrets);
    place
}

#[test]
fn a_challenge_is_echoed_and_requests_come_behind_it() {
    let daemon = scripted(&challenging_host("msul1"), OPENING, "host=msul1\n").start();
    let mut requesters: Vec<_> = (0..6).map(|_| daemon.requester("far", Dialect::Line)).collect();
    for round in 0..10 {
        for (number, requester) in requesters.iter_mut().enumerate() {
            requester.send(&format!("<{round}> of {number}"));
        }
        for (number, requester) in requesters.iter_mut().enumerate() {
            assert_eq!(requester.reply(), format!("<{round}> of {number}"));
        }
    }
    daemon.stop();
}

#[test]
fn a_refusal_is_told_with_the_line_of_the_greeting_and_without_the_secret() {
    let place = scripted(&challenging_host("msul1"), OPENING, "host=hush-hush\n");
    let daemon = place.start();
    let told = reason(&daemon, "far", Dialect::Line);
    let file = place.path("far.greeting");
    let wanted = format!("the greeting failed: line 9 of {} expects ^ok, it said: refused sethost:***", file.display());
    assert_eq!(told, wanted);
    private(&place.path("secrets"), "host=msul1\n");
    let mut requester = daemon.requester("far", Dialect::Line);
    wait_until("the new secret is used", || (requester.ask("<1>") == "<1>").then_some(()));
    daemon.stop();
    assert!(!place.log().contains("hush-hush"));
}

#[test]
fn a_host_that_says_nothing_costs_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = scripted(&silent.local_addr().expect("its address").to_string(), OPENING, "host=x\n");
    let table = fs::read_to_string(place.path("hosts.tab")).expect("hosts.tab");
    fs::write(place.path("hosts.tab"), table.replace("retries=1", "retries=1 connect_timeout=300ms")).expect("a table");
    let daemon = place.start();
    assert_eq!(reason(&daemon, "far", Dialect::Line), "no end of the greeting within 300 ms");
    daemon.stop();
}

#[test]
fn check_names_the_mistakes_of_a_greeting_with_their_places() {
    let place = scripted("127.0.0.1:1", "send init\nexpct ok\nsend ${hosst}\n", "host=x\n");
    let output = place.tieline(&["check"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    for part in ["far.greeting:2:1: there is no step `expct`", "far.greeting:3:6: nothing gives `hosst` a value"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    fs::write(place.path("far.greeting"), OPENING).expect("a greeting");
    fs::write(place.path("secrets"), "host=x").expect("secrets");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(place.path("secrets"), mode).expect("rights");
    let output = place.tieline(&["check"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("secrets: holds a secret, and its mode 0644 lets others at it"), "{text}");
}
