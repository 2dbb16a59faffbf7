//! The replay: nothing is lost, whatever the store and the host do, and the order holds.

use proptest::prelude::*;

use super::*;

fn plain(body: &[u8]) -> Tagged {
    Tagged { tag: Box::default(), body: body.into() }
}

/// A store in memory, and what the host was sent.
struct World {
    replay: Replay,
    now: Instant,
    rows: VecDeque<Id>,
    mark: Id,
    question: Option<Ask>,
    record: Option<Ask>,
    sent: Vec<Id>,
    delivered: Vec<Id>,
    next_id: Id,
    flying: Vec<Id>,
    /// Delivered or refused for good.
    over: Vec<Id>,
}

impl World {
    fn new(window: usize) -> Self {
        let replay = Replay::new(window, false, Duration::from_secs(60), 0);
        let (rows, sent, delivered, flying) = (VecDeque::new(), Vec::new(), Vec::new(), Vec::new());
        let now = Instant::now();
        let over = Vec::new();
        Self { replay, now, rows, mark: 0, question: None, record: None, sent, delivered, next_id: 1, flying, over }
    }

    fn store(&mut self) {
        self.rows.push_back(self.next_id);
        self.next_id += 1;
        self.replay.stored();
    }

    fn turn(&mut self) {
        for ask in self.replay.ask(self.now) {
            match ask {
                Ask::Fetch(_) => assert!(self.question.replace(ask).is_none(), "one fetch at a time"),
                Ask::Record(..) => assert!(self.record.replace(ask).is_none(), "one record at a time"),
            }
        }
        while let Some(row) = self.replay.next(self.now) {
            assert!(row.id <= self.mark, "{} was sent before the mark said so", row.id);
            assert!(self.rows.contains(&row.id), "{} was sent, and waits no more", row.id);
            self.sent.push(row.id);
            self.flying.push(row.id);
        }
    }

    fn answer(&mut self) {
        if let Some(Ask::Fetch(after)) = self.question.take() {
            let rows = self.rows.iter().filter(|id| **id > after).take(5);
            let rows = rows.map(|id| Row { id: *id, request: plain(id.to_string().as_bytes()) }).collect();
            self.replay.fetched(rows);
        }
        if let Some(Ask::Record(ends, mark)) = self.record.take() {
            self.mark = self.mark.max(mark);
            for (id, end) in ends {
                if matches!(end, Record::Delivered | Record::Dead(..)) {
                    self.rows.retain(|row| *row != id);
                }
            }
            self.replay.recorded(self.mark, self.rows.len() as u64);
        }
    }

    /// An operator holds, drops or buries a row, under way or not.
    fn take_out(&mut self, which: usize) {
        if self.rows.is_empty() {
            return;
        }
        self.rows.remove(which % self.rows.len());
        self.replay.begin_again(self.rows.len() as u64);
    }

    /// While something waits newcomers must know of it.
    fn look(&self) {
        let waits = self.rows.iter().any(|id| !self.over.contains(id));
        assert!(!waits || self.replay.waiting() > 0, "{:?} wait, and nobody knows", self.rows);
    }

    fn end(&mut self, which: usize, end: End) {
        if self.flying.is_empty() {
            return;
        }
        let id = self.flying.remove(which % self.flying.len());
        if end == End::Delivered {
            self.delivered.push(id);
        }
        if matches!(end, End::Delivered | End::Rejected(..)) {
            self.over.push(id);
        }
        self.replay.ended(id, end, self.now, 0.0);
    }
}

#[test]
fn after_a_transient_failure_nothing_is_begun_until_the_pause_is_over_and_then_the_same_row() {
    let mut world = World::new(1);
    (0..3).for_each(|_| world.store());
    for _ in 0..3 {
        world.turn();
        world.answer();
    }
    world.turn();
    assert_eq!(world.sent, [1]);
    world.end(0, End::Transient("LOADING".to_owned()));
    world.turn();
    assert_eq!(world.sent, [1]);
    assert_eq!(world.replay.alarm(true), Some(world.now + PATIENCE));
    world.now += SHORTEST;
    world.turn();
    assert_eq!(world.sent, [1, 1]);
}

