//! A storm of HUPs with another build each, while requests are stored and replayed and the host comes and goes: nothing
//! acknowledged is lost, each requester's order is kept, the replay is in order, and nothing is sent twice but for what
//! was under way when the host left. No requester is closed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::hups;
use crate::common::{Build, ChaosHost, Daemon, Machine, Place, Requester, encode, host, tag};
use crate::spool_kills::judge::Evidence;
use crate::spool_kills::requesters::{TAGS, Told, judge};

const WRITERS: u64 = 6;
const CONNECTIONS: usize = 3;
const WINDOW: usize = 16;
/// A replay that stands still for so long is a failure.
const STANDSTILL: Duration = Duration::from_secs(60);

/// One daemon and its host.
struct Lane {
    place: std::sync::Arc<Place>,
    daemon: Daemon,
    host: ChaosHost,
    host_is_away: bool,
    breaks: Vec<u64>,
    build: Build,
}

impl Lane {
    fn new() -> Self {
        let host = ChaosHost::start(Dialect::Line);
        let options = format!(
            "deferred connections={CONNECTIONS} retries=1 connect_timeout=1s timeout=20s replay_backoff=200ms \
             pipeline={WINDOW} replay_window={WINDOW}"
        );
        let place = Place::with_settings(&[], "[defaults]\ndrain = \"20s\"");
        place.install(Build::This);
        place.set_hosts(&[format!("far {} line {options}", host.address())]);
        let daemon = place.start();
        Self { place, daemon, host, host_is_away: false, breaks: Vec::new(), build: Build::This }
    }

    fn storm(&mut self) {
        for _ in 0..hups() {
            sleep(Duration::from_millis(fastrand::u64(0..200)));
            if fastrand::u8(0..3) == 0 {
                self.toggle_host();
            }
            self.build = self.build.other();
            self.place.install(self.build);
            self.daemon.restart();
        }
    }

    fn toggle_host(&mut self) {
        if self.host_is_away {
            self.host.command("listen");
            self.place.tieline(&["probe", "far"]);
        } else {
            self.host.command("refuse");
            self.breaks.push(self.host.list_length());
        }
        self.host_is_away = !self.host_is_away;
    }

    /// Nobody writes any more: waits until all is replayed.
    fn drain(&mut self) {
        if self.host_is_away {
            self.toggle_host();
        }
        let (mut progress, mut depth) = (Instant::now(), u64::MAX);
        while depth > 0 {
            let status = self.daemon.settle();
            let spool = &host(&status, "far")["spool"];
            let now = spool["depth"].as_u64().expect("a depth");
            assert_eq!((&spool["held"], &spool["dead"], &spool["damaged"]), (&0.into(), &0.into(), &0.into()));
            if now < depth {
                (progress, depth) = (Instant::now(), now);
            }
            assert!(progress.elapsed() < STANDSTILL, "the replay stands still: {status}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// Writes bursts until `over`. One connection from beginning to end: a close is a failure.
fn write(socket: &Path, first: u64, over: &AtomicBool) -> Vec<(u64, Told)> {
    let mut requester = Requester::connect(socket, Dialect::Line);
    let (mut acknowledged, mut next) = (Vec::new(), first);
    while !over.load(Ordering::Relaxed) {
        let tags = next..next + fastrand::u64(1..=4);
        next = tags.end;
        let burst: Vec<u8> = tags.clone().flat_map(|number| encode(Dialect::Line, &tag(number))).collect();
        requester.send_bytes(&burst);
        acknowledged.extend(tags.map(|number| (number, judge(&requester.reply(), number))));
        sleep(Duration::from_millis(fastrand::u64(0..40)));
    }
    acknowledged
}

#[test]
fn deferred_requests_survive_a_storm_of_hups_in_order_and_none_is_sent_twice_by_it() {
    let _machine = Machine::alone();
    let mut lane = Lane::new();
    let (over, socket) = (AtomicBool::new(false), lane.place.deferred_socket("far"));
    let acknowledged = thread::scope(|scope| {
        let (over, socket) = (&over, &socket);
        let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(move || write(socket, n * TAGS, over))).collect();
        let storm = thread::scope(|inner| inner.spawn(|| lane.storm()).join());
        over.store(true, Ordering::Relaxed);
        let acknowledged = writers.into_iter().map(|writer| writer.join().expect("all was right")).collect();
        storm.expect("every restart succeeded");
        acknowledged
    });
    lane.drain();
    let figures = Evidence {
        acknowledged,
        arrivals: lane.host.arrivals(),
        breaks: lane.breaks.clone(),
        connections: CONNECTIONS * WINDOW,
        window: WINDOW,
    }
    .judge();
    println!("{} HUPs, {} departures of the host: {figures:?}", hups(), lane.breaks.len());
    assert!(figures.replies > 100 && figures.delayed > 100, "too little happened: nothing is shown");
    lane.daemon.stop();
}
