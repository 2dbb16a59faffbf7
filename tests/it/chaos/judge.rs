//! The judge: what each answer means, and whether all that happened was right.

use std::collections::HashMap;

use crate::common::tag;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Reply,
    Lost,
    Timeout,
    Unknown,
    Busy,
    /// The requester was closed before its answer.
    Closed,
    /// The requester had hung up before.
    Left,
}

/// What one requester has lived through.
#[derive(Default)]
pub(super) struct Life {
    pub(super) outcomes: HashMap<u64, Outcome>,
    /// How often it was closed, other than within a large reply.
    pub(super) closed: u64,
}

impl Life {
    /// Notes what became of a request.
    pub(super) fn note(&mut self, number: u64, outcome: Outcome) {
        assert_eq!(self.outcomes.insert(number, outcome), None);
    }
}

/// What an answer in the place of the reply to `number` means; panics if it belongs to another request.
pub(super) fn judge(answer: &str, number: u64) -> Outcome {
    let word = answer.strip_prefix("con_").or(answer.strip_prefix("-CON"));
    if let Some(word) = word {
        let end = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
        return match word[..end].to_lowercase().as_str() {
            "lost" => Outcome::Lost,
            "timeout" => Outcome::Timeout,
            "unknown" => Outcome::Unknown,
            "busy" => Outcome::Busy,
            _ => panic!("request {number} was answered {answer}"),
        };
    }
    let tags = answer.matches('<').count();
    let own = answer.matches(&tag(number)).count();
    assert!(own == tags && own >= 2, "request {number} was answered by the reply {answer:?}");
    Outcome::Reply
}

#[test]
#[should_panic(expected = "request 7 was answered by the reply")]
fn the_judge_recognizes_a_foreign_reply() {
    judge("<8> and <8>", 7);
}

#[test]
#[should_panic(expected = "request 7 was answered by the reply")]
fn the_judge_recognizes_a_mixed_reply() {
    judge("<7> and <8>", 7);
}

/// All that must be true of a run in which the child was killed `kills` times.
pub(super) fn assert_all_was_right(lives: &[Life], received: &HashMap<u64, u32>, kills: u64) {
    let mut tally: HashMap<Outcome, u64> = HashMap::new();
    for (number, outcome) in lives.iter().flat_map(|life| &life.outcomes) {
        *tally.entry(*outcome).or_default() += 1;
        let times = received.get(number).copied().unwrap_or(0);
        assert!(times <= 1, "request {number} reached the host {times} times");
        match outcome {
            Outcome::Lost | Outcome::Timeout | Outcome::Busy => {
                assert_eq!(times, 0, "request {number} ended as {outcome:?} and has reached the host");
            }
            Outcome::Reply => {
                assert_eq!(times, 1, "request {number} was answered and never received");
            }
            Outcome::Unknown | Outcome::Closed | Outcome::Left => {}
        }
    }
    println!("{tally:?}");
    let count = |outcome| tally.get(&outcome).copied().unwrap_or(0);
    for life in lives {
        assert!(life.closed <= kills, "closed {} times by {kills} deaths of the child", life.closed);
    }
    let all: u64 = tally.values().sum();
    // How many depends on how busy the machine is: half of them on one that is not.
    assert!(count(Outcome::Reply) * 4 > all, "more than a quarter must be replies, or nothing is shown");
    let never_sent = count(Outcome::Lost) + count(Outcome::Timeout) + count(Outcome::Busy);
    assert!(count(Outcome::Unknown) > 0 && never_sent > 0 && kills > 0, "too little chaos");
}
