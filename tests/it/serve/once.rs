//! Exactly once, as it is spoken: greetings, tags, and what a handler is asked how often.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tieline::dialect::Dialect;

use super::FarEnd;
use crate::common::{Place, Requester, wait_until};

pub(super) const WORD: &str = "00112233445566778899aabbccddeeff";

/// Notes each call with its tag, waits as long as there is a file `wait`, and answers `done …`, if it answers.
pub(super) const HANDLER: &str = "read -r word rest
echo \"$TIELINE_TRANSACTION $word $rest\" >> calls
while [ -e wait ]; do sleep 0.02; done
case $word in
  fail) exit 3 ;;
  crash) kill -SEGV $$ ;;
  late) sleep 1000 ;;
  *) echo \"done $rest\" ;;
esac
";

/// A requester that has said the greeting, to a far end that remembers for ten days.
pub(super) fn greeted(socket: &Path) -> Requester {
    let mut requester = Requester::connect(socket, Dialect::Line);
    assert_eq!(requester.ask(&format!("tieline dedupe 1 {WORD} 432000")), "ok tieline dedupe 1 864000");
    requester
}

/// A request with a tag.
pub(super) fn tagged(tag: &str, request: &str) -> String {
    format!("{WORD} {tag} {request}")
}

/// What the handler was asked so far: the tag, if it was told one, and the request.
pub(super) fn calls(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Lets the handler wait.
pub(super) fn hold_up(place: &Place) {
    fs::write(place.path("wait"), "").expect("a file can be made");
}

/// Lets the handler go on.
pub(super) fn let_go(place: &Place) {
    fs::remove_file(place.path("wait")).expect("it was held up");
}

pub(super) fn wait_for_calls(place: &Place, count: usize) {
    wait_until(&format!("{count} calls"), || (calls(place).len() >= count).then_some(()));
}

fn far(settings: &str, handler: &str) -> FarEnd {
    let table = format!(
        "dedupe = true\n{settings}\n[[serve.far.handler]]\nexec = [\"sh\", \"HERE/handler\"]\n{handler}\n\
         [[serve.far.handler]]\nmatch = \"echo\"\necho = true"
    );
    FarEnd::start(Dialect::Line, &table, &[("handler", HANDLER)])
}

#[test]
fn a_tag_is_executed_once_and_answered_the_same_as_often_as_it_comes() {
    let far = far("", "");
    let mut requester = greeted(&far.socket());
    assert_eq!(requester.ask(&tagged("a.1", "add 5")), "done 5");
    assert_eq!(requester.ask(&tagged("a.1", "add 5")), "done 5");
    assert_eq!(greeted(&far.socket()).ask(&tagged("a.1", "add 5")), "done 5", "on another connection");
    let other = requester.ask(&tagged("a.1", "add 6"));
    assert_eq!(other, format!("{WORD} doubt the tag a.1 is that of another request"));
    assert_eq!(requester.ask(&tagged("a.2", "add 5")), "done 5", "another tag is another transaction");
    assert_eq!(requester.ask(&tagged("a.3", "")), "done ");
    assert_eq!(calls(far.place()), ["a.1 add 5", "a.2 add 5", "a.3  "]);
    assert_eq!(requester.ask(&tagged("a.4", "echo x")), "echo x");
    far.stop();
}

#[test]
fn lines_without_a_tag_are_what_they_ever_were() {
    let far = far("max_request = 128", "");
    let mut requester = greeted(&far.socket());
    assert_eq!((requester.ask("add 5"), requester.ask("add 5")), ("done 5".to_owned(), "done 5".to_owned()));
    assert_eq!(calls(far.place()), [" add 5", " add 5"]);
    let again = format!("echo {}", "x".repeat(122));
    assert_eq!(requester.ask(&again), again);
    assert_eq!(requester.ask("echo tieline dedupe 1"), "echo tieline dedupe 1");
    for malformed in ["", "a", "A x", "a-b x"] {
        assert_eq!(requester.ask(&format!("{WORD} {malformed}")), format!("{WORD} doubt malformed"));
    }
    // What stands before a request does not count.
    assert_eq!(requester.ask(&tagged(&"t".repeat(64), &again)), again);
    assert_eq!(
        requester.ask(&tagged("t", &format!("{again}x"))),
        "error refused: the request is larger than 128 bytes"
    );
    assert_eq!(requester.next_reply().expect("it can be read"), None);
    far.stop();
}

#[test]
fn a_greeting_must_be_the_first_request_right_and_worth_it() {
    let far = far("keep = \"1h\"", "");
    let greet = |line: &str| {
        let mut requester = far.requester();
        let answer = requester.ask(&line.replace("WORD", WORD));
        (answer, requester)
    };
    for wrong in ["tieline dedupe 2 WORD 5", "tieline dedupe 1 xyz 5", "tieline dedupe 1 WORD soon", "tieline dedupe"] {
        let (answer, mut requester) = greet(wrong);
        assert!(answer.starts_with("error refused: this greeting "), "{wrong}: {answer}");
        assert_eq!(requester.next_reply().expect("it can be read"), None, "nothing can be meant by what follows");
    }
    let (answer, _) = greet("tieline dedupe 1 WORD 3600");
    assert!(answer.starts_with("error refused: ") && answer.contains("forgotten here after 3600 s"), "{answer}");
    assert!(answer.contains("`keep` in [serve.far] must be longer than `expire` of the host"), "{answer}");
    assert_eq!(greet("tieline dedupe 1 WORD 3599").0, "ok tieline dedupe 1 3600");
    assert_eq!(greet("tieline x").0, "done x", "another request");
    let mut late = far.requester();
    assert_eq!(late.ask("echo 1"), "echo 1");
    assert_eq!(late.ask(&format!("tieline dedupe 1 {WORD} 5")), format!("done dedupe 1 {WORD} 5"));
    far.stop();
}

#[test]
fn a_far_end_that_remembers_nothing_takes_a_greeting_as_any_other_request() {
    let far = FarEnd::start(Dialect::Line, "[[serve.far.handler]]\necho = true", &[]);
    let greeting = format!("tieline dedupe 1 {WORD} 5");
    assert_eq!(far.ask(&greeting), greeting);
    assert!(!far.place().path("spool").exists());
    far.stop();
}

#[test]
fn who_comes_while_it_is_under_way_waits_for_the_same_answer() {
    let far = far("", "");
    hold_up(far.place());
    let (mut first, mut second, mut other) = (greeted(&far.socket()), greeted(&far.socket()), greeted(&far.socket()));
    first.send(&tagged("a.1", "add 5"));
    wait_for_calls(far.place(), 1);
    second.send(&tagged("a.1", "add 5"));
    assert_eq!(other.ask(&tagged("a.1", "add 6")), format!("{WORD} doubt the tag a.1 is that of another request"));
    assert!(!second.wait_for_reply(Duration::from_millis(50)));
    let_go(far.place());
    assert_eq!((first.reply(), second.reply()), ("done 5".to_owned(), "done 5".to_owned()));
    assert_eq!(calls(far.place()), ["a.1 add 5"]);
    far.stop();
}

#[test]
fn who_asked_may_leave_and_come_back_for_the_answer() {
    let far = far("", "");
    hold_up(far.place());
    let mut first = greeted(&far.socket());
    first.send(&tagged("a.1", "add 5"));
    wait_for_calls(far.place(), 1);
    drop(first);
    let mut second = greeted(&far.socket());
    second.send(&tagged("a.1", "add 5"));
    let_go(far.place());
    assert_eq!(second.reply(), "done 5");
    assert_eq!(calls(far.place()), ["a.1 add 5"]);
    far.stop();
}

#[test]
fn what_was_not_begun_may_be_repeated_and_what_has_failed_has_ended() {
    let absent = "[[serve.far.handler]]\nmatch = \"absent\"\nexec = [\"./absent\"]";
    let far = far("timeout = \"4s\"\ngrace = \"100ms\"", &format!("processes = 1\nqueue = 0\n{absent}"));
    hold_up(far.place());
    let (mut slow, mut requester) = (greeted(&far.socket()), greeted(&far.socket()));
    slow.send(&tagged("a.1", "add 5"));
    wait_for_calls(far.place(), 1);
    assert_eq!(requester.ask(&tagged("a.2", "add 6")), format!("{WORD} again busy: 0 requests wait"));
    let cannot = requester.ask(&tagged("a.3", "absent"));
    assert!(cannot.starts_with(&format!("{WORD} again handler: cannot start ")), "{cannot}");
    let_go(far.place());
    assert_eq!(slow.reply(), "done 5");
    let mut ask = |tag: &str, request: &str| requester.ask(&tagged(tag, request));
    assert_eq!(
        wait_until("a place is free", || Some(ask("a.2", "add 6")).filter(|told| !told.contains("again"))),
        "done 6"
    );
    for _ in 0..2 {
        assert_eq!(ask("a.4", "fail"), "error handler: exit status 3");
        assert_eq!(ask("a.5", "late"), "error timeout: limit is 4 s");
        wait_until("a place is free", || far.started().is_empty().then_some(()));
    }
    assert_eq!(calls(far.place()), ["a.1 add 5", "a.2 add 6", "a.4 fail ", "a.5 late "]);
    far.stop();
}

#[test]
fn what_nobody_answers_is_refused_as_ever() {
    let table =
        "dedupe = true\nmax_request = 200\n[[serve.far.handler]]\nmatch = \"echo\"\necho = true\nmax_request = 9";
    let far = FarEnd::start(Dialect::Line, table, &[]);
    let mut requester = greeted(&far.socket());
    for _ in 0..2 {
        assert_eq!(requester.ask(&tagged("a.1", "add 5")), "error unknown: no handler for \"add\"");
        assert_eq!(requester.ask(&tagged("a.2", "echo 1234")), "error refused: the request is larger than 9 bytes");
    }
    assert_eq!(requester.ask(&tagged("a.2", "echo 1")), "echo 1", "it was never begun");
    far.stop();
}

#[test]
fn a_worker_that_wants_them_is_told_the_tags() {
    let worker = "while read -r tag rest; do echo \"$tag/$rest/$TIELINE_TRANSACTION\"; done";
    let table = "dedupe = true\n[[serve.far.handler]]\nworker = [\"sh\", \"HERE/worker\"]\ntagged = true
[[serve.far.handler]]\nmatch = \"plain\"\nworker = [\"cat\", \"-u\"]";
    let far = FarEnd::start(Dialect::Line, table, &[("worker", worker)]);
    let mut requester = greeted(&far.socket());
    assert_eq!(requester.ask(&tagged("a.1", "add 5")), "a.1/add 5/");
    assert_eq!(requester.ask("add 5"), "-/add 5/");
    assert_eq!(requester.ask(&tagged("a.2", "plain 5")), "plain 5");
    far.stop();
}

#[test]
fn while_nothing_can_be_written_down_nothing_with_a_tag_is_begun() {
    let place = Place::new(&[]);
    fs::create_dir_all(place.path("spool/far/executed.sqlite")).expect("a directory in the way");
    let table = "dedupe = true\n[[serve.far.handler]]\nexec = [\"sh\", \"HERE/handler\"]";
    let far = FarEnd::start_in(&place, Dialect::Line, table, &[("handler", HANDLER)]);
    let mut requester = greeted(&far.socket());
    let told = requester.ask(&tagged("a.1", "add 5"));
    assert!(told.starts_with(&format!("{WORD} again cannot open the ledger ")), "{told}");
    assert_eq!(requester.ask("add 6"), "done 6");
    assert_eq!(calls(&place), [" add 6"]);
    fs::remove_dir(place.path("spool/far/executed.sqlite")).expect("it is there");
    let told = wait_until("it can be written down again", || {
        Some(requester.ask(&tagged("a.1", "add 5"))).filter(|told| !told.contains(" again "))
    });
    assert_eq!(told, "done 5");
    far.stop();
}

#[test]
fn a_handler_that_crashes_has_answered_with_that() {
    let far = far("", "in_doubt = \"again\"");
    let mut requester = greeted(&far.socket());
    for _ in 0..2 {
        assert_eq!(requester.ask(&tagged("a.1", "crash")), "error handler: ended by SIGSEGV");
    }
    assert_eq!(calls(far.place()), ["a.1 crash "], "it would crash each time, and those behind it would wait");
    far.stop();
}
