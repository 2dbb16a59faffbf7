//! A worker with sockets and a store of the test's own: what a slow or broken disk does to those who wait for it, and to
//! those who do not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

use super::*;
use crate::config::Address;
use crate::dialect::Dialect;
use crate::snapshot::SpoolNumbers;
use crate::spool::keeper::{Done, Keeper, Shelf};
use crate::spool::store::{Appended, Findings, Id, New, Numbers, Pending, Settled, StoreError};

/// Longer than anything here may take on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Well,
    /// Everything that is asked of it waits.
    Stalls,
    /// The next commit fails, half-way.
    Breaks,
}

/// The disk, shared with the thread that owns the store, and what is on it.
#[derive(Clone)]
struct Drive(Arc<(Mutex<(Disk, u64)>, Condvar)>);

impl Drive {
    fn new(disk: Disk) -> Self {
        Self(Arc::new((Mutex::new((disk, 0)), Condvar::new())))
    }

    fn set(&self, disk: Disk) {
        self.0.0.lock().unwrap().0 = disk;
        self.0.1.notify_all();
    }

    /// Waits while the disk stalls; IDs for so many rows, unless it breaks.
    fn write(&self, rows: u64) -> Result<u64, StoreError> {
        let guard = self.0.0.lock().unwrap();
        let mut guard = self.0.1.wait_while(guard, |(disk, _)| *disk == Disk::Stalls).unwrap();
        if guard.0 == Disk::Breaks && rows > 0 {
            guard.0 = Disk::Well;
            return Err(StoreError::InDoubt { dir: "/spool".into(), what: "store in", reason: "a test".to_owned() });
        }
        guard.1 += rows;
        Ok(guard.1 - rows)
    }

    fn keeper(&self) -> Spooler {
        let drive = self.clone();
        let start = move |answers| {
            let shelf = Box::new(OnDrive { drive: drive.clone(), rows: Vec::new() });
            let open = move || {
                shelf.drive.write(0)?;
                Ok((shelf as Box<dyn Shelf>, Findings::default()))
            };
            Keeper::start(open, answers)
        };
        Spooler::with_keeper(Box::new(start), LONG)
    }
}

/// A store on the drive.
struct OnDrive {
    drive: Drive,
    rows: Vec<Pending>,
}

