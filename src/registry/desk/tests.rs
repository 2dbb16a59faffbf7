//! The desk with a store that is as slow as the test wants.

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::super::grammar::command;
use super::super::store::{Pending, Sweeper, Version, Written};
use super::*;

type Asked = (Wish, oneshot::Sender<Result<Written, StoreError>>);

/// A store that answers when the test does.
struct Slow(RefCell<tokio::sync::mpsc::UnboundedSender<Asked>>);

impl Store for Slow {
    fn ask(&self, wish: Wish) -> Pending {
        let (reply, pending) = oneshot::channel();
        self.0.borrow().send((wish, reply)).unwrap();
        pending
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper::Directory
    }

    fn describe(&self) -> String {
        "slow".to_owned()
    }

    fn close(self: Box<Self>) {}
}

fn desk() -> (Rc<Desk>, UnboundedReceiver<Asked>) {
    let (asked, asks) = unbounded_channel();
    (Rc::new(Desk::new(Bounds::default(), Box::new(Slow(RefCell::new(asked))))), asks)
}

/// Gives a command, as this user.
fn give(desk: &Rc<Desk>, uid: u32, line: &str) -> JoinHandle<String> {
    let (desk, command) = (Rc::clone(desk), command(line.as_bytes()).unwrap());
    spawn_local(async move {
        let mut out = String::new();
        desk.answer(command, uid, &mut out).await;
        out
    })
}

async fn ask(desk: &Rc<Desk>, uid: u32, line: &str) -> String {
    give(desk, uid, line).await.unwrap()
}

async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn write(asked: Asked) -> Wish {
    asked.1.send(Ok(Written { version: Version(0) })).unwrap();
    asked.0
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = LocalSet::new().block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(30), test).await });
    done.expect("something is waited for in vain");
}

#[test]
fn a_change_is_answered_when_it_is_written_and_reading_waits_for_nobody() {
    run(async {
        let (desk, mut asks) = desk();
        let changed = desk.next_change();
        let registering = give(&desk, 7, "REGISTER a tcp:h:1 ttl=9s");
        let asked = asks.recv().await.unwrap();
        turns().await;
        assert!(!registering.is_finished(), "it is not written");
        assert!(ask(&desk, 7, "RESOLVE a").await.starts_with("error unknown "));
        write(asked);
        assert!(registering.await.unwrap().starts_with("ok "));
        changed.await;
        assert_eq!(ask(&desk, 7, "RESOLVE a").await, "ok tcp:h:1\n");
    });
}

#[test]
fn of_two_users_who_want_a_name_at_once_the_first_has_it() {
    run(async {
        let (desk, mut asks) = desk();
        let first = give(&desk, 7, "REGISTER a tcp:h:1 ttl=9s");
        let second = give(&desk, 8, "REGISTER a tcp:h:2 ttl=9s");
        let other = give(&desk, 8, "REGISTER b tcp:h:2 ttl=9s");
        let asked = asks.recv().await.unwrap();
        write(asks.recv().await.unwrap());
        assert!(other.await.unwrap().starts_with("ok "), "names do not wait for each other");
        write(asked);
        assert!(first.await.unwrap().starts_with("ok "));
        assert!(second.await.unwrap().starts_with("error denied the name a belongs to user 7"));
        assert!(asks.try_recv().is_err(), "the store was asked for what is not allowed");
    });
}

#[test]
fn what_the_store_cannot_do_is_told_and_has_not_happened() {
    run(async {
        let (desk, mut asks) = desk();
        let failures = [
            (StoreError::Failed { reason: "full".to_owned() }, "error failed the store cannot write it: full"),
            (StoreError::Unavailable { reason: "gone".to_owned() }, "error unavailable the store cannot be reached"),
            (StoreError::Denied { owner: 9 }, "error denied user 9 has registered it meanwhile"),
            (StoreError::Unknown, "error unknown its lease has ended meanwhile"),
        ];
        for (failure, said) in failures {
            let registering = give(&desk, 7, "REGISTER a tcp:h:1 ttl=9s");
            asks.recv().await.unwrap().1.send(Err(failure)).unwrap();
            let answer = registering.await.unwrap();
            assert!(answer.starts_with(said), "{answer}");
            assert!(ask(&desk, 7, "RESOLVE a").await.starts_with("error unknown "));
        }
    });
}

#[test]
fn the_store_is_given_up_when_no_change_is_under_way() {
    run(async {
        let (desk, mut asks) = desk();
        let registering = give(&desk, 7, "REGISTER a tcp:h:1 ttl=9s");
        let asked = asks.recv().await.unwrap();
        let calm = spawn_local({
            let desk = Rc::clone(&desk);
            async move { desk.calm().await }
        });
        turns().await;
        assert!(!calm.is_finished());
        write(asked);
        calm.await.unwrap();
        assert!(registering.await.unwrap().starts_with("ok "));
        desk.close_store();
        let late = ask(&desk, 7, "REGISTER b tcp:h:1 ttl=9s").await;
        assert!(late.starts_with("error unavailable "), "{late}");
    });
}
