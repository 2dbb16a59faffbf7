//! Promise 2 under `kill -9`: the child, the parent and both are killed at random moments, while requesters write and the
//! host goes away and comes back. What was acknowledged arrives, in order; only what was in doubt arrives twice.
//!
//! The number of kills is `TIELINE_KILLS`, else 200, shared between a few daemons side by side.

pub(crate) mod judge;
pub(crate) mod requesters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use judge::{Evidence, Figures};
use requesters::{TAGS, ask_undeferred, write_deferred};

use crate::common::{ChaosHost, Daemon, Machine, Place, wait_until};

/// Daemons side by side.
const LANES: u64 = 4;
/// Deferred requesters of each.
const WRITERS: u64 = 6;
const CONNECTIONS: usize = 3;
/// Replays on their way at once, and requests on one connection, of every other daemon; of the rest one.
const WINDOW: usize = 16;
/// A replay that stands still for so long is a failure, however long it takes as a whole.
const STANDSTILL: Duration = Duration::from_secs(60);

fn kills() -> u64 {
    let wanted = std::env::var("TIELINE_KILLS").ok();
    wanted.map_or(200, |number| number.parse().expect("TIELINE_KILLS is a number"))
}

/// One daemon, its host, and what has happened to them.
struct Lane {
    place: Arc<Place>,
    daemon: Option<Daemon>,
    host: ChaosHost,
    host_is_away: bool,
    breaks: Vec<u64>,
    window: usize,
}

impl Lane {
    fn new(window: usize) -> Self {
        let host = ChaosHost::start(Dialect::Line);
        let place = Place::new(&[&format!(
            "far {} line deferred connections={CONNECTIONS} retries=1 connect_timeout=1s timeout=20s \
             pipeline={window} replay_window={window}",
            host.address()
        )]);
        let daemon = Some(place.start());
        Self { place, daemon, host, host_is_away: false, breaks: Vec::new(), window }
    }

    /// Something has just broken: what was under way is in doubt.
    fn broke(&mut self) {
        self.breaks.push(self.host.list_length());
    }

    /// Kills so many times.
    fn kill(&mut self, kills: u64) {
        for _ in 0..kills {
            sleep(Duration::from_millis(fastrand::u64(0..250)));
            if fastrand::u8(0..3) == 0 {
                self.toggle_host();
                sleep(Duration::from_millis(fastrand::u64(0..100)));
            }
            match fastrand::u8(0..4) {
                0 => self.kill_parent(false),
                1 => self.kill_parent(true),
                _ => self.kill_child(),
            }
        }
    }

    fn toggle_host(&mut self) {
        if self.host_is_away {
            self.host.command("listen");
            self.place.tieline(&["probe", "far"]);
        } else {
            self.host.command("refuse");
            self.broke();
        }
        self.host_is_away = !self.host_is_away;
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("one runs at all times but within kill_parent")
    }

    fn kill_child(&mut self) {
        // One that dies before it is ready is started again later and later: mostly it is given that time.
        let child = self.daemon().child("far");
        if fastrand::u8(0..8) > 0 {
            wait_until("the child is ready", || {
                (self.daemon().host_status("far")["state"] != "starting").then_some(())
            });
        }
        child.kill();
        self.broke();
    }

    /// Kills the parent, perhaps with its child, and starts another; the child of a dead parent retires by itself.
    fn kill_parent(&mut self, with_child: bool) {
        let mut daemon = self.daemon.take().expect("one runs");
        if with_child && let Some(child) = daemon.try_child("far") {
            child.kill();
        }
        daemon.signal(Signal::SIGKILL);
        daemon.wait();
        self.broke();
        daemon.leave();
        self.daemon = Some(self.place.start());
    }

    /// The host is well again and nobody writes any more: waits until all is replayed and nothing is in doubt.
    fn drain(&mut self) {
        if self.host_is_away {
            self.toggle_host();
        }
        let (mut progress, mut depth) = (Instant::now(), u64::MAX);
        loop {
            let status = self.daemon().host_status("far");
            let spool = &status["spool"];
            let now = spool["depth"].as_u64().unwrap_or(u64::MAX);
            // A child that has not opened its store yet knows of nothing that waits: the list waits for that.
            if now == 0 && self.nothing_is_listed() {
                let status = self.daemon().host_status("far");
                let spool = &status["spool"];
                assert_eq!((&spool["held"], &spool["dead"], &spool["damaged"]), (&0.into(), &0.into(), &0.into()));
                return;
            }
            if now < depth {
                (progress, depth) = (Instant::now(), now);
            }
            assert!(progress.elapsed() < STANDSTILL, "the replay stands still: {status}");
            sleep(Duration::from_millis(20));
        }
    }

    fn nothing_is_listed(&self) -> bool {
        let output = self.place.tieline(&["spool", "list", "far", "--json"]);
        output.status.success() && output.stdout.is_empty()
    }

    fn run(mut self, kills: u64) -> Figures {
        let (over, place) = (AtomicBool::new(false), Arc::clone(&self.place));
        let (deferred, plain) = (place.deferred_socket("far"), place.socket("far"));
        let acknowledged = thread::scope(|scope| {
            let (over, deferred) = (&over, &deferred);
            let writers: Vec<_> =
                (0..WRITERS).map(|n| scope.spawn(move || write_deferred(deferred, n * TAGS, over))).collect();
            scope.spawn(|| ask_undeferred(&plain, WRITERS * TAGS, over));
            let killed = thread::scope(|inner| inner.spawn(|| self.kill(kills)).join());
            over.store(true, Ordering::Relaxed);
            let acknowledged = writers.into_iter().map(|writer| writer.join().expect("all was right")).collect();
            killed.expect("the killing went on to its end");
            acknowledged
        });
        self.drain();
        let arrivals = self.host.arrivals().into_iter().filter(|(_, tag)| *tag < WRITERS * TAGS).collect();
        let figures = Evidence {
            acknowledged,
            arrivals,
            breaks: self.breaks.clone(),
            connections: CONNECTIONS * self.window,
            window: self.window,
        }
        .judge();
        self.daemon.take().expect("one runs").stop();
        figures
    }
}

#[test]
fn whatever_is_killed_what_was_acknowledged_arrives_in_order_and_only_what_was_in_doubt_twice() {
    let _machine = Machine::alone();
    let (kills, start) = (kills().div_ceil(LANES), Instant::now());
    let lanes: Vec<Lane> = (0..LANES).map(|lane| Lane::new(if lane % 2 == 0 { 1 } else { WINDOW })).collect();
    let all: Vec<Figures> = thread::scope(|scope| {
        let threads: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(move || lane.run(kills))).collect();
        threads.into_iter().map(|thread| thread.join().expect("all was right")).collect()
    });
    println!("{} kills in {:.1?}", kills * LANES, start.elapsed());
    let sum = |figure: fn(&Figures) -> usize| all.iter().map(figure).sum::<usize>();
    let (replies, delayed, repeated) = (sum(|all| all.replies), sum(|all| all.delayed), sum(|all| all.repeated));
    let most = all.iter().map(|all| all.most_repeated_after_a_break).max().unwrap_or(0);
    println!("{replies} replies, {delayed} delayed, {repeated} of them twice, at most {most} after one break");
    assert!(replies > 100 && delayed > 100 && repeated > 0, "too little happened: nothing is shown");
}
