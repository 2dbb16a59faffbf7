//! The bounds, with a registry in a thread of this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Instant;

use tempfile::TempDir;

use super::super::directory::Limits;
use super::super::grammar::LINE_MAX;
use super::*;

const LONG: Duration = Duration::from_secs(30);

/// A registry in a thread; ends with its value.
struct Running {
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// One program.
struct Program(BufReader<UnixStream>);

impl Running {
    fn start(bounds: Bounds) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), bounds)
    }

    fn start_in(dir: TempDir, bounds: Bounds) -> Self {
        let listener = StdUnixListener::bind(dir.path().join("sock")).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let file = dir.path().join("names/registry.sqlite");
        let thread = std::thread::spawn(move || alone(listener, &file, bounds, async { drop(stopped.await) }));
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("names/registry.sqlite")
    }

    fn program(&self) -> Program {
        let stream = UnixStream::connect(self.dir.path().join("sock")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Program(BufReader::new(stream))
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Program {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, command: &str) -> String {
        self.say(&format!("{command}\n"));
        self.hear()
    }

    fn list(&mut self) -> Vec<String> {
        let first = self.ask("LIST");
        assert!(first.starts_with("ok "), "{first}");
        std::iter::from_fn(|| Some(self.hear()).filter(|line| line != "\n")).collect()
    }

    /// Everything to the end of the connection.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_and_ends_the_connection() {
    let registry = Running::start(Bounds::default());
    let mut program = registry.program();
    let longest = format!("RESOLVE {}", "a".repeat(LINE_MAX - 8));
    assert!(program.ask(&longest).starts_with("error malformed `aaa"), "it is a line, and no name");
    // No line feed ever comes; what is kept of it is bounded.
    program.say(&"x".repeat(LINE_MAX + 1));
    assert_eq!(program.rest(), "error malformed the line has more than 4096 bytes; write a shorter one\n");
    assert_eq!(registry.program().ask("RESOLVE none"), "error unknown nobody is registered as none\n");
}

#[test]
fn commands_that_come_together_are_answered_in_their_order() {
    let registry = Running::start(Bounds::default());
    let mut program = registry.program();
    let commands: String =
        (0..500).map(|n| format!("REGISTER n{n} tcp:h:1 ttl=9s\nRESOLVE n{n}\nRENEW x{n}\n")).collect();
    program.say(&commands);
    for n in 0..500 {
        assert!(program.hear().starts_with("ok "));
        assert_eq!(program.hear(), "ok tcp:h:1\n");
        assert!(program.hear().starts_with(&format!("error unknown there is no lease x{n}, ")));
    }
    assert_eq!(program.list().len(), 500);
}

#[test]
fn watchers_are_bounded_and_a_place_is_free_again_when_one_goes() {
    let registry = Running::start(Bounds { watchers: 2, ..Bounds::default() });
    let (mut one, mut two, mut three) = (registry.program(), registry.program(), registry.program());
    assert!(one.ask("WATCH").ends_with(" snapshot\n"));
    assert!(two.ask("WATCH a").ends_with(" snapshot\n"));
    assert!(three.ask("WATCH").starts_with("error busy 2 programs watch already"));
    drop(one);
    let begin = Instant::now();
    while !three.ask("WATCH").starts_with("ok ") {
        assert!(begin.elapsed() < LONG, "its place stays taken");
    }
}

#[test]
fn at_the_bound_of_requesters_newcomers_wait() {
    let registry = Running::start(Bounds { requesters: 2, ..Bounds::default() });
    let (mut one, mut two, mut three) = (registry.program(), registry.program(), registry.program());
    assert!(one.ask("LIST").starts_with("ok "));
    assert!(two.ask("LIST").starts_with("ok "));
    three.say("RESOLVE x\n");
    three.0.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(three.0.read_line(&mut String::new()).is_err(), "it should wait");
    three.0.get_ref().set_read_timeout(Some(LONG)).unwrap();
    drop(one);
    assert!(three.hear().starts_with("error unknown "));
}

#[test]
fn a_watcher_that_does_not_read_is_told_so_and_closed_and_nobody_waits_for_it() {
    let limits = Limits { changes: 64, ..Limits::default() };
    let registry = Running::start(Bounds { directory: limits, ..Bounds::default() });
    let (mut slow, mut busy) = (registry.program(), registry.program());
    let first = slow.ask("WATCH");
    let revision: u64 = first.split(' ').nth(1).unwrap().parse().unwrap();
    // More than the sockets hold between them.
    let fill = "f".repeat(3000);
    for turn in 0..400 {
        assert!(busy.ask(&format!("REGISTER a tcp:h:{} ttl=9s fill={fill}", turn % 7 + 1)).starts_with("ok "));
    }
    let told = slow.rest();
    assert!(told.ends_with("error busy you read too slowly to be told every change; watch again\n"), "{}", told.len());
    let changes = told.lines().filter(|line| line.contains(" + a ")).count();
    assert!(changes < 400, "it was told everything, which shows nothing");
    assert!(registry.program().ask(&format!("WATCH after={revision}")).ends_with(" snapshot\n"), "too long ago");
    assert!(registry.program().ask(&format!("WATCH after={}", revision + 399)).ends_with(" changes\n"));
}

#[test]
fn who_does_not_take_its_answers_is_given_up_in_time() {
    let registry = Running::start(Bounds { patience: Duration::from_millis(200), ..Bounds::default() });
    let (mut program, mut deaf) = (registry.program(), registry.program());
    for n in 0..300 {
        program.ask(&format!("REGISTER n{n} tcp:h:1 ttl=9s fill={}", "f".repeat(3000)));
    }
    deaf.say("LIST\nLIST\nRESOLVE n1\n");
    let begin = Instant::now();
    // Closed by the registry: writing fails at last.
    while deaf.0.get_mut().write_all(b"RESOLVE n1\n").is_ok() {
        assert!(begin.elapsed() < LONG, "it is served for ever");
        assert_eq!(program.ask("RESOLVE n7"), "ok tcp:h:1\n");
    }
}

#[test]
fn at_the_end_changes_are_done_and_who_does_not_read_is_left() {
    let mut registry = Running::start(Bounds::default());
    let (mut program, mut deaf) = (registry.program(), registry.program());
    assert!(deaf.ask("WATCH").starts_with("ok "));
    for n in 0..200 {
        program.ask(&format!("REGISTER n{n} tcp:h:1 ttl=60s fill={}", "f".repeat(3000)));
    }
    let begin = Instant::now();
    registry.stop();
    assert!(begin.elapsed() < Duration::from_secs(3), "it has waited for who does not read: {:?}", begin.elapsed());
    assert_eq!(program.rest(), "", "it is told the end");
    let rows = rusqlite::Connection::open(registry.file()).unwrap();
    let rows: i64 = rows.query_row("SELECT count(*) FROM leases", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 200);
}

/// Rows that all end at the same moment.
fn fill(file: &std::path::Path, rows: usize, ends: i64) {
    let mut db = rusqlite::Connection::open(file).unwrap();
    let work = db.transaction().unwrap();
    for n in 0..rows {
        let insert = "INSERT INTO leases VALUES (?1, 'tcp:h:1', ?2, 60000, ?3, 0, '{}')";
        work.execute(insert, rusqlite::params![format!("n{n}"), format!("l{n}"), ends]).unwrap();
    }
    work.execute("INSERT INTO leases VALUES ('stays', 'tcp:s:1', 's', 60000, ?1, 0, '{}')", [ends + 60_000]).unwrap();
    work.commit().unwrap();
}

#[test]
fn five_thousand_leases_that_end_at_once_hold_up_nobody_and_are_gone_within_a_second() {
    let mut registry = Running::start(Bounds::default());
    assert_eq!(registry.program().list().len(), 0);
    registry.stop();
    let begin = Instant::now();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    fill(&registry.file(), 5000, i64::try_from(now.as_millis()).unwrap() + 6000);
    let end = begin + Duration::from_secs(6);
    std::fs::remove_file(registry.dir.path().join("sock")).unwrap();
    let dir = std::mem::replace(&mut registry.dir, tempfile::tempdir().unwrap());
    let registry = Running::start_in(dir, Bounds::default());
    let mut program = registry.program();
    assert_eq!(program.list().len(), 5001);
    assert!(Instant::now() < end, "this machine is too slow for this test");
    let mut slowest = Duration::ZERO;
    // Of leases that end at the same moment the last one by its word is swept last.
    let is_listed = |program: &mut Program| {
        assert!(program.ask("LIST n999").starts_with("ok "));
        let is_there = program.hear() != "\n";
        is_there && program.hear() == "\n"
    };
    while is_listed(&mut program) {
        let asked = Instant::now();
        assert_eq!(program.ask("RESOLVE stays"), "ok tcp:s:1\n");
        slowest = slowest.max(asked.elapsed());
    }
    assert!(Instant::now() > end - Duration::from_millis(100), "they ended too early");
    let late = Instant::now().saturating_duration_since(end);
    assert!(late < Duration::from_secs(1), "some are there {late:?} after their end");
    assert_eq!(program.list().len(), 1);
    assert!(slowest < Duration::from_millis(200), "somebody waited {slowest:?}");
}
