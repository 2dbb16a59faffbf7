//! The ledger: what it knows in the next life, what it forgets, and what it does with trouble.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::*;

const KEEP: Duration = Duration::from_secs(1000);
const PATIENCE: Duration = Duration::from_secs(30);

/// One life of a ledger in a directory that outlives it.
struct Life {
    ledger: Ledger,
    runtime: Runtime,
}

impl Life {
    fn begin(dir: &TempDir) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        Self { ledger: Ledger::open(&place(dir), "ledger-test", KEEP).unwrap(), runtime }
    }

    fn claim(&self, tag: &str) -> Result<Known, String> {
        self.claim_within(tag, true, PATIENCE)
    }

    fn claim_within(&self, tag: &str, begins: bool, patience: Duration) -> Result<Known, String> {
        self.runtime.block_on(async { self.ledger.claim(tag, 7, begins, tokio::time::sleep(patience)).await })
    }

    /// What is known, without beginning anything; as soon as it is what was wanted.
    fn wait_for(&self, tag: &str, wanted: &Known) {
        let began = Instant::now();
        while self.claim_within(tag, false, PATIENCE).as_ref() != Ok(wanted) {
            assert!(began.elapsed() < PATIENCE, "{tag} should be {wanted:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn settle(&self, tag: &str, settled: Settled) -> Result<(), String> {
        self.runtime.block_on(self.ledger.settle(tag, settled))
    }

    fn end(&self, tag: &str, reply: &[u8]) {
        self.settle(tag, ended(reply)).unwrap();
    }

    fn close(self) {
        self.runtime.block_on(self.ledger.close());
    }
}

fn ended(reply: &[u8]) -> Settled {
    Settled::Ended { print: 7, reply: reply.to_vec() }
}

fn known(reply: &[u8]) -> Known {
    Known::Ended { print: 7, reply: reply.to_vec() }
}

fn place(dir: &TempDir) -> PathBuf {
    dir.path().join("spool").join("far")
}

fn database(dir: &TempDir) -> PathBuf {
    place(dir).join("executed.sqlite")
}

/// What damaged files are kept in.
fn aside(dir: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(place(dir)).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().contains("executed.corrupt-")).collect()
}

#[test]
fn what_has_ended_is_known_in_the_next_life_and_what_has_not_is_known_to_be_begun() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    for tag in ["ended", "open", "never"] {
        assert_eq!(life.claim(tag), Ok(Known::New));
    }
    life.end("ended", b"done\xff\n");
    life.settle("never", Settled::Never).unwrap();
    assert_eq!(life.claim("ended"), Ok(known(b"done\xff\n")));
    life.close();
    let life = Life::begin(&dir);
    assert_eq!(life.claim("ended"), Ok(known(b"done\xff\n")));
    assert!(matches!(life.claim("open"), Ok(Known::Begun { print: 7, at }) if at > 1_700_000_000_000));
    assert_eq!(life.claim("never"), Ok(Known::New));
    life.end("open", b"\n");
    assert_eq!(life.claim("open"), Ok(known(b"\n")));
    life.close();
}

#[test]
fn asking_alone_begins_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    for _ in 0..2 {
        assert_eq!(life.claim_within("a", false, PATIENCE), Ok(Known::New));
    }
    assert_eq!(life.claim("a"), Ok(Known::New));
    assert!(matches!(life.claim_within("a", false, PATIENCE), Ok(Known::Begun { .. })));
}

#[test]
fn it_is_made_for_owner_and_group_alone_and_touches_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(place(&dir)).unwrap();
    for name in ["spool.sqlite", "lock"] {
        fs::write(place(&dir).join(name), "a host's").unwrap();
    }
    let life = Life::begin(&dir);
    life.claim("a").unwrap();
    for name in ["executed.sqlite", "executed.sqlite-wal", "executed.lock"] {
        assert_eq!(fs::metadata(place(&dir).join(name)).unwrap().permissions().mode() & 0o777, 0o640, "{name}");
    }
    life.close();
    assert_eq!(fs::read(place(&dir).join("spool.sqlite")).unwrap(), b"a host's");
}

