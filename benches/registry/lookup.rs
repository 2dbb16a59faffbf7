//! Ways to find out where a name is.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};

use crate::daemon::{Daemon, INSTANCES};

/// One way, and by how many programs at once.
pub(crate) struct Contender {
    pub(crate) programs: usize,
    pub(crate) what: &'static str,
    pub(crate) begin: fn(&Daemon) -> Box<dyn Lookup>,
}

/// What one program does.
pub(crate) trait Lookup: Send {
    /// Finds the addresses of a name; how many there are.
    fn find(&mut self, name: &str) -> usize;
}

impl Contender {
    /// All of them, in the order in which they are measured and printed. Beside them belongs a `get` of the same rows
    /// from NATS KV, where a server is installed.
    pub(crate) fn all() -> Vec<Self> {
        let ways: [(&'static str, fn(&Daemon) -> Box<dyn Lookup>); 3] = [
            ("tieline, RESOLVE", |daemon| Box::new(Resolve(daemon.connect()))),
            ("sqlite3 library, kept open, prepared statement", |daemon| Box::new(Kept(open(&daemon.file())))),
            ("sqlite3 library, opened for each read", |daemon| Box::new(Anew(daemon.file()))),
        ];
        let by = |programs| ways.into_iter().map(move |(what, begin)| Self { programs, what, begin });
        by(1).chain(by(8)).collect()
    }
}

struct Resolve(BufReader<UnixStream>);

impl Lookup for Resolve {
    fn find(&mut self, name: &str) -> usize {
        self.0.get_mut().write_all(format!("RESOLVE {name}\n").as_bytes()).expect("it takes commands");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("ok "), "{line}");
        line.split(' ').count() - 1
    }
}

fn open(file: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).expect("the table can be read")
}

/// The rows of a name whose leases have not ended.
fn read(db: &Connection, name: &str) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    let now = i64::try_from(now).expect("it is before the year 292 000 000");
    let statement = db.prepare_cached("SELECT address FROM leases WHERE name = ?1 AND ends > ?2");
    let mut statement = statement.expect("the statement is one");
    let rows = statement.query_map(rusqlite::params![name, now], |row| row.get::<_, String>(0));
    let found = rows.expect("it can be asked").filter(Result::is_ok).count();
    assert_eq!(found, INSTANCES, "{name}");
    found
}

struct Kept(Connection);

impl Lookup for Kept {
    fn find(&mut self, name: &str) -> usize {
        read(&self.0, name)
    }
}

struct Anew(PathBuf);

impl Lookup for Anew {
    fn find(&mut self, name: &str) -> usize {
        read(&open(&self.0), name)
    }
}
