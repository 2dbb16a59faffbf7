//! What a session has bound to its connection: command and reply → state. Pure.
//!
//! ```text
//! MULTI ─+OK→ in a transaction ─EXEC (array, null, -EXECABORT) or DISCARD (+OK)→ nothing bound, nothing watched
//! WATCH ─+OK→ watching         ─EXEC, DISCARD, UNWATCH (+OK)→ not watching
//! SELECT, AUTH, CLIENT … ─no error→ kept ─RESET (+RESET)→ nothing bound
//! ```
//!
//! An error changes nothing: a nested `MULTI` or a `WATCH` within a transaction is refused by Redis and leaves it as it
//! was; `EXEC` that fails with another word than `EXECABORT` may have left it open. Whenever it is not certain that
//! nothing is bound, something is: the requester then keeps its connection, which does no harm. Source:
//! <https://redis.io/docs/latest/develop/using-commands/transactions/>, `execCommandAbort` and `resetClient` of Redis 7.
//!
//! Enters: what was sent, and the first bytes of each reply. Leaves: whether the requester may go back to shared
//! connections, and whether somebody else may have its connection. Promised: neither is said while state is left.

use crate::dialect::Act;

/// See the head of this file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    in_transaction: bool,
    watching: bool,
    kept: bool,
    /// Something else than transactions and waiting happened here.
    soiled: bool,
}