#[test]
fn claims_wait_while_another_process_has_it_and_leave_no_trace_when_they_have_waited_long_enough() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(place(&dir)).unwrap();
    let file = fs::File::create(place(&dir).join("executed.lock")).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    let life = Life::begin(&dir);
    assert_eq!(life.claim_within("a", true, Duration::from_millis(30)), Err(SILENT.to_owned()));
    std::thread::scope(|scope| {
        scope.spawn(|| drop(lock));
        assert_eq!(life.claim("b"), Ok(Known::New));
    });
    assert_eq!(life.claim_within("a", false, PATIENCE), Ok(Known::New));
    // Held as long as it is open.
    let second = Life::begin(&dir);
    assert_eq!(second.claim_within("b", false, Duration::from_millis(30)), Err(SILENT.to_owned()));
    life.close();
    assert!(matches!(second.claim("b"), Ok(Known::Begun { .. })));
}

#[test]
fn what_is_old_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    let many: Vec<String> = (0..250).map(|number| format!("old{number}")).collect();
    for tag in many.iter().map(String::as_str).chain(["young", "open"]) {
        life.claim(tag).unwrap();
    }
    many.iter().chain([&"young".to_owned()]).for_each(|tag| life.end(tag, b"done\n"));
    life.close();
    let db = Connection::open(database(&dir)).unwrap();
    let age = "UPDATE executed SET begun = begun - 2000000, ended = ended - 1000001 WHERE tag <> 'young'";
    assert_eq!(db.execute(age, []).unwrap(), 251);
    drop(db);
    let life = Life::begin(&dir);
    for tag in ["old0", "old249", "open"] {
        life.wait_for(tag, &Known::New);
    }
    assert_eq!(life.claim("young"), Ok(known(b"done\n")));
    life.close();
    let db = Connection::open(database(&dir)).unwrap();
    assert_eq!(db.query_row("SELECT count(*) FROM executed", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_damaged_file_is_put_aside_and_a_fresh_one_begun() {
    for damage in [b"not a database, but long enough to look at".repeat(200), vec![1; 3]] {
        let dir = tempfile::tempdir().unwrap();
        let life = Life::begin(&dir);
        life.claim("a").unwrap();
        life.close();
        fs::write(database(&dir), &damage).unwrap();
        let life = Life::begin(&dir);
        assert_eq!(life.claim("a"), Ok(Known::New));
        life.end("a", b"done\n");
        life.close();
        let kept = aside(&dir);
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read(kept[0].join("executed.sqlite")).unwrap(), damage);
        assert_eq!(Life::begin(&dir).claim("a"), Ok(known(b"done\n")));
    }
}

#[test]
fn damage_that_is_found_later_replaces_the_file_as_well_and_costs_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    assert_eq!(life.claim("under way"), Ok(Known::New));
    let db = Connection::open(database(&dir)).unwrap();
    let damage = "UPDATE sqlite_schema SET rootpage = 999999 WHERE name = 'executed'";
    db.execute_batch(&format!("PRAGMA writable_schema=ON; {damage}; PRAGMA schema_version=77")).unwrap();
    drop(db);
    let failed = life.settle("under way", ended(b"done\n"));
    assert!(matches!(&failed, Err(why) if why.contains("damaged")), "{failed:?}");
    life.wait_for("under way", &known(b"done\n"));
    assert_eq!(aside(&dir).len(), 1);
    life.close();
}

#[test]
fn an_end_that_cannot_be_written_is_written_as_soon_as_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    for tag in ["a", "b"] {
        assert_eq!(life.claim(tag), Ok(Known::New));
    }
    let blocker = Connection::open(database(&dir)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = life.settle("a", ended(b"done\n"));
    assert!(matches!(&failed, Err(why) if why.contains("cannot write the ledger")), "{failed:?}");
    // While it cannot be used it says so at once, and begins nothing.
    assert!(life.claim("c").is_err());
    assert!(life.settle("b", Settled::Never).is_err());
    assert!(life.ledger.trouble().contains("cannot write the ledger"), "{}", life.ledger.trouble());
    blocker.execute_batch("COMMIT").unwrap();
    life.wait_for("a", &known(b"done\n"));
    for tag in ["b", "c"] {
        assert_eq!(life.claim(tag), Ok(Known::New));
    }
    life.close();
}

#[test]
fn an_answer_that_is_not_what_was_written_is_given_to_nobody() {
    for damage in ["reply = x'646f6e61'", "print = 8", "crc = crc + 1"] {
        let dir = tempfile::tempdir().unwrap();
        let life = Life::begin(&dir);
        life.claim("a").unwrap();
        life.end("a", b"done");
        let db = Connection::open(database(&dir)).unwrap();
        assert_eq!(db.execute(&format!("UPDATE executed SET {damage}"), []).unwrap(), 1);
        assert_eq!(life.claim("a"), Ok(Known::Damaged), "{damage}");
    }
}

