//! Everything at once: handlers that hang, crash, write garbage, fork, close their output and reply twice, under load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid};
use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::Process;

/// Requesters at once.
const REQUESTERS: usize = 24;

/// What is asked; and, for `exec` and for `worker`, what is answered: a reply with its number, or an error.
const KINDS: [(&str, &str, &str); 9] = [
    ("good", "good N", "good N"),
    ("fork", "fork N", "fork N"),
    ("early", "early N", "early N"),
    ("hang", "error timeout: limit is 600 ms", "error timeout: limit is 600 ms"),
    ("crash", "error handler: ended by SIGSEGV", "error handler: ended by SIGSEGV, without a reply"),
    ("fail", "error handler: exit status 3", "error handler: exit status 3, without a reply"),
    ("twice", "error handler: it gave more than one reply", "error handler: it gave more than one reply"),
    // To a line of anything nobody can see that it is none.
    ("garbage", "error handler: ", ""),
    ("flood", "error handler: its reply is too large", "error handler: it gave more than one reply"),
];

/// The one whose answer is that it is late.
const HANG: usize = 3;

/// One request; `$kind` and `$n` are set. How a good one goes on is left open.
const CASES: &str = "  case $kind in
    good) echo \"good $n\" ;;
    fork) sleep 1000 & (setsid sleep 1000 &); (sh -c 'sleep 1000' &); echo \"fork $n\" ;;
    early) EARLY ;;
    hang) trap '' TERM; sleep 1000 & sleep 1000; sleep 1000 ;;
    crash) echo oops >&2; kill -SEGV $$ ;;
    fail) exit 3 ;;
    twice) printf '%s\\n%s\\n' \"twice $n\" \"twice $n\" ;;
    garbage) head -c 3000 /dev/urandom | tr '\\n' 'x'; echo; echo; exit 1 ;;
    flood) yes ;;
  esac
";

/// A seed for this run's choices, and how many requests each requester sends.
fn requests() -> usize {
    std::env::var("TIELINE_STORM").ok().and_then(|word| word.parse().ok()).unwrap_or(12)
}

struct Heard {
    answers: BTreeMap<&'static str, usize>,
    /// Those whose time was over in the queue, or soon after.
    late: usize,
    slowest: Duration,
}

/// Asks everything from many sides; whoever is heard must have been asked.
fn storm(far: &FarEnd, expected: fn(usize) -> &'static str) -> Heard {
    let heard = thread::scope(|scope| {
        let threads: Vec<_> = (0..REQUESTERS).map(|who| scope.spawn(move || ask_all(far, who, expected))).collect();
        threads.into_iter().map(|each| each.join().expect("a requester was answered")).collect::<Vec<_>>()
    });
    let mut all = Heard { answers: BTreeMap::new(), late: 0, slowest: Duration::ZERO };
    for each in heard {
        each.answers.into_iter().for_each(|(kind, count)| *all.answers.entry(kind).or_default() += count);
        all.late += each.late;
        all.slowest = all.slowest.max(each.slowest);
    }
    all
}

fn ask_all(far: &FarEnd, who: usize, expected: fn(usize) -> &'static str) -> Heard {
    let mut requester = far.requester();
    let mut heard = Heard { answers: BTreeMap::new(), late: 0, slowest: Duration::ZERO };
    for round in 0..requests() {
        // Every requester goes through all kinds, each beginning with another.
        let (kind, number) = ((who + round) % KINDS.len(), 1000 * who + round);
        let began = Instant::now();
        let reply = requester.ask(&format!("{} {number}", KINDS[kind].0));
        heard.slowest = heard.slowest.max(began.elapsed());
        // It had to wait, and was not begun in time or not done in what was left.
        if reply.starts_with("error busy: ") || (KINDS[kind].0 != "hang" && reply == KINDS[HANG].1) {
            heard.late += 1;
            continue;
        }
        let wanted = expected(kind).replace('N', &number.to_string());
        let is_it =
            if wanted.is_empty() || wanted.ends_with(' ') { reply.starts_with(&wanted) } else { reply == wanted };
        assert!(is_it, "{} {number} was answered {reply:?}", KINDS[kind].0);
        *heard.answers.entry(KINDS[kind].0).or_default() += 1;
    }
    requester.half_close();
    assert!(requester.rest().is_empty(), "one answer each, and no more");
    heard
}

/// Looks all the time how many processes there are whose command line begins so; the most that were seen.
fn most_while<T>(far: &FarEnd, title: &str, work: impl FnOnce() -> T) -> (usize, T) {
    let (over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // What others have forked is in their group until it is something else.
                let leads = |child: &Process| getpgid(Some(Pid::from_raw(child.0))) == Ok(Pid::from_raw(child.0));
                let children = far.process().children().into_iter().filter(leads);
                let count = children.filter(|child| child.command_line().starts_with(title)).count();
                most.fetch_max(count, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let over = Over(&over);
        let done = work();
        drop(over);
        (most.load(Ordering::Relaxed), done)
    })
}

/// Ends the looking, also when the work has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(far: FarEnd, title: &str, expected: fn(usize) -> &'static str) {
    let (most, heard) = most_while(&far, title, || storm(&far, expected));
    assert!((3..=6).contains(&most), "there were {most} processes at once, there may be 6");
    assert!(KINDS.iter().all(|(kind, ..)| heard.answers.contains_key(kind)), "{:?}", heard.answers);
    let asked = REQUESTERS * requests();
    assert_eq!(heard.answers.values().sum::<usize>() + heard.late, asked);
    assert!(heard.late < asked / 2, "{} of {asked} were late", heard.late);
    // The limit, and what a busy machine may add.
    assert!(heard.slowest < Duration::from_millis(600 + 2000), "somebody waited {:?}", heard.slowest);
    far.stop();
}

const LIMITS: &str = "timeout = \"600ms\"\ngrace = \"100ms\"\nprocesses = 6\nmax_reply = \"64KiB\"\n";

#[test]
fn processes_for_one_request_in_a_storm() {
    let script = format!("read -r kind n\n{}", CASES.replace("EARLY", "echo \"early $n\"; exec >&-; sleep 0.05"));
    let table = format!("{LIMITS}[[serve.far.handler]]\nexec = [\"sh\", \"HERE/handler\"]");
    let far = FarEnd::start(Dialect::Line, &table, &[("handler", &script)]);
    let place = far.place().clone();
    check(far, &format!("sh {}", place.path("handler").display()), |kind| KINDS[kind].1);
}

#[test]
fn workers_in_a_storm() {
    let early = "echo \"early $n\"; exec >&-; sleep 0.05";
    let script = format!("while read -r kind n; do\n{}done\n", CASES.replace("EARLY", early));
    let table = format!("{LIMITS}[[serve.far.handler]]\nworker = [\"sh\", \"HERE/handler\"]\nrequests = 7");
    let far = FarEnd::start(Dialect::Line, &table, &[("handler", &script)]);
    let place = far.place().clone();
    check(far, &format!("sh {}", place.path("handler").display()), |kind| KINDS[kind].2);
}
