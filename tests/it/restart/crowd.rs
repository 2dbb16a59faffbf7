//! The crowd: requesters that ask while the daemon is restarted again and again, and may not notice it.
//!
//! Enters: sockets. Leaves: how long each request took. Promised: every answer is compared with its request; a requester
//! that is closed, refused or answered wrongly ends its thread by a panic, and the test with it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use crate::common::{Requester, tag, wait_until};

/// Those that keep their connection, over all sockets.
const KEEPERS: usize = 64;
/// Those that connect, ask and leave, per socket.
const NEWCOMERS: usize = 2;
/// Most requests that are sent before a reply is read.
const BURST: u64 = 4;
/// Tags of one thread; far more than it can send.
const TAGS: u64 = 1 << 32;

/// Where to ask.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) host: String,
    pub(super) socket: PathBuf,
    pub(super) dialect: Dialect,
}

/// How a requester lives.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Asks nearly all the time.
    Busy,
    /// Asks now and then.
    Idle,
    /// Connects, asks once and leaves.
    Newcomer,
}

/// What all of them look at.
#[derive(Default)]
struct Sky {
    over: AtomicBool,
    storm: AtomicBool,
    answered: AtomicU64,
}

/// How long the requests of one requester took, before the storm and within it.
#[derive(Default)]
struct Times {
    calm: Vec<Duration>,
    storm: Vec<Duration>,
}

/// All threads.
pub(super) struct Crowd {
    sky: Arc<Sky>,
    threads: Vec<(String, JoinHandle<Times>)>,
}

/// What it has come to.
pub(super) struct Figures {
    times: Times,
    /// How many requests each host has answered.
    pub(super) answered: BTreeMap<String, u64>,
}

impl Crowd {
    /// Sixty-four that keep their connection, half of them mostly idle, and newcomers, spread over the doors.
    pub(super) fn start(doors: &[Door]) -> Self {
        let mut crowd = Self { sky: Arc::default(), threads: Vec::new() };
        for number in 0..KEEPERS {
            let habit = if (number / doors.len()).is_multiple_of(2) { Habit::Busy } else { Habit::Idle };
            crowd.add(&doors[number % doors.len()], habit);
        }
        for number in 0..NEWCOMERS * doors.len() {
            crowd.add(&doors[number % doors.len()], Habit::Newcomer);
        }
        crowd.wait_for_answers(5_000);
        crowd
    }

    fn add(&mut self, door: &Door, habit: Habit) {
        let (number, door, sky) = (self.threads.len() as u64 + 1, door.clone(), Arc::clone(&self.sky));
        let (name, host) = (format!("{habit:?} {number} of {}", door.host), door.host.clone());
        let tags = number * TAGS..(number + 1) * TAGS;
        let thread = Builder::new().name(name).spawn(move || live(&door, habit, tags, &sky));
        self.threads.push((host, thread.expect("a thread can be started")));
    }

    /// Waits until so many more requests were answered.
    pub(super) fn wait_for_answers(&self, more: u64) {
        let enough = self.sky.answered.load(Ordering::Relaxed) + more;
        wait_until("the crowd is served", || {
            self.assert_well();
            (self.sky.answered.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }

    /// From now on latencies count as those of the storm.
    pub(super) fn storm_begins(&self) {
        self.sky.storm.store(true, Ordering::Relaxed);
    }

    /// Ends the test as soon as one of them has met with anything that it should not.
    pub(super) fn assert_well(&self) {
        let ended = self.threads.iter().find(|(_, thread)| thread.is_finished());
        let name = ended.map(|(_, thread)| thread.thread().name().unwrap_or_default());
        assert_eq!(name, None, "a requester was not served as it should be");
    }

    /// Ends it; everybody must have been served to the last.
    pub(super) fn finish(mut self) -> Figures {
        self.assert_well();
        self.sky.over.store(true, Ordering::Relaxed);
        let mut figures = Figures { times: Times::default(), answered: BTreeMap::new() };
        for (host, thread) in std::mem::take(&mut self.threads) {
            let times = thread.join().expect("a requester was not served as it should be");
            *figures.answered.entry(host).or_default() += (times.calm.len() + times.storm.len()) as u64;
            figures.times.calm.extend(times.calm);
            figures.times.storm.extend(times.storm);
        }
        figures
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.sky.over.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Times { calm, storm } = &self.times;
        write!(f, "before {}; during the storm {}", percentiles(calm), percentiles(storm))
    }
}

fn percentiles(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let Some(last) = times.last() else { return "no request".to_owned() };
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    format!("{} requests: p50 {:.1?}, p99 {:.1?}, max {last:.1?}", times.len(), at(0.5), at(0.99))
}

fn live(door: &Door, habit: Habit, mut tags: Range<u64>, sky: &Sky) -> Times {
    let mut times = Times::default();
    let mut requester = Requester::connect(&door.socket, door.dialect);
    while !sky.over.load(Ordering::Relaxed) {
        let count = if matches!(habit, Habit::Busy) { fastrand::u64(1..=BURST) } else { 1 };
        ask(&mut requester, tags.by_ref().take(count as usize), sky, &mut times);
        match habit {
            Habit::Busy => sleep(Duration::from_micros(fastrand::u64(0..8_000))),
            Habit::Idle => rest(Duration::from_millis(fastrand::u64(0..3_000)), sky),
            Habit::Newcomer => {
                requester = Requester::connect(&door.socket, door.dialect);
                sleep(Duration::from_micros(fastrand::u64(0..20_000)));
            }
        }
    }
    ask(&mut requester, tags.by_ref().take(1), sky, &mut times);
    requester.half_close();
    let surplus = requester.rest();
    assert!(surplus.is_empty(), "answered twice: {}", String::from_utf8_lossy(&surplus));
    times
}

/// One burst; each answer must be the right one.
fn ask(requester: &mut Requester, tags: impl Iterator<Item = u64>, sky: &Sky, times: &mut Times) {
    let (tags, start): (Vec<String>, _) = (tags.map(tag).collect(), Instant::now());
    tags.iter().for_each(|tag| requester.send(tag));
    for tag in &tags {
        assert_is_reply(&requester.reply(), tag);
        let times = if sky.storm.load(Ordering::Relaxed) { &mut times.storm } else { &mut times.calm };
        times.push(start.elapsed());
    }
    sky.answered.fetch_add(tags.len() as u64, Ordering::Relaxed);
}

/// The reply of an echo or of the chaos host to this tag.
pub(super) fn assert_is_reply(reply: &str, tag: &str) {
    let own = reply.matches(tag).count();
    assert!(own > 0 && reply.matches('<').count() == own, "{tag} was answered {reply:?}");
}

/// Sleeps, but not beyond the end.
fn rest(time: Duration, sky: &Sky) {
    let start = Instant::now();
    while start.elapsed() < time && !sky.over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50).min(time));
    }
}
