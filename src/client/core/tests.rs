//! The core under tables and random sequences.

use proptest::prelude::*;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);

fn terms(dialect: Dialect, deferred: bool) -> Terms {
    Terms { dialect, deferred, max_reply: 100, patience: PATIENCE, overdue: DEADLINE }
}

/// A core with a connection, and the time.
fn connected(dialect: Dialect, deferred: bool) -> (Core, Instant) {
    let (mut core, now) = (Core::new(terms(dialect, deferred)), Instant::now());
    core.connected(now);
    (core, now)
}

fn unwritten(core: &Core) -> Vec<u8> {
    core.unwritten().iter().flat_map(|slice| slice.to_vec()).collect()
}

fn write_all(core: &mut Core) {
    core.wrote(unwritten(core).len());
}

fn word(core: &mut Core) -> Option<&'static str> {
    core.take_next().map(|(_, outcome)| outcome.word())
}

#[test]
fn replies_in_any_split_go_to_their_requests_in_order() {
    let (mut core, now) = connected(Dialect::Line, false);
    let tickets = [b"a\n", b"b\n"].map(|frame| core.submit(frame.to_vec(), now + DEADLINE));
    assert_eq!(unwritten(&core), b"a\nb\n");
    write_all(&mut core);
    for byte in b"A\nB\n" {
        core.received(&[*byte], now, 0.0);
    }
    let texts = tickets.map(|ticket| core.take(ticket).unwrap().reply().unwrap().text());
    assert_eq!((texts, core.is_owed_anything()), (["A".to_owned(), "B".to_owned()], false));
}

#[test]
fn what_was_written_in_part_is_unknown_and_what_was_not_waits_for_the_next_connection() {
    let (mut core, now) = connected(Dialect::Line, false);
    for frame in ["whole\n", "part\n", "not\n"] {
        core.submit(frame.into(), now + DEADLINE);
    }
    core.wrote("whole\np".len());
    core.ended("closed", now, 0.0);
    assert_eq!([word(&mut core), word(&mut core), word(&mut core)], [Some("unknown"), Some("unknown"), None]);
    assert!(unwritten(&core).is_empty());
    core.connected(core.connect_at(now).unwrap());
    assert_eq!(unwritten(&core), b"not\n");
}

#[test]
fn a_deadline_ends_one_request_alone_and_its_late_reply_is_dropped() {
    let (mut core, now) = connected(Dialect::Line, false);
    core.submit(b"slow\n".to_vec(), now + Duration::from_secs(1));
    core.submit(b"b\n".to_vec(), now + DEADLINE);
    write_all(&mut core);
    core.submit(b"c\n".to_vec(), now + Duration::from_secs(1));
    assert_eq!(core.wake_at(), Some(now + Duration::from_secs(1)));
    core.tick(now + Duration::from_secs(1), 0.0);
    assert_eq!(word(&mut core), Some("unknown"));
    assert!(unwritten(&core).is_empty(), "what timed out unwritten will never be written");
    core.received(b"late\nB\n", now, 0.0);
    assert_eq!(core.take_next().unwrap().1.reply().unwrap().text(), "B");
    assert_eq!(word(&mut core), Some("timeout"));
    assert!(core.is_up() && core.owed.is_empty());
}

#[test]
fn a_connection_whose_reply_is_overdue_is_given_up() {
    let (mut core, now) = connected(Dialect::Line, false);
    core.submit(b"a\n".to_vec(), now + DEADLINE);
    write_all(&mut core);
    core.tick(now + DEADLINE, 0.0);
    assert_eq!((word(&mut core), core.is_up()), (Some("unknown"), true));
    let overdue = core.wake_at().unwrap();
    assert_eq!(overdue, now + 2 * DEADLINE);
    core.tick(overdue, 0.0);
    assert!(!core.is_up());
}