impl Binding {
    /// Whether nothing is bound.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !(self.in_transaction || self.watching || self.kept)
    }

    /// Whether the connection is as if nothing had ever been sent on it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_free() && !self.soiled
    }

    /// A request that does `act` was sent.
    pub fn sent(&mut self, act: Act) {
        self.soiled |= match act {
            Act::Plain | Act::Multi | Act::Exec | Act::Discard | Act::Watch | Act::Unwatch | Act::Waits => false,
            // The version is told from the reply; within a transaction that is only `+QUEUED`.
            Act::Hello(_) => self.in_transaction,
            Act::Reset | Act::Quit | Act::Once | Act::Binds | Act::Rules | Act::Subscribes | Act::Raw => true,
        };
    }

    /// The reply to it begins with `head`.
    pub fn replied(&mut self, act: Act, head: &[u8]) {
        let failed = matches!(head.first(), Some(b'-' | b'!'));
        match act {
            Act::Exec if head.starts_with(b"-EXECABORT") => self.end_transaction(),
            Act::Reset if head == b"+RESET\r\n" => *self = Self { soiled: true, ..Self::default() },
            // An attribute hides what the reply is.
            _ if head.first() == Some(&b'|') => self.kept |= act != Act::Plain,
            _ if failed => {}
            Act::Multi => self.in_transaction = true,
            Act::Watch => self.watching = true,
            Act::Exec | Act::Discard => self.end_transaction(),
            Act::Unwatch if head == b"+OK\r\n" => self.watching = false,
            // After QUIT the host closes: nothing else may be sent there.
            Act::Binds | Act::Rules | Act::Quit => self.kept = true,
            Act::Hello(_) if self.in_transaction => self.kept = true,
            _ => {}
        }
    }

    /// Something came that cannot be explained: it is never safe to go back.
    pub fn keep(&mut self) {
        (self.kept, self.soiled) = (true, true);
    }

    fn end_transaction(&mut self) {
        (self.in_transaction, self.watching) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: &str = "+OK\r\n";
    const NO: &str = "-ERR no";

    /// After these commands and replies: whether something is bound, and whether the connection is clean.
    fn after(steps: &[(Act, &str)]) -> (bool, bool) {
        let mut binding = Binding::default();
        for (act, reply) in steps {
            binding.sent(*act);
            binding.replied(*act, &reply.as_bytes()[..reply.len().min(12)]);
        }
        (!binding.is_free(), binding.is_clean())
    }

    #[test]
    fn a_transaction_binds_until_it_has_ended() {
        use Act::{Discard, Exec, Multi, Plain};
        assert_eq!(after(&[(Multi, OK)]), (true, false));
        assert_eq!(after(&[(Multi, OK), (Plain, "+QUEUED\r\n")]), (true, false));
        for end in ["*0\r\n", "*-1\r\n", "_\r\n", "$-1\r\n", "-EXECABORT Transaction discarded"] {
            assert_eq!(after(&[(Multi, OK), (Exec, end)]), (false, true), "{end}");
        }
        assert_eq!(after(&[(Multi, OK), (Discard, OK)]), (false, true));
        assert_eq!(after(&[(Multi, NO)]), (false, true), "a refused one has not begun");
        assert_eq!(after(&[(Multi, OK), (Multi, NO)]), (true, false), "a nested one changes nothing");
        assert_eq!(after(&[(Multi, OK), (Exec, "-BUSY a script runs")]), (true, false), "it may still be open");
        assert_eq!(after(&[(Exec, NO)]), (false, true), "EXEC without MULTI");
    }

    #[test]
    fn watching_binds_until_exec_discard_or_unwatch() {
        use Act::{Discard, Exec, Multi, Unwatch, Watch};
        assert_eq!(after(&[(Watch, OK)]), (true, false));
        assert_eq!(after(&[(Watch, OK), (Unwatch, OK)]), (false, true));
        assert_eq!(after(&[(Watch, OK), (Multi, OK), (Exec, "*-1\r\n")]), (false, true), "the watch has hit");
        assert_eq!(after(&[(Watch, OK), (Multi, OK), (Discard, OK)]), (false, true));
        assert_eq!(after(&[(Watch, OK), (Exec, NO)]), (true, false), "EXEC without MULTI unwatches nothing");
        assert_eq!(after(&[(Watch, OK), (Multi, OK), (Unwatch, "+QUEUED\r\n")]), (true, false));
        assert_eq!(after(&[(Multi, OK), (Watch, NO), (Exec, "*0\r\n")]), (false, true));
    }

    #[test]
    fn waiting_binds_nothing_and_other_state_lasts_until_reset() {
        use Act::{Binds, Once, Reset, Rules, Waits};
        assert_eq!(after(&[(Waits, "*2\r\n")]), (false, true));
        assert_eq!(after(&[(Rules, OK)]), (true, false));
        assert_eq!(after(&[(Rules, NO)]), (false, false), "nobody else is given that connection");
        assert_eq!(after(&[(Binds, OK), (Waits, "*-1\r\n")]), (true, false));
        assert_eq!(after(&[(Binds, OK), (Reset, "+RESET\r\n")]), (false, false));
        assert_eq!(after(&[(Binds, OK), (Reset, "-ERR unknown")]), (true, false));
        assert_eq!(after(&[(Once, OK)]), (false, false));
    }

    /// What Redis does, for every state that it knows; each command with what it would answer.
    #[derive(Default)]
    struct Redis {
        multi: bool,
        dirty: bool,
        watched: bool,
        selected: bool,
    }

    impl Redis {
        fn answer(&mut self, act: Act, fails: bool) -> &'static str {
            match act {
                Act::Exec if self.multi => {
                    let aborted = self.dirty;
                    (self.multi, self.dirty, self.watched) = (false, false, false);
                    if aborted { "-EXECABORT Tr" } else { "*1\r\n+OK\r\n" }
                }
                Act::Exec => NO,
                Act::Discard if self.multi => {
                    (self.multi, self.dirty, self.watched) = (false, false, false);
                    OK
                }
                Act::Multi if !self.multi && !fails => {
                    self.multi = true;
                    OK
                }
                Act::Watch if !self.multi && !fails => {
                    self.watched = true;
                    OK
                }
                Act::Multi | Act::Watch | Act::Discard => NO,
                Act::Reset => {
                    *self = Self::default();
                    "+RESET\r\n"
                }
                _ if fails => {
                    self.dirty |= self.multi;
                    NO
                }
                // The worst case: it is queued, and done although the transaction may end in another way.
                Act::Rules if self.multi => {
                    self.selected = true;
                    "+QUEUED\r\n"
                }
                _ if self.multi => "+QUEUED\r\n",
                Act::Rules => {
                    self.selected = true;
                    OK
                }
                Act::Unwatch => {
                    self.watched = false;
                    OK
                }
                _ => ":1\r\n",
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_that_redis_remembers_is_ever_taken_for_free(
            steps in prop::collection::vec((0usize..9, prop::bool::weighted(0.2)), 1..40)
        ) {
            use Act::{Discard, Exec, Multi, Plain, Reset, Rules, Unwatch, Waits, Watch};
            let acts = [Plain, Multi, Exec, Discard, Watch, Unwatch, Reset, Waits, Rules];
            let (mut redis, mut binding) = (Redis::default(), Binding::default());
            for (which, fails) in steps {
                let reply = redis.answer(acts[which], fails);
                binding.sent(acts[which]);
                binding.replied(acts[which], reply.as_bytes());
                let bound = redis.multi || redis.watched || redis.selected;
                prop_assert!(!bound || !binding.is_free(), "{:?} {reply}", acts[which]);
                if acts[which] == Reset {
                    prop_assert!(binding.is_free());
                }
            }
        }
    }
}
