//! How a far end ends, and what it does when its listener dies.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use super::{FarEnd, spawn};
use crate::common::{Process, wait_until};

#[test]
fn term_ends_it_in_order_and_what_is_owed_is_answered() {
    let table = "[[serve.far.handler]]\necho = true\n[[serve.far.handler]]\nmatch = \"slow\"
        exec = [\"sh\", \"-c\", \"while [ -e HERE/wait ]; do sleep 0.02; done; echo done\"]
        [[serve.far.handler]]\nmatch = \"w\"\nworker = [\"cat\"]";
    let mut far = FarEnd::start(Dialect::Line, table, &[("wait", "")]);
    let (mut idle, mut slow, mut queued) = (far.requester(), far.requester(), far.requester());
    assert_eq!((idle.ask("hello"), queued.ask("w 1")), ("hello".to_owned(), "w 1".to_owned()));
    slow.send("slow");
    slow.send("behind");
    wait_until("it is under way", || (far.started().len() >= 2).then_some(()));
    far.signal(Signal::SIGTERM);
    assert_eq!(idle.next_reply().expect("it can be read"), None, "who is owed nothing is closed at once");
    wait_until("nobody is accepted any more", || far.try_requester().is_none().then_some(()));
    fs::remove_file(far.place().path("wait")).expect("it is there");
    assert_eq!((slow.reply(), slow.reply()), ("done".to_owned(), "behind".to_owned()), "what was read is answered");
    assert_eq!(slow.next_reply().expect("it can be read"), None);
    assert!(far.wait().success());
    assert_eq!(far.place().processes(), []);
}

#[test]
fn what_is_still_under_way_after_the_drain_time_or_a_second_term_is_ended() {
    let table = "grace = \"300ms\"\n[[serve.far.handler]]\nexec = [\"sh\", \"-c\", \"trap '' TERM; sleep 1000 & sleep 1000; sleep 1000\"]";
    let mut far = FarEnd::start(Dialect::Line, table, &[]);
    let mut requester = far.requester();
    requester.send("x");
    wait_until("it is under way", || (far.started().len() >= 3).then_some(()));
    far.signal(Signal::SIGTERM);
    far.wait_for_log("retiring");
    let began = Instant::now();
    far.signal(Signal::SIGTERM);
    assert_eq!(requester.reply(), "error handler: the service stops");
    assert!(far.wait().success());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(far.place().processes(), []);
}

#[test]
fn a_socket_whose_file_is_gone_is_made_again() {
    let far = FarEnd::start(Dialect::Line, "[[serve.far.handler]]\necho = true", &[]);
    let mut before = far.requester();
    fs::remove_file(far.socket()).expect("it is there");
    far.wait_for_log("listening again");
    assert_eq!((far.ask("x"), before.ask("y")), ("x".to_owned(), "y".to_owned()));
    far.stop();
}

#[test]
fn programs_do_not_outlive_a_far_end_that_is_killed() {
    let table =
        "[[serve.far.handler]]\nexec = [\"sleep\", \"1000\"]\n[[serve.far.handler]]\nmatch = \"w\"\nworker = [\"cat\"]";
    let mut far = FarEnd::start(Dialect::Line, table, &[]);
    assert_eq!(far.ask("w 1"), "w 1");
    far.requester().send("x");
    wait_until("both run", || (far.started().len() == 2).then_some(()));
    far.signal(Signal::SIGKILL);
    far.wait();
    wait_until("they have ended", || far.place().processes().is_empty().then_some(()));
}

#[test]
fn a_program_finds_three_descriptors_and_no_signal_blocked_or_ignored() {
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do if [ -e /proc/$$/fd/$n ]; then printf '%s ' $n; fi; done
        while read -r name value; do case $name in SigBlk:|SigIgn:) printf '%s ' $value;; esac; done < /proc/$$/status";
    let table = format!("[[serve.far.handler]]\nexec = [\"sh\", \"-c\", \"\"\"{script}\"\"\"]");
    let far = FarEnd::start(Dialect::Line, &table, &[]);
    let told = far.ask("x");
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words[..3], ["0", "1", "2"], "{told}");
    // The numbers above 31 are the C library's own.
    let masks: Vec<u64> = words[3..].iter().map(|mask| u64::from_str_radix(mask, 16).expect("a mask")).collect();
    assert_eq!(masks.iter().map(|mask| mask & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0], "{told}");
    far.stop();
}

#[test]
fn maintenance_runs_on_time_and_never_twice_at_once() {
    let table = "[[serve.far.handler]]\necho = true
        [[serve.far.task]]\nevery = \"1s\"\nrun = [\"sh\", \"-c\", \"echo x >> HERE/quick\"]
        [[serve.far.task]]\nevery = \"1s\"\nrun = [\"sh\", \"-c\", \"echo x >> HERE/long; sleep 1000\"]\ntimeout = \"2500ms\"";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let count = |file: &str| fs::read_to_string(far.place().path(file)).unwrap_or_default().lines().count();
    far.wait_for_log("it still runs and is not begun again");
    assert_eq!(count("long"), 1);
    far.wait_for_log("it takes longer than its timeout and is ended");
    wait_until("it begins again", || (count("long") == 2).then_some(()));
    assert!((3..=6).contains(&count("quick")), "{}", count("quick"));
    let children: Vec<Process> = far.process().children();
    assert!(children.len() <= 2, "{children:?}");
    far.stop();
}

#[test]
fn the_socket_of_one_that_runs_is_not_taken() {
    let far = FarEnd::start(Dialect::Line, "[[serve.far.handler]]\necho = true", &[]);
    let mut second = spawn(far.place());
    let status = wait_until("the second one ends", || second.try_wait().expect("it can be waited for"));
    assert_eq!(status.code(), Some(69), "{}", far.place().log());
    assert!(far.place().log().contains("another process listens there"), "{}", far.place().log());
    assert_eq!(far.ask("x"), "x");
    far.stop();
}
