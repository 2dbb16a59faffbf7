//! Arbitrary bytes panic nobody, and a table survives being written and read again.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::source::Source;
use super::super::*;
use crate::dialect::Dialect;

const FILE: &str = "hosts.tab";

/// What tables are made of, and what they should not be made of.
const PIECES: [&[u8]; 27] = [
    b"cache ",
    b"127.0.0.1:1 ",
    b"[::1]:",
    b"unix:/x ",
    b"resp ",
    b"line ",
    b"timeout=",
    b"5s ",
    b"workers=3",
    b"listen=127.0.0.1:1 ",
    b"mode=0660",
    b" deferred",
    b" rejects=",
    b" expire=1s",
    b" tls ",
    b" sni=",
    b" key=k cert=c",
    b" db=1",
    b" allow=@0,",
    b"\t",
    b"\n",
    b"\r\n",
    b"#",
    b"=",
    b"\xff",
    b"\0",
    "ä".as_bytes(),
];

/// Bytes that come near a table.
fn nearly_a_table() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec);
    vec(prop_oneof![3 => piece, 1 => vec(any::<u8>(), 0..6)], 0..60).prop_map(|pieces| pieces.concat())
}

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof!["[a-z]{1,10}(\\.[a-z0-9]{1,10}){0,3}", Just("10.1.2.3".into()), Just("2001:db8::7".into())];
    prop_oneof![
        (host, 1u16..).prop_map(|(host, port)| Address::Tcp { host, port }),
        "/[a-z/.]{0,50}".prop_map(|path| Address::Unix { path: path.into() }),
        "[a-z0-9][a-z0-9_-]{0,62}".prop_map(|name| Address::Name { name }),
    ]
}

prop_compose! {
    /// A host of which only the options of the spool count.
    fn spool()(
        rejects in vec("[a-z#=-]{1,8}", 0..3),
        hold_in_doubt: bool,
        replay_window in 1u32..=64,
        (replay_backoff, expire) in (1u64..=3_600_000, 1u64..=31_536_000_000),
        spool_max in 4096u64..=1 << 40,
    ) -> HostSettings {
        HostSettings {
            rejects, hold_in_doubt, replay_window, spool_max,
            replay_backoff: Duration::from_millis(replay_backoff),
            expire: Duration::from_millis(expire),
            ..HostSettings::with_defaults("", Address::Unix { path: "/".into() }, Dialect::Line)
        }
    }
}

prop_compose! {
    /// A host of which only the options about how it is reached, and by whom, count.
    fn reached()(
        address in address(),
        dialect in prop::sample::select(&Dialect::ALL[..]),
        (tls, has_cert, logs_in, greets) in any::<(bool, bool, bool, bool)>(),
        sni in proptest::option::of("[a-z]{1,9}(\\.[a-z]{1,9})?"),
        files in vec("/[a-z]{1,9}", 5..=5),
        (user, db) in (proptest::option::of("[a-z]{1,9}"), 0u32..=1 << 20),
        allow in vec(prop_oneof![
            (0..u32::MAX).prop_map(Allowed::User), (0..u32::MAX).prop_map(Allowed::Group)
        ], 0..4),
    ) -> HostSettings {
        let file = |index: usize, is_given: bool| is_given.then(|| files[index].clone().into());
        let tls = tls && matches!(address, Address::Tcp { .. });
        let (resp, logs_in) = (dialect == Dialect::Resp, logs_in && dialect == Dialect::Resp);
        let scripts = greets && matches!(dialect, Dialect::Line | Dialect::Len32);
        HostSettings {
            allow, tls,
            // Some addresses have a name that no certificate can have.
            sni: sni.or_else(|| certified_name(&address).is_none().then(|| "a".to_owned())).filter(|_| tls),
            ca: file(0, tls && greets),
            cert: file(1, tls && has_cert),
            key: file(2, tls && has_cert),
            user: user.filter(|_| logs_in),
            password_file: file(3, logs_in),
            db: if resp { db } else { 0 },
            greeting: file(3, scripts),
            secrets: file(4, scripts && has_cert),
            ..HostSettings::with_defaults("", address, dialect)
        }
    }
}

