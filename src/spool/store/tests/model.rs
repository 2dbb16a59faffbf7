//! Random sequences of everything a store can do, with crashes, against a plain list in memory.
//!
//! `TIELINE_CASES=N` for more than 256.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Sizes and doubts of bodies of one call, and lengths of their tags.
    Append(Vec<(u16, bool, usize)>),
    Next {
        after: u8,
        rows: u8,
    },
    /// What becomes of rows from the head on, and how far the mark goes beyond.
    Settle(Vec<u8>, u8),
    Hold(Picked),
    Release(Picked),
    Drop(u8, Picked),
    Requeue(Picked),
    Expire(u16),
    Maintain(bool),
    Crash,
    Close,
}

/// All, or some by position.
type Picked = Option<Vec<u8>>;

fn picked() -> impl Strategy<Value = Picked> {
    prop::option::weighted(0.8, prop::collection::vec(0u8..30, 1..4))
}

fn tag() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0usize), 1usize..=64]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0u16..6000, prop::bool::weighted(0.1), tag()), 1..8).prop_map(Step::Append),
        3 => (0u8..30, 1u8..30).prop_map(|(after, rows)| Step::Next { after, rows }),
        6 => (prop::collection::vec(0u8..8, 0..8), 0u8..20).prop_map(|(how, ahead)| Step::Settle(how, ahead)),
        1 => picked().prop_map(Step::Hold),
        1 => picked().prop_map(Step::Release),
        1 => (0u8..3, picked()).prop_map(|(of, which)| Step::Drop(of, which)),
        1 => picked().prop_map(Step::Requeue),
        1 => (0u16..400).prop_map(Step::Expire),
        1 => any::<bool>().prop_map(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    state: RowState,
    body: Vec<u8>,
    tag: String,
    reply: Vec<u8>,
    accepted_ms: u64,
    attempts: u64,
    in_doubt: bool,
}

/// The plain model.
#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<u64, Row>,
    highest: u64,
    mark: u64,
    hold: bool,
    max_bytes: u64,
    clock: u64,
}

impl Model {
    fn of(&self, state: RowState) -> Vec<u64> {
        self.rows.iter().filter(|(_, row)| row.state == state).map(|(id, _)| *id).collect()
    }

    fn pick(&self, state: RowState, which: &Picked) -> (Which, Vec<u64>) {
        let there = self.of(state);
        let Some(places) = which else { return (Which::All, there) };
        let all: Vec<u64> = self.rows.keys().copied().collect();
        let ids: Vec<u64> = places.iter().filter_map(|place| all.get(usize::from(*place)).copied()).collect();
        let mut hit: Vec<u64> = ids.iter().copied().filter(|id| there.contains(id)).collect();
        let mut seen = Vec::new();
        hit.retain(|id| {
            !seen.contains(id) && {
                seen.push(*id);
                true
            }
        });
        (Which::These(ids.into_iter().map(Id).collect()), hit)
    }

    fn bytes(&self) -> u64 {
        self.rows.values().map(|row| (row.body.len() + row.tag.len() + row.reply.len()) as u64 + ROW_COST).sum()
    }

    fn doubt(&mut self) {
        let (mark, hold) = (self.mark, self.hold);
        for (_, row) in self.rows.range_mut(..=mark).filter(|(_, row)| row.state == RowState::Pending) {
            row.in_doubt = true;
            row.attempts += 1;
            if hold {
                row.state = RowState::Held;
            }
        }
        self.mark = 0;
    }

    fn same(&self, store: &mut Store) {
        let numbers = store.numbers();
        let count = |state| self.of(state).len() as u64;
        assert_eq!(numbers.depth, count(RowState::Pending));
        assert_eq!((numbers.held, numbers.dead, numbers.damaged), (count(RowState::Held), count(RowState::Dead), 0));
        assert_eq!((numbers.bytes, numbers.highest.0), (self.bytes(), self.highest));
        let doubted = |row: &&Row| row.in_doubt && row.state.counts_doubt();
        assert_eq!(numbers.in_doubt, self.rows.values().filter(doubted).count() as u64);
        let head = self.rows.values().find(|row| row.state == RowState::Pending);
        assert_eq!(numbers.oldest_ms, head.map(|row| row.accepted_ms));
    }

