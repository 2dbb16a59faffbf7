//! The gate: places, the queue, the pause after a failed start, and any sequence of these.

use proptest::prelude::*;

use super::*;

#[test]
fn places_are_given_until_none_is_left_then_the_queue_fills_then_it_is_full() {
    let (mut gate, now) = (Gate::new(2, 1), Instant::now());
    let asked = [1, 2, 3, 4].map(|ticket| gate.ask(ticket, now));
    let start = Asked::Given(Given::Start);
    assert_eq!(asked, [start, start, Asked::Waits, Asked::Full]);
    assert_eq!(gate.next(now), None);
    gate.leaves();
    assert_eq!(gate.next(now), Some((3, Given::Start)));
}

#[test]
fn a_worker_at_rest_is_taken_before_another_is_started() {
    let (mut gate, now) = (Gate::new(2, 9), Instant::now());
    gate.ask(1, now);
    gate.rests(7);
    assert_eq!(gate.ask(2, now), Asked::Given(Given::Worker(7)));
    assert_eq!(gate.ask(3, now), Asked::Given(Given::Start));
    gate.rests(7);
    gate.rises(7);
    gate.leaves();
    assert_eq!(gate.ask(4, now), Asked::Given(Given::Start));
}

#[test]
fn who_comes_while_a_worker_is_about_to_rest_waits_for_it() {
    let (mut gate, now) = (Gate::new(3, 9), Instant::now());
    gate.ask(1, now);
    gate.is_nearly_done();
    assert_eq!([2, 3].map(|ticket| gate.ask(ticket, now)), [Asked::Waits; 2]);
    assert_eq!(gate.next(now), Some((2, Given::Start)), "one worker will not do for two");
    assert_eq!(gate.next(now), None);
    gate.is_done();
    gate.rests(1);
    assert_eq!(gate.next(now), Some((3, Given::Worker(1))));
}

#[test]
fn after_a_failed_start_the_next_one_waits_for_the_pause() {
    let (mut gate, now) = (Gate::new(1, 9), Instant::now());
    gate.ask(1, now);
    let pause = gate.failed(now, now, 0.0);
    gate.leaves();
    assert_eq!(gate.ask(2, now), Asked::Waits);
    assert_eq!((gate.next(now), gate.alarm()), (None, Some(now + pause)));
    assert_eq!(gate.next(now + pause), Some((2, Given::Start)));
}

#[test]
fn when_starts_go_on_failing_nobody_waits_for_the_next() {
    let (mut gate, mut now) = (Gate::new(1, 9), Instant::now());
    for ticket in 0..u64::from(HOPELESS) {
        assert_eq!(gate.ask(ticket, now), Asked::Given(Given::Start));
        let pause = gate.failed(now, now, 0.0);
        gate.leaves();
        now += if ticket + 1 < u64::from(HOPELESS) { pause } else { Duration::ZERO };
    }
    assert!(matches!(gate.ask(9, now), Asked::Hopeless(_)));
    gate.proven();
    assert_eq!(gate.ask(10, now), Asked::Given(Given::Start));
}

#[test]
fn many_that_fail_at_once_have_failed_once() {
    let (mut gate, now) = (Gate::new(9, 9), Instant::now());
    let later = now + Duration::from_millis(10);
    let pauses: Vec<_> = (0..9).map(|_| gate.failed(now, later, 0.0)).collect();
    assert!(pauses.iter().all(|pause| *pause == pauses[0]), "{pauses:?}");
    assert!(gate.failed(later + pauses[0], later + pauses[0], 0.0) > pauses[0]);
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    GiveUp,
    NearlyRest,
    Rest,
    Leave,
    Fail,
    Pass,
}

proptest! {
    #[test]
    fn no_sequence_takes_more_places_than_there_are_or_lets_somebody_wait_for_nothing(
        places in 1..4_u32,
        queue in 0..4_u32,
        steps in prop::collection::vec(prop_oneof![
            4 => Just(Step::Ask), 1 => Just(Step::GiveUp), 3 => Just(Step::NearlyRest), 3 => Just(Step::Rest),
            3 => Just(Step::Leave), 1 => Just(Step::Fail), 2 => Just(Step::Pass)
        ], 0..200),
    ) {
        let (mut gate, mut now) = (Gate::new(places, queue), Instant::now());
        let (mut at_work, mut waiting, mut ticket) = (Vec::new(), std::collections::VecDeque::new(), 0);
        let mut nearly = Vec::new();
        let begin = |given, at_work: &mut Vec<u64>, ticket: u64| at_work.push(match given {
            Given::Start => ticket,
            Given::Worker(worker) => worker,
        });
        for step in steps {
            match step {
                Step::Ask => {
                    ticket += 1;
                    match gate.ask(ticket, now) {
                        Asked::Given(given) => begin(given, &mut at_work, ticket),
                        Asked::Waits => waiting.push_back(ticket),
                        Asked::Full => prop_assert_eq!(waiting.len(), queue as usize),
                        Asked::Hopeless(_) => prop_assert_eq!(gate.taken(), 0),
                    }
                }
                Step::GiveUp => if let Some(ticket) = waiting.pop_back() { gate.give_up(ticket) },
                Step::NearlyRest => if let Some(worker) = at_work.pop() {
                    gate.is_nearly_done();
                    nearly.push(worker);
                },
                Step::Rest => if let Some(worker) = nearly.pop() {
                    gate.rests(worker);
                    gate.is_done();
                },
                Step::Leave => if at_work.pop().is_some() { gate.leaves() },
                Step::Fail => if at_work.pop().is_some() { gate.failed(now, now, 0.5); gate.leaves() },
                Step::Pass => now += Duration::from_secs(61),
            }
            while let Some((ticket, given)) = gate.next(now) {
                prop_assert_eq!(Some(ticket), waiting.pop_front(), "in the order of arrival");
                begin(given, &mut at_work, ticket);
            }
            prop_assert_eq!(gate.taken() as usize, at_work.len() + nearly.len() + gate.resting());
            prop_assert!(gate.taken() <= places);
            prop_assert_eq!(gate.waiting(), waiting.len());
            let is_free = gate.resting() > 0 || gate.taken() < places;
            let is_for_good = waiting.len() > nearly.len() && gate.alarm().is_none_or(|at| at <= now);
            prop_assert!(!is_free || !is_for_good || waiting.is_empty());
        }
    }
}
