//! Sessions without any socket: single rules by example, and a world of requesters and Redis connections in which each
//! requester must see what it would see if it had a Redis connection of its own all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::turned::SILENCE;
use super::*;
use crate::config::{Address, HostSettings};
use crate::dialect::{Dialect, Fed, ReplyFramer, RequestFramer, Wish, encode_command, split_inline};
use crate::requester::Standing;

const TIMEOUT: Duration = Duration::from_secs(5);

fn settings() -> HostSettings {
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
    let mut host = HostSettings::with_defaults("host", address, Dialect::Resp);
    (host.connections, host.sessions, host.timeout, host.retries) = (2, 2, TIMEOUT, 3);
    host
}

/// A dispatch whose host has been asked for its commands already.
fn dispatch(change: impl Fn(&mut HostSettings)) -> (Dispatch, Instant) {
    let mut host = settings();
    change(&mut host);
    let mut dispatch = Dispatch::new(host, 1);
    dispatch.taught = super::super::voices::Taught::Asked;
    (dispatch, Instant::now())
}

/// What the session of a requester would do with a line.
fn ask(d: &mut Dispatch, requester: RequesterId, line: &str, now: Instant) {
    let words = split_inline(line.as_bytes()).unwrap();
    let mut request = Vec::new();
    encode_command(&words, &mut request);
    match Dialect::Resp.wish(&request) {
        Wish::Session { command, act } => d.session(requester, command, act, &request, now),
        Wish::Hello(voice) => d.hello(requester, voice, &request, now),
        Wish::Note(answer) => d.note(requester, &request, answer),
        _ => d.request(requester, &request, now),
    }
}

fn lines(requests: &[u8]) -> String {
    let mut framer = RequestFramer::new(Dialect::Resp, 1 << 20);
    let (mut rest, mut lines) = (requests, Vec::new());
    while let Fed::Complete(length) = framer.feed(rest) {
        let text = String::from_utf8(rest[..length].to_vec()).unwrap();
        let words: Vec<_> = text.split("\r\n").skip(2).step_by(2).filter(|word| !word.is_empty()).collect();
        lines.push(words.join(" "));
        rest = &rest[length..];
    }
    lines.join(", ")
}

fn sent(d: &mut Dispatch, connection: ConnectionId, now: Instant) -> String {
    let bytes = d.outgoing(connection).to_vec();
    d.wrote(connection, bytes.len(), now);
    lines(&bytes)
}

fn given(d: &mut Dispatch, requester: RequesterId, now: Instant) -> String {
    let bytes = d.account(requester).unwrap().unsent().to_vec();
    d.took(requester, bytes.len(), now);
    String::from_utf8(bytes).unwrap()
}

fn open(d: &mut Dispatch, now: Instant) -> ConnectionId {
    d.attempt_begins();
    d.opened(now)
}

fn open_own(d: &mut Dispatch, now: Instant) -> ConnectionId {
    let attempt = d.next_opening().expect("a session waits for a connection");
    d.opened_own(attempt, now)
}

#[test]
fn a_transaction_has_a_connection_of_its_own_and_leaves_it_to_the_next_one() {
    let (mut d, now) = dispatch(|_| ());
    let (r, other) = (d.join(), d.join());
    let shared = open(&mut d, now);
    ask(&mut d, r, "MULTI", now);
    assert!(!d.may_read(r, now), "what follows waits for the connection");
    let own = open_own(&mut d, now);
    assert!(d.may_read(r, now));
    ask(&mut d, r, "SET k v", now);
    ask(&mut d, other, "GET k", now);
    ask(&mut d, r, "EXEC", now);
    assert_eq!(sent(&mut d, own, now), "MULTI, SET k v, EXEC");
    assert_eq!(sent(&mut d, shared, now), "GET k");
    d.received(own, b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    ask(&mut d, r, "GET k", now);
    assert_eq!(sent(&mut d, shared, now), "GET k", "it is back");
    ask(&mut d, other, "WATCH k", now);
    d.received(shared, b"$-1\r\n$1\r\nv\r\n", now, &mut |_, _| 0).unwrap();
    assert!(d.may_read(other, now));
    assert_eq!(sent(&mut d, own, now), "WATCH k", "the connection is used again");
    assert_eq!(d.numbers().sessions, 1);
}

#[test]
fn a_session_begins_when_what_was_asked_before_is_answered() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    let shared = open(&mut d, now);
    ask(&mut d, r, "SET k v", now);
    ask(&mut d, r, "BLPOP l 0", now);
    assert_eq!(d.next_opening(), None);
    sent(&mut d, shared, now);
    d.received(shared, b"+OK\r\n", now, &mut |_, _| 0).unwrap();
    assert!(!d.may_read(r, now));
    let own = open_own(&mut d, now);
    assert_eq!(sent(&mut d, own, now), "BLPOP l 0");
    d.expire(now + TIMEOUT * 9);
    assert_eq!(given(&mut d, r, now), "+OK\r\n", "and has no deadline");
    d.leave(r);
    assert_eq!(d.ended(own).map(|(why, _)| why), Some("its requester has left"));
}

