//! Exactly once between two tielines: the link is cut at random, and processes are killed at random moments on both sides.
//! What was acknowledged is executed, once, and each requester's in its order.
//!
//! How many deferred transactions: `TIELINE_ONCE`, else 3,000, shared between three pairs of daemons.

mod agreed;
mod judge;
mod stage;
mod writers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use judge::Evidence;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stage::{Far, Sender};
use writers::{Run, ask_undeferred, write_deferred};

use crate::common::{Machine, Process, wait_until};

/// Deferred requesters of each sender.
const WRITERS: u64 = 6;
/// So many breaks, and then the store may run empty.
const CALM: usize = 6;
/// Numbers of one requester; far more than one can send.
const NUMBERS: u64 = 1 << 32;

fn wanted() -> u64 {
    let wanted = std::env::var("TIELINE_ONCE").ok();
    wanted.map_or(3000, |number| number.parse().expect("TIELINE_ONCE is a number"))
}

/// What is killed besides the link and the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foe {
    /// Nothing: the handler needs to know nothing of tags.
    Link,
    /// The far end and its workers. The handler remembers what it has done.
    FarRemembers,
    /// The same. The handler remembers nothing: what is in doubt is never executed again.
    FarForgets,
}

struct Pair {
    foe: Foe,
    far: Far,
    sender: Sender,
    is_away: bool,
    breaks: usize,
}

impl Pair {
    fn new(foe: Foe) -> Self {
        let far = match foe {
            Foe::Link => Far::start("dedupe = true", "tagged = true", "forgets"),
            Foe::FarRemembers => Far::start("dedupe = true", "tagged = true\nin_doubt = \"again\"", "remembers"),
            Foe::FarForgets => Far::start("dedupe = true", "tagged = true", "forgets"),
        };
        // Only where nothing is put off: what is sent behind it would overtake it.
        let window = if foe == Foe::Link { "replay_window=16 pipeline=16" } else { "" };
        let sender = Sender::start(&far, window);
        Self { foe, far, sender, is_away: false, breaks: 0 }
    }

    /// Breaks something, again and again, until `over`.
    fn trouble(&mut self, run: &Run, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(fastrand::u64(0..150)));
            if self.breaks.is_multiple_of(CALM) {
                self.calm(run);
            }
            let kinds = if self.foe == Foe::Link { 8 } else { 11 };
            match fastrand::u8(0..kinds) {
                0 | 1 => self.sender.link.cut(),
                2 => self.toggle_link(),
                3 => self.signal_sender(Signal::SIGKILL),
                // They retire, and the next one takes over.
                4 => self.signal_sender(Signal::SIGTERM),
                5 => drop(kill(Pid::from_raw(self.far.child().0), Signal::SIGTERM)),
                6 => self.sender.kill_parent(false),
                7 => self.sender.kill_parent(true),
                8 => self.far.workers().into_iter().for_each(Process::kill),
                9 => self.far.child().kill(),
                _ => self.far.kill_parent(fastrand::bool()),
            }
            self.breaks += 1;
        }
        if self.is_away {
            self.toggle_link();
        }
    }

    fn signal_sender(&mut self, signal: Signal) {
        wait_until("the sender's child is ready", || {
            (self.sender.daemon().host_status("far")["state"] != "starting").then_some(())
        });
        if let Some(child) = self.sender.daemon().try_child("far") {
            // It may have gone meanwhile.
            kill(Pid::from_raw(child.0), signal).ok();
        }
    }

    /// Lets the store run empty: then first tries are made again, and are broken.
    fn calm(&mut self, run: &Run) {
        if self.is_away {
            self.toggle_link();
        }
        let _pause = run.pause();
        self.sender.drain();
    }

    fn toggle_link(&mut self) {
        self.is_away = !self.is_away;
        self.sender.link.refuse(self.is_away);
        self.sender.link.cut();
    }

    fn run(mut self, wanted: u64) -> (usize, usize) {
        let (over, shared) = (AtomicBool::new(false), Run::default());
        let place = self.sender.place.clone();
        let (deferred, plain) = (place.deferred_socket("far"), place.socket("far"));
        let acknowledged = thread::scope(|scope| {
            let (over, shared, deferred) = (&over, &shared, &deferred);
            let writers: Vec<_> = (0..WRITERS)
                .map(|n| scope.spawn(move || write_deferred(deferred, n * NUMBERS, wanted, shared)))
                .collect();
            scope.spawn(|| ask_undeferred(&plain, WRITERS * NUMBERS, over));
            let troubled = scope.spawn(|| self.trouble(shared, over));
            let acknowledged: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            troubled.join().expect("the trouble went on to its end");
            acknowledged.into_iter().map(|each| each.expect("all was right")).collect()
        });
        self.sender.drain();
        let doubted = self.sender.doubted();
        assert!(self.foe == Foe::FarForgets || doubted.is_empty(), "{:?}: {doubted:?} wait for the operator", self.foe);
        let in_doubt = doubted.len();
        let (replies, delayed) = Evidence { acknowledged, executed: self.far.executed(), doubted }.judge();
        let again = self.far.asked_again();
        println!(
            "{:?}: {} breaks, {replies} replies, {delayed} delayed, {again} asked again, {in_doubt} in doubt",
            self.foe, self.breaks
        );
        if self.foe != Foe::FarRemembers {
            assert_eq!(again, 0, "what is not known to be unexecuted is given to no handler a second time");
        }
        self.sender.daemon.take().expect("one runs").stop();
        self.far.daemon.take().expect("one runs").stop();
        (replies, delayed)
    }
}

#[test]
fn whatever_is_cut_and_killed_each_transaction_is_executed_once_and_in_order() {
    let _machine = Machine::alone();
    let (wanted, start) = (wanted().div_ceil(3), Instant::now());
    let pairs = [Foe::Link, Foe::FarRemembers, Foe::FarForgets].map(Pair::new);
    let all: Vec<_> = thread::scope(|scope| {
        let threads = pairs.map(|pair| scope.spawn(move || pair.run(wanted)));
        threads.into_iter().map(|thread| thread.join().expect("all was right")).collect()
    });
    println!("{} transactions in {:.1?}", wanted * 3, start.elapsed());
    for (replies, delayed) in &all {
        assert!(*replies > 0 && *delayed > 100, "too little happened: nothing is shown");
    }
}
