//! Power loss: what a store wrote and synced is recorded, then played back up to a point at which the power fails.
//!
//! What was synced before that point is there. Of what was written since, each write may be there or not, whole or in
//! sectors of 512 bytes, whatever came before or after it; of the names made, moved and removed since the directory's last
//! sync, a first part. The result is opened with the real code, and must hold all that had been acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tieline::spool::store::{Appended, How, Id, RowState, Settled, Store, Synchronous, Which};

use super::{at, body, limits, new, number, preload, rounds, scratch};

const SECTOR: usize = 512;

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    if let Some(root) = preload::under_the_library() {
        return workload(&root);
    }
    let log = record("power::nothing_acknowledged_is_lost_when_the_power_fails", Synchronous::Full);
    let verdict = crash(&log, 1, rounds(2_000, 100_000));
    println!(
        "{} crash points, {} of them with rows there, {} losses",
        verdict.points,
        verdict.held,
        verdict.lost.len()
    );
    assert!(verdict.lost.is_empty(), "{:#?}", &verdict.lost[..verdict.lost.len().min(5)]);
    assert!(verdict.held * 2 > verdict.points, "the harness looks at stores that hold something");
}

#[test]
fn the_harness_sees_losses_when_commits_are_not_synced() {
    if let Some(root) = preload::under_the_library() {
        return workload(&root);
    }
    for synchronous in [Synchronous::Normal, Synchronous::Off] {
        let log = record("power::the_harness_sees_losses_when_commits_are_not_synced", synchronous);
        let verdict = crash(&log, 1, rounds(200, 2_000));
        println!("{synchronous:?}: {} losses at {} crash points", verdict.lost.len(), verdict.points);
        assert!(!verdict.lost.is_empty(), "{synchronous:?} loses nothing: the harness proves nothing");
    }
}

/// Runs the workload under the recorder: `test` again, which finds itself under the library.
pub(super) fn record(test: &str, synchronous: Synchronous) -> Vec<Op> {
    let root = scratch();
    let log = root.path().join("log");
    let dir = root.path().join("disk");
    fs::create_dir(&dir).unwrap();
    preload::run(test, &dir, Some(&log), &[("TIELINE_SYNCHRONOUS", format!("{synchronous:?}"))]);
    parse(&fs::read(&log).unwrap(), &dir)
}

/// Says something in the record, between the store's own writes.
pub(super) fn note(acks: &mut fs::File, what: char, number: u64) {
    use std::io::Write;
    acks.write_all(format!("{what}{number}").as_bytes()).unwrap();
}

fn workload(root: &Path) {
    let synchronous = match std::env::var("TIELINE_SYNCHRONOUS").as_deref() {
        Ok("Normal") => Synchronous::Normal,
        Ok("Off") => Synchronous::Off,
        _ => Synchronous::Full,
    };
    let dir = root.join("ledger");
    let mut acks = fs::File::create(root.join("acks")).unwrap();
    let mut next = 0;
    for life in 0..4 {
        let (mut store, _) = Store::open_with(&dir, limits(), at(life * 1000), synchronous).unwrap();
        for round in 0..14 {
            append(&mut store, &mut acks, &mut next, 1 + (round * 5 + life) % 9);
            if round % 3 == 1 {
                deliver(&mut store, &mut acks, 4);
            }
            if round % 5 == 4 {
                store.hold(&Which::These(vec![Id(next - 1), Id(next)])).unwrap();
                store.release(&Which::All).unwrap();
            }
            store.maintain(at(life * 1000 + 1 + round / 2), round % 4 == 3).unwrap();
        }
        if life % 2 == 0 {
            store.close().unwrap();
        }
    }
}

fn append(store: &mut Store, acks: &mut fs::File, next: &mut u64, size: u64) {
    let numbers: Vec<u64> = (*next..*next + size).collect();
    *next += size;
    numbers.iter().for_each(|number| note(acks, 'a', *number));
    let bodies: Vec<_> = numbers.iter().map(|number| body(*number)).collect();
    let rows: Vec<_> = bodies.iter().map(|body| new(body)).collect();
    for (number, told) in numbers.iter().zip(store.append(&rows).unwrap()) {
        // Nothing is ever refused here, so that the ID says the number.
        assert_eq!(told, Appended::Stored(Id(number + 1)));
        note(acks, 'A', *number);
    }
}

fn deliver(store: &mut Store, acks: &mut fs::File, rows: usize) {
    let rows = store.next(Id(0), rows, usize::MAX).unwrap();
    let mark = rows.last().unwrap().id;
    store.settle(&[], mark).unwrap();
    rows.iter().for_each(|row| note(acks, 'd', number(&row.body)));
    let settled: Vec<_> = rows.iter().map(|row| Settled { id: row.id, how: How::Delivered }).collect();
    store.settle(&settled, mark).unwrap();
    rows.iter().for_each(|row| note(acks, 'D', number(&row.body)));
}

