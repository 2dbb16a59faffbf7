//! The house of these tests: a host, listeners, children that inherit them, and visitors (requesters of the test's own).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::child::serve::{Inheritance, run};
use crate::config::{Address, HostSettings, LogFormat, LogLevel, LogSettings};
use crate::dialect::Dialect;
use crate::heritage::{Heritage, ListenerKind, Role, ToChild, ToParent};
use crate::requester::listener::Inherited;
use crate::snapshot::Snapshot;
use crate::system::handover;

/// Longer than anything here may take on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// As many files as the system lets this process open: a thousand requesters have two ends each here.
pub(super) fn allow_many_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// A host that answers each line with `re:` and the line; one that is `slow` only when the gate is open.
#[derive(Clone)]
pub(super) struct Host(Arc<Told>);

struct Told {
    address: Address,
    connects: AtomicU64,
    requests: AtomicU64,
    /// Each line that came, and how often.
    lines: Mutex<BTreeMap<String, u64>>,
    gate: (Mutex<bool>, Condvar),
}

impl Host {
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let address = Address::Tcp { host: at.ip().to_string(), port: at.port() };
        let gate = (Mutex::new(false), Condvar::new());
        let (connects, requests, lines) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        let host = Self(Arc::new(Told { address, connects, requests, lines, gate }));
        let this = host.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                this.0.connects.fetch_add(1, SeqCst);
                let this = this.clone();
                std::thread::spawn(move || this.answer(&stream));
            }
        });
        host
    }

    fn answer(&self, stream: &std::net::TcpStream) {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            self.0.requests.fetch_add(1, SeqCst);
            *self.0.lines.lock().unwrap().entry(line.clone()).or_default() += 1;
            if line == "slow" {
                let (gate, opened) = &self.0.gate;
                drop(opened.wait_while(gate.lock().unwrap(), |open| !*open).unwrap());
            }
            let mut to = stream;
            if to.write_all(format!("re:{line}\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    pub(super) fn address(&self) -> Address {
        self.0.address.clone()
    }

    pub(super) fn connects(&self) -> u64 {
        self.0.connects.load(SeqCst)
    }

    pub(super) fn has_heard(&self, line: &str) -> bool {
        self.0.lines.lock().unwrap().contains_key(line)
    }

    /// How many requests came; each, but for `end`, must have come once.
    pub(super) fn each_once(&self) -> u64 {
        let lines = self.0.lines.lock().unwrap();
        let twice: Vec<_> = lines.iter().filter(|(line, count)| **count != 1 && *line != "end").collect();
        assert!(twice.is_empty(), "more than once: {twice:?}");
        lines.values().sum()
    }

    pub(super) fn open_the_gate(&self) {
        *self.0.gate.0.lock().unwrap() = true;
        self.0.gate.1.notify_all();
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.requests.load(SeqCst)
    }

    pub(super) fn wait_for_requests(&self, count: u64) {
        wait_until("the host has been asked", || self.requests() >= count);
    }
}

/// Looks again and again until something is so.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) struct House {
    pub(super) dir: tempfile::TempDir,
    pub(super) host: Host,
    pub(super) settings: HostSettings,
    pub(super) drain: Duration,
    plain: UnixListener,
    deferred: UnixListener,
}

