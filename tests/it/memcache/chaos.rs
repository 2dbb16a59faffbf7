//! Promise 1 with a real memcached under chaos: values are tagged by their key and their requester; connections and the
//! child are killed, and memcached stops, meanwhile.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{Daemon, Machine, Memcached, Relay, Requester, wait_until};

const REQUESTERS: u64 = 60;
const KEYS: u64 = 20;

/// What was answered, by kind.
type Tally = HashMap<&'static str, u64>;

/// One request, and what its reply may be.
enum Step {
    Set(u64),
    Get(u64),
    GetTwo(u64, u64),
    Meta(u64),
    /// Has no reply.
    Silent(u64),
    Noop,
}

fn key(requester: u64, key: u64) -> String {
    format!("<{requester}:{key}>")
}

/// A value that nobody could take for another key's, nor for a whole one if it were cut or mixed.
fn value(requester: u64, number: u64) -> String {
    let key = key(requester, number);
    let length = [3, 40, 2000, 90_000][(fastrand::u8(..) as usize % 33) / 10];
    format!("{key}{}{key}", "END\r\n".repeat(length / 5))
}

impl Step {
    fn any() -> Self {
        let key = || fastrand::u64(..KEYS);
        match fastrand::u8(..14) {
            0..=2 => Self::Set(key()),
            3..=6 => Self::Get(key()),
            7 | 8 => Self::GetTwo(key(), key()),
            9 | 10 => Self::Meta(key()),
            11 | 12 => Self::Silent(key()),
            _ => Self::Noop,
        }
    }

    fn request(&self, own: u64) -> String {
        match *self {
            Self::Set(n) | Self::Silent(n) => {
                let (value, noreply) = (value(own, n), if matches!(self, Self::Silent(_)) { " noreply" } else { "" });
                format!("set {} 0 0 {}{noreply}\r\n{value}\r\n", key(own, n), value.len())
            }
            Self::Get(n) => format!("get {}\r\n", key(own, n)),
            Self::GetTwo(n, other) => format!("gets {} {}\r\n", key(own, n), key(own, other)),
            Self::Meta(n) => format!("mg {} v k O{n}\r\n", key(own, n)),
            Self::Noop => "mn\r\n".to_owned(),
        }
    }

    /// What kind of answer this is; panics if it cannot be this request's.
    fn judge(&self, own: u64, reply: &str) -> &'static str {
        if let Some(failure) = reply.strip_prefix("SERVER_ERROR con_") {
            let kinds = ["lost", "timeout", "unknown", "busy"];
            return kinds.into_iter().find(|kind| failure.starts_with(kind)).unwrap_or_else(|| panic!("{reply}"));
        }
        let right = match *self {
            Self::Set(_) => reply == "STORED\r\n",
            Self::Get(n) => reply == "END\r\n" || are_of(reply, "VALUE", &[key(own, n)]),
            Self::GetTwo(n, other) => reply == "END\r\n" || are_of(reply, "VALUE", &[key(own, n), key(own, other)]),
            Self::Meta(n) => reply == format!("EN k{} O{n}\r\n", key(own, n)) || is_meta_of(reply, own, n),
            Self::Noop => reply == "MN\r\n",
            Self::Silent(_) => false,
        };
        assert!(right, "{:?} was answered {:?}", self.request(own), &reply[..reply.len().min(300)]);
        "reply"
    }
}

/// Whether each value in the reply is that of one of these keys, in their order, and whole.
fn are_of(reply: &str, word: &str, keys: &[String]) -> bool {
    let mut rest = reply;
    for key in keys {
        let Some(behind) = rest.strip_prefix(&format!("{word} {key} 0 ")) else { continue };
        let Some((head, behind)) = behind.split_once("\r\n") else { return false };
        let length: usize = head.split(' ').next().and_then(|length| length.parse().ok()).unwrap_or(0);
        let Some((value, behind)) = behind.split_at_checked(length) else { return false };
        if !value.starts_with(key) || !value.ends_with(key) || value.matches('<').count() != 2 {
            return false;
        }
        rest = behind.strip_prefix("\r\n").unwrap_or(behind);
    }
    rest == "END\r\n"
}

fn is_meta_of(reply: &str, own: u64, number: u64) -> bool {
    let key = key(own, number);
    let Some((head, value)) = reply.split_once("\r\n") else { return false };
    let value = value.strip_suffix("\r\n").unwrap_or_default();
    head == format!("VA {} k{key} O{number}", value.len())
        && value.starts_with(&key)
        && value.ends_with(&key)
        && value.matches('<').count() == 2
}

/// Sends bursts until it is over, and judges every answer in its place.
fn live(socket: &Path, own: u64, over: &AtomicBool) -> Tally {
    let mut tally = Tally::new();
    let mut requester = None;
    while !over.load(Ordering::Relaxed) {
        let mut open = requester.take().unwrap_or_else(|| Requester::connect(socket, Dialect::Memcache));
        let goes_on = if fastrand::u8(..5) == 0 {
            ask_quietly(open, own, &mut tally);
            None
        } else {
            exchange(&mut open, own, &mut tally).then_some(open)
        };
        requester = goes_on;
    }
    tally
}

fn count(tally: &mut Tally, kind: &'static str) {
    *tally.entry(kind).or_default() += 1;
}

