//! One at a time for each name: what was allowed must still be right when it is written.
//!
//! Enters: a name. Leaves: a turn, when those who came before for the same name have gone through. Promised: turns come in
//! the order of asking; names do not wait for each other; what nobody waits for is not remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    names: RefCell<HashMap<String, std::sync::Arc<Mutex<()>>>>,
}

/// A name's turn; the next one's comes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
    of: Rc<Turnstile>,
}

impl Turnstile {
    /// Waits for the turn.
    pub(super) async fn enter(self: &Rc<Self>, name: &str) -> Turn {
        let gate = std::sync::Arc::clone(self.names.borrow_mut().entry(name.to_owned()).or_default());
        let guard = Some(gate.lock_owned().await);
        Turn { name: name.to_owned(), guard, of: Rc::clone(self) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut names = self.of.names.borrow_mut();
        // Whoever waits holds it as well.
        if names.get(&self.name).is_some_and(|gate| std::sync::Arc::strong_count(gate) == 1) {
            names.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn turns_of_one_name_come_in_order_and_names_do_not_wait_for_each_other() {
        let (turnstile, order) = (Rc::new(Turnstile::default()), Rc::new(RefCell::new(Vec::new())));
        let (first, other) = (turnstile.enter("a").await, turnstile.enter("b").await);
        let local = tokio::task::LocalSet::new();
        let waiting = Rc::new(Cell::new(0));
        for number in 0..3 {
            let (turnstile, order, waiting) = (Rc::clone(&turnstile), Rc::clone(&order), Rc::clone(&waiting));
            local.spawn_local(async move {
                waiting.set(waiting.get() + 1);
                let _turn = turnstile.enter("a").await;
                order.borrow_mut().push(number);
            });
        }
        let freed = async {
            while waiting.get() < 3 {
                tokio::task::yield_now().await;
            }
            assert!(order.borrow().is_empty(), "the first one has its turn still");
            drop(first);
        };
        local.run_until(freed).await;
        local.await;
        assert_eq!(*order.borrow(), [0, 1, 2]);
        drop(other);
        assert!(turnstile.names.borrow().is_empty(), "nothing is remembered");
    }
}
