//! Watchers that come and go while everything changes, and the registry dies besides: each ends with the true table.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, scope};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::program::{Program, Table, socket};
use crate::common::{Daemon, wait_until};

const CHANGERS: u64 = 4;
const WATCHERS: u64 = 3;
const KILLS: usize = 4;

/// Registers, replaces and ends rows of its own names, some with leases that it lets end.
fn change(socket: &Path, number: u64, over: &AtomicBool, changes: &AtomicU64) {
    let mut random = fastrand::Rng::with_seed(number);
    let mut program = Program::connect(socket);
    let mut leases: Vec<String> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let (name, port) = (random.u8(0..20), random.u8(1..4));
        let ttl = if random.bool() { "1s" } else { "1h" };
        let command = match random.u8(0..4) {
            0 if !leases.is_empty() => format!("UNREGISTER {}", leases.swap_remove(random.usize(..leases.len()))),
            _ => format!("REGISTER c{number}.{name} tcp:h:{port} ttl={ttl}"),
        };
        match program.try_ask(&command) {
            Ok(answer) => leases.extend(answer.strip_prefix("ok ").map(str::to_owned)),
            Err(_) => program = Program::connect(socket),
        }
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Follows the table, breaking off at random; ends at `end`, when that is known.
fn watch(socket: &Path, number: u64, end: &AtomicU64) -> (Table, [u32; 2]) {
    let mut random = fastrand::Rng::with_seed(100 + number);
    let (mut table, mut after, mut begins) = (Table::new(), None, [0, 0]);
    loop {
        let Ok(mut program) = Program::try_connect(socket) else {
            thread::sleep(Duration::from_millis(2)); // the registry is being started again
            continue;
        };
        let Ok(begin) = program.watch(after, &mut table) else {
            // A snapshot that breaks off is none.
            after = None;
            continue;
        };
        begins[usize::from(begin.is_snapshot)] += 1;
        after = Some(begin.revision);
        for _ in 0..random.u32(0..300) {
            if after.is_some_and(|after| after >= end.load(Ordering::Relaxed)) {
                return (table, begins);
            }
            match program.follow(&mut table) {
                Ok(revision) => {
                    assert!(after < Some(revision), "revisions go up: {after:?}, {revision}");
                    after = Some(revision);
                }
                Err(_) => break,
            }
        }
    }
}

#[test]
fn a_watcher_that_reconnects_at_random_moments_ends_with_exactly_the_true_table() {
    let mut daemon = Daemon::start(&["far 127.0.0.1:1 line"]);
    let socket = socket(daemon.place());
    let (over, changes, end) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(u64::MAX));
    scope(|threads| {
        let (socket, over, changes, end) = (&socket, &over, &changes, &end);
        let changers: Vec<_> =
            (0..CHANGERS).map(|number| threads.spawn(move || change(socket, number, over, changes))).collect();
        let watchers: Vec<_> = (0..WATCHERS).map(|number| threads.spawn(move || watch(socket, number, end))).collect();
        for _ in 0..KILLS {
            let so_far = changes.load(Ordering::Relaxed);
            wait_until("much has changed", || (changes.load(Ordering::Relaxed) > so_far + 2000).then_some(()));
            daemon.child("registry").signal(Signal::SIGKILL);
        }
        let so_far = changes.load(Ordering::Relaxed);
        wait_until("much has changed", || (changes.load(Ordering::Relaxed) > so_far + 2000).then_some(()));
        over.store(true, Ordering::Relaxed);
        changers.into_iter().for_each(|changer| changer.join().expect("every answer was one"));
        let mut program = Program::connect(socket);
        // Short leases end; then nothing changes any more but for this last row.
        wait_until("the short leases have ended", || {
            assert!(program.ask("LIST").starts_with("ok "));
            let rows: Vec<String> = std::iter::from_fn(|| program.hear().ok().filter(|row| !row.is_empty())).collect();
            (!rows.iter().any(|row| row.contains(" ttl=1s "))).then_some(())
        });
        program.register("last tcp:h:1 ttl=1h");
        let (revision, truth) = program.list();
        end.store(revision, Ordering::Relaxed);
        // Those that had seen the last change already wait for one more.
        program.register("nudge tcp:h:1 ttl=1h");
        for watcher in watchers {
            let (mut table, [resumed, whole]) = watcher.join().expect("it was told rows and changes");
            table.retain(|(name, _), _| name != "nudge");
            assert_eq!(table, truth);
            println!("{resumed} times resumed, {whole} snapshots, {} rows", truth.len());
            assert!(resumed > 3, "it has hardly ever resumed, which shows nothing");
            assert!(whole as usize > 1, "no life of the registry ended, which shows nothing");
        }
    });
    daemon.stop();
}