impl House {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new();
        let settings = HostSettings {
            deferred: true,
            timeout: LONG,
            ..HostSettings::with_defaults("host", host.address(), Dialect::Line)
        };
        let plain = UnixListener::bind(dir.path().join("plain")).unwrap();
        let deferred = UnixListener::bind(dir.path().join("deferred")).unwrap();
        Self { dir, host, settings, drain: LONG, plain, deferred }
    }

    /// Starts a child that takes over from `predecessors`; returns when it is ready.
    pub(super) fn start(&self, predecessors: &[&Child]) -> Child {
        let inlets = predecessors.iter().filter_map(|child| child.inlet.as_ref());
        self.start_with(inlets.map(|inlet| inlet.try_clone().unwrap()).collect())
    }

    pub(super) fn start_with(&self, inlets: Vec<OwnedFd>) -> Child {
        let (outlet, inlet) = handover::pair().unwrap();
        let heritage = Heritage {
            role: Role::Host(Box::new(self.settings.clone())),
            listeners: vec![ListenerKind::Unix, ListenerKind::Deferred],
            spool: self.settings.deferred.then(|| self.spool()),
            registry: None,
            log: LogSettings { level: LogLevel::Warn, file: None, format: LogFormat::Text },
            debug: false,
            drain: self.drain,
            inlets: inlets.len(),
        };
        let plain = Inherited::Unix(self.plain.try_clone().unwrap());
        let deferred = Inherited::Deferred(self.deferred.try_clone().unwrap());
        let inheritance = Inheritance { listeners: vec![plain, deferred], outlet: Some(outlet), inlets };
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        ours.set_read_timeout(Some(LONG)).unwrap();
        let host = self.settings.clone();
        let thread = std::thread::spawn(move || run(host, &heritage, theirs, inheritance).unwrap());
        let child = Child { control: BufReader::new(ours), inlet: Some(inlet), thread };
        assert_eq!(child.hear(), Some(ToParent::Ready));
        child
    }

    pub(super) fn spool(&self) -> std::path::PathBuf {
        self.dir.path().join("spool")
    }

    pub(super) fn visit(&self) -> Visitor {
        Visitor::at(&self.dir.path().join("plain"))
    }

    pub(super) fn defer(&self) -> Visitor {
        Visitor::at(&self.dir.path().join("deferred"))
    }
}

/// A child, and what its parent has of it.
pub(super) struct Child {
    control: BufReader<UnixStream>,
    pub(super) inlet: Option<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Child {
    fn hear(&self) -> Option<ToParent> {
        // Byte by byte, for `&self`: what comes behind the line is another call's.
        let mut line = Vec::new();
        for byte in Read::bytes(self.control.get_ref()) {
            match byte.unwrap() {
                b'\n' => return Some(serde_json::from_slice(&line).unwrap()),
                byte => line.push(byte),
            }
        }
        None
    }

    fn say(&self, message: &ToChild) {
        let line = serde_json::to_string(message).unwrap() + "\n";
        self.control.get_ref().write_all(line.as_bytes()).unwrap();
    }

    pub(super) fn hand_over(&self) {
        self.say(&ToChild::HandOver);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.say(&ToChild::Snapshot { ask: 1 });
        loop {
            if let ToParent::Snapshot { snapshot, .. } = self.hear().expect("the child lives") {
                return *snapshot;
            }
        }
    }

    pub(super) fn wait_until(&self, is_so: impl Fn(&Snapshot) -> bool) {
        wait_until("the snapshot is as awaited", || is_so(&self.snapshot()));
    }

    /// Waits for its end; its last numbers.
    pub(super) fn join(self) -> Snapshot {
        let last = self.last_words();
        self.thread.join().unwrap();
        last
    }

    /// Waits for its end; the way to its successor, with what is in it.
    pub(super) fn join_for_inlet(mut self) -> OwnedFd {
        self.last_words();
        let inlet = self.inlet.take().unwrap();
        self.thread.join().unwrap();
        inlet
    }

    /// Retires it, by the end of what it hears; its last numbers before that.
    pub(super) fn retire(self) -> Snapshot {
        let last = self.snapshot();
        drop(self.control);
        self.thread.join().unwrap();
        last
    }

    fn last_words(&self) -> Snapshot {
        loop {
            match self.hear() {
                Some(ToParent::Farewell { snapshot }) => return *snapshot,
                Some(_) => {}
                None => panic!("it went without its last numbers"),
            }
        }
    }
}

/// A requester.
pub(super) struct Visitor(BufReader<UnixStream>);

impl Visitor {
    fn at(socket: &Path) -> Self {
        Self::new(UnixStream::connect(socket).unwrap())
    }

    pub(super) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(super) fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub(super) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "closed instead of a reply, after {line:?}");
        line.trim_end().to_owned()
    }

    pub(super) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    /// Asks until the host answers: until then the store is being opened, or something waits in it.
    pub(super) fn ask_until_tried(&mut self) {
        wait_until("a deferred request is tried at once", || self.ask("try") == "re:try");
    }

    pub(super) fn read_to_end(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    pub(super) fn split(&self) -> UnixStream {
        self.0.get_ref().try_clone().unwrap()
    }
}
