//! The requesters of the two tielines: each writes its own numbers, and notes what it was told.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tieline::dialect::Dialect;

use crate::common::{Requester, encode, tag};
use crate::spool_kills::requesters::Told;

/// So many replies there must be: first tries that were not broken.
const REPLIES: u64 = 20;
/// Most requests that are sent before an answer is read.
const BURST: u64 = 8;

/// What writers share.
#[derive(Default)]
pub(super) struct Run {
    /// How many requests were acknowledged.
    acknowledged: AtomicU64,
    /// How many of them with a reply.
    replies: AtomicU64,
    /// Whether nobody writes for now, so that the store can run empty.
    pauses: AtomicBool,
}

/// A pause, as long as this lives: also a panic ends it.
pub(super) struct Pause<'a>(&'a Run);

impl Run {
    /// Until so many were acknowledged, and some of them by a first try.
    fn goes_on(&self, wanted: u64) -> bool {
        self.acknowledged.load(Ordering::Relaxed) < wanted || self.replies.load(Ordering::Relaxed) < REPLIES
    }

    fn count(&self, acknowledged: &[(u64, Told)]) {
        let replies = acknowledged.iter().filter(|(_, told)| *told == Told::Reply).count();
        self.acknowledged.fetch_add(acknowledged.len() as u64, Ordering::Relaxed);
        self.replies.fetch_add(replies as u64, Ordering::Relaxed);
    }

    pub(super) fn pause(&self) -> Pause<'_> {
        self.pauses.store(true, Ordering::Relaxed);
        Pause(self)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.pauses.store(false, Ordering::Relaxed);
    }
}

/// Writes deferred requests for as long as the run goes on ([`Run::goes_on`]); what was acknowledged to this one, in the order
/// in which it was accepted.
pub(super) fn write_deferred(socket: &Path, first: u64, wanted: u64, run: &Run) -> Vec<(u64, Told)> {
    let (mut acknowledged, mut next) = (Vec::new(), first);
    while run.goes_on(wanted) {
        // While no parent lives nobody listens.
        let Ok(mut requester) = Requester::try_connect(socket, Dialect::Line) else {
            sleep(Duration::from_millis(2));
            continue;
        };
        let mut connected = true;
        while connected && run.goes_on(wanted) {
            while run.pauses.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(2));
            }
            let numbers = next..next + fastrand::u64(1..=BURST);
            next = numbers.end;
            let before = acknowledged.len();
            connected = exchange(&mut requester, numbers, &mut acknowledged);
            run.count(&acknowledged[before..]);
            sleep(Duration::from_millis(fastrand::u64(0..250)));
        }
    }
    acknowledged
}

/// One burst. Returns whether the requester is still connected.
fn exchange(requester: &mut Requester, numbers: std::ops::Range<u64>, acknowledged: &mut Vec<(u64, Told)>) -> bool {
    let burst: Vec<u8> = numbers.clone().flat_map(|number| encode(Dialect::Line, &tag(number))).collect();
    if requester.stream.write_all(&burst).is_err() {
        return false;
    }
    for number in numbers {
        let Ok(Some(answer)) = requester.next_reply() else { return false };
        acknowledged.extend(judge(&answer, number).map(|told| (number, told)));
    }
    true
}

/// What was told; none if nobody knows what became of the request.
fn judge(answer: &str, number: u64) -> Option<Told> {
    if let Some(id) = answer.strip_prefix("con_delayed:") {
        return Some(Told::Delayed(id.parse().expect("an ID")));
    }
    // The far end was killed while it executed the first try.
    if answer == "con_unknown" {
        return None;
    }
    assert_eq!(answer, format!("done {}", tag(number)), "deferred request {number} was answered so");
    Some(Told::Reply)
}

/// Asks at the other socket until `over`; each answer is its own or a failure.
pub(super) fn ask_undeferred(socket: &Path, first: u64, over: &AtomicBool) {
    let mut next = first;
    while !over.load(Ordering::Relaxed) {
        let Ok(mut requester) = Requester::try_connect(socket, Dialect::Line) else {
            sleep(Duration::from_millis(2));
            continue;
        };
        while !over.load(Ordering::Relaxed) {
            next += 1;
            if requester.stream.write_all(&encode(Dialect::Line, &tag(next))).is_err() {
                break;
            }
            let Ok(Some(answer)) = requester.next_reply() else { break };
            let own = answer == format!("done {}", tag(next));
            let failed = ["con_lost", "con_unknown", "error handler", "error busy"];
            assert!(own || failed.iter().any(|word| answer.starts_with(word)), "{next} was answered {answer:?}");
            sleep(Duration::from_millis(fastrand::u64(2..20)));
        }
    }
}
