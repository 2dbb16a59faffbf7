//! A store of format 1, as a tieline that knew no tags left it: its tables word by word, its checksums, its WAL.
//!
//! Part of `tests/spool_store/` as well.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

const TABLES: &str = "\
    CREATE TABLE pending (id INTEGER PRIMARY KEY AUTOINCREMENT, accepted INTEGER NOT NULL, \
    origin INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT; \
    CREATE TABLE parked (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, since INTEGER NOT NULL, \
    accepted INTEGER NOT NULL, origin INTEGER NOT NULL, attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, \
    why TEXT NOT NULL, crc INTEGER NOT NULL, reply BLOB NOT NULL, body BLOB NOT NULL) STRICT; \
    CREATE TABLE tries (id INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, \
    why TEXT NOT NULL) STRICT; \
    CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, crc INTEGER NOT NULL, \
    commits INTEGER NOT NULL, highest INTEGER NOT NULL, sent_up_to INTEGER NOT NULL, head INTEGER NOT NULL, \
    oldest INTEGER NOT NULL, pending INTEGER NOT NULL, held INTEGER NOT NULL, dead INTEGER NOT NULL, \
    damaged INTEGER NOT NULL, in_doubt INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT; \
    INSERT INTO state VALUES (1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);";

/// When everything in it was accepted, in milliseconds since 1970.
pub(super) const ACCEPTED: u64 = 1_790_000_000_000;
/// Commits, as its totals and its watermark say.
pub(super) const COMMITS: u64 = 7;
/// The host's reply to the dead one.
pub(super) const REPLY: &[u8] = b"-ERR no";

/// Makes it in `dir`, which is not there yet. The bodies have the IDs from 1 on. The first was tried three times and is in
/// doubt; the last but one is held, the last is dead; all but these two wait. The later half is in the WAL alone.
pub(super) fn make(dir: &Path, bodies: &[Vec<u8>]) {
    fs::create_dir(dir).unwrap();
    let db = Connection::open(dir.join("spool.sqlite")).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch(
        "PRAGMA page_size=4096; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; \
         PRAGMA synchronous=FULL; PRAGMA user_version=1;",
    )
    .unwrap();
    db.execute_batch(TABLES).unwrap();
    let waiting = bodies.len() - 2;
    for (id, body) in (1..).zip(&bodies[..waiting]) {
        if id as usize == waiting / 2 {
            db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        let crc = crc(&[id, ACCEPTED, 0], &[body]);
        db.execute("INSERT INTO pending VALUES (?1, ?2, 0, ?3, ?4)", params![sql(id), sql(ACCEPTED), crc, body])
            .unwrap();
    }
    db.execute_batch("INSERT INTO tries VALUES (1, 3, 1, 'cut')").unwrap();
    park(&db, waiting as u64 + 1, 1, b"", &bodies[waiting]);
    park(&db, waiting as u64 + 2, 2, REPLY, &bodies[waiting + 1]);
    total(&db, bodies);
    drop(db);
    fs::write(dir.join("lock"), "1\n").unwrap();
    watermark(dir, bodies.len() as u64, COMMITS);
    File::open(dir).unwrap().sync_all().unwrap();
}

fn park(db: &Connection, id: u64, state: u64, reply: &[u8], body: &[u8]) {
    let (why, since) = ("a reason", ACCEPTED + 5);
    let numbers = [id, state, since, ACCEPTED, 0, 2, 0, why.len() as u64, reply.len() as u64];
    let crc = crc(&numbers, &[why.as_bytes(), reply, body]);
    let (id, state, since, accepted) = (sql(id), sql(state), sql(since), sql(ACCEPTED));
    db.execute(
        "INSERT INTO parked VALUES (?1, ?2, ?3, ?4, 0, 2, 0, ?5, ?6, ?7, ?8)",
        params![id, state, since, accepted, why, crc, reply, body],
    )
    .unwrap();
}

/// The totals.
fn total(db: &Connection, bodies: &[Vec<u8>]) {
    let rows = bodies.len() as u64;
    let bytes = bodies.iter().map(|body| body.len() as u64 + 64).sum::<u64>() + REPLY.len() as u64;
    // Commits, highest, sent_up_to, head, oldest; waiting, held, dead, damaged; in doubt.
    let values = [COMMITS, rows, 0, 1, ACCEPTED, rows - 2, 1, 1, 0, 1, bytes];
    let crc = crc(&[&[1][..], &values[..]].concat(), &[]);
    let values: Vec<String> = values.iter().map(u64::to_string).collect();
    db.execute_batch(&format!("DELETE FROM state; INSERT INTO state VALUES (1, 1, {crc}, {})", values.join(", ")))
        .unwrap();
}

/// Writes a watermark that says so.
pub(super) fn watermark(dir: &Path, rows: u64, commits: u64) {
    let mut slot = b"TIEWMRK1".to_vec();
    // The turn, the highest ID, rows, commits, sent_up_to.
    [1, rows, rows, commits, 0].iter().for_each(|number: &u64| slot.extend(number.to_le_bytes()));
    slot.resize(60, 0);
    let crc = crc32fast::hash(&slot);
    slot.extend(crc.to_le_bytes());
    fs::write(dir.join("watermark"), [vec![0; 4096], slot, vec![0; 4032]].concat()).unwrap();
    File::open(dir.join("watermark")).unwrap().sync_all().unwrap();
}

/// A checksum of format 1.
pub(super) fn crc(numbers: &[u64], parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    numbers.iter().for_each(|number| crc.update(&number.to_le_bytes()));
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}
