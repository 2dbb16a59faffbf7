//! The rooms, and what is a turn of each.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tieline::child::dispatch::Dispatch;
use tieline::config::{Address, HostSettings};
use tieline::dialect::{Dialect, Expect, Fed, ReplyFramer, RequestFramer, Voice};
use tieline::pool::Outgoing;
use tieline::requester::{Flow, Intake};
use tieline::work::{ConnectionId, Deadlines, Queue, RequesterId, TransactionId};

/// One of them.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Does so many turns.
    pub(crate) turns: fn(u64),
}

const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
const VALUE: &[u8] = b"$3\r\nxxx\r\n";

pub(crate) const ALL: &[Room] = &[
    Room { name: "resp-request", about: "the framer of requests: GET key", turns: resp_request },
    Room { name: "resp-reply", about: "the framer of replies: a string of 3 bytes", turns: resp_reply },
    Room { name: "resp-wish", about: "what GET key wants, and what it expects", turns: resp_wish },
    Room { name: "line-request", about: "the framer of requests: a line of 20 bytes", turns: line_request },
    Room { name: "intake", about: "16 requests in one read, each given to a taker", turns: intake },
    Room { name: "deadlines", about: "one set, one taken away", turns: deadlines },
    Room { name: "queue", about: "one pushed, one taken, 50 requesters waiting", turns: queue },
    Room { name: "outgoing", about: "16 requests gathered, written at once", turns: outgoing },
    Room {
        name: "transaction",
        about: "a request from 50 requesters' sessions to its reply taken",
        turns: transaction,
    },
    Room { name: "pipeline", about: "16 transactions of one requester at once", turns: pipeline },
    Room { name: "waiting", about: "a transaction that waits in the queue for its turn", turns: waiting },
];

fn resp_request(turns: u64) {
    let mut framer = RequestFramer::new(Dialect::Resp, 1 << 20);
    (0..turns).for_each(|_| assert_eq!(framer.feed(black_box(GET)), Fed::Complete(GET.len())));
}

fn resp_reply(turns: u64) {
    let mut framer = ReplyFramer::new(Dialect::Resp, 1 << 20);
    (0..turns).for_each(|_| assert_eq!(framer.feed(black_box(VALUE)), Fed::Complete(VALUE.len())));
}

fn resp_wish(turns: u64) {
    for _ in 0..turns {
        black_box(Dialect::Resp.wish(black_box(GET)));
        assert_eq!(Dialect::Resp.expect(black_box(GET)), Expect::Any);
    }
}

fn line_request(turns: u64) {
    let mut framer = RequestFramer::new(Dialect::Line, 1 << 20);
    (0..turns).for_each(|_| assert_eq!(framer.feed(black_box(b"nineteen characters\n")), Fed::Complete(20)));
}

fn intake(turns: u64) {
    let (mut intake, bytes) = (Intake::new(Dialect::Resp, 1 << 20), GET.repeat(16));
    for _ in 0..turns {
        let mut count = 0;
        let taken = intake.take(black_box(&bytes), &mut |request| {
            count += usize::from(!black_box(request).is_empty());
            Flow::GoOn
        });
        assert!(taken.is_ok() && count == 16);
    }
}

fn deadlines(turns: u64) {
    let (mut list, now) = (Deadlines::default(), Instant::now());
    (0..50).for_each(|key| list.insert(key, now));
    for turn in 0..turns {
        let key = u32::try_from(turn % 50).unwrap_or_default();
        assert!(list.remove(key));
        list.insert(key, now + Duration::from_nanos(turn));
    }
}

fn queue(turns: u64) {
    let mut queue = Queue::default();
    (0..50).for_each(|number| queue.push(RequesterId(number), None, TransactionId(number)));
    for _ in 0..turns {
        let taken = queue.take_for(ConnectionId(0), Voice::Two);
        taken.into_iter().for_each(|(requester, transaction)| queue.push(requester, None, transaction));
    }
    assert_eq!(queue.len(), 50);
}

fn outgoing(turns: u64) {
    let mut outgoing = Outgoing::default();
    for _ in 0..turns {
        for _ in 0..16 {
            black_box(outgoing.append(black_box(GET).into()));
        }
        outgoing.wrote(outgoing.unsent().len());
        assert!(outgoing.is_empty());
    }
}

/// A dispatch with a connection, and requesters.
struct House {
    dispatch: Dispatch,
    connection: ConnectionId,
    requesters: Vec<RequesterId>,
    now: Instant,
}

impl House {
    fn new(requesters: usize, pipeline: u32) -> Self {
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
        let mut host = HostSettings::with_defaults("host", address, Dialect::Resp);
        (host.connections, host.pipeline) = (1, pipeline);
        let (mut dispatch, now) = (Dispatch::new(host, 1), Instant::now());
        dispatch.attempt_begins();
        let connection = dispatch.opened(now);
        let requesters = (0..requesters).map(|_| dispatch.join()).collect();
        let mut house = Self { dispatch, connection, requesters, now };
        house.written();
        // What the host says of its commands, which it was asked when the connection was opened.
        house.reply(b"*0\r\n");
        house
    }

    fn ask(&mut self, requester: usize) {
        let requester = self.requesters[requester];
        assert!(self.dispatch.may_read(requester, self.now));
        self.dispatch.request(requester, black_box(GET), self.now);
    }

    fn written(&mut self) {
        self.dispatch.errands.wake.clear();
        while !self.dispatch.outgoing(self.connection).is_empty() {
            let count = self.dispatch.outgoing(self.connection).len();
            self.dispatch.wrote(self.connection, count, self.now);
        }
    }

    fn reply(&mut self, bytes: &[u8]) {
        let received = self.dispatch.received(self.connection, black_box(bytes), self.now, &mut |_, _| 0);
        assert_eq!(received, Ok(()));
    }

    /// Everybody takes what there is; how many bytes that were.
    fn take(&mut self) -> usize {
        let mut all = 0;
        while let Some(requester) = self.dispatch.errands.flush.pop() {
            self.dispatch.flushing(requester);
            let count = self.dispatch.account(requester).map_or(0, |account| black_box(account.unsent()).len());
            self.dispatch.took(requester, count, self.now);
            all += count;
        }
        all
    }
}

/// The figure is for all 50 together, divided by 50.
fn transaction(turns: u64) {
    let (mut house, replies) = (House::new(50, 1024), VALUE.repeat(50));
    for _ in 0..turns / 50 {
        for requester in 0..50 {
            // Each is read at a time of its own.
            house.now += Duration::from_micros(1);
            house.ask(requester);
        }
        house.written();
        house.reply(&replies);
        assert_eq!(house.take(), replies.len());
    }
}

fn pipeline(turns: u64) {
    let (mut house, replies) = (House::new(1, 1024), VALUE.repeat(16));
    for _ in 0..turns {
        (0..16).for_each(|_| house.ask(0));
        house.written();
        house.reply(&replies);
        assert_eq!(house.take(), replies.len());
    }
}

fn waiting(turns: u64) {
    let mut house = House::new(50, 1);
    for _ in 0..turns / 50 {
        (0..50).for_each(|requester| house.ask(requester));
        for _ in 0..50 {
            house.written();
            house.reply(VALUE);
            assert_eq!(house.take(), VALUE.len());
        }
    }
}