    fn same_rows(&self, store: &mut Store) {
        for state in [RowState::Pending, RowState::Held, RowState::Dead] {
            let mut here: Vec<Entry> = Vec::new();
            loop {
                let page = store.list(state, here.last().map_or(Id(0), |last| last.id), 7).unwrap();
                if page.is_empty() {
                    break;
                }
                here.extend(page);
            }
            assert_eq!(here.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), self.of(state));
            for entry in here {
                let row = &self.rows[&entry.id.0];
                assert_eq!((&entry.body, entry.accepted_ms), (&row.body, row.accepted_ms));
                assert_eq!((&entry.tag, &entry.reply), (&row.tag, &row.reply));
                assert_eq!((entry.in_doubt, entry.attempts), (row.in_doubt, row.attempts), "{}", entry.id);
            }
        }
    }
}

fn run(steps: &[Step], hold: bool) {
    let mut bench = Bench::new();
    bench.limits.hold_in_doubt = hold;
    bench.limits.max_bytes = 60_000;
    bench.limits.expire = Duration::from_secs(300);
    let mut model = Model { hold, max_bytes: bench.limits.max_bytes, ..Model::default() };
    let mut store = bench.store();
    for step in steps {
        model.clock += 10;
        store = apply(&bench, &mut model, store, step);
        model.same(&mut store);
    }
    model.same_rows(&mut store);
    assert_eq!(store.check().unwrap(), Report { rows: model.rows.len() as u64, ..Report::default() });
}

fn apply(bench: &Bench, model: &mut Model, mut store: Store, step: &Step) -> Store {
    let now = at(model.clock);
    match step {
        Step::Append(rows) => append(model, &mut store, rows),
        Step::Next { after, rows } => next(model, &mut store, *after, *rows),
        Step::Settle(how, ahead) => settle(model, &mut store, how, *ahead),
        Step::Hold(which) => {
            let (which, hit) = model.pick(RowState::Pending, which);
            assert_eq!(store.hold(&which).unwrap(), hit.len() as u64);
            hit.iter().for_each(|id| model.rows.get_mut(id).unwrap().state = RowState::Held);
        }
        Step::Release(which) => {
            let (which, hit) = model.pick(RowState::Held, which);
            assert_eq!(store.release(&which).unwrap(), hit.len() as u64);
            hit.iter().for_each(|id| model.rows.get_mut(id).unwrap().state = RowState::Pending);
        }
        Step::Drop(of, which) => {
            let of = [RowState::Pending, RowState::Held, RowState::Dead][usize::from(*of)];
            let (which, hit) = model.pick(of, which);
            assert_eq!(store.drop_rows(of, &which).unwrap(), hit.len() as u64);
            hit.iter().for_each(|id| drop(model.rows.remove(id)));
        }
        Step::Requeue(which) => requeue(model, &mut store, which, now),
        Step::Expire(seconds) => expire(model, &mut store, now + Duration::from_secs(u64::from(*seconds))),
        Step::Maintain(idle) => store.maintain(now, *idle).unwrap(),
        Step::Crash | Step::Close => {
            if matches!(step, Step::Close) {
                store.close().unwrap();
            } else {
                drop(store);
            }
            let before = model.of(RowState::Pending).into_iter().filter(|id| *id <= model.mark).count() as u64;
            model.doubt();
            let (reopened, findings) = bench.open();
            let expected: Vec<_> =
                (before > 0).then_some(Finding::InDoubt { rows: before, held: model.hold }).into_iter().collect();
            assert_eq!(findings.0, expected);
            store = reopened;
        }
    }
    store
}

fn append(model: &mut Model, store: &mut Store, rows: &[(u16, bool, usize)]) {
    let accepted_ms = millis(at(model.clock));
    let bodies: Vec<Vec<u8>> =
        rows.iter().enumerate().map(|(place, (size, ..))| vec![place as u8; usize::from(*size)]).collect();
    let tags: Vec<String> =
        rows.iter().map(|(.., length)| format!("{:0>64}", model.clock)[64 - length..].into()).collect();
    let contents = bodies.iter().zip(&tags);
    let new: Vec<New<'_>> = (rows.iter().zip(contents))
        .map(|((_, in_doubt, _), (body, tag))| New { body, tag, accepted_ms, in_doubt: *in_doubt })
        .collect();
    let told = store.append(&new).unwrap();
    for (new, told) in new.iter().zip(told) {
        let room = model.bytes() + (new.body.len() + new.tag.len()) as u64 + ROW_COST <= model.max_bytes;
        match told {
            Appended::Stored(id) => {
                model.highest += 1;
                assert!(room && id.0 == model.highest);
                let state = if new.in_doubt && model.hold { RowState::Held } else { RowState::Pending };
                let (body, tag, reply) = (new.body.to_vec(), new.tag.to_owned(), Vec::new());
                let row = Row { state, body, tag, reply, accepted_ms, attempts: 0, in_doubt: new.in_doubt };
                model.rows.insert(id.0, row);
            }
            Appended::Full(_) => assert!(!room),
        }
    }
}