#[test]
fn a_daemon_that_is_away_is_waited_for_and_then_requests_are_lost_at_once() {
    let (mut core, now) = (Core::new(terms(Dialect::Line, false)), Instant::now());
    core.submit(b"a\n".to_vec(), now + DEADLINE);
    assert_eq!(core.connect_at(now), Some(now));
    core.connect_failed("refused", now, 0.0);
    assert_eq!((word(&mut core), core.wake_at()), (None, Some(now + PATIENCE)));
    let later = now + PATIENCE;
    core.connect_failed("refused", later, 0.0);
    let (_, outcome) = core.take_next().unwrap();
    assert!(outcome.reply().unwrap_err().to_string().contains("refused"));
    core.submit(b"b\n".to_vec(), later + DEADLINE);
    core.tick(later, 0.0);
    assert_eq!(word(&mut core), Some("lost"), "the next attempt is not due yet");
    core.submit(b"c\n".to_vec(), later + DEADLINE);
    let soon = later + Duration::from_millis(20);
    assert!(core.connect_at(later).is_some_and(|at| at <= soon), "new work is not kept waiting by a long pause");
    core.tick(soon + DEADLINE, 0.0);
    assert_eq!(word(&mut core), Some("lost"), "its deadline passed while nobody could be connected to");
}

#[test]
fn behind_a_refusal_nothing_was_sent_but_for_deferred_requests_of_resp() {
    for (dialect, deferred, refusal, expected) in [
        (Dialect::Line, false, &b"con_refused\n"[..], Some("lost")),
        (Dialect::Resp, false, b"-CONREFUSED why\r\n", Some("lost")),
        (Dialect::Resp, true, b"-CONREFUSED why\r\n", None),
    ] {
        let (mut core, now) = connected(dialect, deferred);
        core.submit(b"a\r\n".to_vec(), now + DEADLINE);
        core.submit(b"b\r\n".to_vec(), now + DEADLINE);
        write_all(&mut core);
        core.received(refusal, now, 0.0);
        assert_eq!((word(&mut core), word(&mut core)), (Some("refused"), expected), "{dialect:?} {deferred}");
        assert_eq!(core.is_up(), expected.is_none());
    }
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_connection() {
    let (mut core, now) = connected(Dialect::Line, false);
    core.submit(b"a\n".to_vec(), now + DEADLINE);
    core.received(b"x\n", now, 0.0);
    assert!(!core.is_up());
    core.connected(now);
    write_all(&mut core);
    core.received(b"A\nx\n", now, 0.0);
    assert_eq!((word(&mut core), core.is_up()), (Some("reply"), false));
}

#[test]
fn a_reply_that_is_none_or_too_large_ends_the_connection() {
    for reply in [&b"?"[..], &[&b"$200\r\n"[..], &[b'x'; 200]].concat()] {
        let (mut core, now) = connected(Dialect::Resp, false);
        core.submit(b"GET a\r\n".to_vec(), now + DEADLINE);
        write_all(&mut core);
        core.received(reply, now, 0.0);
        assert_eq!((word(&mut core), core.is_up()), (Some("unknown"), false));
    }
}

#[test]
fn a_reply_of_memcached_ends_where_its_request_says() {
    let (mut core, now) = connected(Dialect::Memcache, false);
    let tickets = [&b"get a\r\n"[..], b"version\r\n"].map(|frame| core.submit(frame.to_vec(), now + DEADLINE));
    write_all(&mut core);
    core.received(b"VALUE a 0 1\r\nx\r\nEND\r\nVERSION 1\r\n", now, 0.0);
    let texts = tickets.map(|ticket| core.take(ticket).unwrap().reply().unwrap().text());
    assert_eq!(texts, ["VALUE a 0 1\r\nx\r\nEND", "VERSION 1"]);
}

#[test]
fn an_abandoned_request_keeps_its_reply_from_the_next_one() {
    let (mut core, now) = connected(Dialect::Line, false);
    let first = core.submit(b"a\n".to_vec(), now + DEADLINE);
    core.submit(b"b\n".to_vec(), now + DEADLINE);
    write_all(&mut core);
    core.abandon(first);
    core.received(b"A\nB\n", now, 0.0);
    assert_eq!(core.take_next().unwrap().1.reply().unwrap().text(), "B");
}

/// What may happen to a core.
#[derive(Debug, Clone)]
enum Event {
    Submit(u64),
    Write(usize),
    Answer(usize),
    End,
    Connect,
    Fail,
    Pass(u64),
    Abandon(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u64..4000).prop_map(Event::Submit),
        4 => (1usize..20).prop_map(Event::Write),
        4 => (1usize..20).prop_map(Event::Answer),
        1 => Just(Event::End),
        3 => Just(Event::Connect),
        1 => Just(Event::Fail),
        2 => (1u64..3000).prop_map(Event::Pass),
        1 => (0usize..20).prop_map(Event::Abandon),
    ]
}

