//! Workers: they live on, and are replaced when they have served enough, or are of no use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::{Process, Requester, wait_until};

/// Answers with its number and what it was asked; misbehaves on demand.
const WORKER: &str = "while read -r word rest; do
  case $word in
    die) exit 7 ;;
    hang) sleep 1000 & sleep 1000 ;;
    twice) printf '%s\\n%s\\n' \"$$ $rest\" \"$$ $rest\" ;;
    late) echo \"$$ $rest\"; echo \"$$ $rest\" ;;
    mute) exec >&- ;;
    *) echo \"$$ $word $rest\" ;;
  esac
done
";

fn far(settings: &str) -> FarEnd {
    let table = format!("grace = \"200ms\"\n{settings}\n[[serve.far.handler]]\nworker = [\"sh\", \"HERE/worker\"]");
    FarEnd::start(Dialect::Line, &table, &[("worker", WORKER)])
}

/// The worker that answered.
fn worker(reply: &str) -> i32 {
    let number = reply.split(' ').next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no worker has said {reply}"))
}

#[test]
fn a_worker_serves_as_long_as_it_is_in_step_and_is_replaced_after_its_requests_without_losing_one() {
    let far = far("processes = 3\nrequests = 20");
    let mut requesters: Vec<Requester> = (0..6).map(|_| far.requester()).collect();
    let mut served: BTreeMap<i32, usize> = BTreeMap::new();
    for round in 0..60 {
        requesters.iter_mut().enumerate().for_each(|(who, each)| each.send(&format!("r{round} {who}")));
        for (who, each) in requesters.iter_mut().enumerate() {
            let reply = each.reply();
            assert!(reply.ends_with(&format!(" r{round} {who}")), "{reply}");
            *served.entry(worker(&reply)).or_default() += 1;
        }
        assert!(far.process().children().len() <= 3);
    }
    assert!(served.values().all(|count| *count <= 20), "{served:?}");
    assert!(served.len() >= 18, "360 requests, 20 for each worker: {served:?}");
    far.stop();
}

#[test]
fn one_requester_needs_one_worker() {
    let far = far("processes = 5");
    let mut requester = far.requester();
    let first = worker(&requester.ask("a"));
    assert!((0..50).all(|_| worker(&requester.ask("b")) == first));
    assert_eq!(far.process().children(), [Process(first)]);
    far.stop();
}

#[test]
fn a_worker_that_is_out_of_step_is_answered_for_and_replaced() {
    let far = far("processes = 1\ntimeout = \"500ms\"");
    let mut requester = far.requester();
    let mut workers = vec![worker(&requester.ask("a"))];
    let mut bad = |request: &str, expected: &str| {
        assert_eq!(requester.ask(request), expected, "{request}");
        let next = worker(&requester.ask("next"));
        assert!(!workers.contains(&next), "another worker after {request}");
        workers.push(next);
    };
    bad("die", "error handler: exit status 7, without a reply");
    bad("twice x", "error handler: it gave more than one reply");
    bad("mute", "error handler: it ended without a reply");
    bad("hang", "error timeout: limit is 500 ms");
    // Its second reply may come in a piece of its own: then the first one counts, and the second reaches nobody.
    for round in 0..20 {
        let late = requester.ask(&format!("late {round}"));
        let is_it = late.ends_with(&format!(" {round}")) || late == "error handler: it gave more than one reply";
        assert!(is_it, "{late}");
        let next = requester.ask(&format!("after {round}"));
        assert!(
            next.ends_with(&format!(" after {round}")) && !late.starts_with(&worker(&next).to_string()),
            "{late}, then {next}"
        );
    }
    // Killed while it rests: the next request is another one's, and not lost.
    for round in 0..5 {
        Process(worker(&requester.ask("who"))).kill();
        let reply = requester.ask(&format!("round {round}"));
        assert!(reply.ends_with(&format!("round {round}")), "{reply}");
    }
    wait_until("one worker is left", || (far.started().len() == 1).then_some(()));
    far.stop();
}

#[test]
fn workers_that_die_at_once_are_started_with_a_growing_pause_and_nobody_waits_for_them_in_vain() {
    let table = "[[serve.far.handler]]\nprocesses = 2\nworker = [\"sh\", \"-c\", \"echo x >> HERE/starts; exit 9\"]";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let (mut requester, began) = (far.requester(), Instant::now());
    let (mut asked, mut hopeless) = (0, 0);
    while began.elapsed() < Duration::from_millis(1500) {
        let reply = requester.ask("x");
        assert!(reply.starts_with("error handler: exit status 9, without a reply"), "{reply}");
        asked += 1;
        hopeless += usize::from(reply.contains("next attempt in"));
    }
    let starts = std::fs::read_to_string(far.place().path("starts")).expect("it was started").lines().count();
    assert!((5..=8).contains(&starts), "{starts} starts in 1.5 s");
    assert!(hopeless > 100 && asked == starts + hopeless, "{asked} asked, {hopeless} hopeless, {starts} starts");
    far.stop();
}
