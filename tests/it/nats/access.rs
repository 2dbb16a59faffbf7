//! Who is let in, and what is said when one is not.

use std::path::Path;
use std::time::Duration;

use tieline::config::{NatsCredentials, NatsSettings};

use super::jwts::Jwts;
use super::station::{Station, put, row, settings};
use crate::common::{Ca, Nats, fake_nats, private};

const MINUTE: Duration = Duration::from_secs(60);

/// What a station says that cannot get in.
fn complaint(settings: NatsSettings) -> String {
    let mut station = Station::start(settings);
    station.wait("it cannot get in", |station| !station.away.as_deref().unwrap_or_default().contains("just begun"));
    station.away.expect("it is let in")
}

fn must_get_in(settings: NatsSettings) {
    let mut station = Station::start(settings);
    station.wait("it is let in", |station| station.away.is_none());
    station.ask(&put(&row("a", "tcp:192.0.2.1:1", MINUTE, 1))).expect("and may write");
}

fn user(password_file: &Path) -> NatsCredentials {
    NatsCredentials::User { user: "tieline".into(), password_file: password_file.to_owned() }
}

#[test]
fn a_server_before_2_12_is_refused_by_its_name_and_version() {
    for version in ["2.11.11", "2.10.0"] {
        let (url, _lines) = fake_nats(version);
        let said = complaint(settings(&[url]));
        for word in ["old1", version, "2.12 or later", "update"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let url = "nats://127.0.0.1:1".to_owned();
    let said = complaint(settings(std::slice::from_ref(&url)));
    assert!(said.contains(&url) && said.contains("refused"), "{said}");
}

#[test]
fn a_server_that_keeps_nothing_is_named() {
    let nats = Nats::start_with("accounts { a { users: [{user: u, password: p}] } }\nno_auth_user: u");
    let said = complaint(settings(&[nats.url()]));
    assert!(said.contains("tieline") && said.to_lowercase().contains("jetstream"), "{said}");
}

#[test]
fn a_password_opens_and_a_wrong_one_is_named_and_not_shown() {
    let nats = Nats::start_with("authorization { user: tieline, password: s3cret }");
    let dir = tempfile::tempdir().expect("a directory");
    let (right, wrong) = (dir.path().join("right"), dir.path().join("wrong"));
    private(&right, "s3cret\n");
    private(&wrong, "hunter2\n");
    let with = |credentials| NatsSettings { credentials, ..settings(&[nats.url()]) };
    must_get_in(with(user(&right)));
    let said = complaint(with(user(&wrong)));
    assert!(said.contains("user tieline") && said.contains(wrong.to_str().expect("a path")), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let said = complaint(with(NatsCredentials::None));
    assert!(said.contains("without credentials"), "{said}");
    let said = complaint(with(user(&dir.path().join("none"))));
    assert!(said.contains("none") && said.contains("not"), "{said}");
}

#[test]
fn a_token_opens_and_a_wrong_one_is_named() {
    let nats = Nats::start_with("authorization { token: t0ken }");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    let with = |text: &str| {
        private(&file, text);
        NatsSettings { credentials: NatsCredentials::Token { file: file.clone() }, ..settings(&[nats.url()]) }
    };
    must_get_in(with("t0ken"));
    let said = complaint(with("other"));
    assert!(said.contains("the token in") && said.contains(file.to_str().expect("a path")), "{said}");
}

#[test]
fn credentials_open_and_those_of_a_stranger_are_named() {
    let world = Jwts::new();
    let nats = Nats::start_with(&world.config());
    let dir = tempfile::tempdir().expect("a directory");
    let with = |name: &str, text: &str| {
        let file = dir.path().join(name);
        private(&file, text);
        NatsSettings { credentials: NatsCredentials::Creds { file }, ..settings(&[nats.url()]) }
    };
    must_get_in(with("right", &world.creds()));
    let said = complaint(with("stranger", &Jwts::new().creds()));
    assert!(said.contains("the credentials in") && said.contains("stranger"), "{said}");
    let said = complaint(with("nonsense", "hunter2"));
    assert!(said.contains("nonsense") && said.contains("no credentials file") && !said.contains("hunter2"), "{said}");
}

#[test]
fn the_rights_that_are_documented_are_enough() {
    let rights = "publish: [\"$JS.API.>\", \"$JS.FC.>\", \"$KV.tieline.>\"], subscribe: [\"_INBOX.>\"]";
    let user = format!("{{ user: tieline, password: s3cret, permissions: {{ {rights} }} }}");
    let nats = Nats::start_with(&format!("authorization {{ users: [{user}] }}"));
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    private(&password, "s3cret");
    must_get_in(NatsSettings { credentials: self::user(&password), ..settings(&[nats.url()]) });
}

#[test]
fn certificates_are_checked_both_ways() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |file: &str| dir.path().join(file);
    let (right, wrong) = (Ca::new(dir.path(), "right"), Ca::new(dir.path(), "wrong"));
    right.sign("server", &["127.0.0.1", "localhost"], 2099);
    right.sign("client", &["client"], 2099);
    wrong.sign("stranger", &["client"], 2099);
    let files = [path("server.crt"), path("server.key"), path("right.ca")]
        .map(|file| format!("{:?}", file.display().to_string()));
    let [cert, key, ca] = files;
    let nats = Nats::start_with(&format!("tls {{ cert_file: {cert}, key_file: {key}, ca_file: {ca}, verify: true }}"));
    let with = |ca: &str, own: &str| NatsSettings {
        ca: Some(path(ca)),
        cert: Some(path(&format!("{own}.crt"))),
        key: Some(path(&format!("{own}.key"))),
        ..settings(&[nats.url()])
    };
    must_get_in(with("right.ca", "client"));
    let said = complaint(with("wrong.ca", "client"));
    assert!(said.contains("TLS") && said.contains("UnknownIssuer") && said.contains("ca"), "{said}");
    let said = complaint(with("right.ca", "stranger"));
    assert!(said.contains(&nats.url()), "{said}");
    let said = complaint(with("none.ca", "client"));
    assert!(said.contains("none.ca"), "{said}");
}

#[test]
fn a_bucket_that_cannot_end_leases_is_refused() {
    let nats = Nats::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
    runtime.block_on(async {
        let client = async_nats::connect(nats.url()).await.expect("a connection");
        let config = async_nats::jetstream::kv::Config { bucket: "old".into(), ..Default::default() };
        async_nats::jetstream::new(client).create_key_value(config).await.expect("a bucket");
    });
    let said = complaint(NatsSettings { bucket: "old".into(), ..settings(&[nats.url()]) });
    assert!(said.contains("the bucket old") && said.contains("allow_msg_ttl"), "{said}");
}