#[test]
fn what_is_in_doubt_is_parked_when_that_is_wanted() {
    let mut replay = Replay::new(1, true, Duration::from_secs(60), 1);
    let now = Instant::now();
    assert_eq!(replay.ask(now), [Ask::Fetch(0)]);
    replay.fetched(vec![Row { id: 7, request: plain(b"") }]);
    assert_eq!(replay.ask(now), [Ask::Record(Vec::new(), 70)]);
    assert_eq!(replay.next(now), None, "not before the mark is on disk");
    replay.recorded(70, 1);
    assert_eq!(replay.next(now).map(|row| row.id), Some(7));
    replay.ended(7, End::Unknown("cut".to_owned()), now, 0.0);
    assert_eq!(replay.ask(now).last(), Some(&Ask::Record(vec![(7, Record::Unknown("cut".to_owned()))], 70)));
    assert_eq!(replay.waiting(), 0);
}

/// One row under way, another behind it.
fn one_under_way() -> World {
    let mut world = World::new(1);
    (0..2).for_each(|_| world.store());
    for _ in 0..3 {
        world.turn();
        world.answer();
    }
    world.turn();
    assert_eq!(world.sent, [1]);
    world
}

#[test]
fn a_row_that_is_taken_out_while_it_is_under_way_is_not_sent_again_and_does_not_hold_up_those_behind_it() {
    for end in [End::Unknown(String::new()), End::Transient(String::new()), End::NeverSent(String::new())] {
        let mut world = one_under_way();
        world.take_out(0);
        world.end(0, end.clone());
        for _ in 0..3 {
            world.now += SHORTEST;
            world.turn();
            world.answer();
        }
        world.turn();
        assert_eq!(world.sent, [1, 2], "{end:?}");
    }
}

#[test]
fn a_row_that_is_taken_out_while_it_is_under_way_is_not_counted_twice() {
    let mut world = one_under_way();
    world.take_out(0);
    world.end(0, End::Delivered);
    assert_eq!(world.replay.waiting(), 1, "the second one waits, so that newcomers go behind it");
}

#[test]
fn that_an_earlier_attempt_is_recorded_says_nothing_of_where_a_row_is_now() {
    let mut world = one_under_way();
    world.end(0, End::Transient(String::new()));
    world.now += SHORTEST;
    world.turn();
    assert_eq!(
        (world.sent.as_slice(), world.record.is_some()),
        (&[1, 1][..], true),
        "the first attempt is being recorded"
    );
    world.take_out(0);
    world.answer();
    world.end(0, End::Delivered);
    world.look();
}

#[test]
fn when_it_ends_nothing_is_left_in_doubt_that_need_not_be() {
    let mut world = one_under_way();
    world.replay.close();
    assert_eq!(world.replay.ask(world.now), [Ask::Record(Vec::new(), 1)], "one is under way");
    world.replay.recorded(1, 2);
    world.end(0, End::Delivered);
    assert!(!world.replay.is_quiet());
    assert_eq!(world.replay.ask(world.now), [Ask::Record(vec![(1, Record::Delivered)], 0)]);
    world.replay.recorded(0, 1);
    assert!(world.replay.is_quiet());
    assert_eq!(world.replay.ask(world.now), []);
}

#[test]
fn a_mark_that_cannot_be_taken_back_keeps_nobody_from_the_end() {
    let mut world = one_under_way();
    world.replay.close();
    world.end(0, End::NeverSent(String::new()));
    assert_eq!(world.replay.ask(world.now), [Ask::Record(Vec::new(), 0)]);
    world.replay.not_recorded(world.now);
    assert!(world.replay.is_quiet() && world.replay.ask(world.now).is_empty());
}