impl Shelf for OnDrive {
    fn append(&mut self, new: &[New<'_>]) -> Result<Vec<Appended>, StoreError> {
        let before = self.drive.write(new.len() as u64)?;
        let row = |(new, id): (&New<'_>, u64)| Pending {
            id: Id(id),
            body: new.body.to_vec(),
            tag: new.tag.to_owned(),
            accepted_ms: new.accepted_ms,
            attempts: 0,
            in_doubt: new.in_doubt,
        };
        self.rows.extend(new.iter().zip(before + 1..).map(row));
        Ok((before + 1..).take(new.len()).map(|id| Appended::Stored(Id(id))).collect())
    }

    fn settle(&mut self, settled: &[Settled], sent_up_to: Id) -> Result<Id, StoreError> {
        self.drive.write(0)?;
        self.rows.retain(|row| settled.iter().all(|settled| settled.id != row.id));
        Ok(sent_up_to)
    }

    fn next(&mut self, after: Id, rows: usize, _: usize) -> Result<Vec<Pending>, StoreError> {
        self.drive.write(0)?;
        Ok(self.rows.iter().filter(|row| row.id > after).take(rows).cloned().collect())
    }

    fn tool(&mut self, _: &Tool, _: SystemTime) -> Result<Done, StoreError> {
        Ok(Done::Count(0))
    }

    fn numbers(&self) -> Numbers {
        Numbers { depth: self.rows.len() as u64, ..Numbers::default() }
    }

    fn take_findings(&mut self) -> Findings {
        Findings::default()
    }

    fn due(&self, _: SystemTime) -> Option<Duration> {
        None
    }

    fn maintain(&mut self, _: SystemTime, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A host that answers each line with `re:` and the line.
fn host() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    (&stream).write_all(format!("re:{line}\n").as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// Runs a worker in front of such a host, with its store on `drive`, until `play`, in a thread of its own, has ended;
/// what the status says then.
fn with_worker(drive: &Drive, play: impl FnOnce(&Path) + Send + 'static) -> SpoolNumbers {
    let dir = tempfile::tempdir().unwrap();
    let at = host();
    let address = Address::Tcp { host: at.ip().to_string(), port: at.port() };
    let settings = HostSettings { deferred: true, ..HostSettings::with_defaults("host", address, Dialect::Line) };
    let plain = UnixListener::bind(dir.path().join("plain")).unwrap();
    let deferred = UnixListener::bind(dir.path().join("deferred")).unwrap();
    LocalSet::new().block_on(&runtime().unwrap(), async {
        let (reports, _kept) = unbounded_channel();
        let worker = Rc::new(Worker::new(0, Dispatch::new(settings, 1), reports));
        let listeners = vec![Inherited::Unix(plain), Inherited::Deferred(deferred)];
        begin(&worker, Some((drive.keeper(), None)), Inheritance { listeners, ..Inheritance::default() }, None)
            .unwrap();
        let path = dir.path().to_owned();
        let played = tokio::task::spawn_blocking(move || play(&path));
        tokio::time::timeout(LONG, played).await.expect("the play ends in time").expect("the play went well");
        worker.spooler().expect("it has one").numbers()
    })
}

fn requester(socket: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LONG / 2)).unwrap();
    BufReader::new(stream)
}

fn ask(requester: &mut BufReader<UnixStream>, line: &str) -> String {
    requester.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    requester.read_line(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// Asks in a thread of its own.
fn ask_apart(dir: &Path, line: &'static str) -> JoinHandle<String> {
    let mut requester = requester(&dir.join("deferred"));
    std::thread::spawn(move || ask(&mut requester, line))
}

#[test]
fn while_the_disk_stalls_who_does_not_need_it_is_answered_as_fast_as_ever_and_who_does_waits() {
    let drive = Drive::new(Disk::Stalls);
    let released = drive.clone();
    with_worker(&drive, move |dir| {
        // The store has not said yet what waits in it: these join its tail.
        let deferred: Vec<_> = ["one", "two", "three"].map(|line| ask_apart(dir, line)).into();
        let mut plain = requester(&dir.join("plain"));
        let mut took: Vec<_> = (0..300)
            .map(|number: u32| {
                let start = Instant::now();
                assert_eq!(ask(&mut plain, &number.to_string()), format!("re:{number}"));
                start.elapsed()
            })
            .collect();
        took.sort();
        assert!(took[150] < Duration::from_millis(50), "a request takes {:?} while the disk stalls", took[150]);
        assert!(deferred.iter().all(|asker| !asker.is_finished()), "nobody is told success before it is on disk");
        released.set(Disk::Well);
        let answers: Vec<_> = deferred.into_iter().map(|asker| asker.join().unwrap()).collect();
        let is_true = |answer: &String| answer.starts_with("con_delayed:") || answer.starts_with("re:");
        assert!(answers.iter().all(is_true), "{answers:?}");
    });
}

#[test]
fn when_a_commit_fails_all_who_wait_for_the_disk_are_told_so_and_it_goes_on_with_a_fresh_store() {
    let drive = Drive::new(Disk::Stalls);
    let released = drive.clone();
    with_worker(&drive, move |dir| {
        // More than one group: those behind the commit that fails wait in the thread's channel.
        let deferred: Vec<_> = (0..300).map(|_| ask_apart(dir, "x")).collect();
        let mut plain = requester(&dir.join("plain"));
        assert_eq!(ask(&mut plain, "0"), "re:0");
        released.set(Disk::Breaks);
        let answers: Vec<_> = deferred.into_iter().map(|asker| asker.join().unwrap()).collect();
        let failed = answers.iter().filter(|answer| *answer == "con_failed").count();
        assert!(failed > 0, "the first commit has failed: {answers:?}");
        // One that came when all others had been answered finds no backlog, and the host is there.
        let is_true =
            |answer: &String| answer == "con_failed" || answer.starts_with("con_delayed:") || answer == "re:x";
        assert!(answers.iter().all(is_true), "{answers:?}");

        let mut deferred = requester(&dir.join("deferred"));
        assert_eq!(ask(&mut deferred, "meanwhile"), "con_failed");
        let start = Instant::now();
        while ask(&mut deferred, "again") != "re:again" {
            assert!(start.elapsed() < LONG / 2, "the replay has not emptied the fresh store");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_store_that_cannot_be_used_keeps_its_reason_in_the_status() {
    let drive = Drive::new(Disk::Stalls);
    let released = drive.clone();
    let numbers = with_worker(&drive, move |dir| {
        let deferred: Vec<_> = (0..300).map(|_| ask_apart(dir, "x")).collect();
        assert_eq!(ask(&mut requester(&dir.join("plain")), "0"), "re:0");
        released.set(Disk::Breaks);
        deferred.into_iter().for_each(|asker| drop(asker.join().unwrap()));
    });
    assert!(numbers.last_error.contains("a test"), "{numbers:?}");
}

/// Waits, within the loop, until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_worker_that_is_told_to_retire_while_it_waits_for_room_in_the_way_closes_who_is_owed_nothing() {
    // More than the way has room for; both ends of each are in this process.
    const MANY: usize = 450;
    let dir = tempfile::tempdir().unwrap();
    let plain = UnixListener::bind(dir.path().join("plain")).unwrap();
    let (outlet, inlet) = crate::system::handover::pair().unwrap();
    let address = Address::Unix { path: "/nobody".into() };
    let settings = HostSettings::with_defaults("host", address, Dialect::Line);
    LocalSet::new().block_on(&runtime().unwrap(), async {
        let (reports, _kept) = unbounded_channel();
        let worker = Rc::new(Worker::new(0, Dispatch::new(settings, 1), reports));
        let (listeners, outlet) = (vec![Inherited::Unix(plain)], Some(outlet));
        begin(&worker, None, Inheritance { listeners, outlet, ..Inheritance::default() }, None).unwrap();
        let path = dir.path().join("plain");
        let connect = move || (0..MANY).map(|_| UnixStream::connect(&path).unwrap()).collect::<Vec<_>>();
        let visitors = tokio::task::spawn_blocking(connect).await.unwrap();
        until("all are accepted", || worker.look(Dispatch::requesters) == MANY).await;
        worker.hand_over();
        until("some are in the way", || worker.look(Dispatch::requesters) < MANY).await;
        let left = worker.look(Dispatch::requesters);
        assert!(left > 0, "there is room for all of them: the test needs more");
        worker.retire();
        until("the rest is closed", || worker.look(Dispatch::requesters) == 0).await;
        let closed = |visitor: &UnixStream| {
            visitor.set_nonblocking(true).unwrap();
            std::io::Read::read(&mut &*visitor, &mut [0]).is_ok_and(|count| count == 0)
        };
        assert_eq!(visitors.iter().filter(|visitor| closed(visitor)).count(), left, "who is in the way is not closed");
        drop(inlet);
        assert!(visitors.iter().all(closed));
    });
}