/// One burst. Whether the requester is still open.
fn exchange(requester: &mut Requester, own: u64, tally: &mut Tally) -> bool {
    let steps: Vec<Step> = (0..fastrand::usize(1..24)).map(|_| Step::any()).collect();
    let burst: String = steps.iter().map(|step| step.request(own)).collect();
    let mut sender = requester.stream.try_clone().expect("a second handle");
    let mut failed = false;
    let open = thread::scope(|scope| {
        // It may be closed before it has sent everything.
        scope.spawn(move || drop(std::io::Write::write_all(&mut sender, burst.as_bytes())));
        for step in steps.iter().filter(|step| !matches!(step, Step::Silent(_))) {
            let Some(reply) = requester.next_reply().expect("an answer in time") else { return false };
            let kind = step.judge(own, &reply);
            failed |= kind != "reply";
            count(tally, kind);
        }
        true
    });
    if failed {
        sleep(Duration::from_millis(fastrand::u64(5..50)));
    }
    if !open {
        count(tally, "closed");
    }
    open
}

/// A burst of quiet commands, ended by `mn`; then the requester ends. What it is told must be answers to them, each
/// once and in their order, or failures, and last the answer to `mn`.
fn ask_quietly(mut requester: Requester, own: u64, tally: &mut Tally) {
    let keys: Vec<u64> = (0..fastrand::usize(1..30)).map(|_| fastrand::u64(..KEYS)).collect();
    let burst: String = keys.iter().map(|n| format!("mg {} v k O{n} q\r\n", key(own, *n))).collect();
    if std::io::Write::write_all(&mut requester.stream, format!("{burst}mn\r\n").as_bytes()).is_err() {
        return count(tally, "closed");
    }
    requester.half_close();
    let mut keys = keys.iter();
    let mut last = String::new();
    while let Some(reply) = requester.next_reply().expect("an answer in time") {
        assert_ne!(last, "MN\r\n", "{reply} came behind the end");
        if reply != "MN\r\n" && !reply.starts_with("SERVER_ERROR con_") {
            let is_answered = keys.any(|n| is_meta_of(&reply, own, *n));
            assert!(is_answered, "requester {own} was told {:?}", &reply[..reply.len().min(300)]);
            count(tally, "quiet");
        }
        last = reply;
    }
    let whole = last == "MN\r\n" || last.starts_with("SERVER_ERROR con_");
    count(tally, if whole { "quiet end" } else { "closed" });
}

/// Makes trouble for as long as it should last.
fn make_trouble(daemon: &mut Daemon, memcached: &Memcached, relay: &Relay, rounds: u64) -> u64 {
    let pause = |low, high| sleep(Duration::from_millis(fastrand::u64(low..high)));
    for _ in 0..rounds {
        pause(100, 300);
        relay.cut();
        relay.cut_after(fastrand::usize(1000..3_000_000));
        relay.cut();
        pause(200, 600);
        memcached.signal(Signal::SIGSTOP);
        pause(50, 600);
        memcached.signal(Signal::SIGCONT);
        relay.cut_after(usize::MAX);
        pause(100, 300);
        let child = daemon.child("cache");
        child.signal(Signal::SIGKILL);
        wait_until("another child", || daemon.try_child("cache").filter(|new| *new != child));
        daemon.place().tieline(&["probe", "cache"]);
        pause(100, 400);
    }
    rounds
}

/// How many rounds of trouble: in proportion to the other tests of chaos.
fn rounds() -> u64 {
    let wanted = std::env::var("TIELINE_CHAOS").ok();
    let transactions: u64 = wanted.map_or(1_000_000, |number| number.parse().expect("TIELINE_CHAOS is a number"));
    (transactions / 50_000).max(5)
}

#[test]
fn values_never_reach_anybody_but_those_who_asked_for_them_whatever_is_cut_killed_or_stopped() {
    let _machine = Machine::alone();
    let memcached = Memcached::start();
    let relay = Relay::to(memcached.address());
    let options = "connections=4 queue=2000 timeout=400ms connect_timeout=200ms retries=2";
    let mut daemon = Daemon::start(&[&format!("cache {} memcache {options}", relay.address())]);
    let (socket, over) = (daemon.socket("cache"), AtomicBool::new(false));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let (socket, over) = (&socket, &over);
        let threads: Vec<_> = (0..REQUESTERS).map(|own| scope.spawn(move || live(socket, own, over))).collect();
        let trouble = std::panic::AssertUnwindSafe(|| make_trouble(&mut daemon, &memcached, &relay, rounds()));
        let made = std::panic::catch_unwind(trouble);
        over.store(true, Ordering::Relaxed);
        let tallies = threads.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>();
        made.expect("trouble was made");
        tallies.into_iter().map(|tally| tally.expect("all was right")).collect()
    });
    let mut all = Tally::new();
    for (kind, count) in tallies.into_iter().flatten() {
        *all.entry(kind).or_default() += count;
    }
    println!("{all:?}");
    let count = |kind| all.get(kind).copied().unwrap_or(0);
    assert!(count("reply") > 1000 && count("quiet") > 100, "too few replies to show anything");
    assert!(count("unknown") > 0 && count("closed") > 0, "too little chaos");
    daemon.stop();
}