#[test]
fn what_was_meant_for_a_session_that_could_not_be_had_is_sent_nowhere_else() {
    let (mut d, now) = dispatch(|host| host.sessions = 0);
    let (r, other) = (d.join(), d.join());
    let shared = open(&mut d, now);
    for line in ["MULTI", "INCR k", "INCR k", "EXEC", "INCR k"] {
        ask(&mut d, r, line, now);
    }
    let answers = given(&mut d, r, now);
    assert_eq!(answers.matches("-CONBUSY").count(), 4, "{answers}");
    assert_eq!(sent(&mut d, shared, now), "INCR k", "the one behind the transaction");
    ask(&mut d, other, "SELECT 1", now);
    ask(&mut d, other, "PING", now);
    ask(&mut d, other, "SET k v", now);
    assert_eq!(sent(&mut d, shared, now), "PING", "which does no harm anywhere");
    ask(&mut d, other, "SET k v", now + SILENCE);
    assert_eq!(sent(&mut d, shared, now), "SET k v", "one that has been silent has read the answer");
    ask(&mut d, other, "BLPOP l 0", now);
    d.received(shared, b":1\r\n+PONG\r\n+OK\r\n", now, &mut |_, _| 0).unwrap();
    assert!(d.may_read(other, now), "and one that cannot wait goes on");
}

#[test]
fn a_session_that_breaks_ends_its_requester_and_says_what_was_sent() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    ask(&mut d, r, "MULTI", now);
    let own = open_own(&mut d, now);
    sent(&mut d, own, now);
    ask(&mut d, r, "SET k v", now);
    d.broke(own, "reset", now);
    let answers = given(&mut d, r, now);
    let words: Vec<_> = answers.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words, ["-CONUNKNOWN", "-CONLOST"]);
    assert_eq!(d.account(r).unwrap().standing, Standing::Closing);
}

#[test]
fn an_attempt_that_fails_is_answered_as_lost_and_the_requester_goes_on() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    ask(&mut d, r, "BLPOP l 0", now);
    let attempt = d.next_opening().unwrap();
    d.opening_failed(attempt, "refused", now);
    assert!(given(&mut d, r, now).starts_with("-CONLOST"));
    assert!(d.may_read(r, now));
    assert_eq!(d.numbers().sessions, 0);
}

#[test]
fn a_requester_that_leaves_while_its_connection_is_opened_leaves_it_to_the_next() {
    let (mut d, now) = dispatch(|host| host.sessions = 1);
    let r = d.join();
    ask(&mut d, r, "BLPOP l 0", now);
    d.leave(r);
    let r = d.join();
    ask(&mut d, r, "MULTI", now);
    assert!(given(&mut d, r, now).starts_with("-CONBUSY"), "the one that is being opened counts");
    let own = open_own(&mut d, now);
    assert_eq!(sent(&mut d, own, now), "");
    ask(&mut d, r, "MULTI", now);
    assert_eq!(sent(&mut d, own, now), "MULTI");
}