/// What a log of this thread says while `act` runs.
fn logged(act: impl FnOnce()) -> String {
    use tracing_subscriber::fmt::MakeWriter;
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// What opening the ledger says.
fn said_at_opening(dir: &TempDir) -> String {
    logged(|| drop(file::open(&place(dir), SystemTime::now()).unwrap()))
}

/// A ledger that has been closed, with an answer in it.
fn closed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    for tag in ["a", "b"] {
        life.claim(tag).unwrap();
        life.end(tag, b"done\n");
    }
    life.close();
    dir
}

#[test]
fn what_is_missing_at_the_end_is_said_once() {
    let dir = closed();
    assert_eq!(said_at_opening(&dir), "", "nothing is wrong");
    // As SQLite does it with a log whose end is damaged.
    fs::write(database(&dir), b"").unwrap();
    let said = said_at_opening(&dir);
    assert!(said.contains("has lost the last 4 of its commits") && said.contains("a second time"), "{said}");
    assert_eq!(said_at_opening(&dir), "", "it counts on from there");
}

#[test]
fn a_tag_that_is_not_what_was_written_is_said_at_the_opening() {
    let dir = closed();
    Connection::open(database(&dir)).unwrap().execute("UPDATE executed SET tag = 'c' WHERE tag = 'a'", []).unwrap();
    let said = said_at_opening(&dir);
    assert!(said.contains("1 rows of the ledger") && said.contains("not what was written"), "{said}");
}

#[test]
fn a_file_that_was_removed_while_it_was_used_is_noticed_before_anything_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    life.claim("a").unwrap();
    fs::remove_file(database(&dir)).unwrap();
    let refused = life.claim("b");
    assert!(matches!(&refused, Err(why) if why.contains("removed, or replaced")), "{refused:?}");
    life.wait_for("b", &Known::New);
    assert_eq!(life.claim("b"), Ok(Known::New));
    life.close();
    assert!(matches!(Life::begin(&dir).claim("b"), Ok(Known::Begun { .. })), "it was written to the new file");
}

#[test]
fn a_file_of_format_1_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(place(&dir)).unwrap();
    let db = Connection::open(database(&dir)).unwrap();
    db.execute_batch(
        "CREATE TABLE executed (tag TEXT PRIMARY KEY, print INTEGER NOT NULL, begun INTEGER NOT NULL, ended INTEGER, \
         reply BLOB) STRICT, WITHOUT ROWID; CREATE INDEX ends ON executed (ended, begun); PRAGMA user_version = 1;",
    )
    .unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    db.execute("INSERT INTO executed VALUES ('ended', 7, ?1, ?1, x'646f6e65'), ('open', 7, ?1, NULL, NULL)", [now])
        .unwrap();
    drop(db);
    let life = Life::begin(&dir);
    assert_eq!(life.claim("ended"), Ok(known(b"done")));
    assert_eq!(life.claim("open"), Ok(Known::Begun { print: 7, at: now }));
    life.end("open", b"done\n");
    assert_eq!(life.claim("open"), Ok(known(b"done\n")));
    assert!(aside(&dir).is_empty());
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Life::begin(&dir).close();
    let db = Connection::open(database(&dir)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let life = Life::begin(&dir);
    let refused = life.claim("a");
    assert!(matches!(&refused, Err(why) if why.contains("has format 99, and this tieline knows 2")), "{refused:?}");
    Connection::open(database(&dir)).unwrap().pragma_update(None, "user_version", 2).unwrap();
    life.wait_for("a", &Known::New);
    assert!(aside(&dir).is_empty());
}

#[test]
fn a_claim_that_was_given_up_while_it_was_written_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(&dir);
    life.claim("first").unwrap();
    // Nobody listens from the beginning, or from any moment on: nothing is known of it afterwards.
    for round in 0..200_u32 {
        let tag = format!("given up {round}");
        let patience = Duration::from_micros(u64::from(round) * 5);
        let told = life.claim_within(&tag, true, patience);
        match told {
            Ok(Known::New) => assert!(matches!(life.claim(&tag), Ok(Known::Begun { .. })), "{tag}"),
            Err(_) => assert_eq!(life.claim(&tag), Ok(Known::New), "{tag}"),
            other => panic!("{tag}: {other:?}"),
        }
    }
    life.close();
}
