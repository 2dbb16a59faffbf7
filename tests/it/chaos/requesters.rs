//! The requesters of a chaotic run: bursts of requests, each answer judged in its place.

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Script;
use super::judge::{Life, Outcome, judge};
use crate::common::{Requester, encode, tag};

/// One request in so many asks for a reply that is passed on as it comes, because it is larger than what is held.
const LARGE: u64 = 997;
/// One burst in so many is left behind: the requester hangs up before it has read an answer.
const LEFT: u64 = 500;

/// How a burst ended for its requester.
#[derive(PartialEq, Eq)]
enum End {
    Open,
    Closed,
    /// Closed because half of a large reply had been passed on when it broke off.
    ClosedWithin,
    Left,
}

/// Sends bursts of requests until all these numbers are done.
pub(super) fn live(socket: &Path, script: Script, numbers: Range<u64>) -> Life {
    let mut life = Life::default();
    let mut requester = Requester::connect(socket, script.dialect);
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + fastrand::u64(1..=script.burst));
        let ended = exchange(&mut requester, script, next..end, &mut life);
        life.closed += u64::from(ended == End::Closed);
        if ended != End::Open {
            requester = Requester::connect(socket, script.dialect);
        }
        next = end;
    }
    requester.half_close();
    let surplus = requester.rest();
    assert!(surplus.is_empty(), "answered twice: {}", String::from_utf8_lossy(&surplus));
    life
}

/// Whether its reply is passed on as it comes, so that the requester is closed when it breaks off.
fn is_large(script: Script, number: u64) -> bool {
    number % LARGE == LARGE / 2 || breaks_off(script, number)
}

fn breaks_off(script: Script, number: u64) -> bool {
    number % script.breaks == script.breaks / 2
}

fn request(script: Script, number: u64) -> Vec<u8> {
    let words = match number {
        number if breaks_off(script, number) => " size=300000 cut_mid",
        number if is_large(script, number) => " size=100000",
        _ => "",
    };
    encode(script.dialect, &format!("{}{words}", tag(number)))
}

/// One burst.
fn exchange(requester: &mut Requester, script: Script, numbers: Range<u64>, life: &mut Life) -> End {
    let burst: Vec<u8> = numbers.clone().flat_map(|number| request(script, number)).collect();
    let sent = requester.stream.write_all(&burst).is_ok();
    if fastrand::u64(0..LEFT) == 0 {
        numbers.for_each(|number| life.note(number, Outcome::Left));
        return End::Left;
    }
    let mut end = if sent { End::Open } else { End::Closed };
    let mut failed = false;
    for number in numbers {
        let answer = if end == End::Open { requester.next_reply().expect("an answer in time") } else { None };
        if answer.is_none() && end == End::Open {
            end = if is_large(script, number) { End::ClosedWithin } else { End::Closed };
        }
        let outcome = answer.map_or(Outcome::Closed, |answer| judge(&answer, number));
        failed |= outcome != Outcome::Reply;
        life.note(number, outcome);
    }
    if failed {
        sleep(Duration::from_millis(fastrand::u64(10..100))); // as a program would, before it goes on
    }
    end
}