/// Whether a deferred host may have `dedupe`.
fn may_dedupe(host: &HostSettings) -> bool {
    host.dialect == Dialect::Line && host.greeting.is_none() && !matches!(host.address, Address::Name { .. })
}

prop_compose! {
    fn host()(
        (name, reached) in ("[a-z0-9][a-z0-9_-]{0,20}", reached()),
        (connections, sessions, pipeline, window, queue) in (64u32..=10_000, 0u32..=10_000, 1u32..=65_536, 1u32..=65_536, 1u32..=1_000_000),
        (requesters, retries, workers) in (1u32..=1_000_000, 1u32..=1000, 1u32..=64),
        (timeout, connect_timeout, idle) in (1u64..=86_400_000, 1u64..=3_600_000, 1u64..=2_592_000_000),
        (max_request, max_reply, unread) in (1u64..=1 << 30, 1u64..=1 << 40, 1024u64..=64 << 20),
        start in prop_oneof![Just(Start::Boot), Just(Start::Demand)],
        listen in proptest::option::of(1u16..),
        (owner, group) in (proptest::option::of(0..u32::MAX), proptest::option::of(0..u32::MAX)),
        mode in (0u32..=0o777).prop_map(|mode| mode | 0o200),
        (spool, dedupes) in (proptest::option::of(spool()), any::<bool>()),
    ) -> HostSettings {
        let dialect = reached.dialect;
        let spool = spool.filter(|_| dialect != Dialect::Memcache);
        let deferred = spool.is_some();
        let plain = HostSettings::with_defaults("", Address::Unix { path: "/".into() }, dialect);
        let spool = spool.unwrap_or(plain);
        HostSettings {
            timeout: Duration::from_millis(timeout),
            connect_timeout: Duration::from_millis(connect_timeout),
            idle: Duration::from_millis(idle),
            listen: listen.filter(|_| reached.allow.is_empty()).map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
            connections, sessions, pipeline, window, queue, requesters, retries, workers,
            max_request, max_reply, unread, start, owner, group, mode, deferred,
            rejects: if dialect == Dialect::Resp { Vec::new() } else { spool.rejects },
            hold_in_doubt: spool.hold_in_doubt,
            replay_window: spool.replay_window,
            replay_backoff: spool.replay_backoff,
            spool_max: spool.spool_max,
            expire: spool.expire,
            dedupe: dedupes && deferred && may_dedupe(&reached),
            name,
            ..reached
        }
    }
}

/// Hosts that may stand in one table.
fn table() -> impl Strategy<Value = Vec<HostSettings>> {
    vec(host(), 0..8).prop_map(|mut hosts| {
        for (number, host) in hosts.iter_mut().enumerate() {
            host.name.push_str(&format!("-{number}"));
            host.listen =
                host.listen.map(|_| SocketAddr::from(([127, 0, 0, 1], 1000 + u16::try_from(number).unwrap())));
        }
        hosts
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_hosts_or_printable_complaints(bytes in prop_oneof![nearly_a_table(), vec(any::<u8>(), 0..300)]) {
        if let Err(error) = parse_hosts_tab(Path::new(FILE), &bytes) {
            let text = error.to_string();
            prop_assert!(!error.complaints().is_empty());
            prop_assert!(text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{text:?}");
        }
    }

    #[test]
    fn a_table_survives_being_written_and_read_again(hosts in table()) {
        let lines: Vec<String> = hosts.iter().map(show_host).collect();
        let read = parse_hosts_tab(Path::new(FILE), lines.join("\n").as_bytes());
        prop_assert_eq!(read, Ok(hosts));
    }

    #[test]
    fn arbitrary_text_as_toml_gives_settings_or_complaints(text in "(\\[(daemon|log|defaults)\\]\n|run_dir|file|timeout|=|'|\"|5s?|\\{|\\[|\\n|\\PC){0,40}") {
        let source = Source::new(Path::new("tieline.toml"), text.as_bytes());
        let reading = tieline_toml::read(&source, Path::new("/etc/tieline.toml"));
        prop_assert!(reading.daemon.hosts_tab.is_absolute());
    }
}
