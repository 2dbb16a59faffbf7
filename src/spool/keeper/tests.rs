//! Tests of the keeper, with a shelf of the test's own and with the real store.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::store::Pending;
use super::group::{GROUP_BYTES, GROUP_ROWS};
use super::*;

/// A shelf that says what it is asked, and waits in each append until it is let go.
struct Stalling {
    groups: Sender<usize>,
    go: Receiver<Result<(), StoreError>>,
    highest: u64,
}

impl Shelf for Stalling {
    fn append(&mut self, new: &[New<'_>]) -> Result<Vec<Appended>, StoreError> {
        self.groups.send(new.len()).unwrap();
        self.go.recv().unwrap()?;
        Ok(new
            .iter()
            .map(|_| {
                self.highest += 1;
                Appended::Stored(Id(self.highest))
            })
            .collect())
    }

    fn settle(&mut self, _: &[Settled], sent_up_to: Id) -> Result<Id, StoreError> {
        Ok(sent_up_to)
    }

    fn next(&mut self, _: Id, _: usize, _: usize) -> Result<Vec<Pending>, StoreError> {
        Ok(Vec::new())
    }

    fn tool(&mut self, _: &Tool, _: SystemTime) -> Result<Done, StoreError> {
        Ok(Done::Count(self.highest))
    }

    fn numbers(&self) -> Numbers {
        Numbers::default()
    }

    fn take_findings(&mut self) -> Findings {
        Findings::default()
    }

    fn due(&self, _: SystemTime) -> Option<Duration> {
        None
    }

    fn maintain(&mut self, _: SystemTime, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Bench {
    keeper: Keeper,
    answers: UnboundedReceiver<Answer>,
    groups: Receiver<usize>,
    go: Sender<Result<(), StoreError>>,
}

fn bench() -> Bench {
    let (groups, group) = channel();
    let (go, gone) = channel();
    let (answers, mut answer) = unbounded_channel();
    let open = move || {
        let shelf: Box<dyn Shelf> = Box::new(Stalling { groups, go: gone, highest: 0 });
        Ok((shelf, Findings::default()))
    };
    let keeper = Keeper::start(open, answers).unwrap();
    assert!(matches!(answer.blocking_recv(), Some(Answer::Opened { .. })));
    Bench { keeper, answers: answer, groups: group, go }
}

fn append(ticket: u64, bytes: usize) -> Question {
    Question::Append { ticket, body: vec![1; bytes], tag: format!("tag.{ticket}"), accepted_ms: 1, in_doubt: false }
}

fn outcomes(answer: Option<Answer>) -> Vec<(u64, Outcome)> {
    match answer {
        Some(Answer::Appended { outcomes, .. }) => outcomes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_came_during_a_commit_is_the_next_group_and_nothing_waits_for_more() {
    let mut bench = bench();
    assert!(bench.keeper.ask(append(0, 1)));
    assert_eq!(bench.groups.recv().unwrap(), 1, "the first goes at once, alone");
    for ticket in 1..=300 {
        bench.keeper.ask(append(ticket, 1));
    }
    assert!(bench.answers.try_recv().is_err(), "nobody is answered before the commit");
    bench.go.send(Ok(())).unwrap();
    assert_eq!(bench.groups.recv().unwrap(), GROUP_ROWS);
    bench.go.send(Ok(())).unwrap();
    assert_eq!(bench.groups.recv().unwrap(), 300 - GROUP_ROWS);
    bench.go.send(Ok(())).unwrap();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.extend(outcomes(bench.answers.blocking_recv()).into_iter().map(|(ticket, outcome)| match outcome {
            Outcome::Stored(id) => (ticket, id.0),
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(tickets, (0..=300).map(|ticket| (ticket, ticket + 1)).collect::<Vec<_>>());
}

#[test]
fn a_group_has_a_bound_of_bytes() {
    let bench = bench();
    bench.keeper.ask(append(0, 1));
    bench.groups.recv().unwrap();
    for ticket in 1..=5 {
        bench.keeper.ask(append(ticket, GROUP_BYTES / 2));
    }
    for expected in [2, 2, 1] {
        bench.go.send(Ok(())).unwrap();
        assert_eq!(bench.groups.recv().unwrap(), expected);
    }
    bench.go.send(Ok(())).unwrap();
}

#[test]
fn a_tool_sees_all_that_was_asked_before_it_and_nothing_after() {
    let mut bench = bench();
    bench.keeper.ask(append(0, 1));
    bench.groups.recv().unwrap();
    bench.keeper.ask(append(1, 1));
    bench.keeper.ask(Question::Tool { ticket: 7, tool: Tool::Expire });
    bench.keeper.ask(append(2, 1));
    (0..3).for_each(|_| bench.go.send(Ok(())).unwrap());
    assert_eq!(outcomes(bench.answers.blocking_recv()).len(), 1);
    assert_eq!(outcomes(bench.answers.blocking_recv()).len(), 1);
    let Some(Answer::Tool { ticket: 7, result: Ok(Done::Count(2)), .. }) = bench.answers.blocking_recv() else {
        panic!("the tool came too early or too late")
    };
    assert_eq!(outcomes(bench.answers.blocking_recv()).len(), 1);
}

#[test]
fn after_a_commit_in_doubt_all_are_told_so_and_the_store_is_not_used_again() {
    let mut bench = bench();
    bench.keeper.ask(append(0, 1));
    bench.groups.recv().unwrap();
    let reason = "a test".to_owned();
    bench.go.send(Err(StoreError::InDoubt { dir: "/spool".into(), what: "store in", reason })).unwrap();
    assert!(matches!(outcomes(bench.answers.blocking_recv())[..], [(0, Outcome::InDoubt(_))]));
    assert!(matches!(bench.answers.blocking_recv(), Some(Answer::Broken(_))));
    bench.keeper.ask(append(1, 1));
    assert!(matches!(outcomes(bench.answers.blocking_recv())[..], [(1, Outcome::Failed(_))]));
    assert!(bench.groups.recv().is_err(), "nothing more was asked of the store");
    bench.keeper.ask(Question::Stop);
    assert!(matches!(bench.answers.blocking_recv(), Some(Answer::Stopped)));
    bench.keeper.join();
}

#[test]
fn the_real_store_behind_it_keeps_what_it_was_given() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("ledger");
    let limits = Limits { ballast: 0, free_floor_percent: 0, ..Limits::default() };
    let (answers, mut answer) = unbounded_channel();
    let keeper = Keeper::of_store(&dir, limits, Duration::ZERO, answers).unwrap();
    (0..20).for_each(|ticket| assert!(keeper.ask(append(ticket, 10))));
    keeper.ask(Question::Settle { ticket: 1, settled: Vec::new(), sent_up_to: Id(2) });
    keeper.ask(Question::Next { after: Id(0), rows: 100, bytes: 1 << 20 });
    keeper.ask(Question::Stop);
    let (mut stored, mut next) = (0, 0);
    while let Some(said) = answer.blocking_recv() {
        match said {
            Answer::Appended { outcomes, .. } => stored += outcomes.len(),
            Answer::Next { rows, .. } => {
                next = rows.len();
                let tags = (0..).map(|ticket| format!("tag.{ticket}"));
                assert!(rows.into_iter().zip(tags).all(|(row, tag)| row.tag == tag), "each has its own tag");
            }
            Answer::Stopped => break,
            Answer::Broken(error) => panic!("{error}"),
            _ => {}
        }
    }
    keeper.join();
    assert_eq!((stored, next), (20, 20));
    assert_eq!(Store::read_only(&dir).unwrap().numbers().depth, 20);
}

#[test]
fn a_successor_waits_for_the_lock_of_its_predecessor() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("ledger");
    let limits = Limits { ballast: 0, free_floor_percent: 0, ..Limits::default() };
    let (store, _) = Store::open(&dir, limits, SystemTime::now()).unwrap();
    let (answers, mut answer) = unbounded_channel();
    let impatient = Keeper::of_store(&dir, limits, Duration::ZERO, answers.clone()).unwrap();
    assert!(matches!(answer.blocking_recv(), Some(Answer::Broken(error)) if error.again_helps()));
    drop(impatient);
    assert!(matches!(answer.blocking_recv(), Some(Answer::Stopped)));
    let _patient = Keeper::of_store(&dir, limits, Duration::from_secs(60), answers).unwrap();
    drop(store);
    assert!(matches!(answer.blocking_recv(), Some(Answer::Opened { .. })));
}
