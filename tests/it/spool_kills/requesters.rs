//! The requesters of the killing: each writes its own tags, one after the other, and notes what it was told.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tieline::dialect::Dialect;

use crate::common::{Requester, encode, tag};

/// Tags of one requester; far more than one can send.
pub(crate) const TAGS: u64 = 1 << 32;
/// Most requests that are sent before an answer is read.
const BURST: u64 = 4;

/// What a deferred requester was told of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The host's reply.
    Reply,
    /// It is stored, under this ID.
    Delayed(u64),
}

/// Writes to the deferred socket until `over`; all that was acknowledged, in the order in which it was accepted.
pub(super) fn write_deferred(socket: &Path, first: u64, over: &AtomicBool) -> Vec<(u64, Told)> {
    let (mut acknowledged, mut next) = (Vec::new(), first);
    while !over.load(Ordering::Relaxed) {
        // While no parent lives nobody listens.
        let Ok(mut requester) = Requester::try_connect(socket, Dialect::Line) else {
            sleep(Duration::from_millis(2));
            continue;
        };
        while !over.load(Ordering::Relaxed) {
            let tags = next..next + fastrand::u64(1..=BURST);
            next = tags.end;
            if !exchange(&mut requester, tags, &mut acknowledged) {
                break;
            }
            sleep(Duration::from_millis(fastrand::u64(0..40)));
        }
    }
    acknowledged
}

/// One burst. Returns whether the requester is still connected.
fn exchange(requester: &mut Requester, tags: std::ops::Range<u64>, acknowledged: &mut Vec<(u64, Told)>) -> bool {
    let burst: Vec<u8> = tags.clone().flat_map(|number| encode(Dialect::Line, &tag(number))).collect();
    if requester.stream.write_all(&burst).is_err() {
        return false;
    }
    for number in tags {
        let Ok(Some(answer)) = requester.next_reply() else { return false };
        acknowledged.push((number, judge(&answer, number)));
    }
    true
}

/// On a healthy disk there are two answers and no other.
pub(crate) fn judge(answer: &str, number: u64) -> Told {
    let id = answer.strip_prefix("con_delayed:").map(|id| id.parse().expect("an ID"));
    let own = answer.matches(&tag(number)).count() == 2 && answer.matches('<').count() == 2;
    assert!(id.is_some() || own, "deferred request {number} was answered {answer:?}");
    id.map_or(Told::Reply, Told::Delayed)
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
            let is_right = answer.contains(&tag(next)) || ["con_lost", "con_unknown"].contains(&answer.as_str());
            assert!(is_right, "request {next} was answered {answer:?}");
            sleep(Duration::from_millis(fastrand::u64(2..20)));
        }
    }
}