#[test]
fn a_store_that_was_opened_again_is_marked_anew_before_anything_is_sent() {
    let mut world = one_under_way();
    world.end(0, End::NeverSent(String::new()));
    world.now += SHORTEST;
    world.replay.opened(2);
    world.mark = 0;
    world.turn();
    assert_eq!(world.sent, [1], "nothing is marked");
    for _ in 0..3 {
        world.answer();
        world.turn();
    }
    assert_eq!(world.sent, [1, 1]);
}

#[test]
fn a_mark_that_ends_with_the_store_is_not_asked_for_again_while_the_host_is_away() {
    let mut replay = Replay::new(64, false, Duration::from_secs(60), 1);
    let now = Instant::now();
    assert_eq!(replay.ask(now), [Ask::Fetch(0)]);
    replay.fetched(vec![Row { id: 7, request: plain(b"") }]);
    assert_eq!(replay.ask(now), [Ask::Fetch(7), Ask::Record(Vec::new(), 133)]);
    replay.recorded(7, 1);
    replay.fetched(Vec::new());
    assert_eq!(replay.ask(now), []);
}

#[test]
fn with_a_window_the_next_mark_is_asked_for_before_the_last_one_is_reached() {
    let mut replay = Replay::new(4, false, Duration::from_secs(60), 200);
    let now = Instant::now();
    replay.ask(now);
    replay.fetched((1..=200).map(|id| Row { id, request: plain(b"") }).collect());
    assert_eq!(replay.ask(now), [Ask::Record(Vec::new(), 67)]);
    replay.recorded(67, 200);
    for id in 1..=63 {
        assert_eq!(replay.next(now).map(|row| row.id), Some(id));
        assert_eq!(replay.ask(now), [], "at row {id}");
        replay.under_way.clear();
    }
    assert_eq!(replay.next(now).map(|row| row.id), Some(64));
    assert_eq!(replay.ask(now), [Ask::Record(Vec::new(), 131)]);
    assert_eq!(replay.next(now).map(|row| row.id), Some(65), "sending goes on meanwhile");
}

proptest! {
    /// With one at a time every row arrives in order, and twice only if its first end was unknown; whatever the
    /// window, nothing is lost.
    #[test]
    fn every_row_is_delivered_once_in_order(
        window in prop::sample::select(vec![1usize, 1, 4]),
        steps in prop::collection::vec((0u8..11, 0usize..8), 1..300),
    ) {
        let mut world = World::new(window);
        for (kind, which) in steps {
            match kind {
                0 | 1 => world.store(),
                2 | 3 => world.answer(),
                4 | 5 => world.end(which, End::Delivered),
                6 if which == 0 => world.end(which, End::Transient("x".to_owned())),
                6 if which == 1 => world.end(which, End::Unknown("x".to_owned())),
                6 if which == 2 => world.end(which, End::NeverSent("x".to_owned())),
                6 if which == 3 => world.end(which, End::Rejected(Vec::new(), "x".to_owned())),
                7 => world.now += Duration::from_millis(700),
                8 if which == 0 => world.replay.hurry(),
                9 if which == 0 => world.replay.begin_again(world.rows.len() as u64),
                10 if which < 3 => world.take_out(which),
                _ => {}
            }
            world.turn();
            world.look();
        }
        for _ in 0..2000 {
            world.now += Duration::from_secs(61);
            world.turn();
            world.answer();
            while !world.flying.is_empty() { world.end(0, End::Delivered); }
        }
        prop_assert!(world.rows.is_empty(), "left: {:?}", world.rows);
        prop_assert_eq!(world.replay.waiting(), 0);
        let mut once = world.delivered.clone();
        once.dedup();
        prop_assert_eq!(once.len(), world.delivered.len());
        if window == 1 {
            prop_assert!(world.delivered.is_sorted());
        }
    }
}