/// One recorded call.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(u64, PathBuf),
    Write(u64, usize, Vec<u8>),
    Truncate(u64, usize),
    Sync(u64),
    SyncDir,
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Mkdir,
    Note(char, u64),
}

/// The record; the notes are told from the store's files by their inode.
fn parse(log: &[u8], root: &Path) -> Vec<Op> {
    let mut ops = Vec::new();
    let (mut rest, mut acks) = (log, None);
    while !rest.is_empty() {
        let long = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().unwrap());
        let (kind, inode, a) = (rest[0], long(1), usize::try_from(long(9)).unwrap());
        let length = u32::from_ne_bytes(rest[25..29].try_into().unwrap()) as usize;
        let data = &rest[29..29 + length];
        let path = |data: &[u8]| {
            Path::new(std::str::from_utf8(data).unwrap()).strip_prefix(root).map(Path::to_owned).unwrap_or_default()
        };
        let op = match kind {
            b'C' if path(data) == Path::new("acks") => {
                acks = Some(inode);
                None
            }
            b'C' => Some(Op::Create(inode, path(data))),
            b'W' if acks == Some(inode) => {
                let text = std::str::from_utf8(data).unwrap();
                Some(Op::Note(text.chars().next().unwrap(), text[1..].parse().unwrap()))
            }
            b'W' => Some(Op::Write(inode, a, data.to_vec())),
            b'T' => Some(Op::Truncate(inode, a)),
            b'S' => Some(Op::Sync(inode)),
            b'D' => Some(Op::SyncDir),
            b'U' => Some(Op::Unlink(path(data))),
            b'M' => Some(Op::Mkdir),
            b'R' => {
                let end = data.iter().position(|byte| *byte == 0).unwrap();
                Some(Op::Rename(path(&data[..end]), path(&data[end + 1..])))
            }
            other => panic!("{other}"),
        };
        ops.extend(op);
        rest = &rest[29 + length..];
    }
    ops
}

/// A file: what is durable, and what was done since.
#[derive(Debug, Clone, Default)]
struct Object {
    durable: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Size(usize),
}

/// The names, and which object each has.
type Names = BTreeMap<PathBuf, usize>;

/// A disk in the middle of a record.
#[derive(Default)]
struct Disk {
    objects: Vec<Object>,
    by_inode: BTreeMap<u64, usize>,
    /// Each step since the last sync of the directory; the first is durable.
    names: Vec<Names>,
}

impl Disk {
    fn apply(&mut self, op: &Op) {
        if self.names.is_empty() {
            self.names.push(Names::new());
        }
        let mut names = self.names.last().unwrap().clone();
        match op {
            Op::Create(inode, path) => {
                self.objects.push(Object::default());
                self.by_inode.insert(*inode, self.objects.len() - 1);
                names.insert(path.clone(), self.objects.len() - 1);
            }
            Op::Write(inode, offset, data) => return self.change(*inode, Change::Write(*offset, data.clone())),
            Op::Truncate(inode, size) => return self.change(*inode, Change::Size(*size)),
            Op::Sync(inode) => {
                if let Some(object) = self.by_inode.get(inode).map(|object| &mut self.objects[*object]) {
                    for change in std::mem::take(&mut object.since) {
                        put(&mut object.durable, &change, |_| true);
                    }
                }
                return;
            }
            Op::SyncDir => {
                self.names = vec![names];
                return;
            }
            Op::Rename(from, to) => {
                if let Some(object) = names.remove(from) {
                    names.insert(to.clone(), object);
                }
            }
            Op::Unlink(path) => drop(names.remove(path)),
            Op::Mkdir | Op::Note(..) => return,
        }
        self.names.push(names);
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(object) = self.by_inode.get(&inode) {
            self.objects[*object].since.push(change);
        }
    }

    /// Writes what is left after the power failed.
    fn image(&self, dir: &Path, rng: &mut fastrand::Rng) {
        fs::create_dir_all(dir).unwrap();
        let names = &self.names[rng.usize(..self.names.len())];
        for (path, object) in names {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.objects[*object].after_power_loss(rng)).unwrap();
        }
    }
}