#[test]
fn both_voices_take_turns_on_a_single_connection() {
    let (mut d, now) = dispatch(|host| host.connections = 1);
    let (two, three) = (d.join(), d.join());
    let c = open(&mut d, now);
    ask(&mut d, two, "GET a", now);
    ask(&mut d, three, "HELLO 3", now);
    ask(&mut d, two, "GET b", now);
    assert_eq!(sent(&mut d, c, now), "GET a", "the connection takes no more for the first voice");
    d.received(c, b"$-1\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(sent(&mut d, c, now), "HELLO 3");
    d.received(c, b"%1\r\n+proto\r\n:3\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(sent(&mut d, c, now), "HELLO 3");
    d.received(c, b"%1\r\n+proto\r\n:3\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, three, now), "%1\r\n+proto\r\n:3\r\n");
    assert_eq!(sent(&mut d, c, now), "HELLO 2");
    d.received(c, b"*2\r\n+proto\r\n:2\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(sent(&mut d, c, now), "GET b");
    d.received(c, b"$1\r\nb\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, two, now), "$-1\r\n$1\r\nb\r\n");
    assert!(d.may_read(three, now));
    ask(&mut d, three, "GET c", now);
    assert_eq!(sent(&mut d, c, now), "HELLO 3");
}

#[test]
fn a_host_that_knows_no_other_voice_says_so_itself() {
    let (mut d, now) = dispatch(|host| host.connections = 1);
    let r = d.join();
    let c = open(&mut d, now);
    ask(&mut d, r, "HELLO 3", now);
    assert_eq!(sent(&mut d, c, now), "HELLO 3");
    d.received(c, b"-NOPROTO unsupported\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), "-NOPROTO unsupported\r\n");
    assert!(d.may_read(r, now));
    ask(&mut d, r, "GET a", now);
    assert_eq!(sent(&mut d, c, now), "GET a", "it speaks the first voice on");
}

#[test]
fn what_a_requester_says_about_itself_costs_nothing_and_is_told_to_its_own_connection() {
    let (mut d, now) = dispatch(|_| ());
    let r = d.join();
    ask(&mut d, r, "CLIENT SETINFO LIB-NAME mine", now);
    assert_eq!(given(&mut d, r, now), "+OK\r\n");
    ask(&mut d, r, "WAIT 0 0", now);
    let own = open_own(&mut d, now);
    assert_eq!(sent(&mut d, own, now), "CLIENT SETINFO LIB-NAME mine, PING, WAIT 0 0");
    d.received(own, b"-ERR unknown\r\n+PONG\r\n:0\r\n", now, &mut |_, _| 0).unwrap();
    assert_eq!(given(&mut d, r, now), ":0\r\n");
}

/// A Redis connection as one program sees it.
#[derive(Debug, Default, Clone)]
struct Private {
    queued: Option<Vec<String>>,
    db: u8,
    three: bool,
}

impl Private {
    /// The reply to a command with a number.
    fn reply(&mut self, line: &str) -> String {
        let (name, number) = line.split_once(' ').unwrap_or((line, ""));
        match (name, &mut self.queued) {
            ("EXEC", Some(queued)) => {
                let queued = std::mem::take(queued);
                self.queued = None;
                let replies: Vec<_> = queued.iter().map(|line| self.reply(line)).collect();
                format!("*{}\r\n{}", replies.len(), replies.concat())
            }
            ("EXEC", None) => "-ERR EXEC without MULTI\r\n".to_owned(),
            ("MULTI", None) => {
                self.queued = Some(Vec::new());
                "+OK\r\n".to_owned()
            }
            ("MULTI", Some(_)) => "-ERR nested\r\n".to_owned(),
            ("RESET", _) => {
                *self = Self::default();
                "+RESET\r\n".to_owned()
            }
            (_, Some(queued)) => {
                queued.push(line.to_owned());
                "+QUEUED\r\n".to_owned()
            }
            ("SELECT", None) => {
                self.db = 1;
                "+OK\r\n".to_owned()
            }
            ("HELLO", None) => {
                self.three = number == "3";
                self.proto()
            }
            ("PING", None) => "+PONG\r\n".to_owned(),
            ("COMMAND", None) => "-ERR unknown\r\n".to_owned(),
            _ => format!("+{number} in {} by {}\r\n", self.db, if self.three { 3 } else { 2 }),
        }
    }

    fn proto(&self) -> String {
        if self.three { "%1\r\n+proto\r\n:3\r\n".to_owned() } else { "*2\r\n+proto\r\n:2\r\n".to_owned() }
    }
}

#[derive(Default)]
struct Local {
    asked: Vec<String>,
    read: Vec<u8>,
    checked: usize,
    redis: Private,
}

#[derive(Default)]
struct Remote {
    received: Vec<u8>,
    replies: Vec<u8>,
    redis: Private,
}

struct World {
    d: Dispatch,
    now: Instant,
    serial: u32,
    requesters: BTreeMap<RequesterId, Local>,
    connections: BTreeMap<ConnectionId, Remote>,
    reached: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let (d, now) = dispatch(|host| (host.pipeline, host.window, host.queue) = (6, 8, 12));
        let (requesters, connections, reached) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { d, now, serial: 0, requesters, connections, reached }
    }

    fn step(&mut self, kind: u8, which: usize, amount: usize) -> Result<(), TestCaseError> {
        match kind {
            0 if self.requesters.len() < 6 => {
                let id = self.d.join();
                prop_assert!(self.requesters.insert(id, Local::default()).is_none());
            }
            1..=5 => self.ask(which, amount),
            6 if amount.is_multiple_of(8) => {
                if let Some(id) = pick(&self.requesters, which) {
                    self.forget(id);
                }
            }
            7 => self.attempt(!amount.is_multiple_of(4)),
            8 => self.open_own(!amount.is_multiple_of(6)),
            9..=11 => self.host_reads(which, amount % 200),
            12..=14 => self.host_replies(which, amount % 100)?,
            15 if amount.is_multiple_of(10) => {
                if let Some(id) = pick(&self.connections, which) {
                    self.d.broke(id, "reset", self.now);
                }
            }
            16 => self.now += Duration::from_millis(amount as u64 % 700),
            _ => {}
        }
        if self.d.alarm().is_some_and(|alarm| alarm <= self.now) {
            self.d.expire(self.now);
        }
        self.errands(!amount.is_multiple_of(3))
    }

    fn ask(&mut self, which: usize, amount: usize) {
        const NAMES: [&str; 12] =
            ["ECHO", "ECHO", "ECHO", "ECHO", "MULTI", "EXEC", "EXEC", "BLPOP", "SELECT", "RESET", "HELLO 3", "HELLO 2"];
        let Some(id) = pick(&self.requesters, which) else { return };
        for at in 0..amount % 5 {
            if !self.d.may_read(id, self.now) || self.d.account(id).unwrap().standing != Standing::Open {
                return;
            }
            self.serial += 1;
            let name = NAMES[(amount / 7 + at * 5) % NAMES.len()];
            let line = if name.contains(' ') { name.to_owned() } else { format!("{name} {:06}", self.serial) };
            self.requesters.get_mut(&id).unwrap().asked.push(line.clone());
            ask(&mut self.d, id, &line, self.now);
        }
    }

    fn forget(&mut self, id: RequesterId) {
        self.requesters.remove(&id);
        self.d.leave(id);
    }

    fn attempt(&mut self, succeeds: bool) {
        if self.d.next_attempt(self.now).is_none_or(|at| at > self.now) {
            return;
        }
        self.d.attempt_begins();
        if succeeds {
            let id = self.d.opened(self.now);
            assert!(self.connections.insert(id, Remote::default()).is_none());
        } else {
            self.d.attempt_failed("refused", self.now);
        }
    }

    fn open_own(&mut self, succeeds: bool) {
        let Some(attempt) = self.d.next_opening() else { return };
        if succeeds {
            let id = self.d.opened_own(attempt, self.now);
            assert!(self.connections.insert(id, Remote::default()).is_none());
        } else {
            self.d.opening_failed(attempt, "refused", self.now);
        }
    }

    fn host_reads(&mut self, which: usize, amount: usize) {
        let Some(id) = pick(&self.connections, which) else { return };
        let unsent = self.d.outgoing(id).to_vec();
        let count = amount.min(unsent.len());
        let remote = self.connections.get_mut(&id).unwrap();
        remote.received.extend_from_slice(&unsent[..count]);
        let all = [&remote.received[..], &unsent[count..]].concat();
        let mut framer = RequestFramer::new(Dialect::Resp, 1 << 20);
        let (mut at, mut whole) = (0, 0);
        while at < remote.received.len()
            && let Fed::Complete(length) = framer.feed(&all[at..])
        {
            let line = lines(&all[at..at + length]);
            if !line.starts_with("HELLO") && !line.starts_with("PING") {
                self.reached.insert(line.clone());
            }
            at += length;
            if at <= remote.received.len() {
                remote.replies.extend_from_slice(remote.redis.reply(&line).as_bytes());
                whole = at;
            }
        }
        remote.received.drain(..whole);
        self.d.wrote(id, count, self.now);
    }

    fn host_replies(&mut self, which: usize, amount: usize) -> Result<(), TestCaseError> {
        let Some(id) = pick(&self.connections, which) else { return Ok(()) };
        let remote = self.connections.get_mut(&id).unwrap();
        let bytes: Vec<u8> = remote.replies.drain(..amount.min(remote.replies.len())).collect();
        prop_assert_eq!(self.d.received(id, &bytes, self.now, &mut |_, _| 0), Ok(()));
        Ok(())
    }

    fn errands(&mut self, reads: bool) -> Result<(), TestCaseError> {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            if self.d.ended(id).is_some() {
                self.connections.remove(&id);
                self.d.released(id);
            }
        }
        prop_assert!(self.d.numbers().sessions <= 2 && self.d.live() <= 2);
        for id in std::mem::take(&mut self.d.errands.flush) {
            self.d.flushing(id);
        }
        let ids: Vec<_> = self.requesters.keys().copied().collect();
        for id in ids {
            self.d.may_read(id, self.now);
            let account = self.d.account(id).unwrap();
            let (bytes, standing) = (account.unsent().to_vec(), account.standing);
            let count = if reads { bytes.len() } else { bytes.len() / 3 };
            self.requesters.get_mut(&id).unwrap().read.extend_from_slice(&bytes[..count]);
            self.d.took(id, count, self.now);
            self.check(id)?;
            let settled = self.d.account(id).unwrap().is_settled();
            if standing == Standing::Cut || standing == Standing::Closing && settled {
                self.forget(id);
            }
        }
        Ok(())
    }

    /// Every answer is the one that a private Redis would have given, or a failure that tells the truth.
    fn check(&mut self, id: RequesterId) -> Result<(), TestCaseError> {
        let local = self.requesters.get_mut(&id).unwrap();
        let mut framer = ReplyFramer::new(Dialect::Resp, 1 << 20);
        while let Fed::Complete(length) = framer.feed(&local.read) {
            let answer = String::from_utf8(local.read.drain(..length).collect()).unwrap();
            let Some(asked) = local.asked.get(local.checked) else {
                return Err(TestCaseError::fail(format!("{answer:?} was never asked for")));
            };
            local.checked += 1;
            if answer.starts_with("-CONUNKNOWN") {
                prop_assert!(self.reached.contains(asked) || asked.starts_with("HELLO"), "{asked}: {answer}");
            } else if answer.starts_with("-CON") {
                prop_assert!(!self.reached.contains(asked), "{asked} reached the host: {answer}");
            } else {
                let expected = local.redis.reply(asked);
                prop_assert_eq!(answer, expected, "to {} of {:?}", asked, local.asked);
            }
        }
        Ok(())
    }

    /// A host that answers everything leaves nobody waiting.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for round in 0..60 {
            if round % 4 == 0 {
                self.now += Duration::from_millis(400);
                self.d.expire(self.now);
            }
            self.attempt(true);
            self.open_own(true);
            for which in 0..self.connections.len() {
                self.host_reads(which, usize::MAX);
                self.host_replies(which, usize::MAX)?;
            }
            self.errands(true)?;
        }
        for (id, local) in &self.requesters {
            prop_assert_eq!(local.checked, local.asked.len(), "{:?}", local.asked);
            prop_assert!(self.d.account(*id).unwrap().is_settled());
        }
        prop_assert_eq!(self.d.transactions.len(), 0);
        Ok(())
    }
}

fn pick<K: Copy + Ord, V>(map: &BTreeMap<K, V>, which: usize) -> Option<K> {
    (!map.is_empty()).then(|| *map.keys().nth(which % map.len()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn each_requester_sees_what_it_would_see_on_a_connection_of_its_own(
        steps in prop::collection::vec((0u8..17, 0usize..64, 0usize..4096), 1..400)
    ) {
        let mut world = World::new();
        for (kind, which, amount) in steps {
            world.step(kind, which, amount)?;
        }
        world.finish()?;
    }
}