/// The request with this number: its first byte is found in no other.
fn frame(number: usize) -> Vec<u8> {
    vec![0x80 + u8::try_from(number).unwrap(), b'x', b'y', b'\n']
}

/// A daemon that answers each request with itself, and keeps all that was written to any of its connections.
struct World {
    core: Core,
    now: Instant,
    tickets: Vec<Ticket>,
    abandoned: Vec<bool>,
    outcomes: Vec<Option<Outcome>>,
    /// Of each connection all that was written, and how much of the answers to it was read.
    connections: Vec<(Vec<u8>, usize)>,
}

impl World {
    fn new() -> Self {
        let (core, now) = (Core::new(terms(Dialect::Line, false)), Instant::now());
        Self { core, now, tickets: vec![], abandoned: vec![], outcomes: vec![], connections: vec![] }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Submit(ms) => {
                let frame = frame(self.tickets.len());
                self.tickets.push(self.core.submit(frame, self.now + Duration::from_millis(ms)));
                self.abandoned.push(false);
                self.outcomes.push(None);
            }
            Event::Write(count) if self.core.is_up() => {
                let bytes: Vec<u8> = unwritten(&self.core).into_iter().take(count).collect();
                self.core.wrote(bytes.len());
                self.connections.last_mut().unwrap().0.extend(bytes);
            }
            Event::Answer(count) if self.core.is_up() => {
                let (written, read) = self.connections.last_mut().unwrap();
                let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let bytes: Vec<u8> = written[*read..whole].iter().copied().take(count).collect();
                *read += bytes.len();
                self.core.received(&bytes, self.now, 0.5);
            }
            Event::End => self.core.ended("the connection ended", self.now, 0.5),
            Event::Connect if !self.core.is_up() => {
                self.core.connected(self.now);
                self.connections.push((Vec::new(), 0));
            }
            Event::Fail if !self.core.is_up() => self.core.connect_failed("refused", self.now, 0.5),
            Event::Pass(ms) => {
                self.now += Duration::from_millis(ms);
                self.core.tick(self.now, 0.5);
            }
            Event::Abandon(number) if self.outcomes.get(number).is_some_and(Option::is_none) => {
                self.abandoned[number] = true;
                self.core.abandon(self.tickets[number]);
            }
            _ => {}
        }
        while let Some((ticket, outcome)) = self.core.take_next() {
            let number = self.tickets.iter().position(|known| *known == ticket).unwrap();
            assert!(self.outcomes[number].replace(outcome).is_none(), "{number} has a second outcome");
        }
    }

    fn judge(&self) {
        for (number, outcome) in self.outcomes.iter().enumerate() {
            let frame = frame(number);
            let begun = self.connections.iter().filter(|(written, _)| written.contains(&frame[0])).count();
            assert!(begun <= 1, "{number} was written to {begun} connections");
            assert_eq!(outcome.is_none(), self.abandoned[number], "{number}: {outcome:?}");
            match outcome {
                Some(Outcome::Reply(reply)) => assert_eq!(reply.frame(), frame),
                Some(Outcome::Failure(failed)) => assert_eq!(failed.was_never_sent(), begun == 0, "{number}: {failed}"),
                Some(Outcome::Delayed(id)) => panic!("nobody stores {id}"),
                None => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_request_has_one_true_outcome_whatever_happens(events in prop::collection::vec(event(), 0..120)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        for _ in 0..10 {
            world.apply(&Event::Pass(10_000));
        }
        prop_assert!(!world.core.is_owed_anything());
        world.judge();
    }
}