fn next(model: &mut Model, store: &mut Store, after: u8, rows: u8) {
    let after = if after < 10 { 0 } else { u64::from(after) };
    let here = store.next(Id(after), usize::from(rows), usize::MAX).unwrap();
    let waits = model.rows.iter().filter(|(id, row)| **id > after && row.state == RowState::Pending);
    let expected: Vec<_> = waits
        .take(usize::from(rows))
        .map(|(id, row)| Pending {
            id: Id(*id),
            body: row.body.clone(),
            tag: row.tag.clone(),
            accepted_ms: row.accepted_ms,
            attempts: row.attempts,
            in_doubt: row.in_doubt,
        })
        .collect();
    assert_eq!(here, expected);
}

fn settle(model: &mut Model, store: &mut Store, how: &[u8], ahead: u8) {
    let heads = model.of(RowState::Pending);
    let mut settled = Vec::new();
    for (id, how) in heads.iter().zip(how) {
        let why = "a reason".to_owned();
        let row = model.rows.get_mut(id).unwrap();
        let how = match how {
            0..=3 => {
                model.rows.remove(id);
                How::Delivered
            }
            4 => {
                row.state = RowState::Dead;
                row.reply = vec![b'-'; *id as usize % 3 * 40];
                How::Dead { reply: row.reply.clone(), why }
            }
            5 => {
                row.attempts += 1;
                How::Failed { why }
            }
            6 => {
                (row.attempts, row.in_doubt) = (row.attempts + 1, true);
                if model.hold {
                    row.state = RowState::Held;
                }
                How::Unknown { why }
            }
            _ => {
                row.state = RowState::Held;
                How::Held { why }
            }
        };
        settled.push(Settled { id: Id(*id), how });
    }
    let up_to = heads.first().copied().unwrap_or(0) + u64::from(ahead);
    model.mark = up_to.min(model.highest);
    assert_eq!(store.settle(&settled, Id(up_to)).unwrap().0, model.mark);
}

fn requeue(model: &mut Model, store: &mut Store, which: &Picked, now: SystemTime) {
    let (which, hit) = model.pick(RowState::Dead, which);
    let pairs = store.requeue(&which, now).unwrap();
    assert_eq!(pairs.iter().map(|(old, _)| old.0).collect::<Vec<_>>(), hit);
    for (old, new) in pairs {
        model.highest += 1;
        assert_eq!(new.0, model.highest);
        let row = model.rows.remove(&old.0).unwrap();
        // Nobody can foresee the tag of one that is to be executed anew.
        let mut anew = || store.get(new).unwrap().unwrap().tag;
        let keeps = row.reply.is_empty() || row.tag.is_empty();
        let (tag, reply) = (if keeps { row.tag } else { anew() }, Vec::new());
        let row = Row { state: RowState::Pending, attempts: 0, accepted_ms: millis(now), tag, reply, ..row };
        model.rows.insert(new.0, row);
    }
}

fn expire(model: &mut Model, store: &mut Store, now: SystemTime) {
    let limit = millis(now) - 300_000;
    let heads = model.of(RowState::Pending);
    let old: Vec<u64> = heads.into_iter().take_while(|id| model.rows[id].accepted_ms < limit).collect();
    assert_eq!(store.expire(now).unwrap(), old.len() as u64);
    for id in old {
        model.rows.get_mut(&id).unwrap().state = RowState::Dead;
    }
}

fn cases() -> u32 {
    std::env::var("TIELINE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn a_store_is_a_plain_list_that_survives(steps in prop::collection::vec(step(), 1..40), hold in any::<bool>()) {
        run(&steps, hold);
    }
}
