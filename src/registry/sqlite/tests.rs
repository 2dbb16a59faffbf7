use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::row::Revision;
use super::*;

const TTL: Duration = Duration::from_secs(30);

/// A store in a directory that outlives it.
struct Life {
    store: Box<Sqlite>,
    news: UnboundedReceiver<News>,
}

impl Life {
    fn begin(dir: &TempDir) -> Self {
        let (told, news) = unbounded_channel();
        Self { store: Box::new(Sqlite::start(&path(dir), told).unwrap()), news }
    }

    fn table(&mut self) -> (Vec<Stored>, Revision) {
        match self.news.blocking_recv() {
            Some(News::Table { rows, revision, .. }) => (rows, revision),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&self, wish: Wish) -> Result<Written, StoreError> {
        self.store.ask(wish).blocking_recv().unwrap()
    }

    fn put(&self, row: &Arc<Row>) {
        self.ask(Wish::Put { row: Arc::clone(row), replaces: None }).unwrap();
    }

    fn renew(&self, row: &Arc<Row>) -> Result<Written, StoreError> {
        self.ask(Wish::Renew { row: Arc::clone(row), version: Version(0) })
    }
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("registry").join("registry.sqlite")
}

fn row(name: &str, pairs: &[(&str, &str)]) -> Arc<Row> {
    let pairs: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let address = format!("tcp:{name}:1");
    Arc::new(Row { name: name.to_owned(), address, lease: Lease::random(), ttl: Some(TTL), owner: 7, pairs })
}

fn rows(stored: Vec<Stored>) -> Vec<Arc<Row>> {
    stored.into_iter().map(|one| one.row).collect()
}

#[test]
fn what_is_written_is_there_in_the_next_life_with_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    let (none, first) = life.table();
    assert!(none.is_empty());
    let (kept, removed, swept) = (row("kept", &[("dialect", "resp")]), row("removed", &[]), row("swept", &[]));
    [&kept, &removed, &swept].iter().for_each(|row| life.put(row));
    life.ask(Wish::Remove { row: removed, version: Version(0) }).unwrap();
    life.ask(Wish::Swept { leases: vec![swept.lease.clone()] }).unwrap();
    let anew = Arc::new(Row { lease: Lease::random(), ..Row::clone(&kept) });
    life.ask(Wish::Put { row: Arc::clone(&anew), replaces: Some((kept, Version(0))) }).unwrap();
    life.store.close();
    let mut life = Life::begin(&dir);
    let (stored, second) = life.table();
    assert!(second.0 > first.0 + (1 << 31), "no revision is given out twice: {first} {second}");
    let left = stored[0].left;
    assert!(left <= TTL && left > TTL - Duration::from_secs(20), "{left:?}");
    assert_eq!(rows(stored), [anew]);
}

#[test]
fn a_lease_that_ended_between_two_lives_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    life.table();
    let (over, lives) = (row("over", &[]), row("lives", &[]));
    life.put(&over);
    life.put(&lives);
    life.store.close();
    let db = Connection::open(path(&dir)).unwrap();
    let set = "UPDATE leases SET ends = ends - 30000 WHERE name = 'over'";
    assert_eq!(db.execute(set, []).unwrap(), 1);
    // A clock that is set back makes no lease longer than it is.
    db.execute("UPDATE leases SET ends = ends + 1000000 WHERE name = 'lives'", []).unwrap();
    drop(db);
    let (stored, _) = Life::begin(&dir).table();
    assert_eq!(stored, [Stored { row: lives, left: TTL, version: Version(0) }]);
}

#[test]
fn no_word_is_part_of_a_statement() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    life.table();
    let odd = "x'); DROP TABLE leases; --";
    let strange = Row {
        name: odd.to_owned(),
        lease: Lease(odd.to_owned()),
        ..Row::clone(&row("a", &[("k", odd), ("q", "\"'")]))
    };
    let (strange, plain) = (Arc::new(strange), row("plain", &[]));
    life.put(&plain);
    life.put(&strange);
    life.renew(&strange).unwrap();
    life.store.close();
    let mut life = Life::begin(&dir);
    assert_eq!(rows(life.table().0), [plain, Arc::clone(&strange)]);
    life.ask(Wish::Remove { row: strange, version: Version(0) }).unwrap();
    life.store.close();
    assert_eq!(Life::begin(&dir).table().0.len(), 1);
}