impl Object {
    fn after_power_loss(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut image = self.durable.clone();
        let end = if self.since.is_empty() { 0 } else { rng.usize(..=self.since.len()) };
        let way = rng.u8(..6);
        for (place, change) in self.since.iter().enumerate() {
            match way {
                // Nothing of it; all of it.
                0 => {}
                1 => put(&mut image, change, |_| true),
                // Reordered: some of it.
                2 if rng.bool() => put(&mut image, change, |_| true),
                // Torn: some sectors of some of it.
                3 => put(&mut image, change, |_| rng.bool()),
                // The first part, the last write of it torn.
                4 if place < end => put(&mut image, change, |_| true),
                4 if place == end => put(&mut image, change, |_| rng.bool()),
                // All but one.
                5 if place != end => put(&mut image, change, |_| true),
                _ => {}
            }
        }
        image
    }
}

/// Does a change, as far as its sectors are kept.
fn put(image: &mut Vec<u8>, change: &Change, mut kept: impl FnMut(usize) -> bool) {
    match change {
        Change::Size(size) => {
            if kept(0) {
                image.resize(*size, 0);
            }
        }
        Change::Write(offset, data) => {
            let mut from = 0;
            while from < data.len() {
                // Sectors are those of the disk, not of the write.
                let to = (from + SECTOR - (offset + from) % SECTOR).min(data.len());
                if kept(from) {
                    image.resize(image.len().max(offset + to), 0);
                    image[offset + from..offset + to].copy_from_slice(&data[from..to]);
                }
                from = to;
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) points: usize,
    /// Points at which something was stored.
    pub(super) held: usize,
    pub(super) lost: Vec<String>,
}

/// Lets the power fail at so many points, after the call `first` at the earliest, in two threads.
pub(super) fn crash(ops: &[Op], first: usize, points: usize) -> Verdict {
    let seed = std::env::var("TIELINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| scope.spawn(move || crash_half(ops, first, points / 2, seed * 2 + half)));
        let mut all = Verdict::default();
        for half in halves {
            let half = half.join().unwrap();
            (all.points, all.held) = (all.points + half.points, all.held + half.held);
            all.lost.extend(half.lost);
        }
        all
    })
}

fn crash_half(ops: &[Op], first: usize, points: usize, seed: u64) -> Verdict {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at: Vec<usize> = (0..points).map(|_| rng.usize(first..=ops.len())).collect();
    at.sort_unstable();
    let (mut disk, mut notes, mut done) = (Disk::default(), BTreeMap::new(), 0);
    let (scratch, mut verdict) = (scratch(), Verdict::default());
    for (index, point) in at.into_iter().enumerate() {
        for op in &ops[done..point] {
            if let Op::Note(what, number) = op {
                notes.insert(*number, *what);
            }
            disk.apply(op);
        }
        done = point;
        let dir = scratch.path().join(index.to_string());
        disk.image(&dir, &mut rng);
        verdict.points += 1;
        match judge(&dir, &notes) {
            Ok(held) => verdict.held += usize::from(held),
            Err(why) => verdict.lost.push(format!("after {point} of {} calls (seed {seed}): {why}", ops.len())),
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    verdict
}

/// Opens the image and compares it with what had been said: `a` to be stored, `A` stored, `d` to be settled, `D` settled.
fn judge(dir: &Path, notes: &BTreeMap<u64, char>) -> Result<bool, String> {
    let opened = Store::open(&dir.join("ledger"), limits(), at(9_000));
    let (mut store, findings) = opened.map_err(|error| error.to_string())?;
    if findings.damage() {
        return Err(format!("a false alarm, or a true one: {findings:?}"));
    }
    let mut here = BTreeMap::new();
    for state in RowState::ALL {
        let mut after = Id(0);
        loop {
            let page = store.list(state, after, 1000).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for entry in page {
                if entry.state == RowState::Damaged {
                    return Err(format!("row {} is damaged", entry.id));
                }
                here.insert(number(&entry.body), entry);
            }
        }
    }
    for (number, what) in notes {
        match (what, here.get(number)) {
            ('A', None) => return Err(format!("request {number} was acknowledged and is gone")),
            ('D', Some(_)) => return Err(format!("request {number} was settled and is back")),
            (_, Some(entry)) if entry.id.0 != number + 1 => return Err(format!("request {number} is {}", entry.id)),
            ('d', Some(entry)) if !entry.in_doubt => return Err(format!("request {number} is in doubt, unsaid")),
            _ => {}
        }
    }
    if let Some(number) = here.keys().find(|number| !notes.contains_key(number)) {
        return Err(format!("request {number} is made up"));
    }
    let next: Vec<_> = store.next(Id(0), 10_000, usize::MAX).map_err(|error| error.to_string())?;
    let pending = here.values().filter(|entry| entry.state == RowState::Pending).count();
    if !next.is_sorted_by_key(|row| row.id) || next.len() != pending {
        return Err("a gap or a wrong order".to_owned());
    }
    Ok(!here.is_empty())
}