#[test]
fn a_damaged_file_is_kept_beside_and_a_fresh_one_made() {
    for damage in [b"not a database, but long enough to look at".repeat(200), vec![0; 3]] {
        let dir = tempfile::tempdir().unwrap();
        let mut life = Life::begin(&dir);
        life.table();
        life.put(&row("a", &[]));
        life.store.close();
        fs::write(path(&dir), &damage).unwrap();
        let mut life = Life::begin(&dir);
        assert_eq!(life.table().0, []);
        let last = row("b", &[]);
        life.put(&last);
        life.store.close();
        let kept = fs::read_dir(path(&dir).parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
        let kept: Vec<_> = kept.filter(|path| path.is_dir()).collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read(kept[0].join("registry.sqlite")).unwrap(), damage);
        assert_eq!(rows(Life::begin(&dir).table().0), [last]);
    }
}

#[test]
fn a_row_that_is_damaged_costs_no_other_row() {
    for damage in ["pairs = '['", "owner = -5"] {
        let dir = tempfile::tempdir().unwrap();
        let mut life = Life::begin(&dir);
        life.table();
        let (good, bad) = (row("good", &[]), row("bad", &[]));
        life.put(&good);
        life.put(&bad);
        life.store.close();
        let db = Connection::open(path(&dir)).unwrap();
        assert_eq!(db.execute(&format!("UPDATE leases SET {damage} WHERE name = 'bad'"), []).unwrap(), 1);
        drop(db);
        let mut life = Life::begin(&dir);
        assert_eq!(rows(life.table().0), [good], "{damage}");
        life.put(&bad);
        life.store.close();
        assert_eq!(Life::begin(&dir).table().0.len(), 2, "{damage}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    life.table();
    let kept = row("kept", &[]);
    life.put(&kept);
    life.store.close();
    let blocker = Connection::open(path(&dir)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE; UPDATE life SET first = first").unwrap();
    let mut life = Life::begin(&dir);
    assert_eq!(rows(life.table().0), std::slice::from_ref(&kept));
    assert!(matches!(life.news.blocking_recv(), Some(News::Away { .. })));
    blocker.execute_batch("COMMIT").unwrap();
    while !matches!(life.news.blocking_recv().unwrap(), News::Back) {}
    life.put(&row("new", &[]));
    life.store.close();
    assert_eq!(Life::begin(&dir).table().0.len(), 2);
}

#[test]
fn a_file_of_a_later_version_is_left_alone_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    life.table();
    life.store.close();
    let db = Connection::open(path(&dir)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let mut life = Life::begin(&dir);
    let Some(News::Away { reason }) = life.news.blocking_recv() else { panic!("it should be away") };
    assert!(reason.contains("has format 99, and this tieline knows 1"), "{reason}");
    let refused = life.ask(Wish::Put { row: row("a", &[]), replaces: None });
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    // As soon as it can be used it is.
    Connection::open(path(&dir)).unwrap().pragma_update(None, "user_version", 1).unwrap();
    life.table();
    assert_eq!(life.news.blocking_recv(), Some(News::Back));
}

#[test]
fn a_successor_waits_for_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (Life::begin(&dir), None);
    first.table();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut life = Life::begin(&dir);
            let rows = life.table().0;
            (life, rows)
        });
        let last = row("last", &[]);
        first.put(&last);
        assert!(!waiting.is_finished(), "it must not read what is not complete");
        first.store.close();
        let (life, told) = waiting.join().unwrap();
        assert_eq!(rows(told), [last]);
        second = Some(life);
    });
    second.unwrap().store.close();
}

#[test]
fn while_nothing_can_be_written_leases_live_on_and_are_written_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&dir);
    life.table();
    let (alive, removed) = (row("alive", &[]), row("removed", &[]));
    life.put(&alive);
    life.put(&removed);
    let blocker = Connection::open(path(&dir)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE; UPDATE leases SET ends = 1").unwrap();
    let refused = life.ask(Wish::Put { row: row("new", &[]), replaces: None });
    assert!(
        matches!(&refused, Err(StoreError::Failed { reason }) if reason.contains("see that the disk")),
        "{refused:?}"
    );
    assert!(matches!(life.news.blocking_recv(), Some(News::Away { .. })));
    life.renew(&alive).unwrap();
    life.ask(Wish::Remove { row: removed, version: Version(0) }).unwrap();
    blocker.execute_batch("COMMIT").unwrap();
    // Perhaps with another reason first.
    while !matches!(life.news.blocking_recv().unwrap(), News::Back) {}
    life.store.close();
    assert_eq!(rows(Life::begin(&dir).table().0), [alive], "what happened meanwhile is written");
}
